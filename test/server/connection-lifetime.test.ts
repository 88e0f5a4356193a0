// How long connections live: by age, with a grace for calls, and without calls.

import { createServer as createHttp2Server } from "node:http2";
import type { AddressInfo } from "node:net";
import { describe, expect, it } from "vitest";
import { Status } from "../../src/grpc/status.ts";
import { Server, type ServerOptions } from "../../src/server/server.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { fieldValue } from "../../src/wire/field.ts";
import { closeAtEnd } from "../support/cleanup.ts";
import { FakeClock } from "../support/clock.ts";
import { transportCombos } from "../support/combos.ts";
import { frames, request } from "../support/frames.ts";
import { eventually, listen, PATH, statusOf, watchServer } from "../support/relay-fixture.ts";
import { ScriptedClient } from "../support/scripted-endpoints.ts";
import type { ScriptedPeer } from "../support/scripted-peer.ts";

const onServers = transportCombos.filter(({ server, client }) => server === client);

describe.each(onServers)("a connection on $server", (combo) => {
  async function start(options: ServerOptions) {
    const clock = new FakeClock();
    const { server, address } = await listen(combo, { clock, random: () => 0.5, ...options });
    let finish = (): void => {};
    server.register("test.Service", {
      Method: () =>
        new Promise<void>((resolve) => {
          finish = resolve;
        }),
    });
    const client = await ScriptedClient.connect(address);
    // Its SETTINGS are acknowledged.
    await client.sync();
    return { clock, server, client, address, finish: () => finish() };
  }

  async function begin(server: Server, client: ScriptedPeer, streamId: number): Promise<void> {
    client.send(frames.headers(streamId, request(PATH), { endStream: true }));
    await eventually("the call is here", () => server.openCallCount === 1);
  }

  /** The GOAWAY that names `streamId` as the last one. */
  async function expectDrain(client: ScriptedPeer, streamId: number): Promise<void> {
    let goAway = await client.expectGoAway(ErrorCode.NO_ERROR);
    if (goAway.lastStreamId === 0x7fffffff) goAway = await client.expectGoAway();
    expect(goAway.lastStreamId).toBe(streamId);
  }

  it("that has reached its age is drained, and its call finishes", async () => {
    const { clock, server, client, finish } = await start({ maxConnectionAgeMs: 60_000 });
    await begin(server, client, 1);
    clock.advance(59_996);
    await client.expectQuiet(1);
    clock.advance(8);
    await expectDrain(client, 1);
    clock.advance(10_000_000);
    await client.expectQuiet(1);
    finish();
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
    await client.expectClosed();
  });

  it.each([
    [0, 54_000],
    [0.999999, 66_000],
  ])("spreads its age: with a random number of %d it is %d ms", async (random, ageMs) => {
    const options = { maxConnectionAgeMs: 60_000, random: () => random };
    const { clock, client } = await start(options);
    clock.advance(ageMs - 8);
    await client.sync();
    clock.advance(16);
    await expectDrain(client, 0);
    await client.expectClosed();
  });

  it("whose grace is over has its calls ended with a status, those of others not", async () => {
    const { clock, server, client, address, finish } = await start({
      maxConnectionAgeMs: 60_000,
      maxConnectionAgeGraceMs: 5_000,
    });
    await begin(server, client, 1);
    clock.advance(60_004);
    await expectDrain(client, 1);
    const other = await ScriptedClient.connect(address);
    other.send(frames.headers(1, request(PATH), { endStream: true }));
    await eventually("both calls are here", () => server.openCallCount === 2);
    clock.advance(4_992);
    await client.expectQuiet(1);
    clock.advance(8);
    const trailers = await client.expectTrailers(1);
    expect(statusOf(trailers)).toBe(Status.UNAVAILABLE);
    expect(fieldValue(trailers, "grpc-message")).toBe("the connection has reached its maximum age");
    await client.expectClosed();
    finish();
    expect(statusOf(await other.expectTrailers(1))).toBe(Status.OK);
  });

  it("whose client takes nothing is gone a tenth of a second after its grace", async () => {
    const { clock, server, client } = await start({
      maxConnectionAgeMs: 60_000,
      maxConnectionAgeGraceMs: 0,
    });
    await begin(server, client, 1);
    client.pauseReading();
    clock.advance(60_004);
    clock.advance(4);
    expect(server.openCallCount).toBe(0);
    await eventually("the connection is gone", () => {
      clock.advance(104);
      return server.sessionCount === 0;
    });
  });

  it("without a call is drained when it has been idle for so long", async () => {
    const { clock, server, client } = await start({ maxConnectionIdleMs: 8_000 });
    clock.advance(7_996);
    await client.sync();
    clock.advance(8);
    await expectDrain(client, 0);
    await client.expectClosed();
    await eventually("it is gone", () => server.sessionCount === 0);
    expect(clock.timerCount).toBe(0);
  });

  it("is not idle while a call is open, nor before its time is over after one", async () => {
    const { clock, server, client, finish } = await start({ maxConnectionIdleMs: 8_000 });
    await begin(server, client, 1);
    clock.advance(100_000);
    await client.expectQuiet(1);
    finish();
    await client.expectTrailers(1);
    clock.advance(7_000);
    await client.sync();
    // A call that comes and goes between two looks counts as well.
    await begin(server, client, 3);
    finish();
    await client.expectTrailers(3);
    clock.advance(7_900);
    await client.sync();
    clock.advance(1_200);
    await expectDrain(client, 3);
    await client.expectClosed();
  });

  it("that its client closes leaves no timer", async () => {
    const bounds = { maxConnectionAgeMs: 60_000, maxConnectionIdleMs: 8_000 };
    const { clock, server, client } = await start(bounds);
    client.end();
    await eventually("it is gone", () => server.sessionCount === 0);
    expect(clock.timerCount).toBe(0);
  });

  it("that is drained for another reason is left to that", async () => {
    const { clock, server, client, finish } = await start({ maxConnectionIdleMs: 8_000 });
    await begin(server, client, 1);
    const closed = server.close(Number.POSITIVE_INFINITY);
    await expectDrain(client, 1);
    clock.advance(100_000);
    finish();
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
    await client.expectClosed();
    await closed;
    expect(clock.timerCount).toBe(0);
  });
});

it("connections of attached servers are their own to bound", async () => {
  const clock = new FakeClock();
  const server = watchServer(new Server({ clock, maxConnectionAgeMs: 10, maxConnections: 1 }));
  server.register("test.Service", { Method: () => {} });
  const http2Server = createHttp2Server();
  server.attach(http2Server);
  await new Promise<void>((resolve) => http2Server.listen(0, "127.0.0.1", resolve));
  closeAtEnd(() => http2Server.close());
  const { port } = http2Server.address() as AddressInfo;
  const clients = [
    await ScriptedClient.connect({ host: "127.0.0.1", port }),
    await ScriptedClient.connect({ host: "127.0.0.1", port }),
  ];
  for (const client of clients) {
    client.send(frames.headers(1, request(PATH), { endStream: true }));
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
  }
  expect([server.sessionCount, clock.timerCount]).toEqual([2, 0]);
});
