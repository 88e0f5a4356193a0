// How many connections a server takes, from which clients, and for how long: options, defaults and
// checks.

import { checkFunction, checkInteger, checkNumber } from "../check/check.ts";
import type { OptionCheck, OptionChecks } from "../check/options.ts";
import type { PeerInfo } from "../transport/transport.ts";

export interface ServerConnectionOptions {
  /**
   * How long a connection takes new calls, in milliseconds. It is spread by 10 %, so that
   * connections that came together do not end together (gRFC A9). Then the connection is drained:
   * calls under way may finish, and the client connects anew. So clients spread over servers that
   * were added.
   * @default Infinity
   */
  readonly maxConnectionAgeMs?: number;
  /**
   * How long calls may go on after that, in milliseconds; then they are ended with UNAVAILABLE.
   * @default Infinity
   */
  readonly maxConnectionAgeGraceMs?: number;
  /**
   * How long a connection may be without a call, in milliseconds, before it is drained. Idleness is
   * checked eight times in that time, so the drain may come an eighth later.
   * @default Infinity
   */
  readonly maxConnectionIdleMs?: number;
  /**
   * Connections at a time on all listeners, also those within a TLS handshake or a PROXY header.
   * One more is closed at once. Connections of attached servers are not counted.
   * @default Infinity
   */
  readonly maxConnections?: number;
  /**
   * The same for each remote address, whatever its ports. UNIX sockets have no address.
   * @default Infinity
   */
  readonly maxConnectionsPerClientAddress?: number;
  /**
   * Whether a new connection may stay. Asked before its TLS handshake, so `peer.tls` is missing.
   * The function has to answer at once. If it throws or answers anything but `true`, the connection
   * is closed.
   * @default all may
   */
  readonly acceptConnection?: (peer: PeerInfo) => boolean;
  /** @internal For tests: gives numbers from 0 up to but not including 1. @default Math.random */
  readonly random?: () => number;
}

export type ResolvedConnectionOptions = Required<
  Omit<ServerConnectionOptions, "acceptConnection">
> & { readonly acceptConnection: ServerConnectionOptions["acceptConnection"] };

const checkDuration: OptionCheck = (name, value) => checkNumber(name, value, 1);
const checkCount: OptionCheck = (name, value) => {
  if (value !== Number.POSITIVE_INFINITY) checkInteger(name, value, 1);
};

export const CONNECTION_CHECKS: OptionChecks<ServerConnectionOptions> = {
  maxConnectionAgeMs: checkDuration,
  maxConnectionAgeGraceMs: (name, value) => checkNumber(name, value, 0),
  maxConnectionIdleMs: checkDuration,
  maxConnections: checkCount,
  maxConnectionsPerClientAddress: checkCount,
  acceptConnection: checkFunction,
  random: checkFunction,
};

export function resolveConnectionOptions(
  options: ServerConnectionOptions,
): ResolvedConnectionOptions {
  const NEVER = Number.POSITIVE_INFINITY;
  return {
    maxConnectionAgeMs: options.maxConnectionAgeMs ?? NEVER,
    maxConnectionAgeGraceMs: options.maxConnectionAgeGraceMs ?? NEVER,
    maxConnectionIdleMs: options.maxConnectionIdleMs ?? NEVER,
    maxConnections: options.maxConnections ?? NEVER,
    maxConnectionsPerClientAddress: options.maxConnectionsPerClientAddress ?? NEVER,
    acceptConnection: options.acceptConnection,
    random: options.random ?? Math.random,
  };
}
