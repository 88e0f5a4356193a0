// Every default of a session in one place, and the check of the options of users.

import { checkInteger, checkNumber, shown } from "../check/check.ts";
import type { OptionCheck, OptionChecks } from "../check/options.ts";
import { type Clock, systemClock } from "../time/clock.ts";
import type { ListenOptions, SessionOptions } from "./transport.ts";

export const DEFAULT_CONNECT_TIMEOUT_MS = 20_000;

const DEFAULT_HANDSHAKE_TIMEOUT_MS = 10_000;

/** Largest flow-control window that HTTP/2 can express (RFC 9113 §6.9.1). */
export const MAX_WINDOW_BYTES = 0x7fffffff;

/** `SessionOptions` with every value present and checked. */
export type ResolvedSessionOptions = Readonly<Required<SessionOptions>>;

/** @throws {RangeError} naming the option, what was expected and what came */
export function resolveSessionOptions(options: SessionOptions): ResolvedSessionOptions {
  const clock = options.clock ?? systemClock;
  checkClock(clock);
  return {
    maxConcurrentStreams: integer(options, "maxConcurrentStreams", 1_000, 0, 0xffffffff),
    streamWindowBytes: integer(options, "streamWindowBytes", 131_072, 1, MAX_WINDOW_BYTES),
    // The connection's window starts at 65,535 and SETTINGS cannot lower it (RFC 9113 §6.9.2).
    connectionWindowBytes: integer(
      options,
      "connectionWindowBytes",
      4_194_304,
      65_535,
      MAX_WINDOW_BYTES,
    ),
    maxHeaderListBytes: integer(options, "maxHeaderListBytes", 65_536, 1, 0xffffffff),
    headerTableBytes: integer(options, "headerTableBytes", 4_096, 0, 0xffffffff),
    headerTimeoutMs: integer(options, "headerTimeoutMs", 10_000, 1, 0x7fffffff),
    settingsTimeoutMs: integer(options, "settingsTimeoutMs", 60_000, 1, 0x7fffffff),
    stallTimeoutMs: timeoutOrNever(options, "stallTimeoutMs", 60_000),
    streamStallTimeoutMs: timeoutOrNever(options, "streamStallTimeoutMs", Number.POSITIVE_INFINITY),
    clock,
  };
}

/** @throws {RangeError} as `resolveSessionOptions` */
export function resolveHandshakeTimeout(
  options: Pick<ListenOptions, "handshakeTimeoutMs">,
): number {
  const { handshakeTimeoutMs = DEFAULT_HANDSHAKE_TIMEOUT_MS } = options;
  checkHandshakeTimeout("handshakeTimeoutMs", handshakeTimeoutMs);
  return handshakeTimeoutMs;
}

export const checkHandshakeTimeout: OptionCheck = (name, value) =>
  checkInteger(name, value, 1, 0x7fffffff);

function timeoutOrNever(
  options: SessionOptions,
  name: "stallTimeoutMs" | "streamStallTimeoutMs",
  fallback: number,
): number {
  const { [name]: value = fallback } = options;
  checkNumber(name, value, 1);
  return value;
}

function integer(
  options: SessionOptions,
  name: Exclude<keyof SessionOptions, "clock">,
  fallback: number,
  lowest: number,
  highest: number,
): number {
  const { [name]: value = fallback } = options;
  checkInteger(name, value, lowest, highest);
  return value;
}

function checkClock(clock: Clock): void {
  for (const method of ["nowMs", "schedule", "cancel"]) {
    if (typeof Reflect.get(Object(clock), method) === "function") continue;
    throw new TypeError(`clock: expected a Clock with the method ${method}, got ${shown(clock)}`);
  }
}

const sessionOption: OptionCheck = (name, value) => {
  resolveSessionOptions({ [name]: value });
};

/** The checks of session options, for the tables of options that include them. */
export const SESSION_CHECKS: OptionChecks<SessionOptions> = {
  maxConcurrentStreams: sessionOption,
  streamWindowBytes: sessionOption,
  connectionWindowBytes: sessionOption,
  maxHeaderListBytes: sessionOption,
  headerTableBytes: sessionOption,
  headerTimeoutMs: sessionOption,
  settingsTimeoutMs: sessionOption,
  stallTimeoutMs: sessionOption,
  streamStallTimeoutMs: sessionOption,
  clock: sessionOption,
};
