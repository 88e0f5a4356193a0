// Retries by policy (gRFC A6), as pure rules: when a failed call may be sent again although a
// backend may have begun it. No timer, no clock, no call.

import { checkInteger, shown } from "../check/check.ts";
import { type OptionCheck, type OptionTable, optionTable } from "../check/options.ts";
import { isStatus, Status } from "../grpc/status.ts";
import { fieldValue, type HeaderList } from "../wire/field.ts";

/**
 * When a relayed call that failed with a status is sent again (gRFC A6 "retryPolicy"). The call
 * must be harmless to repeat, because a backend may have done it already.
 */
export interface RetryPolicy {
  /** How often the call is sent at most, the first time included: 2 to 5. */
  readonly maxAttempts: number;
  /** Wait before the second attempt, in milliseconds, spread by 20 % to either side. */
  readonly initialBackoffMs: number;
  /** Longest wait, in milliseconds, before it is spread. */
  readonly maxBackoffMs: number;
  /** Each further attempt multiplies the wait by this. */
  readonly backoffMultiplier: number;
  /** Statuses after which the call is sent again; at least one, and not OK. */
  readonly retryableStatuses: readonly Status[];
}

/**
 * Stops retries when too many calls fail (gRFC A6 "retryThrottling"). A failure takes one token,
 * and a success gives `tokenRatio` back. Retries are made while more than half of `maxTokens` are
 * left. Only calls with a `retryPolicy` count, and only failures with a status of the policy.
 */
export interface RetryThrottlingOptions {
  /** Tokens at the beginning, and at most: above 0, up to 1,000. */
  readonly maxTokens: number;
  /** Tokens that a success gives back: above 0. */
  readonly tokenRatio: number;
}

/** gRFC A6: every attempt is within this part of its wait. */
const JITTER = 0.2;

const positive: OptionCheck = (name, value) => {
  if (typeof value === "number" && value > 0 && value !== Number.POSITIVE_INFINITY) return;
  throw new RangeError(`${name}: expected a number above 0, got ${shown(value)}`);
};

export const RETRY_POLICY: OptionTable = optionTable<RetryPolicy>(
  "retryPolicy",
  {
    maxAttempts: (name, value) => checkInteger(name, value, 2, 5),
    initialBackoffMs: positive,
    maxBackoffMs: positive,
    backoffMultiplier: positive,
    retryableStatuses: checkStatuses,
  },
  {
    named: (option) => `retryPolicy.${option}`,
    together: (policy) => {
      const { maxAttempts, initialBackoffMs, maxBackoffMs } = policy;
      const { backoffMultiplier, retryableStatuses } = policy;
      requireAll("retryPolicy", {
        ...{ maxAttempts, initialBackoffMs, maxBackoffMs, backoffMultiplier, retryableStatuses },
      });
    },
  },
);

export const RETRY_THROTTLING: OptionTable = optionTable<RetryThrottlingOptions>(
  "retryThrottling",
  {
    maxTokens: (name, value) => {
      if (typeof value === "number" && value > 0 && value <= 1_000) return;
      throw new RangeError(`${name}: expected a number above 0, up to 1000, got ${shown(value)}`);
    },
    tokenRatio: positive,
  },
  {
    named: (option) => `retryThrottling.${option}`,
    together: ({ maxTokens, tokenRatio }) =>
      requireAll("retryThrottling", { maxTokens, tokenRatio }),
  },
);

function checkStatuses(name: string, value: unknown): void {
  const expected = `${name}: expected an array of one or more statuses from 1 to 16`;
  if (!Array.isArray(value)) throw new TypeError(`${expected}, got ${shown(value)}`);
  if (value.length === 0) throw new TypeError(`${expected}, got an empty one`);
  for (const status of value) {
    // A number as text would be found by nobody.
    if (typeof status === "number" && isStatus(status) && status !== Status.OK) continue;
    throw new TypeError(`${expected}, got one with ${shown(status)}`);
  }
}

/** No field has a default: the right values depend on the backend alone. */
function requireAll(what: string, options: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined) throw new TypeError(`${what}: expected ${name}, got none`);
  }
}

/**
 * How long to wait before an attempt, in milliseconds.
 * @param step 0 for the first one that waits, then one more for each
 */
export function retryDelayMs(policy: RetryPolicy, step: number, random: () => number): number {
  const { initialBackoffMs, maxBackoffMs, backoffMultiplier } = policy;
  const baseMs = Math.min(initialBackoffMs * backoffMultiplier ** step, maxBackoffMs);
  return baseMs * (1 + JITTER * (2 * random() - 1));
}

/**
 * The request of a backend by `grpc-retry-pushback-ms`: to wait for so many milliseconds, or
 * `"never"`; `undefined` without a request.
 */
export function pushbackOf(trailers: HeaderList): number | "never" | undefined {
  const value = fieldValue(trailers, "grpc-retry-pushback-ms");
  if (value === undefined) return undefined;
  // "If the value for pushback is negative or unparseble, then it will be seen as the server asking
  // the client not to retry at all."
  const ms = /^(?:0|[1-9]\d{0,9})$/.test(value) ? Number(value) : Number.POSITIVE_INFINITY;
  return ms <= 0x7fffffff ? ms : "never";
}

/** The tokens of one conn. */
export class RetryThrottle {
  readonly #maxTokens: number;
  readonly #tokenRatio: number;
  #tokens: number;

  constructor({ maxTokens, tokenRatio }: RetryThrottlingOptions) {
    this.#maxTokens = maxTokens;
    this.#tokenRatio = tokenRatio;
    this.#tokens = maxTokens;
  }

  /** A call failed with a retryable status, or its backend asked not to retry. */
  onFailure(): void {
    this.#tokens = Math.max(0, this.#tokens - 1);
  }

  onSuccess(): void {
    this.#tokens = Math.min(this.#maxTokens, this.#tokens + this.#tokenRatio);
  }

  /** Retries may be made. */
  get allows(): boolean {
    return this.#tokens > this.#maxTokens / 2;
  }
}
