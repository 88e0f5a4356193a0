// Slabs of one size that wait to be used again. The pool keeps as many as were needed lately.

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
  readonly #free: Buffer[] = [];
  /** The fewest that were free since the last trim. */
  #unneededCount = 0;
  #untilTrim = TRIM_EVERY;

  constructor(slabBytes: number, maxCount: number) {
    this.slabBytes = slabBytes;
    this.#maxCount = maxCount;
  }

  get freeCount(): number {
    return this.#free.length;
  }

  acquire(): Buffer {
    this.#untilTrim--;
    if (this.#untilTrim === 0) this.#trim();
    const slab = this.#free.pop();
    if (this.#free.length < this.#unneededCount) this.#unneededCount = this.#free.length;
    return slab ?? Buffer.allocUnsafeSlow(this.slabBytes);
  }

  /** Nobody may look at `slab` any more. */
  release(slab: Buffer): void {
    if (this.#free.length < this.#maxCount) this.#free.push(slab);
  }

  /** Slabs that one burst needed are not held for ever. Those that have lain longest go. */
  #trim(): void {
    const surplus = Math.min(this.#unneededCount >> 1, this.#free.length - KEPT_SLABS);
    if (surplus > 0) this.#free.splice(0, surplus);
    this.#unneededCount = this.#free.length;
    this.#untilTrim = TRIM_EVERY;
  }
}
