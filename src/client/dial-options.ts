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
import { HEALTH_CHECK, type HealthCheckOptions } from "./health/health-options.ts";
import { OUTLIER_DETECTION, type OutlierDetectionOptions } from "./outlier/outlier-options.ts";
import { RETRY_THROTTLING, type RetryThrottlingOptions } from "./retry-policy.ts";
import { BACKOFF_OPTIONS, type ConnectionBackoffOptions } from "./subchannel/connection-backoff.ts";
import type { SubchannelOptions } from "./subchannel/subchannel.ts";
import { checkAuthority } from "./target.ts";

export interface DialOptions extends SessionOptions {
  /**
   * The HTTP/2 implementation. Sessions that are handed over use `node:http2`.
   * @default "engine"
   */
  readonly transport?: TransportName | Transport;
  /**
   * Uses TLS (ALPN `h2`); `{}` trusts the system's certificate authorities. A function is called at
   * each connect, so that certificates can change. It answers at once, not by a promise; an error
   * that it throws is a failure to connect.
   * @default plain HTTP/2 with prior knowledge
   */
  readonly tls?: ClientTlsOptions | (() => ClientTlsOptions);
  /**
   * `:authority` of calls, by which servers choose virtual hosts.
   * @default the target; `localhost` for UNIX sockets, and for resolvers without a name
   */
  readonly authority?: string;
  /**
   * How long connecting, the TLS handshake and the server's SETTINGS may take together, in
   * milliseconds.
   * @default 20_000
   */
  readonly connectTimeoutMs?: number;
  /**
   * Waits between attempts to connect. A wait ends early when the last address that was ready is
   * gone, unless the wait before did so, too.
   * @default gRPC's: 1 s, times 1.6, up to 120 s, spread by 20 %
   */
  readonly backoff?: ConnectionBackoffOptions;
  /**
   * When PING checks whether the backend is still there. A backend that is frozen, or gone without
   * a word, is lost then, and its calls fail with UNAVAILABLE (gRFC A8).
   * @default after 310 s of silence while calls are open, 20 s for the answer; see
   *   `KeepaliveOptions`. For sessions that are handed over: none
   */
  readonly keepalive?: KeepaliveOptions;
  /**
   * Calls that may wait for a connection, or for room under the server's MAX_CONCURRENT_STREAMS;
   * one more fails with UNAVAILABLE.
   * @default 10_000
   */
  readonly maxWaitingCalls?: number;
  /**
   * Connections to one address that take calls. While calls wait and every connection has as many
   * streams as the server's MAX_CONCURRENT_STREAMS allows, another connection is made, one at a
   * time. Calls go to the oldest connection with room (gRFC A105). The default is gRPC's own bound.
   * With servers that allow 100 streams, as HAProxy and nghttpx do by default, it allows 1,000
   * calls at a time, as many as a server of ours allows on one connection. A server that allows few
   * streams on purpose gets at most 10 connections. With 1 all other calls wait.
   * @default 10
   */
  readonly maxConnectionsPerAddress?: number;
  /**
   * Calls under way on one address, on all of its connections, whatever its server allows. Further
   * calls wait. This is for servers that allow more calls than they can handle. A call is under way
   * until its response has ended.
   * @default no limit
   */
  readonly maxInFlightPerAddress?: number;
  /**
   * When there was no call for this long, in milliseconds, or up to a quarter longer, all
   * connections are closed, whatever the balancer, and the state is `idle`. The next call, `ping`,
   * `ready` or `connect` makes others. This is gRPC's idle timeout. While there are calls, an
   * address keeps its oldest connection, and further ones are closed after 60,000 without a call,
   * or this time if it is shorter. Infinity keeps the oldest.
   * @default 1_800_000
   */
  readonly idleTimeoutMs?: number;
  /**
   * A connection of this age, in milliseconds, takes no more calls; its own calls go on. The age is
   * spread by 10 % to either side. If calls use the connection and it is the only one, the next one
   * is made before. So clients spread over servers behind a balancer of connections.
   * @default no limit
   */
  readonly maxConnectionAgeMs?: number;
  /**
   * When too many calls fail, calls with a `retryPolicy` are not sent again.
   * @default they always are
   */
  readonly retryThrottling?: RetryThrottlingOptions;
  /**
   * How calls are spread over the addresses of the backend: the name of a balancer, or a function
   * that makes one.
   * @default "pickFirst"
   */
  readonly balancing?: BalancingName | BalancerFactory;
  /**
   * An address whose calls fail, while those of others do not, gets none for a while. With one
   * address it does nothing.
   * @default no address is left out
   */
  readonly outlierDetection?: OutlierDetectionOptions;
  /**
   * Asks each connected address for its health, and leaves it out while it is not SERVING (gRFC
   * A17). `{}` asks for the whole server.
   *
   * - All balancers leave such an address out, `"pickFirst"` too (in A17 it does not): it stays
   *   connected until another one is ready. With one address, calls fail with UNAVAILABLE.
   * - The watch is no call: it counts neither as an open stream nor for `outlierDetection`, and it
   *   keeps no connection from being idle. But keepalive counts it, so a frozen backend is found.
   * - A server that allows a single stream (MAX_CONCURRENT_STREAMS) is not watched, for calls need
   *   that stream. Otherwise calls have one stream less.
   * @default no address is asked
   */
  readonly healthCheck?: HealthCheckOptions;
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
    outlierDetection: OUTLIER_DETECTION,
    healthCheck: HEALTH_CHECK,
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
