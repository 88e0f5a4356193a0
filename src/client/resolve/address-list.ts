// The check of a list of addresses that a user or a resolver gives.

import { shown } from "../../check/check.ts";
import { anything, optionTable } from "../../check/options.ts";
import { formatAddress, parseAddress } from "../../transport/address.ts";
import type { SocketAddress } from "../../transport/transport.ts";
import type { ResolvedAddress } from "./resolver.ts";

/** An address that can be connected to. */
export interface Address {
  /** As `formatAddress` writes it; no other address of a list has it. */
  readonly text: string;
  readonly socket: SocketAddress;
  readonly weight: number;
}

const MAX_WEIGHT = 1_000_000;

const ADDRESS = optionTable<ResolvedAddress>("address", {
  address: anything,
  weight: (name, value) => {
    if (typeof value === "number" && value > 0 && value <= MAX_WEIGHT) return;
    const expected = `a number above 0, at most ${MAX_WEIGHT}`;
    throw new RangeError(`${name} of an address: expected ${expected}, got ${shown(value)}`);
  },
});

/**
 * Reads a list of addresses. An address that occurs twice counts once, with its first weight.
 * @throws {TypeError | RangeError} saying what was expected and what came
 */
export function readAddresses(given: unknown): readonly Address[] {
  if (!Array.isArray(given)) {
    throw new TypeError(`addresses: expected an array, got ${shown(given)}`);
  }
  if (given.length === 0) throw new TypeError("addresses: expected at least one, got none");
  const all = new Map<string, Address>();
  for (const each of given) {
    const address = readAddress(each);
    if (!all.has(address.text)) all.set(address.text, address);
  }
  return [...all.values()];
}

function readAddress(given: unknown): Address {
  if (typeof given === "string") return addressOf(given);
  const { address, weight }: { address?: unknown; weight?: unknown } = Object(given);
  if (typeof address !== "string") {
    const expected = "HOST:PORT or { address: HOST:PORT, weight }";
    throw new TypeError(`address: expected ${expected}, got ${shown(given)}`);
  }
  ADDRESS.check(given);
  return addressOf(address, typeof weight === "number" ? weight : 1);
}

/** @throws {TypeError} saying what was expected and what came */
export function addressOf(text: string, weight = 1): Address {
  const socket = parseAddress(text);
  if ("port" in socket && socket.port === 0) {
    // Port 0 is for listening.
    throw new TypeError(`expected a port from 1 to 65535, got 0: ${JSON.stringify(text)}`);
  }
  return { text: formatAddress(socket), socket, weight };
}
