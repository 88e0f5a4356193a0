// Remembers the fields of header blocks that come again octet for octet. It must not know what a block means.

import type { HeaderList } from "../../wire/field.ts";

/** Longer blocks are not remembered; one octet per field is what a block that repeats takes. */
const MAX_BLOCK_BYTES = 32;

/** Direct-mapped; a power of two. A connection repeats one request block, or one block of headers and one of trailers. */
const SLOTS = 4;

class RememberedBlock {
  readonly octets: Uint8Array = new Uint8Array(MAX_BLOCK_BYTES);
  length = 0;
  tableVersion = 0;
  fields: HeaderList = [];
}

/**
 * gRPC traffic repeats whole blocks once all fields are indexed; finding one again costs a sixth of decoding it
 * (bench/micro/hpack.ts). What is kept alive here is bounded by the slots, each with no more than the table held.
 *
 * Blocks that consist of references alone, so that they mean the same as long as the table is the same. The lists are
 * handed out again and again: one list object per distinct block.
 */
export class BlockCache {
  private readonly slots: (RememberedBlock | undefined)[] = new Array(SLOTS).fill(undefined);

  find(
    block: Uint8Array,
    start: number,
    end: number,
    tableVersion: number,
  ): HeaderList | undefined {
    const length = end - start;
    const remembered = this.slots[slotOf(block, end, length)];
    if (remembered?.length !== length || remembered.tableVersion !== tableVersion) return undefined;
    const octets = remembered.octets;
    for (let i = 0; i < length; i++) {
      if (octets[i] !== block[start + i]) return undefined;
    }
    return remembered.fields;
  }

  keep(block: Buffer, start: number, end: number, tableVersion: number, fields: HeaderList): void {
    const length = end - start;
    if (length > MAX_BLOCK_BYTES) return;
    const slot = slotOf(block, end, length);
    const remembered = this.slots[slot] ?? new RememberedBlock();
    this.slots[slot] = remembered;
    block.copy(remembered.octets, 0, start, end);
    remembered.length = length;
    remembered.tableVersion = tableVersion;
    remembered.fields = fields;
  }
}

function slotOf(block: Uint8Array, end: number, length: number): number {
  return ((block[end - 1] ?? 0) ^ length) & (SLOTS - 1);
}
