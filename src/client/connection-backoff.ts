// How long to wait before connecting again (grpc/grpc doc/connection-backoff.md). Pure: no timer, no clock.

export interface ConnectionBackoffOptions {
  /** Wait after the first failure, in milliseconds. @default 1_000 */
  readonly initialMs?: number;
  /** Longest wait, in milliseconds, before jitter. @default 120_000 */
  readonly maxMs?: number;
  /** Each further failure multiplies the wait by this. @default 1.6 */
  readonly multiplier?: number;
  /** The wait is spread by this part of itself to either side, so that clients do not return in step. @default 0.2 */
  readonly jitter?: number;
}

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
    this.#initialMs = inRange("backoff.initialMs", options.initialMs ?? 1_000, 0, 0x7fffffff);
    this.#maxMs = inRange("backoff.maxMs", options.maxMs ?? 120_000, this.#initialMs, 0x7fffffff);
    this.#multiplier = inRange("backoff.multiplier", options.multiplier ?? 1.6, 1, 1_000);
    this.#jitter = inRange("backoff.jitter", options.jitter ?? 0.2, 0, 1);
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
  if (!(value >= lowest && value <= highest)) {
    throw new RangeError(`${name}: expected a number from ${lowest} to ${highest}, got ${value}`);
  }
  return value;
}
