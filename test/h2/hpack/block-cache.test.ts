import { describe, expect, it } from "vitest";
import type { HpackDecoder } from "../../../src/h2/hpack/decoder.ts";
import { HpackError } from "../../../src/h2/hpack/error.ts";
import type { HeaderList } from "../../../src/wire/field.ts";
import {
  createDecoder,
  decode,
  decodePairs,
  lines,
  literal,
  sizeUpdate,
  tableOf,
} from "./blocks.ts";

const INDEXED_LITERAL = 0x40;
const PLAIN_LITERAL = 0x00;
const NEVER_INDEXED = 0x10;

const bytes = (...parts: readonly (readonly number[])[]): Buffer => Buffer.from(parts.flat());

describe("HpackDecoder: blocks that come again", () => {
  /**
   * What comes of a block the second and the third time: from the second on it may be remembered.
   */
  const repeated = (decoder: HpackDecoder, block: string | Buffer): [HeaderList, HeaderList] => {
    decode(decoder, block);
    return [decode(decoder, block), decode(decoder, block)];
  };

  it("answers a block of references with the same list", () => {
    const decoder = createDecoder();
    decode(decoder, bytes(literal(INDEXED_LITERAL, "a", "x")));
    const [first, second] = repeated(decoder, "83 be 84");
    expect(second).toBe(first);
    expect(lines(second)).toEqual([":method: POST", "a: x", ":path: /"]);
  });

  it("tells blocks of one length and one last octet apart", () => {
    const decoder = createDecoder();
    for (let round = 0; round < 3; round++) {
      expect(decodePairs(decoder, "83 84")).toEqual([":method: POST", ":path: /"]);
      expect(decodePairs(decoder, "82 84")).toEqual([":method: GET", ":path: /"]);
    }
  });

  it("does not take the beginning of a block for the block", () => {
    const decoder = createDecoder();
    repeated(decoder, "82 84");
    expect(decodePairs(decoder, "82 82 82 82 84")).toHaveLength(5);
    expect(decodePairs(decoder, "82 84")).toHaveLength(2);
    expect(decodePairs(decoder, "84")).toHaveLength(1);
  });

  it("looks indexes up again after an insertion", () => {
    const decoder = createDecoder();
    decode(decoder, bytes(literal(INDEXED_LITERAL, "a", "x")));
    repeated(decoder, "be");
    decode(decoder, bytes(literal(INDEXED_LITERAL, "b", "y")));
    expect(decodePairs(decoder, "be")).toEqual(["b: y"]);
  });

  it("looks indexes up again after an eviction", () => {
    const decoder = createDecoder();
    decode(decoder, bytes(literal(INDEXED_LITERAL, "a", "x")));
    repeated(decoder, "be");
    decode(decoder, bytes(sizeUpdate(0)));
    expect(() => decode(decoder, "be")).toThrow(HpackError);
  });

  it("still demands the size update that is due", () => {
    const decoder = createDecoder();
    repeated(decoder, "82");
    decoder.setMaxTableBytes(100);
    expect(() => decode(decoder, "82")).toThrow(HpackError);
  });

  it("obeys a size update each time", () => {
    const decoder = createDecoder();
    repeated(decoder, bytes(sizeUpdate(4_096), [0x82]));
    decode(decoder, bytes(sizeUpdate(40)));
    decode(decoder, bytes(sizeUpdate(4_096), [0x82]));
    decode(decoder, bytes(literal(INDEXED_LITERAL, "a", "x"), literal(INDEXED_LITERAL, "b", "y")));
    expect(tableOf(decoder)).toHaveLength(2);
  });

  it("says each time that the list is too large", () => {
    const decoder = createDecoder({ maxHeaderListBytes: 60 });
    for (let round = 0; round < 3; round++) {
      expect(decode(decoder, "82 82")).toHaveLength(1);
      expect(decoder.listTooLarge).toBe(true);
      expect(decode(decoder, "82")).toHaveLength(1);
      expect(decoder.listTooLarge).toBe(false);
    }
  });

  it("answers a block with literals that enter no table with the same list", () => {
    const decoder = createDecoder();
    const block = bytes([0x83], literal(PLAIN_LITERAL, "x", "1"));
    const [first, second] = repeated(decoder, block);
    expect(second).toBe(first);
    expect(lines(second)).toEqual([":method: POST", "x: 1"]);
    expect(tableOf(decoder)).toEqual([]);
  });

  it("tells literals apart that differ in one octet", () => {
    const decoder = createDecoder();
    const blockOf = (value: string): Buffer => bytes(literal(PLAIN_LITERAL, "x", value));
    for (let at = 0; at < 40; at++) {
      const value = "a".repeat(40);
      repeated(decoder, blockOf(value));
      const other = `${value.slice(0, at)}b${value.slice(at + 1)}`;
      for (const list of repeated(decoder, blockOf(other))) expect(list[0]?.value).toBe(other);
    }
  });

  it("remembers nothing that must never be indexed", () => {
    const [first, second] = repeated(createDecoder(), bytes(literal(NEVER_INDEXED, "x", "1")));
    expect(second[0]).not.toBe(first[0]);
    expect(second).toEqual(first);
  });

  it("remembers no block above 128 octets, and not what differs each time", () => {
    const decoder = createDecoder();
    const [first, second] = repeated(decoder, "82".repeat(129));
    expect(second).not.toBe(first);
    const one = decode(decoder, bytes(literal(PLAIN_LITERAL, "x", "1")));
    const two = decode(decoder, bytes(literal(PLAIN_LITERAL, "x", "2")));
    expect([one[0]?.value, two[0]?.value]).toEqual(["1", "2"]);
  });

  it.each([31, 32, 33, 127, 128, 129])("decodes a repeated block of %i references", (count) => {
    const [first, second] = repeated(createDecoder(), Buffer.alloc(count, 0x82));
    expect(first).toHaveLength(count);
    expect(second).toEqual(first);
  });
});
