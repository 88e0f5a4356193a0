// Output slabs, shared by all connections of the process. A connection holds one only while it has
// something to write.

import { newSlab, type Slab } from "../wire/arena.ts";
import { DEFAULT_MAX_FRAME_BYTES, FRAME_HEADER_BYTES } from "./frame.ts";
import { SlabPool } from "./slab-pool.ts";

/** The largest frame that we send. */
export const FRAME_SLOT_BYTES: number = FRAME_HEADER_BYTES + DEFAULT_MAX_FRAME_BYTES;

/**
 * Room for all DATA of one read, with the headers of its frames, so that it is one piece of a
 * write. Larger slabs cost memory per peer that does not read. Smaller ones (two frames) cost 4 to
 * 10 % more user time for bulk.
 */
const SLAB_BYTES: number = 5 * FRAME_SLOT_BYTES;

/**
 * For a connection that writes little in a turn, or a stream with little DATA that waits. There are
 * many of these at once, each with a slab of its own.
 */
export const SMALL_SLAB_BYTES = 4_096;

/**
 * Slabs kept for reuse, 40 MiB and 8 MiB. Slabs in use beyond that are left to the collector. When
 * a twelfth of the slabs was new memory, bulk cost a tenth more.
 */
const MAX_POOLED_SLABS = 512;
const MAX_POOLED_SMALL_SLABS = 2_048;

/** Stands in where there is none. */
export const NO_SLAB: Slab = newSlab(0);

/** Slabs in the arena: as many as connections write in one turn, most often. */
const NEAR_SLABS = 8;
const NEAR_SMALL_SLABS = 88;

const LARGE = new SlabPool(SLAB_BYTES, MAX_POOLED_SLABS, NEAR_SLABS);
const SMALL = new SlabPool(SMALL_SLAB_BYTES, MAX_POOLED_SMALL_SLABS, NEAR_SMALL_SLABS);

export function acquireSlab(): Slab {
  return LARGE.acquire();
}

export function acquireSmallSlab(): Slab {
  return SMALL.acquire();
}

export function unpooledSlab(isSmall: boolean): Slab {
  return newSlab(isSmall ? SMALL_SLAB_BYTES : SLAB_BYTES);
}

/** Nobody may look at `slab` any more. */
export function releaseSlab(slab: Slab): void {
  if (slab.length === SMALL_SLAB_BYTES) SMALL.release(slab);
  else LARGE.release(slab);
}
