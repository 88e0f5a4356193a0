// Output slabs, shared by all connections of the process. A connection holds one only while it has
// something to write.

import { DEFAULT_MAX_FRAME_BYTES, FRAME_HEADER_BYTES } from "./frame.ts";

/** The largest frame that we send. */
export const FRAME_SLOT_BYTES: number = FRAME_HEADER_BYTES + DEFAULT_MAX_FRAME_BYTES;

/**
 * Room for all DATA of one read with the headers of its frames, so that it is one piece of a write.
 * Larger slabs cost memory per peer that does not read, smaller ones (two frames) 4 to 10 % more
 * user time for bulk.
 */
export const SLAB_BYTES: number = 5 * FRAME_SLOT_BYTES;

/**
 * For a connection that writes little in a turn, or a stream with little that waits: there are many
 * at once, each with a slab of its own.
 */
export const SMALL_SLAB_BYTES = 4_096;

/**
 * Slabs kept for reuse, 40 MiB and 8 MiB. What is in use beyond that at a time is left to the
 * collector, and new memory for a twelfth of the slabs made bulk cost a tenth more.
 */
const MAX_POOLED_SLABS = 512;
const MAX_POOLED_SMALL_SLABS = 2_048;

/**
 * How often a pool is asked for a slab before it gives up half of what it never needed meanwhile.
 */
export const TRIM_EVERY = 32_768;

/** A pool stays this large, 5 MiB of the larger slabs, however little of it is needed. */
export const KEPT_SLABS = 64;

/**
 * Slabs of one size that are free. The one that came back last goes out first: it may still be in
 * the cache of the core.
 */
export class SlabPool {
  readonly slabBytes: number;
  private readonly maxCount: number;
  private readonly free: Buffer[] = [];
  /** The fewest that were free since the last trim. */
  private unneededCount = 0;
  private untilTrim = TRIM_EVERY;

  constructor(slabBytes: number, maxCount: number) {
    this.slabBytes = slabBytes;
    this.maxCount = maxCount;
  }

  get freeCount(): number {
    return this.free.length;
  }

  acquire(): Buffer {
    this.untilTrim--;
    if (this.untilTrim === 0) this.trim();
    const slab = this.free.pop();
    if (this.free.length < this.unneededCount) this.unneededCount = this.free.length;
    return slab ?? Buffer.allocUnsafeSlow(this.slabBytes);
  }

  /** Nobody may look at `slab` any more. */
  release(slab: Buffer): void {
    if (this.free.length < this.maxCount) this.free.push(slab);
  }

  /** What one burst needed is not held for ever. Those that have lain longest go. */
  private trim(): void {
    const surplus = Math.min(this.unneededCount >> 1, this.free.length - KEPT_SLABS);
    if (surplus > 0) this.free.splice(0, surplus);
    this.unneededCount = this.free.length;
    this.untilTrim = TRIM_EVERY;
  }
}

const LARGE = new SlabPool(SLAB_BYTES, MAX_POOLED_SLABS);
const SMALL = new SlabPool(SMALL_SLAB_BYTES, MAX_POOLED_SMALL_SLABS);

export function acquireSlab(): Buffer {
  return LARGE.acquire();
}

export function acquireSmallSlab(): Buffer {
  return SMALL.acquire();
}

/** Nobody may look at `slab` any more. */
export function releaseSlab(slab: Buffer): void {
  if (slab.length === SMALL_SLAB_BYTES) SMALL.release(slab);
  else LARGE.release(slab);
}
