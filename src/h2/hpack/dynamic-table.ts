// The dynamic table (RFC 7541 §2.3.2, §4) as a ring of field objects. It must not know
// representations or indexes on the wire.

import type { HeaderField } from "../../wire/field.ts";

/** The cost of an entry beside its octets (RFC 7541 §4.1). It also bounds the number of entries. */
export const ENTRY_OVERHEAD_BYTES = 32;

/** The size that both ends assume before any SETTINGS (RFC 9113 §6.5.2). */
export const DEFAULT_TABLE_BYTES = 4_096;

/**
 * Slots of a new ring. A full ring doubles, so an idle connection does not pay for a large table.
 */
const INITIAL_SLOTS = 16;

/** RFC 7541 §4.1. */
export function entryBytes(field: HeaderField): number {
  return field.name.length + field.value.length + ENTRY_OVERHEAD_BYTES;
}

export class DynamicTable {
  /** The maximum size in force (RFC 7541 §4.2). */
  maxBytes: number;
  sizeBytes = 0;
  /** Entries in the table. */
  count = 0;
  /**
   * Insertions so far, modulo 2^32. The newest entry is number `insertCount`; the live entries are
   * the last `count` numbers. So arithmetic tells whether a remembered number is live, and eviction
   * never has to write to the field object.
   */
  insertCount = 0;
  /**
   * Changes with every insertion and eviction. While it is the same, an index means the same entry.
   */
  version = 0;

  private slots: (HeaderField | undefined)[] = new Array(INITIAL_SLOTS).fill(undefined);
  private mask: number = INITIAL_SLOTS - 1;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  /** The entry after which `age` insertions came: 0 is the newest. */
  at(age: number): HeaderField | undefined {
    return age < this.count ? this.slots[(this.insertCount - age) & this.mask] : undefined;
  }

  /** Inserts an entry for which there is room: `sizeBytes + bytes <= maxBytes`. */
  insert(field: HeaderField, bytes: number): void {
    if (this.count > this.mask) this.grow();
    this.insertCount = (this.insertCount + 1) | 0;
    this.slots[this.insertCount & this.mask] = field;
    this.count++;
    this.version = (this.version + 1) | 0;
    this.sizeBytes += bytes;
  }

  /**
   * Removes and returns the oldest entry if the entries take more than `bytes` (RFC 7541 §4.3,
   * §4.4).
   */
  evictAbove(bytes: number): HeaderField | undefined {
    const slot = (this.insertCount - this.count + 1) & this.mask;
    const field = this.sizeBytes > bytes ? this.slots[slot] : undefined;
    if (field === undefined) return undefined;
    this.slots[slot] = undefined;
    this.count--;
    this.version = (this.version + 1) | 0;
    this.sizeBytes -= entryBytes(field);
    return field;
  }

  /** Evicts until the entries take at most `bytes`. */
  shrinkTo(bytes: number): void {
    while (this.evictAbove(bytes) !== undefined);
  }

  private grow(): void {
    const old = this.slots;
    const oldMask = this.mask;
    const slotCount = old.length * 2;
    this.slots = new Array(slotCount).fill(undefined);
    this.mask = slotCount - 1;
    for (let age = 0; age < this.count; age++) {
      const number = this.insertCount - age;
      this.slots[number & this.mask] = old[number & oldMask];
    }
  }
}
