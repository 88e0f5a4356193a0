// The options of `dial`, with their defaults and checks.

import { checkFunction, checkInteger, checkNumber, checkOneOf, shown } from "../check/check.ts";
import { type OptionTable, optionTable } from "../check/options.ts";
import { systemClock } from "../time/clock.ts";
import { SESSION_CHECKS } from "../transport/defaults.ts";
import { KEEPALIVE_OPTIONS, type KeepaliveOptions } from "../transport/keepalive.ts";
import { checkTransport, type TransportName } from "../transport/select.ts";
import { CLIENT_TLS_OPTIONS, type ClientTlsOptions } from "../transport/tls.ts";
import type { SessionOptions, Transport } from "../transport/transport.ts";
import type { BalancerFactory } from "./balance/balancer.ts";
import { BALANCERS, type BalancingName } from "./balance/built-in.ts";
import { RETRY_THROTTLING, type RetryThrottlingOptions } from "./retry-policy.ts";
import { BACKOFF_OPTIONS, type ConnectionBackoffOptions } from "./subchannel/connection-backoff.ts";
import type { SubchannelOptions } from "./subchannel/subchannel.ts";
import { checkAuthority } from "./target.ts";

export interface DialOptions extends SessionOptions {
  /**
   * Which HTTP/2 implementation to use; sessions that are handed over have that of `node:http2`.
   * @default "engine"
   */
  readonly transport?: TransportName | Transport;
  /**
   * Makes the connection TLS (ALPN `h2`); `{}` trusts the system's certificate authorities.
   * A function is asked each time that it connects, so that certificates can change. It answers at
   * once, not with a promise; what it throws is a failure to connect.
   * @default plain HTTP/2 with prior knowledge
   */
  readonly tls?: ClientTlsOptions | (() => ClientTlsOptions);
  /** `:authority` of calls, also what virtual hosts are chosen by. @default the target */
  readonly authority?: string;
  /**
   * How long connecting, the TLS handshake and the server's SETTINGS may take together, in
   * milliseconds.
   * @default 20_000
   */
  readonly connectTimeoutMs?: number;
  /**
   * Waits between attempts to connect.
   * @default gRPC's: 1 s, times 1.6, up to 120 s, spread by 20 %
   */
  readonly backoff?: ConnectionBackoffOptions;
  /**
   * When the backend is asked by PING whether it is still there: one that is frozen, or gone
   * without a word, is lost then, and calls on it fail with UNAVAILABLE (gRFC A8).
   * @default after 310 s without a word while calls are open, 20 s for the answer; see
   * `KeepaliveOptions`. For sessions that are handed over: none
   */
  readonly keepalive?: KeepaliveOptions;
  /**
   * Calls that may wait for a connection, or for room under the server's MAX_CONCURRENT_STREAMS;
   * one more fails with UNAVAILABLE.
   * @default 10_000
   */
  readonly maxWaitingCalls?: number;
  /**
   * Connections to one address that take calls. Another is made, one at a time, while calls wait
   * and each that there is has as many streams as the server's MAX_CONCURRENT_STREAMS allows; calls
   * go to the oldest with room (gRFC A105). The default is the bound that gRPC sets itself. With
   * servers that allow 100 streams, as HAProxy and nghttpx do by default, it is 1,000 calls at a
   * time: what a server of ours allows on one connection. It takes at most 10 connections from a
   * server that allows a few streams because it wants no more. 1 makes all other calls wait.
   * @default 10
   */
  readonly maxConnectionsPerAddress?: number;
  /**
   * Calls under way on one address, on all of its connections, whatever its server allows; more of
   * them wait. For servers that allow more than they can do. A call is under way until its response
   * has ended.
   * @default no limit
   */
  readonly maxInFlightPerAddress?: number;
  /**
   * A connection is closed when it has had no call for this long, in milliseconds, or up to a
   * quarter longer; the next call makes another. It is gRPC's idle timeout. Connections to an
   * address besides the oldest are closed after 60,000 already. Infinity keeps the oldest.
   * @default 1_800_000
   */
  readonly idleTimeoutMs?: number;
  /**
   * A connection takes no more calls when it is this old, in milliseconds, spread by 10 % to either
   * side; those that it has go on. Where calls use it and it is the only one, the next is made
   * before. It spreads clients over servers behind a balancer of connections.
   * @default no limit
   */
  readonly maxConnectionAgeMs?: number;
  /**
   * When calls with a `retryPolicy` are not sent again, because too many fail.
   * @default they are, whatever fails
   */
  readonly retryThrottling?: RetryThrottlingOptions;
  /**
   * How calls are spread over the addresses of the backend: by name, or a function that makes a
   * balancer.
   * @default "pickFirst"
   */
  readonly balancing?: BalancingName | BalancerFactory;
  /**
   * The least time between two answers of DNS, in milliseconds. A host name is looked up again when
   * a connection to one of its addresses fails or is lost.
   * @default 30_000
   */
  readonly minResolveIntervalMs?: number;
  /** @internal For tests: gives numbers from 0 up to but not including 1. @default Math.random */
  readonly random?: () => number;
}

