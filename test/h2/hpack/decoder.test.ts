import { describe, expect, it } from "vitest";
import { HpackError } from "../../../src/h2/hpack/error.ts";
import { STATIC_FIELDS } from "../../../src/h2/hpack/static-table.ts";
import {
  createDecoder,
  decode,
  decodePairs,
  integer,
  lines,
  literal,
  sizeUpdate,
  tableOf,
  text,
} from "./blocks.ts";

const INDEXED_LITERAL = 0x40;
const PLAIN_LITERAL = 0x00;
const NEVER_INDEXED = 0x10;

const bytes = (...parts: readonly (readonly number[])[]): Buffer => Buffer.from(parts.flat());
const huffman = (hex: string): number[] => {
  const code = Buffer.from(hex, "hex");
  return [0x80 | code.length, ...code];
};

describe("HpackDecoder: fields", () => {
  it("returns an empty list for an empty block", () => {
    expect(decode(createDecoder(), "")).toEqual([]);
  });

  it("returns the shared objects of the static table", () => {
    const [method, status] = decode(createDecoder(), "83 88");
    expect(method).toBe(STATIC_FIELDS[3]);
    expect(status).toBe(STATIC_FIELDS[8]);
  });

  it.each(Array.from({ length: 61 }, (_, i) => i + 1))("knows static index %i", (index) => {
    expect(decode(createDecoder(), bytes([0x80 | index]))).toEqual([STATIC_FIELDS[index]]);
  });

  it("returns one object for an indexed literal and every later reference to it", () => {
    const decoder = createDecoder();
    const [first, again] = decode(decoder, bytes(literal(INDEXED_LITERAL, "a", "1"), [0xbe]));
    expect(again).toBe(first);
    const [, later] = decode(decoder, bytes(literal(INDEXED_LITERAL, "b", "2"), [0xbf]));
    expect(later).toBe(first);
  });

  it("keeps wire order and duplicates", () => {
    const block = bytes(
      literal(PLAIN_LITERAL, "x", "1"),
      [0x84],
      literal(NEVER_INDEXED, "x", "1"),
      [0x84],
    );
    expect(decodePairs(createDecoder(), block)).toEqual(["x: 1", ":path: /", "x: 1", ":path: /"]);
  });

  it("marks only never-indexed literals as sensitive (§6.2.3)", () => {
    const block = bytes(
      literal(PLAIN_LITERAL, "a", ""),
      literal(INDEXED_LITERAL, "b", ""),
      literal(NEVER_INDEXED, "c", ""),
      [0x1f, 23 - 15, ...text("token")],
    );
    const fields = decode(createDecoder(), block);
    expect(lines(fields)).toEqual(["a: ", "b: ", "c: ", "authorization: token"]);
    expect(fields.map((field) => field.sensitive)).toEqual([false, false, true, true]);
  });

  it("takes names from the dynamic table, even from the entry that the literal itself evicts (§4.4)", () => {
    const decoder = createDecoder();
    decode(decoder, bytes(sizeUpdate(64), literal(INDEXED_LITERAL, "long-name", "1")));
    decode(decoder, bytes([0x7e, ...text("a longer value")]));
    expect(lines(tableOf(decoder))).toEqual(["long-name: a longer value"]);
  });

  it("keeps every octet value of a string as one character", () => {
    const all = Buffer.from(Array.from({ length: 256 }, (_, i) => i)).toString("latin1");
    for (const value of [all, all.slice(120, 140), "\x00", "\xff", "é"]) {
      const [field] = decode(createDecoder(), bytes(literal(PLAIN_LITERAL, "x", value)));
      expect(field?.value).toBe(value);
    }
  });

  it("does not see later changes of the buffer that a string came from", () => {
    const block = bytes(literal(INDEXED_LITERAL, "name-of-it", "value of it, long enough"));
    const [field] = decode(createDecoder(), block);
    block.fill(0x21);
    expect(field).toMatchObject({ name: "name-of-it", value: "value of it, long enough" });
  });

  it.each([
    1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 126, 127, 128, 129, 254, 255, 256, 16_384, 16_510, 40_000,
  ])("decodes a string of %i octets", (length) => {
    const value = "abcdefghij".repeat(length / 10 + 1).slice(0, length);
    const decoder = createDecoder();
    expect(decodePairs(decoder, bytes(literal(PLAIN_LITERAL, "x", value)))).toEqual([
      `x: ${value}`,
    ]);
  });

  it("decodes a Huffman string larger than its shared scratch buffer", () => {
    // "0" is the code 00000: 5 octets of zeros are 8 of them.
    const code = Buffer.alloc(12_500);
    const block = bytes([0x04, ...integer(code.length, 7, 0x80)], [...code]);
    expect(decode(createDecoder(), block)[0]?.value).toBe("0".repeat(20_000));
  });
});

