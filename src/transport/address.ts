// Socket addresses as text: `HOST:PORT`, `[IPV6]:PORT` and `unix:PATH`.

import { isIP, isIPv6 } from "node:net";
import type { SocketAddress } from "./transport.ts";

/**
 * Reads `HOST:PORT`, `[IPV6]:PORT`, `unix:PATH` or `unix:///ABSOLUTE/PATH` (gRPC naming).
 * @throws {TypeError} saying what was expected and what came
 */
export function parseAddress(text: string): SocketAddress {
  if (text.startsWith("unix:")) {
    const path = text.startsWith("unix://")
      ? text.slice("unix://".length)
      : text.slice("unix:".length);
    if (path === "") throw malformed(text);
    return { path };
  }
  const colon = text.lastIndexOf(":");
  const host = text.slice(0, Math.max(colon, 0));
  const port = text.slice(colon + 1);
  if (colon === -1 || !/^[0-9]{1,5}$/.test(port) || Number(port) > 65_535) throw malformed(text);
  if (host.startsWith("[") && host.endsWith("]") && host.length > 2) {
    return { host: host.slice(1, -1), port: Number(port) };
  }
  if (host === "" || /[:[\]/\s]/.test(host)) throw malformed(text);
  return { host, port: Number(port) };
}

function malformed(text: string): TypeError {
  const hint = hintFor(text);
  return new TypeError(
    `expected HOST:PORT, [IPV6]:PORT or unix:PATH with a port from 0 to 65535, got ${JSON.stringify(text)}${hint === undefined ? "" : `: ${hint}`}`,
  );
}

/** A hint for a text that other programs accept. */
function hintFor(text: string): string | undefined {
  const scheme = /^[a-z][a-z0-9+.-]*:\/\//i.exec(text)?.[0];
  if (scheme !== undefined) {
    const isSecure = /^(https|grpcs|tls|ssl|wss):/i.test(scheme);
    return `leave out ${scheme}${isSecure ? ", and ask for TLS by the option tls" : ""}`;
  }
  if (/^:[0-9]{1,5}$/.test(text)) {
    return `name the host: 127.0.0.1${text} for this machine, 0.0.0.0${text} or [::]${text} to listen on all of its addresses`;
  }
  if (isIPv6(text)) return "write an IPv6 address in brackets: [::1]:50051";
  if (/^[0-9]{1,5}$/.test(text)) return `name the host: 127.0.0.1:${text}`;
  return /^[^:[\]/\s]+$/.test(text) ? `the port is missing: ${text}:PORT` : undefined;
}

/** The IP version of the address `host`; `undefined` for a name. */
export function ipVersionOf(host: string): 4 | 6 | undefined {
  const version = isIP(host);
  return version === 4 || version === 6 ? version : undefined;
}

/** The text that `parseAddress` reads. An IPv6 host gets brackets. */
export function formatAddress(address: SocketAddress): string {
  if ("path" in address) return `unix:${address.path}`;
  return address.host.includes(":")
    ? `[${address.host}]:${address.port}`
    : `${address.host}:${address.port}`;
}
