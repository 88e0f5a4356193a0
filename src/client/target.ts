// What `dial` is given: a gRPC target name (grpc/grpc doc/naming.md).

import { shown } from "../check/check.ts";
import { thrownText } from "../grpc/error.ts";
import { formatAddress, parseAddress } from "../transport/address.ts";
import type { SocketAddress } from "../transport/transport.ts";

interface Target {
  /** The address as text, without scheme. */
  readonly name: string;
  readonly address: SocketAddress;
  /** Default `:authority` of calls to it. */
  readonly authority: string;
}

/** @throws {TypeError} for what cannot be a host and port in `:authority` (RFC 3986 §3.2) */
export function checkAuthority(name: string, authority: unknown): void {
  if (typeof authority === "string" && /^[!$&-.0-;=A-Z[\]_a-z~%]+$/.test(authority)) return;
  throw new TypeError(`${name}: expected HOST or HOST:PORT, got ${shown(authority)}`);
}

const SCHEMES = ["dns:", "ipv4:", "ipv6:", "passthrough:"];

/**
 * Reads `HOST:PORT`, `[IPV6]:PORT`, `unix:PATH`, and the same behind `dns:`, `ipv4:`, `ipv6:` or
 * `passthrough:`, with or without the `///` of a full URI.
 * @throws {TypeError} saying what was expected and what came
 */
export function parseTarget(target: string): Target {
  if (typeof target !== "string") {
    throw new TypeError(
      `target: expected HOST:PORT, [IPV6]:PORT or unix:PATH, got ${shown(target)}`,
    );
  }
  const scheme = SCHEMES.find((candidate) => target.startsWith(candidate));
  let endpoint = scheme === undefined ? target : target.slice(scheme.length);
  if (scheme !== undefined && endpoint.startsWith("//")) {
    const slash = endpoint.indexOf("/", 2);
    if (slash > 2) {
      throw new TypeError(
        `target ${JSON.stringify(target)}: expected no DNS server after "//", got ${JSON.stringify(endpoint.slice(2, slash))}`,
      );
    }
    endpoint = endpoint.slice(slash === -1 ? 2 : slash + 1);
  }
  let address: SocketAddress;
  try {
    address = parseAddress(endpoint);
  } catch (cause) {
    throw new TypeError(`target ${JSON.stringify(target)}: ${thrownText(cause)}`, { cause });
  }
  if ("port" in address && address.port === 0) {
    // It is for those who listen.
    throw new TypeError(`target ${JSON.stringify(target)}: expected a port from 1 to 65535, got 0`);
  }
  // gRPC uses "localhost" for UNIX sockets, where no name would make sense to an HTTP server.
  return {
    name: formatAddress(address),
    address,
    authority: "path" in address ? "localhost" : endpoint,
  };
}
