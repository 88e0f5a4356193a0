// Remembers the blocks of header lists that were written before, object for object. It must not know how a field is encoded.

import type { HeaderList } from "../../wire/field.ts";

/** Longer blocks are not remembered. A list of which every field is indexed takes one or two octets per field. */
const MAX_BLOCK_BYTES = 32;

/** A connection repeats one list of headers and one of trailers, or the requests of a few methods. */
const SLOTS = 4;

export class EncodedBlock {
  readonly octets: Uint8Array = new Uint8Array(MAX_BLOCK_BYTES);
  length = 0;
  fields: HeaderList | undefined = undefined;
  tableVersion = 0;
}

/**
 * Many connections that send the same list each have to find its fields in their own tables: the memo that a field carries is
 * another encoder's by then. Their blocks are in one place here, whatever the fields are.
 */
export class EncodedBlocks {
  private readonly slots: EncodedBlock[] = [];
  private next = 0;

  /** The block of this very list, if the table has not changed since. */
  find(fields: HeaderList, tableVersion: number): EncodedBlock | undefined {
    const { slots } = this;
    for (let i = 0; i < slots.length; i++) {
      const block = slots[i] as EncodedBlock;
      if (block.fields === fields && block.tableVersion === tableVersion) return block;
    }
    return undefined;
  }

  /** `target[start..end)` is the block of `fields`, and does nothing to the table. */
  keep(
    fields: HeaderList,
    tableVersion: number,
    target: Uint8Array,
    start: number,
    end: number,
  ): void {
    const length = end - start;
    if (length > MAX_BLOCK_BYTES) return;
    let block = this.slots[this.next];
    if (block === undefined) {
      block = new EncodedBlock();
      this.slots.push(block);
    }
    this.next = (this.next + 1) % SLOTS;
    for (let i = 0; i < length; i++) block.octets[i] = target[start + i] as number;
    block.length = length;
    block.fields = fields;
    block.tableVersion = tableVersion;
  }
}
