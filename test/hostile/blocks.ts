// Header blocks as an attacker writes them: short, because they refer to table entries that an
// earlier block has made (RFC 7541 §6).

import { type FieldInput, toField } from "../support/frames.ts";

const INDEXED = 0x80;
const INDEXED_LITERAL = 0x40;
const STATIC_COUNT = 61;
/** `:method: POST` and `:scheme: http` of the static table. */
const STATIC_REQUEST: Buffer = Buffer.from([INDEXED | 3, INDEXED | 6]);
const STATIC_OK: Buffer = Buffer.from([INDEXED | 8]);

/** RFC 7541 §5.1 */
function integer(flags: number, prefixMask: number, value: number): Buffer {
  if (value < prefixMask) return Buffer.from([flags | value]);
  const octets = [flags | prefixMask];
  let rest = value - prefixMask;
  for (; rest >= 128; rest = Math.floor(rest / 128)) octets.push((rest % 128) | 128);
  octets.push(rest);
  return Buffer.from(octets);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, "latin1");
  return Buffer.concat([integer(0, 0x7f, bytes.length), bytes]);
}

/** A literal that enters the table. */
export function indexedLiteral(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([INDEXED_LITERAL]), text(name), text(value)]);
}

/** A literal whose value is `octets`, which stand for a Huffman code. */
export function huffmanLiteral(name: string, octets: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0]), text(name), integer(0x80, 0x7f, octets.length), octets]);
}

/** The entry that came `age` insertions ago, 0 for the latest. */
export function entry(age: number): Buffer {
  return integer(INDEXED, 0x7f, STATIC_COUNT + 1 + age);
}

export function tableSize(bytes: number): Buffer {
  return integer(0x20, 0x1f, bytes);
}

/** A block that puts its fields into the table, and the block that says the same by index. */
export interface Blocks {
  readonly first: Buffer;
  readonly again: Buffer;
}

function blocks(start: Buffer, inputs: readonly FieldInput[]): Blocks {
  const fields = inputs.map(toField);
  const literals = fields.map(({ name, value }) => indexedLiteral(name, value));
  const references = fields.map((_, i) => entry(fields.length - 1 - i));
  return {
    first: Buffer.concat([start, ...literals]),
    again: Buffer.concat([start, ...references]),
  };
}

/** A gRPC request for `path`; nothing but `more` is unusual in it. */
export function requestBlocks(path: string, ...more: readonly FieldInput[]): Blocks {
  return blocks(STATIC_REQUEST, [
    [":path", path],
    [":authority", "relay.test"],
    ["te", "trailers"],
    ["content-type", "application/grpc"],
    ...more,
  ]);
}

export function responseBlocks(...more: readonly FieldInput[]): Blocks {
  return blocks(STATIC_OK, [["content-type", "application/grpc"], ...more]);
}
