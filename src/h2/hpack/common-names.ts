// Names that peers spell out again and again, found by their octets: no new string, and its hash is
// known already.

import { KNOWN_NAMES } from "./known-names.ts";

const GRPC_NAMES: readonly string[] = [
  "te",
  "grpc-status",
  "grpc-encoding",
  "grpc-accept-encoding",
  "grpc-previous-rpc-attempts",
  "grpc-retry-pushback-ms",
  "grpc-tags-bin",
  "x-forwarded-for",
  "x-forwarded-proto",
];

const SLOTS = 512;

/**
 * Filled once, so that no peer can push a name out. `slotOf` is chosen so that no two of the names
 * share a slot.
 */
const NAMES: readonly (string | undefined)[] = buildNames();

/** The name that is spelled `bytes[start..end)`, if it is a common one. */
export function findCommonName(bytes: Uint8Array, start: number, end: number): string | undefined {
  const length = end - start;
  const middle = bytes[start + (length >> 1)] ?? 0;
  const name = NAMES[slotOf(length, middle, bytes[end - 2] ?? 0, bytes[end - 1] ?? 0)];
  if (name?.length !== length) return undefined;
  for (let i = 0; i < length; i++) {
    if (name.charCodeAt(i) !== bytes[start + i]) return undefined;
  }
  return name;
}

function buildNames(): readonly (string | undefined)[] {
  const names: (string | undefined)[] = new Array(SLOTS).fill(undefined);
  for (const name of [...GRPC_NAMES, ...KNOWN_NAMES.keys()]) {
    const length = name.length;
    const middle = name.charCodeAt(length >> 1);
    names[slotOf(length, middle, name.charCodeAt(length - 2), name.charCodeAt(length - 1))] = name;
  }
  return names;
}

function slotOf(length: number, middle: number, lastButOne: number, last: number): number {
  return (length + middle * 7 + lastButOne * 43 + last) & (SLOTS - 1);
}
