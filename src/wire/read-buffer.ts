// The memory that plain sockets of the engine read into, all of them the same: what is not passed on during the read is copied.
// New memory for every read costs more than the copy: it is cold, and thousands of reads of it are work for the collector.

/** As much as one read can give. Small enough to stay in the cache of the core, large enough for several frames of bulk. */
export const READ_BUFFER_BYTES = 65_536;

/** Reads are synchronous: one has been dealt with before the next. */
export const READ_BUFFER: Buffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES);

const MEMORY: ArrayBufferLike = READ_BUFFER.buffer;

/** `chunk` is only good until the end of the read that it came with. */
export function isBorrowed(chunk: Buffer): boolean {
  return chunk.buffer === MEMORY;
}

/** `chunk`, or a copy of it if its memory will be read into again. For whoever looks at it later than in the call that it came with. */
export function keep(chunk: Buffer): Buffer {
  return chunk.buffer === MEMORY ? Buffer.from(chunk) : chunk;
}
