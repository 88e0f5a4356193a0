// Seeded choices with the shapes that fuzzing a protocol needs.

import { Random } from "./random.ts";

export class Dice extends Random {
  /** An integer from `low` to `high`. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** Small mostly, sometimes up to `high`. */
  skewed(high: number): number {
    const limit = this.chance(8) ? high : this.chance(3) ? high / 32 : high / 1_024;
    return this.below(Math.max(1, Math.floor(limit)) + 1);
  }
}
