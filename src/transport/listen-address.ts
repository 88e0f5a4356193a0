// Where to listen, as users write it: a socket address, or a socket that the process was started
// with, `fd:N` or `systemd:NAME`.

import { shown } from "../check/check.ts";
import { anything, optionTable } from "../check/options.ts";
import { formatAddress, parseAddress } from "./address.ts";
import type { SocketAddress } from "./transport.ts";

/**
 * A listening socket, TCP or UNIX, that this process was started with. `fd` is its file descriptor.
 * `systemd` is its name in LISTEN_FDNAMES (sd_listen_fds(3)): `FileDescriptorName=` of the socket
 * unit, or the name of that unit.
 */
export type InheritedSocket = { readonly fd: number } | { readonly systemd: string };

export type ListenAddress = SocketAddress | InheritedSocket;

/** Those below are the standard streams. */
const FIRST_DESCRIPTOR = 3;
const LAST_DESCRIPTOR = 0x7fffffff;

/**
 * Reads what `parseAddress` reads, `fd:N` and `systemd:NAME`.
 * @throws {TypeError} saying what was expected and what came
 */
export function parseListenAddress(text: string): ListenAddress {
  if (text.startsWith("fd:")) {
    const number = text.slice("fd:".length);
    const fd = /^[0-9]{1,10}$/.test(number) ? Number(number) : Number.NaN;
    if (isDescriptor(fd)) return { fd };
    throw new TypeError(
      `expected fd:N with a descriptor from ${FIRST_DESCRIPTOR} to ${LAST_DESCRIPTOR}, got ${JSON.stringify(text)}`,
    );
  }
  if (!text.startsWith("systemd:")) return parseAddress(text);
  const systemd = text.slice("systemd:".length);
  if (isName(systemd)) return { systemd };
  throw new TypeError(
    `expected systemd:NAME with a name of LISTEN_FDNAMES, got ${JSON.stringify(text)}`,
  );
}

const TCP_ADDRESS = optionTable<{ host: string; port: number }>("address", {
  host: anything,
  port: anything,
});
const UNIX_ADDRESS = optionTable<{ path: string }>("address", { path: anything });
const DESCRIPTOR = optionTable<{ fd: number }>("address", { fd: anything });
const SYSTEMD_SOCKET = optionTable<{ systemd: string }>("address", { systemd: anything });

/** @throws {TypeError} unless it is one of the four kinds, with nothing else in it */
export function checkListenAddress(address: ListenAddress): ListenAddress {
  const given: unknown = address;
  const table = typeof given === "object" && given !== null ? tableFor(given) : undefined;
  if (table !== undefined) {
    table.check(given);
    return address;
  }
  throw new TypeError(
    `address: expected HOST:PORT, [IPV6]:PORT, unix:PATH, fd:N, systemd:NAME, { host, port }, { path }, { fd } or { systemd }, got ${shown(given)}`,
  );
}

function tableFor(given: object): { check(given: unknown): void } | undefined {
  if ("path" in given) return typeof given.path === "string" ? UNIX_ADDRESS : undefined;
  if ("fd" in given) return isDescriptor(given.fd) ? DESCRIPTOR : undefined;
  if ("systemd" in given) return isName(given.systemd) ? SYSTEMD_SOCKET : undefined;
  if (!("host" in given && "port" in given) || typeof given.host !== "string") return undefined;
  const { port } = given;
  const isPort = Number.isInteger(port) && Number(port) >= 0 && Number(port) <= 65_535;
  return isPort ? TCP_ADDRESS : undefined;
}

function isDescriptor(fd: unknown): boolean {
  return Number.isInteger(fd) && Number(fd) >= FIRST_DESCRIPTOR && Number(fd) <= LAST_DESCRIPTOR;
}

/** Names in LISTEN_FDNAMES stand between colons. */
function isName(name: unknown): boolean {
  return typeof name === "string" && name !== "" && !name.includes(":");
}

export function isInherited(address: ListenAddress): address is InheritedSocket {
  return "fd" in address || "systemd" in address;
}

/** The text that `parseListenAddress` reads. */
export function formatListenAddress(address: ListenAddress): string {
  if ("fd" in address) return `fd:${address.fd}`;
  return "systemd" in address ? `systemd:${address.systemd}` : formatAddress(address);
}
