// Repeatable randomness for property-style tests: a failure shows the seed, and the seed repeats
// it.

export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** An integer from 0 to `below` - 1 (mulberry32). */
  integer(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000) * below);
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.alloc(length);
    for (let i = 0; i < length; i++) bytes[i] = this.integer(256);
    return bytes;
  }

  /** `whole` in chunks of 0 to `maxChunkBytes`. */
  split(whole: Buffer, maxChunkBytes: number): Buffer[] {
    const chunks: Buffer[] = [];
    for (let at = 0; at < whole.length; ) {
      const length = this.integer(maxChunkBytes + 1);
      chunks.push(whole.subarray(at, at + length));
      at += length;
    }
    return chunks;
  }
}
