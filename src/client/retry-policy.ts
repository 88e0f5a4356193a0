// Retries by policy (gRFC A6), as pure rules: when a failed call may be sent again although a
// backend may have begun it. No timer, no clock, no call.

import { checkInteger, shown } from "../check/check.ts";
import { type OptionCheck, type OptionTable, optionTable } from "../check/options.ts";
import { isStatus, Status } from "../grpc/status.ts";
import { fieldValue, type HeaderList } from "../wire/field.ts";

/**
 * When a relayed call is sent again that failed with a status (gRFC A6 "retryPolicy"). It has to be
 * harmless to do twice, for a backend may have done it already.
 */
export interface RetryPolicy {
  /** How often it is sent at most, the first time included: 2 to 5. */
  readonly maxAttempts: number;
  /** Wait before the second attempt, in milliseconds, spread by 20 % to either side. */
  readonly initialBackoffMs: number;
  /** Longest wait, in milliseconds, before it is spread. */
  readonly maxBackoffMs: number;
  /** Each further attempt multiplies the wait by this. */
  readonly backoffMultiplier: number;
  /** Statuses with which it is sent again; at least one, and not OK. */
  readonly retryableStatuses: readonly Status[];
}

/**
 * Stops retries when too many calls fail (gRFC A6 "retryThrottling"). A failure takes one token, a
 * success gives `tokenRatio` back; there are retries while more than half of `maxTokens` are left.
 * Calls with a `retryPolicy` count, failures only with a status that it names.
 */
export interface RetryThrottlingOptions {
  /** Tokens to begin with, and at most: above 0, up to 1,000. */
  readonly maxTokens: number;
  /** What a success gives back: above 0. */
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
  const statuses: readonly unknown[] = Array.isArray(value) ? value : [];
  const isRetryable = (status: unknown): boolean =>
    isStatus(Number(status)) && status !== Status.OK;
  if (statuses.length > 0 && statuses.every(isRetryable)) return;
  throw new TypeError(
    `${name}: expected an array of one or more statuses from 1 to 16, got ${shown(value)}`,
  );
}

/** None of them has a default: how often and when depends on the backend alone. */
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
 * What a backend asks for by `grpc-retry-pushback-ms`: to wait for so many milliseconds, or
 * `"never"`; `undefined` when it asks for nothing.
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

  /** A call failed with a status that is retryable, or was told not to come again. */
  onFailure(): void {
    this.#tokens = Math.max(0, this.#tokens - 1);
  }

  onSuccess(): void {
    this.#tokens = Math.min(this.#maxTokens, this.#tokens + this.#tokenRatio);
  }

  /** There may be retries. */
  get allows(): boolean {
    return this.#tokens > this.#maxTokens / 2;
  }
}