export type ResolvedDialOptions = Omit<
  DialOptions,
  keyof SubchannelOptions | "maxWaitingCalls" | "balancing" | "minResolveIntervalMs"
> &
  SubchannelOptions & {
    readonly maxWaitingCalls: number;
    readonly balancing: BalancerFactory;
    readonly minResolveIntervalMs: number;
  };

const DIAL_OPTIONS: OptionTable = optionTable<DialOptions>(
  "options of dial",
  {
    ...SESSION_CHECKS,
    transport: checkTransport,
    tls: CLIENT_TLS_OPTIONS,
    authority: checkAuthority,
    connectTimeoutMs: checkTimeout,
    backoff: BACKOFF_OPTIONS,
    keepalive: KEEPALIVE_OPTIONS,
    maxWaitingCalls: (name, value) => checkInteger(name, value, 0),
    maxConnectionsPerAddress: (name, value) => checkInteger(name, value, 1),
    maxInFlightPerAddress: (name, value) => checkInteger(name, value, 1),
    idleTimeoutMs: checkTimeout,
    maxConnectionAgeMs: checkTimeout,
    retryThrottling: RETRY_THROTTLING,
    balancing: (name, value) => {
      if (typeof value !== "function") checkOneOf(name, value, Object.keys(BALANCERS));
    },
    minResolveIntervalMs: (name, value) => checkNumber(name, value, 0),
    random: checkFunction,
  },
  { unsaid: ["clock", "random"] },
);

/** @throws {TypeError | RangeError} naming the option, what was expected and what came */
export function resolveDialOptions(options: DialOptions): ResolvedDialOptions {
  DIAL_OPTIONS.check(options);
  const { balancing = "pickFirst" } = options;
  return {
    ...options,
    maxWaitingCalls: options.maxWaitingCalls ?? 10_000,
    maxConnectionsPerAddress: options.maxConnectionsPerAddress ?? 10,
    maxInFlightPerAddress: options.maxInFlightPerAddress ?? Number.POSITIVE_INFINITY,
    idleTimeoutMs: options.idleTimeoutMs ?? 1_800_000,
    maxConnectionAgeMs: options.maxConnectionAgeMs ?? Number.POSITIVE_INFINITY,
    clock: options.clock ?? systemClock,
    random: options.random ?? Math.random,
    backoff: options.backoff ?? {},
    balancing: typeof balancing === "string" ? BALANCERS[balancing] : balancing,
    minResolveIntervalMs: options.minResolveIntervalMs ?? 30_000,
  };
}

function checkTimeout(name: string, value: unknown): void {
  if (typeof value === "number" && value > 0) return;
  throw new RangeError(`${name}: expected a number above 0, got ${shown(value)}`);
}
