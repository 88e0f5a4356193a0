// The options of `dial`, with their defaults and checks.

import { checkFunction, checkInteger, shown } from "../check/check.ts";
import { type OptionTable, optionTable } from "../check/options.ts";
import { type Clock, systemClock } from "../time/clock.ts";
import { SESSION_CHECKS } from "../transport/defaults.ts";
import { KEEPALIVE_OPTIONS, type KeepaliveOptions } from "../transport/keepalive.ts";
import { checkTransport, type TransportName } from "../transport/select.ts";
import { CLIENT_TLS_OPTIONS, type ClientTlsOptions } from "../transport/tls.ts";
import type { SessionOptions, Transport } from "../transport/transport.ts";
import { BACKOFF_OPTIONS, type ConnectionBackoffOptions } from "./subchannel/connection-backoff.ts";
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
  /** @internal For tests: gives numbers from 0 up to but not including 1. @default Math.random */
  readonly random?: () => number;
}

export type ResolvedDialOptions = Omit<
  DialOptions,
  "clock" | "maxWaitingCalls" | "random" | "backoff"
> & {
  readonly clock: Clock;
  readonly maxWaitingCalls: number;
  readonly random: () => number;
  readonly backoff: ConnectionBackoffOptions;
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
    random: checkFunction,
  },
  { unsaid: ["clock", "random"] },
);

/** @throws {TypeError | RangeError} naming the option, what was expected and what came */
export function resolveDialOptions(options: DialOptions): ResolvedDialOptions {
  DIAL_OPTIONS.check(options);
  return {
    ...options,
    maxWaitingCalls: options.maxWaitingCalls ?? 10_000,
    clock: options.clock ?? systemClock,
    random: options.random ?? Math.random,
    backoff: options.backoff ?? {},
  };
}

function checkTimeout(name: string, value: unknown): void {
  if (typeof value === "number" && value > 0) return;
  throw new RangeError(`${name}: expected a number above 0, got ${shown(value)}`);
}
