// Bytes that are lent: a view of memory that is read into again. The view is valid until the
// callback that got it returns. Plain sockets of the engine read into one buffer and lend it,
// because new memory for every read costs more than copies of the bytes that are kept.

/**
 * Bytes that may be lent. They can be read and copied, and sent in the callback that got them. A
 * `Buffer` can be passed as `LentBytes`, but `LentBytes` cannot be passed as a `Buffer`: code that
 * needs them later has to `keep` them. They must not be written to.
 */
export interface LentBytes {
  readonly length: number;
  readonly [index: number]: number;
  readUInt8(offset: number): number;
  readUInt32BE(offset: number): number;
  copy(target: Uint8Array, targetStart: number, start: number, end: number): number;
  /** A part of lent bytes is lent, too. */
  subarray(start?: number, end?: number): LentBytes;
}

/**
 * The class of a chunk says whether it is lent. A check of the class is cheap. A check of the
 * chunk's memory is not, and a mark on a Buffer would be one more object.
 */
class LentView extends Uint8Array<ArrayBufferLike> implements LentBytes {
  // By way of Buffer's prototype, see below.
  declare readonly readUInt8: Buffer["readUInt8"];
  declare readonly readUInt32BE: Buffer["readUInt32BE"];
  declare readonly copy: Buffer["copy"];

  constructor(memory: ArrayBufferLike, start: number, length: number) {
    super(memory, start, length);
  }

  override subarray(start?: number, end?: number): LentView {
    const view = super.subarray(start, end);
    return new LentView(view.buffer, view.byteOffset, view.length);
  }
}

// It is a Buffer in all but its name.
Object.setPrototypeOf(LentView.prototype, Buffer.prototype);

/** Below this a loop is faster than `Buffer.copy`, which makes a view first. */
const LOOP_BELOW_BYTES = 48;

/** The memory of `chunk` is not read into again: references to it may be kept for any time. */
export function memoryStays(chunk: LentBytes): chunk is Buffer {
  return !(chunk instanceof LentView);
}

/** `chunk` itself if its memory stays, and a copy if it is lent. */
export function keep(chunk: LentBytes): Buffer {
  if (memoryStays(chunk)) return chunk;
  const kept = Buffer.allocUnsafe(chunk.length);
  kept.set(chunk);
  return kept;
}

/** `memory[start..end)` as a view, valid for one callback. */
export function lend(memory: Buffer, start: number, end: number): LentBytes {
  return new LentView(memory.buffer, memory.byteOffset + start, end - start);
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
