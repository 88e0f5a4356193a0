import { describe, expect, it } from "vitest";
import { decodeGrpcMessage, encodeGrpcMessage } from "../../src/grpc/status-message.ts";
import { Random } from "./random.ts";

/** `text` as a header field holds it: one character per byte. */
function wire(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}

describe("encodeGrpcMessage", () => {
  it.each([
    ["", ""],
    ["plain text ~!\"#$&'()", "plain text ~!\"#$&'()"],
    ["100%", "100%25"],
    // No field value may begin or end with a space (RFC 9113 §8.2.1).
    [" a ", "%20a%20"],
    ["  a  ", "%20 a %20"],
    [" ", "%20"],
    ["é ", "%C3%A9%20"],
    ["a\tb\r\nc", "a%09b%0D%0Ac"],
    ["\u0000\u007f", "%00%7F"],
    ["\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n", undefined],
    ["é", "%C3%A9"],
    ["☺", "%E2%98%BA"],
    ["😈", "%F0%9F%98%88"],
    ["\ud83d alone", "%EF%BF%BD alone"],
    ["alone \ude08", "alone %EF%BF%BD"],
  ])("writes %j as %j", (text, expected) => {
    const encoded = encodeGrpcMessage(text);
    if (expected !== undefined) expect(encoded).toBe(expected);
    expect(encoded).toMatch(/^[\x20-\x7e]*$/);
  });

  const MOST = 8_192;

  it.each([
    ["what fits to the octet", "y".repeat(MOST), "y".repeat(MOST)],
    ["plain text", "y".repeat(80_000), "y".repeat(MOST)],
    ["an escape that does not fit", `${"y".repeat(MOST - 2)}%`, "y".repeat(MOST - 2)],
    ["an escape that fits", `${"y".repeat(MOST - 3)}%%`, `${"y".repeat(MOST - 3)}%25`],
    ["a character that does not fit", `${"y".repeat(MOST - 8)}☺`, "y".repeat(MOST - 8)],
    ["a character that fits", `${"y".repeat(MOST - 9)}☺☺`, `${"y".repeat(MOST - 9)}%E2%98%BA`],
    ["a pair", `${"y".repeat(MOST - 11)}😈`, "y".repeat(MOST - 11)],
    ["half a pair behind the bound", `${"y".repeat(MOST - 1)}😈`, "y".repeat(MOST - 1)],
    ["a space at the bound", `${"y".repeat(MOST - 1)} y`, "y".repeat(MOST - 1)],
    ["a last space whose escape does not fit", `${"y".repeat(MOST - 2)} `, "y".repeat(MOST - 2)],
    ["a last space whose escape fits", `${"y".repeat(MOST - 3)} `, `${"y".repeat(MOST - 3)}%20`],
    ["a first space", ` ${"y".repeat(MOST)}`, `%20${"y".repeat(MOST - 3)}`],
    ["nothing but spaces", " ".repeat(MOST), "%20"],
  ])("keeps to its bound, whole characters only: %s", (_, text, expected) => {
    const encoded = encodeGrpcMessage(text);
    expect(encoded.length).toBeLessThanOrEqual(MOST);
    expect(encoded === expected).toBe(true);
  });

  it("keeps the beginning of a long text of any characters", () => {
    const text = "☺😈é%".repeat(3_000);
    const encoded = encodeGrpcMessage(text);
    expect(encoded.length).toBeGreaterThan(MOST - 12);
    expect(encoded.length).toBeLessThanOrEqual(MOST);
    expect(text.startsWith(decodeGrpcMessage(encoded))).toBe(true);
  });
});

describe("decodeGrpcMessage", () => {
  it.each([
    ["", ""],
    ["plain", "plain"],
    ["100%25", "100%"],
    ["%41%6a%6A", "Ajj"],
    ["%E2%98%BA", "☺"],
    ["%F0%9F%98%88!", "😈!"],
    ["a+b", "a+b"],
    ["tail %", "tail %"],
    ["tail %4", "tail %4"],
    ["%4", "%4"],
    ["%zz%4g%g4", "%zz%4g%g4"],
    ["%%41", "%A"],
    ["%2541", "%41"],
    ["%/0%0/%:0%0:%`0%0`", "%/0%0/%:0%0:%`0%0`"],
    ["%ff%41", "\ufffdA"],
    ["%C3", "\ufffd"],
    [wire("raw ☺"), "raw ☺"],
    ["\xff raw", "\ufffd raw"],
  ])("reads %j as %j and never fails", (value, text) => {
    expect(decodeGrpcMessage(value)).toBe(text);
  });
});

describe("grpc-message coding", () => {
  it("gives back any text that it encoded", () => {
    const random = new Random(3);
    for (let round = 0; round < 2_000; round++) {
      const text = Array.from({ length: random.integer(20) }, () =>
        String.fromCodePoint(
          [random.integer(0x80), random.integer(0xd800), 0x10000 + random.integer(0x1000)][
            random.integer(3)
          ]!,
        ),
      ).join("");
      expect(decodeGrpcMessage(encodeGrpcMessage(text))).toBe(text);
    }
  });

  it("gives back the text of the interop case special_status_message", () => {
    const text = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n";
    expect(encodeGrpcMessage(text)).toBe(
      "%09%0Atest with whitespace%0D%0Aand Unicode BMP %E2%98%BA and non-BMP %F0%9F%98%88%09%0A",
    );
    expect(decodeGrpcMessage(encodeGrpcMessage(text))).toBe(text);
  });

  it("reads any bytes without failing", () => {
    const random = new Random(4);
    for (let round = 0; round < 2_000; round++) {
      const value = random.bytes(random.integer(12)).toString("latin1").replaceAll("\x05", "%");
      expect(typeof decodeGrpcMessage(`%${value}`)).toBe("string");
    }
  });
});
