// `dial`: makes a ClientConn from a target.

import { resolveSessionOptions } from "../transport/defaults.ts";
import { selectTransport } from "../transport/select.ts";
import type { ClientTlsOptions } from "../transport/tls.ts";
import type { ConnectOptions } from "../transport/transport.ts";
import { ClientConn } from "./client-conn.ts";
import { type DialOptions, type ResolvedDialOptions, resolveDialOptions } from "./dial-options.ts";
import type { Address } from "./resolve/address-list.ts";
import { DnsResolver } from "./resolve/dns-resolver.ts";
import type { Resolver } from "./resolve/resolver.ts";
import { ConnectionBackoff } from "./subchannel/connection-backoff.ts";
import { DialledSource } from "./subchannel/dialled-source.ts";
import { type DialTarget, parseTarget, type Target } from "./target.ts";

/**
 * A connection to a backend, at one address or several. It connects when the first call needs it,
 * again after a loss, and with backoff after a failure (grpc/grpc doc/connection-backoff.md).
 * Meanwhile calls fail with UNAVAILABLE, or wait with `waitForReady`.
 *
 * - `HOST:PORT`, also behind `dns:`: all addresses of the name. The name is looked up when they are
 *   wanted, and again when one of them fails or is lost.
 * - `[IPV6]:PORT`, `unix:PATH`; `ipv4:A:PORT,B:PORT` and `ipv6:[A]:PORT,[B]:PORT`.
 * - `passthrough:HOST:PORT`: one address, whose name the system looks up at each attempt.
 * - An array of addresses, with weights or without. `:authority` is the first of them.
 * - A `Resolver`, which reports the addresses and their changes.
 *
 * The option `balancing` decides which address gets a call.
 * @throws {TypeError | RangeError} naming what was expected and what came
 */
export function dial(target: DialTarget, options: DialOptions = {}): ClientConn {
  const parsed = parseTarget(target);
  const resolved = resolveDialOptions(options);
  const transport = selectTransport(options.transport);
  resolveSessionOptions(options);
  const { name, authority, where } = parsed;
  return ClientConn.create(
    {
      name,
      authority,
      addresses: where.kind === "list" ? where.addresses : [],
      resolver: resolverOf(where, resolved),
      reconnects: true,
      sourceOf: (address) =>
        new DialledSource(transport, connectOptionsOf(address, parsed, options)),
    },
    resolved,
  );
}

function resolverOf(where: Target["where"], options: ResolvedDialOptions): Resolver | undefined {
  switch (where.kind) {
    case "list":
      return undefined;
    case "resolver":
      return where.resolver;
    case "dns": {
      const { clock, backoff, random, minResolveIntervalMs } = options;
      return new DnsResolver({
        host: where.host,
        port: where.port,
        tls: options.tls,
        minIntervalMs: minResolveIntervalMs,
        clock,
        waits: new ConnectionBackoff(backoff, random),
      });
    }
  }
}

/** The certificate is checked for the name that was dialled, whatever its address. */
function connectOptionsOf(
  { socket }: Address,
  { serverName }: Target,
  options: DialOptions,
): ConnectOptions {
  const { tls } = options;
  if (tls === undefined || serverName === undefined) return { ...options, address: socket };
  const named = (given: ClientTlsOptions): ClientTlsOptions => withName(given, serverName);
  const namedTls = typeof tls === "function" ? () => named(tls()) : named(tls);
  return { ...options, address: socket, tls: namedTls };
}

/** @param given of a function it may be anything; the transport refuses what it cannot use */
function withName(given: ClientTlsOptions, serverName: string): ClientTlsOptions {
  const isUsable = Object(given) === given && !(given instanceof Promise);
  return isUsable ? { ...given, serverName: given.serverName ?? serverName } : given;
}