describe("HpackDecoder: dynamic table", () => {
  it("evicts the oldest entries first when room is needed (§4.4)", () => {
    const decoder = createDecoder();
    decode(decoder, bytes(sizeUpdate(3 * 34)));
    for (const name of ["a", "b", "c", "d"]) {
      decode(decoder, bytes(literal(INDEXED_LITERAL, name, "x")));
    }
    expect(lines(tableOf(decoder))).toEqual(["d: x", "c: x", "b: x"]);
    decode(decoder, bytes(literal(INDEXED_LITERAL, "e".repeat(35), "x")));
    expect(lines(tableOf(decoder))).toEqual([`${"e".repeat(35)}: x`, "d: x"]);
  });

  it("is emptied by an entry larger than the table, which is listed all the same (§4.4)", () => {
    const decoder = createDecoder();
    decode(decoder, bytes(sizeUpdate(64), literal(INDEXED_LITERAL, "a", "x")));
    expect(decodePairs(decoder, bytes(literal(INDEXED_LITERAL, "b", "y".repeat(40))))).toEqual([
      `b: ${"y".repeat(40)}`,
    ]);
    expect(tableOf(decoder)).toEqual([]);
  });

  it("holds an entry of exactly its size", () => {
    const decoder = createDecoder();
    decode(decoder, bytes(sizeUpdate(64), literal(INDEXED_LITERAL, "a", "y".repeat(31))));
    expect(tableOf(decoder)).toHaveLength(1);
  });

  it("keeps order over many times its ring's length", () => {
    const decoder = createDecoder();
    for (let i = 0; i < 1_000; i++) decode(decoder, bytes(literal(INDEXED_LITERAL, "n", `${i}`)));
    const held = Math.floor(4_096 / (32 + 1 + 3));
    expect(lines(tableOf(decoder))).toEqual(
      Array.from({ length: held }, (_, age) => `n: ${999 - age}`),
    );
  });
});

describe("HpackDecoder: table size (§4.2, §6.3)", () => {
  it("evicts at once when the peer lowers the size", () => {
    const decoder = createDecoder();
    decode(decoder, bytes(literal(INDEXED_LITERAL, "a", "x"), literal(INDEXED_LITERAL, "b", "x")));
    decode(decoder, bytes(sizeUpdate(34), [0x82]));
    expect(lines(tableOf(decoder))).toEqual(["b: x"]);
  });

  it("takes several updates at the start of a block, the lowest in between included", () => {
    const decoder = createDecoder();
    decode(decoder, bytes(literal(INDEXED_LITERAL, "a", "x")));
    expect(decodePairs(decoder, bytes(sizeUpdate(0), sizeUpdate(4_096), [0x82]))).toEqual([
      ":method: GET",
    ]);
    expect(tableOf(decoder)).toEqual([]);
  });

  it("refuses an update behind the first field", () => {
    expect(() => decode(createDecoder(), bytes([0x82], sizeUpdate(0)))).toThrow(HpackError);
  });

  it("refuses a size over what was announced", () => {
    const decoder = createDecoder({ maxTableBytes: 8_192 });
    decode(decoder, bytes(sizeUpdate(8_192)));
    expect(() => decode(decoder, bytes(sizeUpdate(8_193)))).toThrow(HpackError);
  });

  it("lets the peer use the default size until it can know of a smaller one", () => {
    const decoder = createDecoder({ maxTableBytes: 0 });
    decode(decoder, bytes(literal(INDEXED_LITERAL, "a", "x")));
    expect(decodePairs(decoder, "be")).toEqual(["a: x"]);
    decode(decoder, bytes(sizeUpdate(4_096)));
    decoder.setMaxTableBytes(0);
    expect(decodePairs(decoder, bytes(sizeUpdate(0), [0x82]))).toEqual([":method: GET"]);
    expect(() => decode(decoder, bytes(sizeUpdate(1)))).toThrow(HpackError);
  });

  it("grows only when the peer says so", () => {
    const decoder = createDecoder({ maxTableBytes: 65_536 });
    const large = bytes(literal(INDEXED_LITERAL, "a", "x".repeat(5_000)));
    decode(decoder, large);
    expect(tableOf(decoder)).toEqual([]);
    decode(decoder, bytes(sizeUpdate(65_536)));
    decode(decoder, large);
    expect(tableOf(decoder)).toHaveLength(1);
  });

  it.each([
    { circumstance: "no update", block: [0x82] },
    { circumstance: "an empty block", block: [] },
    { circumstance: "an update that is not low enough", block: sizeUpdate(1_001) },
  ])("refuses $circumstance after an acknowledged reduction", ({ block }) => {
    const decoder = createDecoder();
    decoder.setMaxTableBytes(1_000);
    decoder.setMaxTableBytes(2_000);
    expect(() => decode(decoder, bytes(block))).toThrow(HpackError);
  });

  it("demands the lowest of several reductions first, then takes the last", () => {
    const decoder = createDecoder();
    decoder.setMaxTableBytes(2_000);
    decoder.setMaxTableBytes(1_000);
    decoder.setMaxTableBytes(1_500);
    decoder.setMaxTableBytes(3_000);
    decode(decoder, bytes(sizeUpdate(1_000), sizeUpdate(3_000)));
    expect(decode(decoder, "82")).toHaveLength(1);
  });

  it("demands nothing when the peer's table is small enough already", () => {
    const decoder = createDecoder();
    decode(decoder, bytes(sizeUpdate(500)));
    decoder.setMaxTableBytes(1_000);
    expect(decode(decoder, "82")).toHaveLength(1);
  });
});

