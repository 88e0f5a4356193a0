// The memory that plain sockets of the engine read into, all of them the same: what is not passed on during the read is copied.
// New memory for every read costs more than the copy: it is cold, and thousands of reads of it are work for the collector.

/** As much as one read can give: what stays in the cache of the core. */
export const READ_BUFFER_BYTES = 65_536;

/** Reads are synchronous: one has been dealt with before the next. */
export const READ_BUFFER: Buffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES);

const MEMORY: ArrayBufferLike = READ_BUFFER.buffer;

/**
 * Owners of streams are always lent frames that are no shorter, piece by piece. Shorter ones may be given by `give`: a copy that
 * costs little more than a view.
 */
export const LEND_FROM_BYTES = 2_048;

/** Below this a loop is faster than `Buffer.copy`, which makes a view first. */
const LOOP_BELOW_BYTES = 48;

/** `read` is what a socket has put into the buffer, or a part of it. */
export function isView(read: Buffer): boolean {
  // To ask for the memory is slow, and nearly every read is the whole buffer.
  return read === READ_BUFFER || read.buffer === MEMORY;
}

/** The last chunk for an owner was lent, not given. To ask a chunk for its memory is slow. */
let isLending = false;

/** `chunk` is only good until the end of the read that it came with. To be asked of whole chunks, not of parts of them. */
export function isBorrowed(chunk: Buffer): boolean {
  return (isLending || chunk.length >= LEND_FROM_BYTES) && isView(chunk);
}

/** `chunk`, or a copy of it if its memory will be read into again. For whoever looks at it later than in the call that it came with. */
export function keep(chunk: Buffer): Buffer {
  if (!isBorrowed(chunk)) return chunk;
  const kept = Buffer.allocUnsafe(chunk.length);
  kept.set(chunk);
  return kept;
}

/** `read[start..end)` where it is, for one callback. */
export function lend(read: Buffer, start: number, end: number): Buffer {
  isLending = true;
  return read.subarray(start, end);
}

/** `read[start..end)` in memory that stays. */
export function give(read: Buffer, start: number, end: number): Buffer {
  isLending = false;
  const length = end - start;
  const given = Buffer.allocUnsafe(length);
  if (length < LOOP_BELOW_BYTES) {
    for (let i = 0; i < length; i++) given[i] = read[start + i] as number;
  } else {
    read.copy(given, 0, start, end);
  }
  return given;
}
