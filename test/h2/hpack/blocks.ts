// Header blocks for the tests of this folder, written as hex with spaces, and ways to see what a
// codec did with them.

import { HpackDecoder } from "../../../src/h2/hpack/decoder.ts";
import { MAX_KNOWN_BLOCK_BYTES } from "../../../src/h2/hpack/encoded-blocks.ts";
import type { HpackEncoder } from "../../../src/h2/hpack/encoder.ts";
import { HpackError } from "../../../src/h2/hpack/error.ts";
import { HeaderField, type HeaderList } from "../../../src/wire/field.ts";

export function createDecoder(
  options: Partial<ConstructorParameters<typeof HpackDecoder>[0]> = {},
): HpackDecoder {
  return new HpackDecoder({
    maxTableBytes: 4_096,
    maxHeaderListBytes: 65_536,
    ...options,
  });
}

export function fromHex(hex: string): Buffer {
  const digits = hex.replaceAll(/\s/g, "");
  const block = Buffer.from(digits, "hex");
  if (block.length * 2 !== digits.length) throw new Error(`not hex: ${hex}`);
  return block;
}

/** Decodes a whole block given as hex or bytes. */
export function decode(decoder: HpackDecoder, block: string | Buffer): HeaderList {
  const bytes = typeof block === "string" ? fromHex(block) : block;
  return decoder.decode(bytes, 0, bytes.length);
}

export function decodePairs(decoder: HpackDecoder, block: string | Buffer): string[] {
  return lines(decode(decoder, block));
}

/** `name: value` of each field. */
export function lines(fields: HeaderList): string[] {
  return fields.map((field) => `${field.name}: ${field.value}`);
}

/** The dynamic table, newest first, seen the way a peer sees it: by asking for each index. */
export function tableOf(decoder: HpackDecoder): HeaderField[] {
  const entries: HeaderField[] = [];
  for (;;) {
    const field = entryAt(decoder, 62 + entries.length);
    if (field === undefined) return entries;
    entries.push(field);
  }
}

function entryAt(decoder: HpackDecoder, index: number): HeaderField | undefined {
  try {
    return decode(decoder, Buffer.from(integer(index, 7, 0x80)))[0];
  } catch (error) {
    if (error instanceof HpackError) return undefined;
    throw error;
  }
}

/** RFC 7541 §5.1, as octets. */
export function integer(value: number, prefixBits: number, flags = 0): number[] {
  const largest = 2 ** prefixBits - 1;
  if (value < largest) return [flags | value];
  const octets = [flags | largest];
  let rest = value - largest;
  for (; rest >= 128; rest = Math.floor(rest / 128)) octets.push((rest % 128) | 128);
  return [...octets, rest];
}

/** A string literal without Huffman code. */
export function text(value: string): number[] {
  return [...integer(value.length, 7), ...Buffer.from(value, "latin1")];
}

/**
 * A literal with a new name; `first` is 0x40 with incremental indexing, 0x00 without, 0x10 for
 * never.
 */
export function literal(first: number, name: string, value: string): number[] {
  return [first, ...text(name), ...text(value)];
}

export function sizeUpdate(bytes: number): number[] {
  return integer(bytes, 5, 0x20);
}

/** Encodes into a buffer with no byte more than promised, and returns the block. */
export function encode(encoder: HpackEncoder, fields: HeaderList): Buffer {
  const target = Buffer.alloc(encoder.maxEncodedBytes(fields));
  const end = encoder.encode(fields, target, 0);
  if (end > target.length) throw new Error(`wrote ${end} bytes of at most ${target.length}`);
  return target.subarray(0, end);
}

/** The block that the encoder remembers of `fields`, if it does. */
export function recalled(encoder: HpackEncoder, fields: HeaderList): Buffer | undefined {
  const block = encoder.recall(fields);
  if (block === undefined) return undefined;
  const target = Buffer.alloc(MAX_KNOWN_BLOCK_BYTES);
  block.writeTo(target, 0);
  return target.subarray(0, block.length);
}

/** Fields from `name: value` lines. */
export function fieldsFrom(...pairs: readonly string[]): HeaderField[] {
  return pairs.map((pair) => {
    const colon = pair.indexOf(": ");
    return new HeaderField(pair.slice(0, colon), pair.slice(colon + 2));
  });
}

/** A seeded generator (xorshift32): `random(n)` is an integer from 0 to n - 1. */
export function seededRandom(seed: number): (below: number) => number {
  let state = seed | 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}
