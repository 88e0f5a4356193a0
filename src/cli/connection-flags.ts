// Flags of `serve` that say how many connections there are, how long they live, and when backends
// are asked whether they are still there.

import type { DialOptions, ServerOptions } from "../index.ts";
import { usageError } from "./command-error.ts";
import { type Flag, type GivenFlags, MAX_MS, wholeNumber } from "./flags.ts";

export const clientConnectionFlags: readonly Flag[] = [
  {
    name: "handshake-timeout-ms",
    value: "MS",
    text: "how long a client may take for its TLS handshake, its preface and its SETTINGS\ntogether, in milliseconds (default 10000)",
  },
  {
    name: "max-connections",
    value: "N",
    text: "connections of clients at a time, of each worker (default no limit)",
  },
  {
    name: "max-connections-per-client-address",
    value: "N",
    text: "the same for each remote address",
  },
  {
    name: "max-connection-age-ms",
    value: "MS",
    text: "how long a client's connection takes new calls, in milliseconds, give or take 10 %\n(default no limit)",
  },
  {
    name: "max-connection-age-grace-ms",
    value: "MS",
    text: "how long its calls may go on after that, in milliseconds (default no limit)",
  },
  {
    name: "max-connection-idle-ms",
    value: "MS",
    text: "how long a client's connection may be without a call, in milliseconds (default no\nlimit)",
  },
];

/** Ring hash needs a key for each call, which no flag can say. */
const BALANCING = ["roundRobin", "leastRequest", "pickFirst"] as const;

export const backendConnectionFlags: readonly Flag[] = [
  {
    name: "balancing",
    value: "NAME",
    text: "how calls are spread over the addresses of a backend: roundRobin, leastRequest (the\nless busy of two) or pickFirst (default roundRobin)",
  },
  {
    name: "connect-timeout-ms",
    value: "MS",
    text: "how long a backend may take for its socket, TLS handshake and SETTINGS together, in\nmilliseconds (default 20000)",
  },
  {
    name: "idle-timeout-ms",
    value: "MS",
    text: "how long a connection to a backend may be without a call, in milliseconds (default\n1800000)",
  },
  {
    name: "keepalive-ms",
    value: "MS",
    text: "ask a backend by PING when nothing came from it for this long while calls are open,\nin milliseconds (default 310000, which every server permits)",
  },
  {
    name: "keepalive-timeout-ms",
    value: "MS",
    text: "and leave it when nothing follows for this long, in milliseconds (default 20000,\nor 5000 where an answer is due)",
  },
];

type ClientConnectionOptions = Pick<
  ServerOptions,
  | "handshakeTimeoutMs"
  | "maxConnections"
  | "maxConnectionsPerClientAddress"
  | "maxConnectionAgeMs"
  | "maxConnectionAgeGraceMs"
  | "maxConnectionIdleMs"
>;

const MAX_COUNT = 1_000_000_000;

/** @throws {CommandError} usage, naming the flag */
export function clientConnectionOptions(flags: GivenFlags): ClientConnectionOptions {
  return given({
    handshakeTimeoutMs: wholeNumber(flags, "handshake-timeout-ms", 1, MAX_MS),
    maxConnections: wholeNumber(flags, "max-connections", 1, MAX_COUNT),
    maxConnectionsPerClientAddress: wholeNumber(
      flags,
      "max-connections-per-client-address",
      1,
      MAX_COUNT,
    ),
    maxConnectionAgeMs: wholeNumber(flags, "max-connection-age-ms", 1, MAX_MS),
    maxConnectionAgeGraceMs: wholeNumber(flags, "max-connection-age-grace-ms", 0, MAX_MS),
    maxConnectionIdleMs: wholeNumber(flags, "max-connection-idle-ms", 1, MAX_MS),
  });
}

/** @throws {CommandError} usage, naming the flag */
export function backendConnectionOptions(
  flags: GivenFlags,
): Pick<DialOptions, "keepalive" | "balancing" | "connectTimeoutMs" | "idleTimeoutMs"> {
  const keepalive = given({
    intervalMs: wholeNumber(flags, "keepalive-ms", 1_000, MAX_MS),
    timeoutMs: wholeNumber(flags, "keepalive-timeout-ms", 1, MAX_MS),
  });
  const times = given({
    connectTimeoutMs: wholeNumber(flags, "connect-timeout-ms", 1, MAX_MS),
    idleTimeoutMs: wholeNumber(flags, "idle-timeout-ms", 1, MAX_MS),
  });
  return { ...times, keepalive, balancing: balancing(flags) };
}

function balancing(flags: GivenFlags): (typeof BALANCING)[number] {
  const text = flags.one("balancing");
  if (text === undefined) return "roundRobin";
  const name = BALANCING.find((candidate) => candidate === text);
  if (name !== undefined) return name;
  throw usageError(`--balancing: expected ${BALANCING.join(", ")}, got ${JSON.stringify(text)}`);
}

/** Those that are there. */
function given<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}