describe("HpackDecoder: what breaks the connection", () => {
  it.each([
    { circumstance: "index 0", block: "80" },
    { circumstance: "an index behind the last entry", block: "be" },
    { circumstance: "a name index behind the last entry", block: "7e 00" },
    { circumstance: "an index far outside", block: "ff ff ff ff 0f" },
    { circumstance: "an index cut off", block: "ff" },
    { circumstance: "an index cut off in its continuation", block: "ff 80" },
    { circumstance: "a literal without its name", block: "40" },
    { circumstance: "a name longer than the block", block: "40 02 61" },
    { circumstance: "a literal without its value", block: "40 01 61" },
    { circumstance: "a value longer than the block", block: "44 03 61 62" },
    { circumstance: "a value of 4 GiB", block: "04 7f 80 ff ff ff 0f 61" },
    { circumstance: "a size update cut off", block: "3f" },
    { circumstance: "a Huffman string with EOS", block: "04 84 ff ff ff ff" },
    { circumstance: "EOS behind a symbol", block: "04 85 1f ff ff ff ff" },
    { circumstance: "padding of zeros", block: "04 81 18" },
    { circumstance: "a padding of 8 bits", block: "04 82 1f ff" },
    { circumstance: "padding that is half a symbol", block: "04 81 fe" },
  ])("throws HpackError for $circumstance", ({ block }) => {
    expect(() => decode(createDecoder(), block)).toThrow(HpackError);
  });

  it.each([
    { octets: "ff 81 ff ff ff 0f", message: "integer too large: 4294967296" },
    { octets: "ff ff ff ff ff 7f", message: "integer too large: 34359738494" },
    { octets: "ff 80 80 80 80 80 00", message: "integer longer than 5 octets" },
    { octets: "ff ff ff ff ff ff 0f", message: "integer longer than 5 octets" },
    { octets: "04 7f ff ff ff ff ff ff ff", message: "integer longer than 5 octets" },
  ])("refuses the integer of $octets: $message (§5.1)", ({ octets, message }) => {
    const decoder = createDecoder();
    expect(() => decode(decoder, octets)).toThrow(new HpackError(message));
  });

  it("throws HpackError for every block that ends inside a field", () => {
    const block = bytes(
      sizeUpdate(2_000),
      [0x82],
      literal(INDEXED_LITERAL, "name", "value"),
      [0x04, ...huffman("f1e3c2e5f23a6ba0ab90f4ff")],
      literal(NEVER_INDEXED, "x".repeat(200), "y".repeat(200)),
    );
    const complete: number[] = [];
    for (let end = 0; end <= block.length; end++) {
      try {
        createDecoder().decode(block, 0, end);
        complete.push(end);
      } catch (error) {
        expect(error).toBeInstanceOf(HpackError);
      }
    }
    expect(complete).toEqual([0, 3, 4, 16, 30, block.length]);
  });

  it("never reads behind the end of the block", () => {
    const block = bytes(literal(PLAIN_LITERAL, "ab", "cd"));
    expect(() => createDecoder().decode(block, 0, block.length - 1)).toThrow(HpackError);
    expect(() => createDecoder().decode(bytes([0x82, 0xff, 0x00]), 0, 2)).toThrow(HpackError);
  });

  it.each([
    { octets: "ff 80 ff ff ff 0f", value: 4_294_967_295, is: "the largest" },
    { octets: "ff 80 80 80 80 00", value: 127, is: "padded to 5 continuation octets" },
  ])("reads the integer $octets, $is, to its end: $value", ({ octets, value }) => {
    expect(() => decode(createDecoder(), octets)).toThrow(`no table entry has index ${value}`);
  });
});

