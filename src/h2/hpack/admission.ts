// Decides which fields may push older entries out of the encoder's dynamic table. It must not know
// the table.

import type { HeaderField } from "../../wire/field.ts";

/** A larger entry would push out too many of the entries that repeat. */
const MAX_TABLE_SHARE = 1 / 4;

/** Bytes of entries that each block may replace, on average. */
const CREDIT_PER_BLOCK_BYTES = 16;

/** Fields remembered as seen once; a power of two. */
const SEEN_SLOTS = 64;

/** Characters at either end of a value that count for its fingerprint. */
const FINGERPRINT_CHARS = 32;

/**
 * Keeps a peer from thrashing the table. While the table has free room, every field enters. Then a
 * field must have been seen before: values that never repeat, such as request ids, stay out.
 * Replacement is paid from a credit that grows with the blocks written: a working set larger than
 * the table cannot churn it.
 */
export class Admission {
  private creditBytes = 0;
  /**
   * Fingerprints of refused fields, direct-mapped. Most connections never fill their table and need
   * none.
   */
  private seen: Int32Array | undefined;

  /** `count` blocks were written since the last call, the current one included. */
  onBlocks(count: number, maxBytes: number): void {
    if (this.creditBytes >= maxBytes) return;
    const most = maxBytes - 1 + CREDIT_PER_BLOCK_BYTES;
    this.creditBytes = Math.min(this.creditBytes + count * CREDIT_PER_BLOCK_BYTES, most);
  }

  /**
   * Whether `field`, an entry of `bytes`, may enter a table of `maxBytes` of which `sizeBytes` are
   * taken.
   */
  admits(field: HeaderField, bytes: number, maxBytes: number, sizeBytes: number): boolean {
    if (bytes > maxBytes * MAX_TABLE_SHARE) return false;
    if (bytes <= maxBytes - sizeBytes) return true;
    if (bytes > this.creditBytes || !this.wasSeen(field)) return false;
    this.creditBytes -= bytes;
    return true;
  }

  private wasSeen(field: HeaderField): boolean {
    this.seen ??= new Int32Array(SEEN_SLOTS);
    const fingerprint = fingerprintOf(field);
    const slot = fingerprint & (SEEN_SLOTS - 1);
    if (this.seen[slot] === fingerprint) return true;
    this.seen[slot] = fingerprint;
    return false;
  }
}

/** A collision only admits a field one sight early. */
function fingerprintOf(field: HeaderField): number {
  const { name, value } = field;
  const length = value.length;
  let hash = length;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  const headEnd = Math.min(length, FINGERPRINT_CHARS);
  for (let i = 0; i < headEnd; i++) hash = Math.imul(hash ^ value.charCodeAt(i), 0x01000193);
  const tailStart = Math.max(headEnd, length - FINGERPRINT_CHARS);
  for (let i = tailStart; i < length; i++) hash = Math.imul(hash ^ value.charCodeAt(i), 0x01000193);
  return hash ^ (hash >>> 15);
}
