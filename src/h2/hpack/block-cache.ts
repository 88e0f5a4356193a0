// Remembers the fields of header blocks that come again octet for octet. It must not know what a
// block means.

import type { HeaderList } from "../../wire/field.ts";
import { type SharedBlock, sharedBlock } from "./shared-blocks.ts";

/**
 * Longer blocks are not remembered. Encoders that index everything repeat one octet per field;
 * nghttp2 spells out `:path` and `content-length` every time.
 */
const MAX_BLOCK_BYTES = 128;

/**
 * Direct-mapped; a power of two. A connection repeats one request block, or one block of headers
 * and one of trailers.
 */
const SLOTS = 4;

class RememberedBlock {
  /** `undefined` until a block has come for this slot that looked like the one before. */
  block: SharedBlock | undefined = undefined;
  tableVersion = 0;
  /** A fingerprint of the latest block that was not found. */
  missed = 0;

  match(
    block: Uint8Array,
    start: number,
    length: number,
    tableVersion: number,
  ): HeaderList | undefined {
    const known = this.block;
    if (known?.length !== length || this.tableVersion !== tableVersion) return undefined;
    return known.isAt(viewOf(block), start) ? known.fields : undefined;
  }
}

/**
 * gRPC traffic repeats whole blocks. Finding one again costs at most a sixth of decoding it
 * (bench/micro/hpack.ts). The slots bound the memory that is kept.
 *
 * The cache may only get blocks that leave the table as it is: they mean the same as long as the
 * table is the same. It returns one list object per distinct block, again and again. A block is
 * kept when it seems to come for the second time. Blocks that are new every time would only cost
 * the copy.
 */
export class BlockCache {
  private readonly slots: (RememberedBlock | undefined)[] = new Array(SLOTS).fill(undefined);
  /** The block that was found last; most often the same block comes again. */
  private latest: RememberedBlock | undefined = undefined;

  find(
    block: Uint8Array,
    start: number,
    end: number,
    tableVersion: number,
  ): HeaderList | undefined {
    const length = end - start;
    const found = this.latest?.match(block, start, length, tableVersion);
    if (found !== undefined) return found;
    const remembered = this.slots[slotOf(block, end, length)];
    if (remembered === this.latest) return undefined;
    const fields = remembered?.match(block, start, length, tableVersion);
    if (fields !== undefined) this.latest = remembered;
    return fields;
  }

  keep(block: Buffer, start: number, end: number, tableVersion: number, fields: HeaderList): void {
    const length = end - start;
    if (length > MAX_BLOCK_BYTES || length === 0) return;
    const slot = slotOf(block, end, length);
    let remembered = this.slots[slot];
    if (remembered === undefined) {
      remembered = new RememberedBlock();
      this.slots[slot] = remembered;
    }
    const look = lookOf(block, start, end);
    if (remembered.missed !== look) {
      remembered.missed = look;
      return;
    }
    remembered.block = sharedBlock(viewOf(block), start, length, look, fields);
    remembered.tableVersion = tableVersion;
  }
}

/** All blocks of a read lie in one chunk, and most chunks are the same memory. */
let viewed: Uint8Array | undefined;
let latestView: DataView = new DataView(new ArrayBuffer(0));

function viewOf(block: Uint8Array): DataView {
  if (block !== viewed) {
    latestView = new DataView(block.buffer, block.byteOffset, block.byteLength);
    viewed = block;
  }
  return latestView;
}

function slotOf(block: Uint8Array, end: number, length: number): number {
  return (octetAt(block, end - 1) ^ length) & (SLOTS - 1);
}

/** A few octets from all over the block, where blocks that differ are likely to. */
function lookOf(block: Uint8Array, start: number, end: number): number {
  const step = Math.max(1, (end - start) >> 3);
  let look = end - start;
  for (let at = start; at < end; at += step) look = (Math.imul(look, 31) + octetAt(block, at)) | 0;
  return look;
}

/** 0 before the first octet, where an empty block has its last one. */
function octetAt(block: Uint8Array, at: number): number {
  return block[at] ?? 0;
}
