// Remembers the blocks of header lists that were written before, object for object. It must not
// know how a field is encoded.

import type { HeaderList } from "../../wire/field.ts";

/**
 * Longer blocks are not remembered. A list of which every field is indexed takes one octet per
 * field, or two.
 */
export const MAX_KNOWN_BLOCK_BYTES = 16;

/**
 * A connection repeats one list of headers and one of trailers, or the requests of a few methods.
 */
const MAX_BLOCKS = 4;

/**
 * One object, its octets in it: with thousands of connections each object that is looked at is a
 * miss of the cache.
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
   * Writes the block to `target` at `offset`, where there is room for `MAX_KNOWN_BLOCK_BYTES`; what
   * follows it there is lost.
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
 * Many connections that send the same list each have to find its fields in their own tables: the
 * memo that a field carries is another encoder's by then. Their blocks are in one place here,
 * whatever the fields are.
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

  /** `block[start..end)` is the block of `fields`, and does nothing to the table. */
  keep(fields: HeaderList, tableVersion: number, block: Buffer, start: number, end: number): void {
    if (end - start > MAX_KNOWN_BLOCK_BYTES) return;
    const kept = this.count < MAX_BLOCKS ? new EncodedBlock() : this.takeLast();
    kept.set(fields, tableVersion, block, start, end);
    kept.next = this.first;
    this.first = kept;
    this.count++;
  }

  /** The block that was kept the longest time ago. */
  private takeLast(): EncodedBlock {
    let previous = this.first as EncodedBlock;
    let last = previous.next as EncodedBlock;
    for (; last.next !== undefined; last = last.next) previous = last;
    previous.next = undefined;
    this.count--;
    return last;
  }
}

/** `block[at..at + 4)`, 0 for what lies beyond `end`. */
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
