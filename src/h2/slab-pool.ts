// Output slabs, shared by all connections of the process. A connection holds one only while it has something to write.

/**
 * Room for the replies to one 64 KiB read of small calls. Larger slabs cost memory per peer that does not read, smaller
 * ones more pieces per write.
 */
export const SLAB_BYTES = 32_768;

/** Slabs kept for reuse, 4 MiB in all; connections that are dirty at once beyond that allocate and leave it to the collector. */
const MAX_POOLED_SLABS = 128;

const POOL: Buffer[] = [];

export function acquireSlab(): Buffer {
  return POOL.pop() ?? Buffer.allocUnsafeSlow(SLAB_BYTES);
}

/** Nobody may look at `slab` any more. */
export function releaseSlab(slab: Buffer): void {
  if (POOL.length < MAX_POOLED_SLABS) POOL.push(slab);
}
