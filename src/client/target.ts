// Targets of `dial`: a gRPC target name (grpc/grpc doc/naming.md), a list of addresses, or a
// resolver.

import { shown } from "../check/check.ts";
import { thrownText } from "../grpc/error.ts";
import { ipVersionOf } from "../transport/address.ts";
import { type Address, addressOf, readAddresses } from "./resolve/address-list.ts";
import type { ResolvedAddress, Resolver } from "./resolve/resolver.ts";

/** The targets that `dial` takes. */
export type DialTarget = string | readonly (string | ResolvedAddress)[] | Resolver;

export interface Target {
  /** For messages, without scheme. */
  readonly name: string;
  /** Default `:authority` of calls to it. */
  readonly authority: string;
  /** The name that certificates are checked for. @default the host of each address */
  readonly serverName?: string;
  readonly where:
    | { readonly kind: "list"; readonly addresses: readonly Address[] }
    | { readonly kind: "dns"; readonly host: string; readonly port: number }
    | { readonly kind: "resolver"; readonly resolver: Resolver };
}

/** @throws {TypeError} for what cannot be a host and port in `:authority` (RFC 3986 §3.2) */
export function checkAuthority(name: string, authority: unknown): void {
  if (typeof authority === "string" && /^[!$&-.0-;=A-Z[\]_a-z~%]+$/.test(authority)) return;
  throw new TypeError(`${name}: expected HOST or HOST:PORT, got ${shown(authority)}`);
}

/**
 * Reads `HOST:PORT`, `[IPV6]:PORT`, `unix:PATH`, and the same behind `dns:` or `passthrough:`, with
 * or without the `///` of a full URI; `ipv4:A:PORT,B:PORT` and `ipv6:[A]:PORT,[B]:PORT`; an array
 * of addresses; a resolver.
 * @throws {TypeError | RangeError} saying what was expected and what came
 */
export function parseTarget(target: DialTarget): Target {
  if (typeof target === "string") return parseName(target);
  if (isList(target)) return listTarget(inTarget("", () => readAddresses(target)));
  if (typeof target?.start === "function") return resolverTarget(target);
  throw new TypeError(
    `target: expected HOST:PORT, [IPV6]:PORT or unix:PATH, an array of such, or a Resolver, got ${shown(target)}`,
  );
}

/** `Array.isArray` does not know readonly arrays. */
function isList(target: DialTarget): target is readonly (string | ResolvedAddress)[] {
  return Array.isArray(target);
}

const SCHEME = /^(dns|ipv4|ipv6|passthrough):/;

function parseName(target: string): Target {
  const scheme = SCHEME.exec(target)?.[1];
  const endpoint = scheme === undefined ? target : endpointOf(target, scheme);
  return inTarget(target, () => {
    if (scheme === "ipv4" || scheme === "ipv6") {
      return listTarget(endpoint.split(",").map((each) => ipAddress(each, scheme)));
    }
    const address = addressOf(endpoint);
    const { socket } = address;
    if (scheme === "passthrough" || "path" in socket || ipVersionOf(socket.host) !== undefined) {
      return listTarget([address], endpoint);
    }
    const { host, port } = socket;
    const where = { kind: "dns", host, port } as const;
    return { name: address.text, authority: endpoint, serverName: host, where };
  });
}

/** The rest of `target` behind the scheme, and behind the `//` of a full URI. */
function endpointOf(target: string, scheme: string): string {
  const rest = target.slice(scheme.length + 1);
  if (!rest.startsWith("//")) return rest;
  const slash = rest.indexOf("/", 2);
  if (slash <= 2) return rest.slice(slash === -1 ? 2 : slash + 1);
  throw new TypeError(
    `target ${JSON.stringify(target)}: expected no DNS server after "//", got ${JSON.stringify(rest.slice(2, slash))}`,
  );
}

function ipAddress(text: string, scheme: "ipv4" | "ipv6"): Address {
  const address = addressOf(text);
  const { socket } = address;
  const version = "host" in socket ? ipVersionOf(socket.host) : undefined;
  if (`ipv${version}` === scheme) return address;
  throw new TypeError(`expected an ${scheme} address, got ${JSON.stringify(text)}`);
}

/** @param endpoint the address as it was written, where there is but one */
function listTarget(addresses: readonly Address[], endpoint?: string): Target {
  const [first] = addresses;
  // gRPC uses "localhost" for UNIX sockets, where no name would make sense to an HTTP server.
  const isHost = first !== undefined && "host" in first.socket;
  return {
    name: addresses.map(({ text }) => text).join(","),
    authority: isHost ? (endpoint ?? first.text) : "localhost",
    where: { kind: "list", addresses },
  };
}

function resolverTarget(resolver: Resolver): Target {
  const where = { kind: "resolver", resolver } as const;
  const { name } = resolver;
  if (name === undefined) return { name: "(resolver)", authority: "localhost", where };
  checkAuthority("name of the resolver", name);
  return { name, authority: name, serverName: name.replace(/:[0-9]+$/, ""), where };
}

/** Runs `read`, and names the target in an error that it throws. */
function inTarget<Result>(target: string, read: () => Result): Result {
  try {
    return read();
  } catch (cause) {
    const about = target === "" ? "target" : `target ${JSON.stringify(target)}`;
    const text = `${about}: ${thrownText(cause)}`;
    throw cause instanceof RangeError
      ? new RangeError(text, { cause })
      : new TypeError(text, { cause });
  }
}
