// From the CPU time of both checkouts, round by round, to a verdict.

import { bootstrapInterval, median, seededRandom } from "../measure/statistics.ts";

/** The interval of a ratio must not lie above this. */
export const RATIO_LIMIT = 1.02;
/** With fewer rounds the interval is too wide, or depends on luck. */
export const FEWEST_ROUNDS = 15;
const CONFIDENCE = 0.95;
const RESAMPLES = 10_000;
/** Any number would do. It is fixed, so that the same rounds give the same verdict. */
const SEED = 20_261_127;

/** CPU time per unit of both in the same round, in microseconds. */
export interface GuardRound {
  readonly baseUs: number;
  readonly currentUs: number;
}

export interface RowVerdict {
  readonly baseUs: number;
  readonly currentUs: number;
  /** Median of the ratios of the rounds, and its 95 % bootstrap interval. */
  readonly ratio: number;
  readonly lowest: number;
  readonly highest: number;
  /**
   * `undecided` also passes: the limit lies within the interval, and more rounds would make the
   * interval narrower.
   */
  readonly verdict: "pass" | "undecided" | "slower";
}

/** @throws {RangeError} without rounds, or for one without CPU time */
export function judge(rounds: readonly GuardRound[]): RowVerdict {
  if (rounds.length === 0) throw new RangeError("expected rounds, got none");
  const ratios = rounds.map(({ baseUs, currentUs }) => {
    if (!(baseUs > 0 && currentUs > 0)) {
      throw new RangeError(`expected CPU time of both, got ${baseUs} and ${currentUs} us`);
    }
    return currentUs / baseUs;
  });
  const [lowest, highest] = bootstrapInterval(ratios, median, {
    confidence: CONFIDENCE,
    resamples: RESAMPLES,
    random: seededRandom(SEED),
  });
  return {
    baseUs: median(rounds.map((round) => round.baseUs)),
    currentUs: median(rounds.map((round) => round.currentUs)),
    ratio: median(ratios),
    lowest,
    highest,
    verdict: lowest > RATIO_LIMIT ? "slower" : highest > RATIO_LIMIT ? "undecided" : "pass",
  };
}