describe("HpackDecoder: limits", () => {
  it("counts name, value and 32 per field, and takes a list of exactly the limit (RFC 9113 §6.5.2)", () => {
    const decoder = createDecoder({ maxHeaderListBytes: 2 * (32 + 1 + 3) });
    const field = literal(PLAIN_LITERAL, "x", "123");
    expect(decode(decoder, bytes(field, field))).toHaveLength(2);
    expect(decoder.listTooLarge).toBe(false);
    expect(decode(decoder, bytes(field, literal(PLAIN_LITERAL, "x", "1234")))).toHaveLength(1);
    expect(decoder.listTooLarge).toBe(true);
  });

  it("counts indexed fields by what they stand for", () => {
    const decoder = createDecoder({ maxHeaderListBytes: 2 * 42 + 41 });
    expect(decode(decoder, "82 82 82")).toHaveLength(2);
    expect(decoder.listTooLarge).toBe(true);
  });

  it("drops every field behind the first one too many, however small", () => {
    const decoder = createDecoder({ maxHeaderListBytes: 200 });
    const block = bytes(
      [0x82],
      literal(PLAIN_LITERAL, "x", "1".repeat(300)),
      [0x82],
      literal(PLAIN_LITERAL, "y", "1"),
    );
    expect(decodePairs(decoder, block)).toEqual([":method: GET"]);
    expect(decoder.listTooLarge).toBe(true);
  });

  it("has no bound of its own for the number of fields", () => {
    const decoder = createDecoder({ maxHeaderListBytes: 1_000 * 33 });
    const field = literal(PLAIN_LITERAL, "x", "");
    expect(decode(decoder, bytes(...Array(1_000).fill(field)))).toHaveLength(1_000);
    expect(decoder.listTooLarge).toBe(false);
  });

  it("says how large the whole list was, with what it dropped", () => {
    const decoder = createDecoder({ maxHeaderListBytes: 100 });
    const block = bytes(
      [0x82],
      literal(INDEXED_LITERAL, "a", "1".repeat(300)),
      [0x82],
      literal(INDEXED_LITERAL, "a", "1".repeat(5_000)),
      literal(PLAIN_LITERAL, "b", "2"),
    );
    expect(decode(decoder, block)).toHaveLength(1);
    expect(decoder.listTooLarge).toBe(true);
    expect(decoder.listBytes).toBe(42 + 333 + 42 + 5_033 + 34);
  });

  it("forgets the excess of one block with the next", () => {
    const decoder = createDecoder({ maxHeaderListBytes: 60 });
    decode(decoder, "82 82");
    expect(decode(decoder, "82")).toHaveLength(1);
    expect(decoder.listTooLarge).toBe(false);
  });

  it("keeps the table in step while it drops fields", () => {
    const decoder = createDecoder({ maxHeaderListBytes: 50 });
    const block = bytes(
      literal(INDEXED_LITERAL, "a", "1".repeat(100)),
      literal(INDEXED_LITERAL, "b", "2"),
    );
    expect(decode(decoder, block)).toEqual([]);
    expect(decoder.listTooLarge).toBe(true);
    expect(decodePairs(decoder, "be")).toEqual(["b: 2"]);
    const generous = createDecoder();
    decode(generous, block);
    decode(decoder, "");
    expect(lines(tableOf(generous))).toEqual(["b: 2", `a: ${"1".repeat(100)}`]);
    expect(decode(decoder, "bf")).toEqual([]);
    expect(decoder.listTooLarge).toBe(true);
  });

  it.each([
    { circumstance: "value", block: [0x44, ...text("v".repeat(6_000))] },
    { circumstance: "name", block: literal(INDEXED_LITERAL, "n".repeat(6_000), "v") },
  ])(
    "empties the table for an indexed $circumstance that neither table nor list has room for",
    ({ block }) => {
      const decoder = createDecoder({ maxHeaderListBytes: 5_000 });
      decode(decoder, bytes(literal(INDEXED_LITERAL, "a", "x")));
      expect(decode(decoder, bytes([0x82], block, [0x84]))).toHaveLength(1);
      expect(decoder.listTooLarge).toBe(true);
      expect(tableOf(decoder)).toEqual([]);
    },
  );

  it("checks the Huffman code of strings that it drops", () => {
    const decoder = createDecoder({ maxHeaderListBytes: 40 });
    expect(() => decode(decoder, "82 04 82 1fff")).toThrow(HpackError);
  });

  it("spends no string on references to one large entry, however many there are", () => {
    const decoder = createDecoder({ maxHeaderListBytes: 8_192 });
    const bomb = bytes(
      literal(INDEXED_LITERAL, "x", "v".repeat(4_000)),
      Array.from({ length: 16_000 }, () => 0xbe),
    );
    const [first, second, ...others] = decode(decoder, bomb);
    expect(second).toBe(first);
    expect(others).toEqual([]);
    expect(decoder.listTooLarge).toBe(true);
  });
});
