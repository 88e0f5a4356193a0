// Bytes that are lent: a view of memory that is read into again, good until the callback returns
// that it came with. Plain sockets of the engine read into one buffer and lend it, because new
// memory for every read costs more than a copy of what is kept.

/**
 * Bytes that may be lent. They can be looked at, copied, and sent in the callback that they came
 * with. A `Buffer` will do where they are asked for, but they do not where a `Buffer` is: who needs
 * them later has to `keep` them. They must not be written to.
 */
export interface LentBytes {
  readonly length: number;
  readonly [index: number]: number;
  readUInt8(offset: number): number;
  readUInt32BE(offset: number): number;
  copy(target: Uint8Array, targetStart: number, start: number, end: number): number;
  /** What is cut out of lent bytes is lent, too. */
  subarray(start?: number, end?: number): LentBytes;
}

/**
 * A chunk says by its class whether it is lent. That is cheap to ask for; to ask a chunk for its
 * memory is not, and a mark on a Buffer would be an object more.
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

/**
 * The memory of `chunk` is not read into again: it may be referred to for as long as anybody likes.
 */
export function memoryStays(chunk: LentBytes): chunk is Buffer {
  return !(chunk instanceof LentView);
}

/** `chunk` itself where its memory stays, and a copy where it is lent. */
export function keep(chunk: LentBytes): Buffer {
  if (memoryStays(chunk)) return chunk;
  const kept = Buffer.allocUnsafe(chunk.length);
  kept.set(chunk);
  return kept;
}

/** `memory[start..end)` where it is, for one callback. */
export function lend(memory: Buffer, start: number, end: number): LentBytes {
  return new LentView(memory.buffer, memory.byteOffset + start, end - start);
}

/** A copy of `memory[start..end)`. Of few bytes it costs little more than a view. */
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
