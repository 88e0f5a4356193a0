// One block of memory with the read buffer in front, and the slabs that are used most behind it.
// Received bytes go from there into a slab by `copyWithin`, which needs no view of them. A view
// takes longer to make than a short message takes to copy.

const READ_BUFFER_BYTES = 65_536;

/** For slabs; memory of the system only as far as it is written to. */
const SLAB_BYTES = 1_048_576;

const ARENA: Buffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES + SLAB_BYTES);

/**
 * The memory into which all plain sockets read: as much as stays in the cache of the core. Reads
 * are synchronous: the bytes of one read are handled before the next read. New memory for every
 * read would cost more than copies of the kept bytes: it is cold, and thousands of reads are work
 * for the collector.
 */
export const READ_BUFFER: Buffer = ARENA.subarray(0, READ_BUFFER_BYTES);

let usedBytes = READ_BUFFER_BYTES;

/** Memory for frames to be written. */
export type Slab = Buffer & {
  /** Where it begins in the block; -1 for other memory. */
  readonly arenaStart: number;
};

/** A slab outside the block. */
export function newSlab(byteLength: number): Slab {
  return Object.assign(Buffer.allocUnsafeSlow(byteLength), { arenaStart: -1 });
}

/** The next slab of the block. It has to be used again: its place is never free. */
export function carveSlab(byteLength: number): Slab {
  const arenaStart = usedBytes;
  const end = arenaStart + byteLength;
  if (end > ARENA.length) {
    throw new RangeError(`the slabs need ${end} bytes, the arena has ${ARENA.length}`);
  }
  usedBytes = end;
  return Object.assign(ARENA.subarray(arenaStart, end), { arenaStart });
}

/** Copies bytes of the read buffer from `start` to `end` to the place `at` of the block. */
export function copyReceived(start: number, end: number, at: number): void {
  ARENA.copyWithin(at, start, end);
}
