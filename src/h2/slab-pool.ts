// Slabs of one size that wait to be used again. The pool keeps as many as were needed lately.

import { carveSlab, newSlab, type Slab } from "../wire/arena.ts";

/**
 * After this many requests for a slab, a pool gives up half of the slabs that it did not need
 * meanwhile.
 */
const TRIM_EVERY = 32_768;

/** A pool keeps at least this many slabs, 5 MiB of the larger ones, however few are needed. */
const KEPT_SLABS = 64;

/**
 * Slabs of one size that are free. The slab that came back last goes out first: it may still be in
 * the cache of the core.
 */
export class SlabPool {
  readonly slabBytes: number;
  readonly #maxCount: number;
  /** Those of the arena go out first. They are kept whatever happens. */
  readonly #near: Slab[] = [];
  readonly #free: Slab[] = [];
  /** The fewest that were free since the last trim. */
  #unneededCount = 0;
  #untilTrim = TRIM_EVERY;

  /** @param nearCount slabs of the arena */
  constructor(slabBytes: number, maxCount: number, nearCount = 0) {
    this.slabBytes = slabBytes;
    this.#maxCount = maxCount;
    while (this.#near.length < nearCount) this.#near.push(carveSlab(slabBytes));
  }

  /** Without those of the arena. */
  get freeCount(): number {
    return this.#free.length;
  }

  acquire(): Slab {
    return this.#near.pop() ?? this.#acquireFar();
  }

  #acquireFar(): Slab {
    this.#untilTrim--;
    if (this.#untilTrim === 0) this.#trim();
    const slab = this.#free.pop();
    if (this.#free.length < this.#unneededCount) this.#unneededCount = this.#free.length;
    return slab ?? newSlab(this.slabBytes);
  }

  /** Nobody may look at `slab` any more. */
  release(slab: Slab): void {
    if (slab.arenaStart >= 0) this.#near.push(slab);
    else if (this.#free.length < this.#maxCount) this.#free.push(slab);
  }

  /** Slabs that one burst needed are not held for ever. Those that have lain longest go. */
  #trim(): void {
    const surplus = Math.min(this.#unneededCount >> 1, this.#free.length - KEPT_SLABS);
    if (surplus > 0) this.#free.splice(0, surplus);
    this.#unneededCount = this.#free.length;
    this.#untilTrim = TRIM_EVERY;
  }
}
