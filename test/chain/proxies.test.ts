// A relay behind and in front of other proxies: client -> proxy -> relay -> backend and client ->
// relay -> proxy -> backend come to the same result as client -> proxy -> backend. Where a proxy is
// not installed, its tests are skipped and say so.

import { describe, expect, it } from "vitest";
import type { TransportName } from "../../src/transport/select.ts";
import { compressingBackend, type InteropBackend, interopBackend } from "../interop/backend.ts";
import { InteropClient } from "../interop/client.ts";
import { relayTo } from "../interop/fixture.ts";
import { WireTap } from "../interop/wire-tap.ts";
import { CASES, type ChainCase } from "./cases.ts";
import { isInstalled, PROXIES, startProxy } from "./proxies.ts";

/** A hop in front of `target`: where it listens. */
type Hop = (target: string) => Promise<string>;

/** @param hops in the order in which a call meets them */
async function resultOf(chainCase: ChainCase, hops: readonly Hop[]): Promise<unknown> {
  const backend: InteropBackend =
    chainCase.backend === "compressing"
      ? { address: await compressingBackend(), received: [], cancelled: [] }
      : await interopBackend();
  const tap = await WireTap.before(backend.address);
  let address = tap.address;
  for (const hop of [...hops].reverse()) address = await hop(address);
  const client = new InteropClient(address, chainCase.client);
  return await chainCase.run({ address, client, backend, tap });
}

const relay =
  (transport: TransportName): Hop =>
  async (target) =>
    (await relayTo({ server: transport, client: transport }, target)).address;

for (const proxy of PROXIES) {
  const { name, debianPackage } = proxy;
  const installed = isInstalled(proxy);
  const other: Hop = (target) => startProxy(proxy, target);
  const note = installed ? "" : `, SKIPPED: not installed (Debian package ${debianPackage})`;
  if (!installed) console.warn(`The chain with ${name} is not tested${note}`);

  /** What the client gets without a relay. */
  const alone = new Map<ChainCase, unknown>();
  const positions: readonly (readonly [string, (transport: TransportName) => readonly Hop[]])[] = [
    ["behind", (transport) => [other, relay(transport)]],
    ["in front of", (transport) => [relay(transport), other]],
  ];
  describe.skipIf(!installed).each(positions)(`a relay %s ${name}${note}`, (_, hopsOf) => {
    describe.each(["engine", "node"] as const)("on %s", (transport) => {
      it.each(CASES)("is not noticed by $name", async (chainCase) => {
        if (!alone.has(chainCase)) alone.set(chainCase, await resultOf(chainCase, [other]));
        const result = await resultOf(chainCase, hopsOf(transport));
        expect(result).toEqual(alone.get(chainCase));
      });
    });
  });
}
