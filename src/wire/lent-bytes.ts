// Bytes that are lent: a part of memory that is read into again. The part is valid until the
// callback that got it returns. Plain sockets of the engine read into one buffer and lend it,
// because new memory for every read costs more than copies of the bytes that are kept.

import { copyReceived, READ_BUFFER, type Slab } from "./arena.ts";

/**
 * Bytes that may be lent. They can be read and copied, and sent in the callback that got them. A
 * `Buffer` can be passed as `LentBytes`, but `LentBytes` cannot be passed as a `Buffer`: code that
 * needs them later has to `keep` them.
 */
export interface LentBytes {
  readonly length: number;
  readUInt8(offset: number): number;
  readUInt32BE(offset: number): number;
  /** A part of lent bytes is lent, too. */
  subarray(start?: number, end?: number): LentBytes;
}

/** Below this a loop over bytes is faster than `set`. */
const LOOP_BELOW_BYTES = 48;

/**
 * `memory[start..start + length)`. It is no typed array, which would take longer to make than a
 * short message takes to copy. The class of a chunk says that it is lent.
 */
class LentSlice implements LentBytes {
  readonly memory: Buffer;
  readonly start: number;
  readonly length: number;

  constructor(memory: Buffer, start: number, length: number) {
    this.memory = memory;
    this.start = start;
    this.length = length;
  }

  readUInt8(offset: number): number {
    this.expect(offset, 1);
    return this.memory.readUInt8(this.start + offset);
  }

  readUInt32BE(offset: number): number {
    this.expect(offset, 4);
    return this.memory.readUInt32BE(this.start + offset);
  }

  /** Behind the last byte is the next frame. */
  private expect(offset: number, bytes: number): void {
    if (offset >= 0 && offset + bytes <= this.length) return;
    throw new RangeError(`offset: expected 0 to ${this.length - bytes}, got ${offset}`);
  }

  subarray(start = 0, end: number = this.length): LentBytes {
    const from = clamped(start, this.length);
    const to = Math.max(from, clamped(end, this.length));
    return new LentSlice(this.memory, this.start + from, to - from);
  }
}

/** As `subarray` of typed arrays counts: negative numbers from the end. */
function clamped(index: number, length: number): number {
  return index < 0 ? Math.max(0, length + index) : Math.min(index, length);
}

/** The memory of `chunk` is not read into again: references to it may be kept for any time. */
export function memoryStays(chunk: LentBytes): chunk is Buffer {
  return !(chunk instanceof LentSlice);
}

/** `chunk` itself if its memory stays, and a copy if it is lent. */
export function keep(chunk: LentBytes): Buffer {
  if (!(chunk instanceof LentSlice)) return chunk as Buffer;
  return give(chunk.memory, chunk.start, chunk.start + chunk.length);
}

/** Copies `chunk[start..end)` into `slab` from `at` on. The slab has the room. */
export function copyBytes(
  chunk: LentBytes,
  start: number,
  end: number,
  slab: Slab,
  at: number,
): void {
  if (!(chunk instanceof LentSlice)) {
    const bytes = chunk as Buffer;
    // `Buffer.copy` makes a view first.
    if (end - start === bytes.length) slab.set(bytes, at);
    else bytes.copy(slab, at, start, end);
  } else if (chunk.memory === READ_BUFFER && slab.arenaStart >= 0) {
    copyReceived(chunk.start + start, chunk.start + end, slab.arenaStart + at);
  } else {
    chunk.memory.copy(slab, at, chunk.start + start, chunk.start + end);
  }
}

/** `memory[start..end)`, valid for one callback. */
export function lend(memory: Buffer, start: number, end: number): LentBytes {
  return new LentSlice(memory, start, end - start);
}

/** A copy of `memory[start..end)`. For few bytes a copy costs little more than a view. */
export function give(memory: Buffer, start: number, end: number): Buffer {
  const length = end - start;
  const given = Buffer.allocUnsafe(length);
  if (length < LOOP_BELOW_BYTES) {
    for (let i = 0; i < length; i++) given[i] = memory[start + i] as number;
  } else {
    memory.copy(given, 0, start, end);
  }
  return given;
}
