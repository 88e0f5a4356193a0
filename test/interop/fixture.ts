// client -> relay -> backend of the interop cases, with a tap on either side of the relay on
// demand.

import type * as grpc from "@grpc/grpc-js";
import { expect } from "vitest";
import type { ClientConn } from "../../src/client/client-conn.ts";
import { StreamParameters } from "../../src/proxy/director.ts";
import { formatAddress } from "../../src/transport/address.ts";
import type { TransportCombo } from "../support/combos.ts";
import { dialTo, listenRelay } from "../support/relay-fixture.ts";
import { type InteropBackend, interopBackend } from "./backend.ts";
import { InteropClient } from "./client.ts";
import { WireTap } from "./wire-tap.ts";

export interface InteropOptions {
  readonly client?: grpc.ClientOptions;
  readonly backend?: grpc.ServerOptions;
}

export interface RelayTo {
  readonly address: string;
  /** To the backend. */
  readonly conn: ClientConn;
}

/** A relay in front of `backend`. */
export async function relayTo(combo: TransportCombo, backend: string): Promise<RelayTo> {
  const conn = dialTo(combo, backend);
  const { address } = await listenRelay(combo, () => new StreamParameters({ conn }));
  return { address: formatAddress(address), conn };
}

export interface Interop {
  readonly client: InteropClient;
  readonly conn: ClientConn;
  readonly backend: InteropBackend;
}

/** grpc-js client -> relay -> grpc-js backend. */
export async function interop(
  combo: TransportCombo,
  options: InteropOptions = {},
): Promise<Interop> {
  const backend = await interopBackend(options.backend);
  const { address, conn } = await relayTo(combo, backend.address);
  return { client: new InteropClient(address, options.client), backend, conn };
}

export interface Tapped {
  readonly client: InteropClient;
  /** Between client and relay. */
  readonly downstream: WireTap;
  /** Between relay and backend. */
  readonly upstream: WireTap;
}

/** The same with taps, in front of any backend. */
export async function tapped(
  combo: TransportCombo,
  backend: string,
  options: grpc.ClientOptions = {},
): Promise<Tapped> {
  const upstream = await WireTap.before(backend);
  const relay = await relayTo(combo, upstream.address);
  const downstream = await WireTap.before(relay.address);
  return { client: new InteropClient(downstream.address, options), downstream, upstream };
}

/** Every message byte of every call left the relay as it came. */
export function expectUntouched({ downstream, upstream }: Tapped): void {
  expect(upstream.requests().length).toBeGreaterThan(0);
  expectSame(upstream.requests(), downstream.requests());
  expectSame(downstream.responses(), upstream.responses());
}

function expectSame(left: readonly Buffer[], came: readonly Buffer[]): void {
  expect(left.map((body) => body.length)).toEqual(came.map((body) => body.length));
  expect(left.map((body, i) => body.equals(came[i]!))).toEqual(left.map(() => true));
}
