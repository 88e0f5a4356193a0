// Output slabs, shared by all connections of the process. A connection holds one only while it has something to write.

import { DEFAULT_MAX_FRAME_BYTES, FRAME_HEADER_BYTES } from "./frame.ts";

/** The largest frame that we send. */
export const FRAME_SLOT_BYTES: number = FRAME_HEADER_BYTES + DEFAULT_MAX_FRAME_BYTES;

/**
 * Room for two full frames, or for the replies to one read of small calls. Larger slabs cost memory per peer that does not read,
 * smaller ones more pieces per write.
 */
export const SLAB_BYTES: number = 2 * FRAME_SLOT_BYTES;

/** For a connection that writes little in a turn: many of them are dirty at once, each with a slab of its own. */
export const SMALL_SLAB_BYTES = 4_096;

/** Slabs kept for reuse, 4 MiB and 8 MiB; connections that are dirty at once beyond that allocate and leave it to the collector. */
const MAX_POOLED_SLABS = 128;
const MAX_POOLED_SMALL_SLABS = 2_048;

const LARGE: Buffer[] = [];
const SMALL: Buffer[] = [];

export function acquireSlab(): Buffer {
  return LARGE.pop() ?? Buffer.allocUnsafeSlow(SLAB_BYTES);
}

export function acquireSmallSlab(): Buffer {
  return SMALL.pop() ?? Buffer.allocUnsafeSlow(SMALL_SLAB_BYTES);
}

/** Nobody may look at `slab` any more. */
export function releaseSlab(slab: Buffer): void {
  if (slab.length === SMALL_SLAB_BYTES) {
    if (SMALL.length < MAX_POOLED_SMALL_SLABS) SMALL.push(slab);
  } else if (LARGE.length < MAX_POOLED_SLABS) {
    LARGE.push(slab);
  }
}
