// Writes the primitives of a header block: integers (RFC 7541 §5.1) and string literals without
// Huffman code (§5.2). It must not know representations or tables. The caller guarantees room.

import { writeByteString } from "./byte-string.ts";

/** Most octets that an integer can take: the one with the prefix, and five for 32 bits. */
export const MAX_INTEGER_OCTETS = 6;

/**
 * Writes `value` behind the `flags` of its first octet, whose low bits `prefixMask` are the prefix.
 * Returns the new offset.
 */
export function writeInteger(
  target: Buffer,
  offset: number,
  flags: number,
  prefixMask: number,
  value: number,
): number {
  if (value < prefixMask) {
    target[offset] = flags | value;
    return offset + 1;
  }
  target[offset] = flags | prefixMask;
  let at = offset + 1;
  let rest = value - prefixMask;
  while (rest >= 0x80) {
    target[at++] = (rest & 0x7f) | 0x80;
    rest = Math.floor(rest / 128);
  }
  target[at] = rest;
  return at + 1;
}

/** Returns the new offset. */
export function writeString(target: Buffer, offset: number, text: string): number {
  return writeByteString(target, writeInteger(target, offset, 0, 0x7f, text.length), text);
}
