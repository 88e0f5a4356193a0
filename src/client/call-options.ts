// Options of one call to a backend.

import { checkBoolean, checkNumber, shown } from "../check/check.ts";
import {
  type OptionCheck,
  type OptionChecks,
  type OptionTable,
  optionTable,
} from "../check/options.ts";
import { Metadata } from "../grpc/metadata.ts";
import { RETRY_POLICY, type RetryPolicy } from "./retry-policy.ts";
import { checkAuthority } from "./target.ts";

export interface CallOptions {
  /**
   * The call has to be over this many milliseconds after it began; the client's own deadline still
   * holds.
   * @default no limit of its own
   */
  readonly timeoutMs?: number;
  /**
   * Wait for the backend to become reachable, within the deadline, instead of failing with
   * UNAVAILABLE while it is not (gRPC "wait for ready").
   * @default false
   */
  readonly waitForReady?: boolean;
  /**
   * Largest request message in bytes, as it is on the wire; a larger one ends the call with
   * RESOURCE_EXHAUSTED.
   * @default no limit
   */
  readonly maxRequestMessageBytes?: number;
  /**
   * Largest response message in bytes, as it is on the wire; a larger one ends the call with
   * RESOURCE_EXHAUSTED.
   * @default no limit
   */
  readonly maxResponseMessageBytes?: number;
  /**
   * Metadata that is sent in addition to that of the context; its names replace those of the
   * context.
   */
  readonly metadata?: Metadata;
  /** `:authority` of this call. @default the connection's */
  readonly authority?: string;
  /**
   * Sends a relayed call again that failed with certain statuses, as long as no headers of an
   * answer were passed on and the whole sent request is kept (64 KiB). See `RetryPolicy`.
   * @default only calls that no backend can have begun are sent again
   */
  readonly retryPolicy?: RetryPolicy;
  /**
   * The key for the balancer "ringHash": calls with the same key go to the same address.
   * @default any address
   */
  readonly hashKey?: string;
  /**
   * Whom the call serves. When calls have to wait for a backend, those of different keys take
   * turns, and the last room is for keys that have less of it. A string or any object, for example
   * a tenant's name, or `ctx.peer` for a `newStream` on behalf of a client.
   * @default for a relayed call `ctx.peer`, which is one object for each client's connection;
   *   calls of `newStream` share one key
   */
  readonly fairnessKey?: object | string;
}

export interface ResolvedCallOptions extends CallOptions {
  readonly timeoutMs: number;
  readonly waitForReady: boolean;
  readonly maxRequestMessageBytes: number;
  readonly maxResponseMessageBytes: number;
}

const DEFAULTS: ResolvedCallOptions = {
  timeoutMs: Number.POSITIVE_INFINITY,
  waitForReady: false,
  maxRequestMessageBytes: Number.POSITIVE_INFINITY,
  maxResponseMessageBytes: Number.POSITIVE_INFINITY,
};

const atLeastZero: OptionCheck = (name, value) => checkNumber(name, value, 0);

/** `options` of one destination over those of its call; checked before. */
export function mergeCallOptions(
  ofCall: ResolvedCallOptions,
  options: CallOptions,
): ResolvedCallOptions {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return { ...ofCall, ...Object.fromEntries(given) };
}

/** For the tables of the options that include those of a call. */
export const CALL_CHECKS: OptionChecks<CallOptions> = {
  timeoutMs: atLeastZero,
  waitForReady: checkBoolean,
  maxRequestMessageBytes: atLeastZero,
  maxResponseMessageBytes: atLeastZero,
  metadata: (name, value) => {
    if (value instanceof Metadata) return;
    throw new TypeError(`${name}: expected a Metadata, got ${shown(value)}`);
  },
  authority: (name, value) => {
    if (value !== "") checkAuthority(name, value);
  },
  retryPolicy: RETRY_POLICY,
  hashKey: (name, value) => {
    if (typeof value === "string") return;
    throw new TypeError(`${name}: expected a string, got ${shown(value)}`);
  },
  fairnessKey: (name, value) => {
    if (typeof value === "string" || (typeof value === "object" && value !== null)) return;
    throw new TypeError(`${name}: expected a string or an object, got ${shown(value)}`);
  },
};

/** How messages call a call option. */
export const namedCallOption = (option: string): string => `call option ${option}`;

export const CALL_OPTIONS: OptionTable = optionTable<CallOptions>("call options", CALL_CHECKS, {
  named: namedCallOption,
});

/**
 * @param table where `options` belongs to an interface with more of them
 * @throws {TypeError | RangeError} naming the option, what was expected and what came
 */
export function resolveCallOptions(
  options: CallOptions | undefined,
  table: OptionTable = CALL_OPTIONS,
): ResolvedCallOptions {
  if (options === undefined) return DEFAULTS;
  table.check(options);
  return {
    ...options,
    timeoutMs: options.timeoutMs ?? DEFAULTS.timeoutMs,
    waitForReady: options.waitForReady ?? DEFAULTS.waitForReady,
    maxRequestMessageBytes: options.maxRequestMessageBytes ?? DEFAULTS.maxRequestMessageBytes,
    maxResponseMessageBytes: options.maxResponseMessageBytes ?? DEFAULTS.maxResponseMessageBytes,
  };
}
