// Fallbacks of a destination: what sends a call on to the next of them, what does not, and what the
// program is told of where it went.

import { describe, expect, it } from "vitest";
import type { ClientConn } from "../../src/client/client-conn.ts";
import { Metadata } from "../../src/grpc/metadata.ts";
import { Status } from "../../src/grpc/status.ts";
import { type Destination, StreamParameters } from "../../src/proxy/director.ts";
import type { CallResult } from "../../src/proxy/results.ts";
import type { CallContext } from "../../src/server/call-context.ts";
import { formatAddress } from "../../src/transport/address.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { FakeClock } from "../support/clock.ts";
import { transportCombos } from "../support/combos.ts";
import { frames, message, request, response, trailersOnly } from "../support/frames.ts";
import { refusingAddress } from "../support/refusing.ts";
import {
  connectTo,
  dialTo,
  eventually,
  listenRelay,
  PATH,
  type ScriptedBackend,
  scriptedBackend,
  statusOf,
} from "../support/relay-fixture.ts";
import { ScriptedClient } from "../support/scripted-endpoints.ts";
import type { ScriptedPeer } from "../support/scripted-peer.ts";

describe.each(transportCombos)("fallbacks, server on $server, client on $client", (combo) => {
  /** Nobody listens there. */
  async function unreachable(): Promise<ClientConn> {
    return dialTo(combo, await refusingAddress());
  }

  interface Relayed {
    readonly client: ScriptedPeer;
    readonly clock: FakeClock;
    readonly results: CallResult[];
  }

  /** A relay whose calls go to `destination`. */
  async function relayTo(
    destination: (ctx: CallContext) => Destination,
    more: (ctx: CallContext) => readonly Destination[] = () => [],
  ): Promise<Relayed> {
    const results: CallResult[] = [];
    const clock = new FakeClock();
    const { address } = await listenRelay(
      combo,
      (ctx) =>
        new StreamParameters(destination(ctx), more(ctx), (result) => void results.push(result)),
      { clock },
    );
    return { client: await ScriptedClient.connect(address), clock, results };
  }

  function ask(client: ScriptedPeer): void {
    client.send(frames.headers(1, request(PATH)), frames.data(1, message("abc")).end());
  }

  /** The call comes to `peer`, whole, and is answered there. */
  async function answer(peer: ScriptedPeer): Promise<void> {
    const { streamId } = await peer.expectRequest(PATH);
    expect(await peer.expectBody(streamId)).toEqual(message("abc"));
    peer.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
  }

  async function refuse(peer: ScriptedPeer): Promise<void> {
    const { streamId } = await peer.expectRequest(PATH);
    await peer.expectBody(streamId);
    peer.send(frames.rst(streamId, ErrorCode.REFUSED_STREAM));
  }

  async function leave(peer: ScriptedPeer): Promise<void> {
    await peer.expectRequest(PATH);
    peer.send(frames.goaway(0, ErrorCode.NO_ERROR));
  }

  describe("the next is asked when the first", () => {
    const ways: readonly (readonly [string, number, (first: ScriptedBackend) => Promise<void>])[] =
      [
        [
          "refuses the stream, and the one after it",
          3,
          async (first) => {
            const peer = await first.peer();
            await refuse(peer);
            await refuse(peer);
          },
        ],
        [
          "goes away below it, and once more",
          3,
          async ({ scripted }) => {
            await leave(await scripted.connection());
            await leave(await scripted.connection());
          },
        ],
        [
          "goes away below it, and cannot be reached again",
          2,
          async ({ scripted }) => {
            const peer = await scripted.connection();
            await peer.expectRequest(PATH);
            void scripted.stopListening();
            peer.send(frames.goaway(0, ErrorCode.NO_ERROR));
          },
        ],
      ];

    it.each(ways)("%s", async (_, attempts, fails) => {
      const first = await scriptedBackend(combo);
      const second = await scriptedBackend(combo);
      const { client, results } = await relayTo(() => ({
        conn: first.conn,
        fallbacks: [second.conn],
      }));
      ask(client);
      await fails(first);
      await answer(await second.peer());
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
      expect(results).toMatchObject([{ status: Status.OK, primary: { attempts } }]);
      expect(results[0]?.primary.conn).toBe(second.conn);
      expect(results[0]?.primary.address).toBe(formatAddress(second.scripted.address));
    });

    it.each<[string, () => Promise<ClientConn>]>([
      ["cannot be reached", unreachable],
      [
        "is closed",
        async () => {
          const conn = await unreachable();
          await conn.close();
          return conn;
        },
      ],
      [
        "lets no more calls wait",
        async () => {
          const { scripted } = await scriptedBackend(combo);
          return dialTo(combo, scripted.address, { maxWaitingCalls: 0 });
        },
      ],
    ])("%s", async (_, makeConn) => {
      const conn = await makeConn();
      const second = await scriptedBackend(combo);
      const { client, results } = await relayTo(() => ({ conn, fallbacks: [second.conn] }));
      ask(client);
      await answer(await second.peer());
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
      expect(results).toMatchObject([{ primary: { attempts: 1 } }]);
      expect(results[0]?.primary.conn).toBe(second.conn);
    });
  });

  describe("the next is not asked when the first", () => {
    type Way = (peer: ScriptedPeer, id: number, client: ScriptedPeer) => void | Promise<void>;
    const ways: readonly (readonly [string, number, Way])[] = [
      [
        "answers UNAVAILABLE",
        Status.UNAVAILABLE,
        (peer, id) => peer.send(frames.headers(id, trailersOnly(14), { endStream: true })),
      ],
      [
        "resets the stream otherwise",
        Status.INTERNAL,
        (peer, id) => peer.send(frames.rst(id, ErrorCode.INTERNAL_ERROR)),
      ],
      ["is lost", Status.UNAVAILABLE, (peer) => peer.destroy()],
      [
        "refuses the stream after it has begun to answer",
        Status.UNAVAILABLE,
        async (peer, id, client) => {
          peer.send(frames.headers(id, response()));
          await client.expectHeaders(1);
          peer.send(frames.rst(id, ErrorCode.REFUSED_STREAM));
        },
      ],
    ];

    it.each(ways)("%s", async (_, status, fails) => {
      const first = await scriptedBackend(combo);
      const second = await scriptedBackend(combo);
      const { client, results } = await relayTo(() => ({
        conn: first.conn,
        fallbacks: [second.conn],
      }));
      ask(client);
      const peer = await first.peer();
      const { streamId } = await peer.expectRequest(PATH);
      await peer.expectBody(streamId);
      await fails(peer, streamId, client);
      expect(statusOf(await client.expectTrailers(1))).toBe(status);
      expect(second.scripted.connectionCount).toBe(0);
      expect(results[0]?.primary.conn).toBe(first.conn);
      expect(results[0]?.primary.address).toBe(formatAddress(first.scripted.address));
    });

    it("refuses the stream after more than what is kept", async () => {
      const first = await scriptedBackend(combo);
      const second = await scriptedBackend(combo);
      const { client } = await relayTo(() => ({ conn: first.conn, fallbacks: [second.conn] }));
      const big = message(Buffer.alloc(60_000));
      client.send(frames.headers(1, request(PATH)));
      for (let at = 0; at < big.length; at += 16_384) {
        client.send(frames.data(1, big.subarray(at, at + 16_384)));
      }
      const peer = await first.peer();
      await refuseAfter(peer, big.length);
      client.send(frames.data(1, message(Buffer.alloc(10_000))));
      await refuseAfter(peer, big.length + 10_005);
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.UNAVAILABLE);
      await client.expectReset(1, ErrorCode.NO_ERROR);
      expect(second.scripted.connectionCount).toBe(0);
    });

    async function refuseAfter(peer: ScriptedPeer, bytes: number): Promise<void> {
      const { streamId } = await peer.expectRequest(PATH);
      await peer.expectBytes(streamId, bytes);
      peer.send(frames.rst(streamId, ErrorCode.REFUSED_STREAM));
    }

    it("cannot be sent the metadata", async () => {
      const first = await scriptedBackend(combo, { settings: { MAX_HEADER_LIST_SIZE: 300 } });
      const second = await scriptedBackend(combo);
      await connectTo(first);
      const { client } = await relayTo((ctx) => ({
        conn: first.conn,
        fallbacks: [second.conn],
        ctx: ctx.withMetadata(Metadata.from({ "x-large": "x".repeat(300) })),
      }));
      ask(client);
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.INTERNAL);
      expect(second.scripted.connectionCount).toBe(0);
    });

    it("fails when the deadline has passed, whose timer is still to fire", async () => {
      const first = await scriptedBackend(combo);
      const second = await scriptedBackend(combo);
      const { client, clock } = await relayTo((ctx) => ({
        conn: first.conn,
        fallbacks: [second.conn],
        ctx: ctx.withTimeout(41),
      }));
      ask(client);
      const peer = await first.peer();
      await refuse(peer);
      const { streamId } = await peer.expectRequest(PATH);
      // Timers fire with their tick of 4 ms.
      clock.advance(41);
      peer.send(frames.rst(streamId, ErrorCode.REFUSED_STREAM));
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.UNAVAILABLE);
      expect(second.scripted.connectionCount).toBe(0);
    });
  });

  it("are asked in their order, each once, and the error of the last is the call's", async () => {
    const conns = await Promise.all([unreachable(), unreachable(), unreachable()]);
    const [conn, ...fallbacks] = conns;
    const told: unknown[] = [];
    const { client, results } = await relayTo(() => ({
      conn: conn as ClientConn,
      fallbacks: [...fallbacks, conn as ClientConn],
      onError: (error, result) => {
        told.push(result.conn, error.message);
        return error;
      },
    }));
    ask(client);
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.UNAVAILABLE);
    expect(told).toHaveLength(2);
    expect(told[0]).toBe(conn);
    expect(told[1]).toContain(`${conn?.target} cannot be reached`);
    expect(conns.map(({ state }) => state)).toEqual(Array(3).fill("transientFailure"));
    expect(results).toMatchObject([{ primary: { attempts: 0, address: undefined } }]);
  });

  it("are gone past with waitForReady, too, and the last is waited for", async () => {
    const clock = new FakeClock();
    const conns = [await unreachable(), dialTo(combo, await refusingAddress(), { clock })];
    const [conn, waited] = conns as [ClientConn, ClientConn];
    const callOptions = { waitForReady: true };
    const { client } = await relayTo(() => ({ conn, fallbacks: [waited], callOptions }));
    ask(client);
    await eventually("the last has failed", () => waited.state === "transientFailure");
    expect([conn.waitingCount, waited.waitingCount]).toEqual([0, 1]);
    client.send(frames.rst(1, ErrorCode.CANCEL));
    await eventually("it waits no more", () => waited.waitingCount === 0);
  });

  it("hold everybody back until one is open, and get the destination's own message", async () => {
    const primary = await scriptedBackend(combo);
    const second = await scriptedBackend(combo);
    const conn = await unreachable();
    const { client } = await relayTo(
      () => ({ conn: primary.conn }),
      () => [{ conn, fallbacks: [second.conn], message: Buffer.from("own") }],
    );
    ask(client);
    const [peer, other] = await Promise.all([primary.peer(), second.peer()]);
    const copy = await other.expectRequest(PATH);
    expect(await other.expectBody(copy.streamId)).toEqual(message("own"));
    other.send(frames.headers(copy.streamId, trailersOnly(0), { endStream: true }));
    await answer(peer);
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
  });
});

it.each([
  [{}, "fallbacks of the primary: expected an array of conns made by dial(), got an object"],
  [
    [undefined],
    "fallbacks of the primary: expected an array of conns made by dial(), got undefined",
  ],
  [["a:1"], 'fallbacks of the primary: expected an array of conns made by dial(), got "a:1"'],
])("fallbacks that are none are refused: %j", (fallbacks, text) => {
  const conn = { open: () => {} } as unknown as ClientConn;
  expect(() => new StreamParameters({ conn, fallbacks: fallbacks as never })).toThrow(text);
});
