// Remembers the blocks of header lists that were written before; it knows a list by its identity.
// It must not know how a field is encoded.

import type { HeaderList } from "../../wire/field.ts";

/**
 * Longer blocks are not remembered. A list whose fields are all indexed takes one octet per field,
 * or two.
 */
export const MAX_KNOWN_BLOCK_BYTES = 16;

/**
 * A connection repeats one list of headers and one of trailers, or the requests of a few methods.
 */
const MAX_BLOCKS = 4;

/**
 * One remembered block. The object itself holds the octets: with thousands of connections, each
 * object that is looked at is a cache miss.
 */
export class EncodedBlock {
  fields: HeaderList | undefined = undefined;
  tableVersion = 0;
  length = 0;
  next: EncodedBlock | undefined = undefined;
  private word0 = 0;
  private word1 = 0;
  private word2 = 0;
  private word3 = 0;

  set(fields: HeaderList, tableVersion: number, block: Buffer, start: number, end: number): void {
    this.fields = fields;
    this.tableVersion = tableVersion;
    this.length = end - start;
    this.word0 = wordAt(block, start, end);
    this.word1 = wordAt(block, start + 4, end);
    this.word2 = wordAt(block, start + 8, end);
    this.word3 = wordAt(block, start + 12, end);
  }

  /**
   * Writes the block to `target` at `offset`, where there is room for `MAX_KNOWN_BLOCK_BYTES`.
   * Bytes within that room may be overwritten.
   */
  writeTo(target: Buffer, offset: number): void {
    const { length } = this;
    putWord(target, offset, this.word0);
    if (length > 4) putWord(target, offset + 4, this.word1);
    if (length > 8) putWord(target, offset + 8, this.word2);
    if (length > 12) putWord(target, offset + 12, this.word3);
  }
}

/**
 * The blocks that one encoder remembers. When many connections send the same list, each has to find
 * its fields in its own table: the memo on a field belongs to another encoder by then. A remembered
 * block needs no memo.
 */
export class EncodedBlocks {
  private first: EncodedBlock | undefined = undefined;
  private count = 0;

  /** The block of this very list, if the table has not changed since. */
  find(fields: HeaderList, tableVersion: number): EncodedBlock | undefined {
    for (let block = this.first; block !== undefined; block = block.next) {
      if (block.fields === fields && block.tableVersion === tableVersion) return block;
    }
    return undefined;
  }

  /** Remembers `block[start..end)` as the block of `fields`. It must not change the table. */
  keep(fields: HeaderList, tableVersion: number, block: Buffer, start: number, end: number): void {
    if (end - start > MAX_KNOWN_BLOCK_BYTES) return;
    const kept = this.count < MAX_BLOCKS ? new EncodedBlock() : this.takeLast();
    kept.set(fields, tableVersion, block, start, end);
    kept.next = this.first;
    this.first = kept;
    this.count++;
  }

  /** Removes and returns the block that was kept first. */
  private takeLast(): EncodedBlock {
    let previous = this.first as EncodedBlock;
    let last = previous.next as EncodedBlock;
    for (; last.next !== undefined; last = last.next) previous = last;
    previous.next = undefined;
    this.count--;
    return last;
  }
}

/** `block[at..at + 4)` as one integer, with 0 for octets beyond `end`. */
function wordAt(block: Buffer, at: number, end: number): number {
  let word = 0;
  for (let i = at; i < at + 4; i++) word = (word << 8) | (i < end ? (block[i] as number) : 0);
  return word;
}

function putWord(target: Buffer, offset: number, word: number): void {
  target[offset] = word >>> 24;
  target[offset + 1] = word >>> 16;
  target[offset + 2] = word >>> 8;
  target[offset + 3] = word;
}
