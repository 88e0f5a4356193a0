import { describe, expect, it } from "vitest";
import { HpackError } from "../../../src/h2/hpack/error.ts";
import { decodeHuffman, maxDecodedBytes } from "../../../src/h2/hpack/huffman.ts";
import { fromHex } from "./blocks.ts";

// Codes as RFC 7541 Appendix B prints them: of each length, and of every symbol where a mistake in
// the lengths would show.
// biome-ignore format: table
const CODES: readonly (readonly [symbol: number, code: number, bits: number])[] = [
  [0x30, 0x0, 5], [0x32, 0x2, 5], [0x61, 0x3, 5], [0x74, 0x9, 5], [0x20, 0x14, 6], [0x25, 0x15, 6], [0x2d, 0x16, 6],
  [0x39, 0x1f, 6], [0x3d, 0x20, 6], [0x41, 0x21, 6], [0x5f, 0x22, 6], [0x75, 0x2d, 6], [0x3a, 0x5c, 7], [0x42, 0x5d, 7],
  [0x59, 0x73, 7], [0x7a, 0x7b, 7], [0x26, 0xf8, 8], [0x58, 0xfc, 8], [0x5a, 0xfd, 8], [0x21, 0x3f8, 10], [0x3f, 0x3fc, 10],
  [0x27, 0x7fa, 11], [0x7c, 0x7fc, 11], [0x23, 0xffa, 12], [0x3e, 0xffb, 12], [0x00, 0x1ff8, 13], [0x7e, 0x1ffd, 13],
  [0x5e, 0x3ffc, 14], [0x7d, 0x3ffd, 14], [0x3c, 0x7ffc, 15], [0x7b, 0x7ffe, 15], [0x5c, 0x7fff0, 19], [0xd0, 0x7fff2, 19],
  [0x80, 0xfffe6, 20], [0xe2, 0xfffed, 20], [0x99, 0x1fffdc, 21], [0xe6, 0x1fffe8, 21], [0x81, 0x3fffd2, 22],
  [0xe9, 0x3fffeb, 22], [0x01, 0x7fffd8, 23], [0xef, 0x7ffff4, 23], [0x09, 0xffffea, 24], [0xed, 0xfffff5, 24],
  [0xc7, 0x1ffffec, 25], [0xeb, 0x1ffffef, 25], [0xc0, 0x3ffffe0, 26], [0xff, 0x3ffffee, 26], [0xcb, 0x7ffffde, 27],
  [0xfe, 0x7fffff0, 27], [0x02, 0xfffffe2, 28], [0x7f, 0xffffffc, 28], [0xdc, 0xffffffd, 28], [0xf9, 0xffffffe, 28],
  [0x0a, 0x3ffffffc, 30], [0x0d, 0x3ffffffd, 30], [0x16, 0x3ffffffe, 30],
];
const EOS = [0x3fffffff, 30] as const;

/** Codes one after the other, padded with ones to whole octets. */
function encodeBits(...codes: readonly (readonly [code: number, bits: number])[]): Buffer {
  const bits = codes.map(([code, length]) => code.toString(2).padStart(length, "0")).join("");
  const padded = bits.padEnd(Math.ceil(bits.length / 8) * 8, "1");
  return Buffer.from(padded.match(/.{8}/g)?.map((octet) => Number.parseInt(octet, 2)) ?? []);
}

function decode(code: Buffer): Buffer {
  const target = Buffer.alloc(maxDecodedBytes(code.length));
  return target.subarray(0, decodeHuffman(code, 0, code.length, target));
}

describe("decodeHuffman", () => {
  it.each(CODES)("decodes symbol %i from code %i of %i bits", (symbol, code, bits) => {
    expect([...decode(encodeBits([code, bits]))]).toEqual([symbol]);
  });

  it("decodes every pair of those, in whatever state the first leaves the octet", () => {
    for (const [first, ...firstCode] of CODES) {
      for (const [second, ...secondCode] of CODES) {
        const code = encodeBits(firstCode, secondCode, firstCode);
        expect([...decode(code)]).toEqual([first, second, first]);
      }
    }
  });

  it.each([
    { text: "www.example.com", code: "f1e3c2e5f23a6ba0ab90f4ff" },
    { text: "custom-value", code: "25a849e95bb8e8b4bf" },
    { text: "Mon, 21 Oct 2013 20:13:21 GMT", code: "d07abe941054d444a8200595040b8166e082a62d1bff" },
    { text: "", code: "" },
  ])("decodes $text", ({ text, code }) => {
    expect(decode(fromHex(code)).toString("latin1")).toBe(text);
  });

  it("knows exactly the 74 symbols with codes of 5 to 8 bits", () => {
    const seen = new Map<number, string>();
    for (let bits = 5; bits <= 8; bits++) {
      for (let code = 0; code < 2 ** bits; code++) {
        const padded = encodeBits([code, bits]);
        let symbols: Buffer;
        try {
          symbols = decode(padded);
        } catch {
          continue;
        }
        if (symbols.length !== 1 || seen.has(symbols[0]!)) continue;
        seen.set(symbols[0]!, code.toString(2).padStart(bits, "0"));
      }
    }
    expect(seen.size).toBe(10 + 26 + 32 + 6);
  });

  it("fills no more than maxDecodedBytes", () => {
    expect(decode(Buffer.alloc(5)).toString()).toBe("00000000");
    expect(maxDecodedBytes(5)).toBe(8);
    expect(maxDecodedBytes(1)).toBe(1);
    expect(maxDecodedBytes(0)).toBe(0);
  });

  it("takes a padding of 0 to 7 ones (RFC 7541 §5.2)", () => {
    for (let zeros = 1; zeros <= 8; zeros++) {
      const code = encodeBits(...Array.from({ length: zeros }, () => [0, 5] as const));
      expect(decode(code).toString()).toBe("0".repeat(zeros));
    }
  });

  it.each([
    { circumstance: "EOS alone", code: encodeBits(EOS) },
    { circumstance: "EOS behind a symbol", code: encodeBits([0x3, 5], EOS) },
    { circumstance: "EOS before a symbol", code: encodeBits(EOS, [0x3, 5]) },
    { circumstance: "a padding of 8 ones", code: fromHex("ff") },
    { circumstance: "a whole octet of padding", code: encodeBits([0x0, 5], [0x7ff, 11]) },
    { circumstance: "a padding of 29 ones", code: encodeBits([0xf8, 8], [0xffffff, 24]) },
    { circumstance: "a padding with a zero", code: encodeBits([0x3, 5], [0x6, 3]) },
    { circumstance: "a padding of zeros", code: encodeBits([0x3, 5], [0x0, 3]) },
    { circumstance: "half a long code", code: encodeBits([0x7fff, 16]) },
  ])("throws HpackError for $circumstance", ({ code }) => {
    expect(() => decode(code)).toThrow(HpackError);
  });
});
