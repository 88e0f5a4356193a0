// How long to wait before connecting again (grpc/grpc doc/connection-backoff.md). Pure: no timer,
// no clock.

import { checkNumber } from "../../check/check.ts";
import { anything, type OptionTable, optionTable } from "../../check/options.ts";

export interface ConnectionBackoffOptions {
  /** Wait after the first failure, in milliseconds. @default 1_000 */
  readonly initialMs?: number;
  /** Longest wait, in milliseconds, before jitter. @default 120_000 */
  readonly maxMs?: number;
  /** Each further failure multiplies the wait by this. @default 1.6 */
  readonly multiplier?: number;
  /**
   * The wait is spread by this part of itself to either side, so that clients do not return in
   * step.
   * @default 0.2
   */
  readonly jitter?: number;
}

export const BACKOFF_OPTIONS: OptionTable = optionTable<ConnectionBackoffOptions>(
  "backoff",
  { initialMs: anything, maxMs: anything, multiplier: anything, jitter: anything },
  { together: (options) => new ConnectionBackoff(options) },
);

export class ConnectionBackoff {
  readonly #initialMs: number;
  readonly #maxMs: number;
  readonly #multiplier: number;
  readonly #jitter: number;
  readonly #random: () => number;
  #baseMs: number;

  /**
   * @param random gives numbers from 0 up to but not including 1
   * @throws {RangeError} naming the option, what was expected and what came
   */
  constructor(options: ConnectionBackoffOptions = {}, random: () => number = Math.random) {
    const { initialMs = 1_000, maxMs = 120_000, multiplier = 1.6, jitter = 0.2 } = options;
    this.#initialMs = inRange("backoff.initialMs", initialMs, 0, 0x7fffffff);
    this.#maxMs = inRange("backoff.maxMs", maxMs, this.#initialMs, 0x7fffffff);
    this.#multiplier = inRange("backoff.multiplier", multiplier, 1, 1_000);
    this.#jitter = inRange("backoff.jitter", jitter, 0, 1);
    this.#random = random;
    this.#baseMs = this.#initialMs;
  }

  /** Milliseconds to wait after one more failure. */
  nextMs(): number {
    const baseMs = this.#baseMs;
    this.#baseMs = Math.min(baseMs * this.#multiplier, this.#maxMs);
    return baseMs * (1 + this.#jitter * (2 * this.#random() - 1));
  }

  /** A connection succeeded: the next failure starts over. */
  reset(): void {
    this.#baseMs = this.#initialMs;
  }
}

function inRange(name: string, value: number, lowest: number, highest: number): number {
  checkNumber(name, value, lowest, highest);
  return value;
}
