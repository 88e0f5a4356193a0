// The end of a server: calls may finish, or are cut off with a status; nothing stays open.

import { AsyncLocalStorage } from "node:async_hooks";
import { connect as connectSocket } from "node:net";
import { describe, expect, it } from "vitest";
import { dial } from "../../src/client/dial.ts";
import { Status } from "../../src/grpc/status.ts";
import { StreamParameters } from "../../src/proxy/director.ts";
import { Server } from "../../src/server/server.ts";
import { formatAddress } from "../../src/transport/address.ts";
import type { ListenerEvents, Session } from "../../src/transport/transport.ts";
import { ErrorCode, errorCodeName } from "../../src/wire/error-code.ts";
import { fieldValue } from "../../src/wire/field.ts";
import { FakeClock } from "../support/clock.ts";
import { transportCombos } from "../support/combos.ts";
import { frames, message, request, response, trailersOnly } from "../support/frames.ts";
import { memoryTransport } from "../support/memory-transport.ts";
import {
  eventually,
  listen,
  PATH,
  scriptedRelay,
  statusOf,
  watchConn,
  watchServer,
} from "../support/relay-fixture.ts";
import { ScriptedClient } from "../support/scripted-endpoints.ts";
import { transportOf } from "../support/transport-of.ts";

describe.each(transportCombos)("Server.close on $server", (combo) => {
  /** A call that waits until it is told to finish. */
  async function start() {
    const clock = new FakeClock();
    let finish = (): void => {};
    const wait = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const { server, address } = await listen(combo, { clock });
    server.register("test.Service", { Method: () => wait });
    const client = await ScriptedClient.connect(address);
    client.send(frames.headers(1, request(PATH), { endStream: true }));
    await eventually("the call is here", () => server.openCallCount === 1);
    return { clock, server, client, address, finish };
  }

  /** Whether `promise` has settled by now. */
  function watch(promise: Promise<unknown>): () => boolean {
    let settled = false;
    void promise.then(() => {
      settled = true;
    });
    return () => settled;
  }

  it("with a grace announces GOAWAY, lets the call finish, then closes", async () => {
    const { server, client, finish, clock } = await start();
    const closed = server.close(10_000);
    const isClosed = watch(closed);
    await client.expectGoAway(ErrorCode.NO_ERROR);
    await client.expectQuiet(1);
    expect(isClosed()).toBe(false);
    finish();
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
    await client.expectClosed();
    await closed;
    expect(server.openCallCount).toBe(0);
    expect(server.sessionCount).toBe(0);
    expect(clock.timerCount).toBe(0);
  });

  it("takes no new connection, and no call after the final GOAWAY", async () => {
    const { server, client, address, finish } = await start();
    const closed = server.close(10_000);
    const first = await client.expectGoAway(ErrorCode.NO_ERROR);
    const last = first.lastStreamId === 0x7fffffff ? await client.expectGoAway() : first;
    expect(last.lastStreamId).toBe(1);
    const refused = await new Promise<NodeJS.ErrnoException>((resolve) => {
      connectSocket(address as { host: string; port: number }).once("error", resolve);
    });
    expect(refused.code).toBe("ECONNREFUSED");
    client.send(frames.headers(3, request(PATH), { endStream: true }));
    await client.sync();
    expect(server.openCallCount).toBe(1);
    finish();
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
    await client.expectClosed();
    await closed;
  });

  it("cuts off every call of every connection, each with its status", async () => {
    const { server, client, address } = await start();
    const other = await ScriptedClient.connect(address);
    client.send(frames.headers(3, request(PATH)), frames.headers(5, request(PATH)).end());
    other.send(frames.headers(1, request(PATH)));
    await eventually("all calls are here", () => server.openCallCount === 4);
    // The clock stands still, so that nothing but the cut-off can end them.
    const closed = server.close();
    for (const [peer, streamId] of [
      [client, 1],
      [client, 3],
      [client, 5],
      [other, 1],
    ] as const) {
      expect(statusOf(await peer.expectTrailers(streamId))).toBe(Status.UNAVAILABLE);
    }
    expect(server.openCallCount).toBe(0);
    await closed;
  });

  it("when the grace is over cuts calls off with UNAVAILABLE", async () => {
    const { server, client, clock } = await start();
    const closed = server.close(5_000);
    clock.advance(4_996);
    await client.expectQuiet(1);
    clock.advance(8);
    const fields = await client.expectTrailers(1);
    expect(statusOf(fields)).toBe(Status.UNAVAILABLE);
    expect(fieldValue(fields, "grpc-message")).toBe("the server is shutting down");
    await client.expectClosed();
    await closed;
  });

  it("without a grace does so at once", async () => {
    const { server, client } = await start();
    const closed = server.close();
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.UNAVAILABLE);
    await client.expectClosed();
    await closed;
  });

  it("a second time with less grace shortens it", async () => {
    const { server, client } = await start();
    const first = server.close(100_000);
    await client.expectGoAway();
    const second = server.close(0);
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.UNAVAILABLE);
    await client.expectClosed();
    await Promise.all([first, second]);
  });

  it("with all the time in the world waits for the call, and sets no timer for it", async () => {
    const { server, client, clock, finish } = await start();
    const before = clock.timerCount;
    const closed = server.close(Number.POSITIVE_INFINITY);
    await client.expectGoAway();
    clock.advance(1_000_000_000);
    await client.expectQuiet(1);
    expect(clock.timerCount).toBe(before);
    finish();
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
    await client.expectClosed();
    await closed;
  });

  it("does not wait for a client that neither reads nor closes", async () => {
    const { server, client, clock } = await start();
    client.pauseReading();
    const closed = server.close();
    const isClosed = watch(closed);
    await eventually("it is closed", () => {
      clock.advance(100);
      return isClosed();
    });
    expect(server.sessionCount).toBe(0);
  });

  it("ends relayed calls with UNAVAILABLE, their backends with RST_STREAM(CANCEL)", async () => {
    const relay = await scriptedRelay(combo, {
      director: (conn) => () => new StreamParameters({ conn }),
    });
    relay.client.send(frames.headers(1, request(PATH)), frames.data(1, message("abc")));
    const { streamId } = await relay.backend.expectRequest(PATH);
    relay.backend.send(frames.headers(streamId, response()));
    await relay.client.expectHeaders(1);
    const closed = relay.server.close();
    expect(statusOf(await relay.client.expectTrailers(1))).toBe(Status.UNAVAILABLE);
    await relay.backend.expectReset(streamId, ErrorCode.CANCEL, { skip: ["DATA"] });
    await closed;
  });

  it("with a grace lets relayed calls finish", async () => {
    const relay = await scriptedRelay(combo);
    relay.client.send(frames.headers(1, request(PATH)), frames.data(1, message("abc")).end());
    const { streamId } = await relay.backend.expectRequest(PATH);
    const closed = relay.server.close(10_000);
    await relay.client.expectGoAway();
    relay.backend.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
    expect(statusOf(await relay.client.expectTrailers(1))).toBe(Status.OK);
    await closed;
  });

  it("resolves at once for a server that never listened, and again", async () => {
    const server = new Server({ transport: combo.server });
    await server.close();
    await server.close(1_000);
  });

  it("is what Symbol.asyncDispose does", async () => {
    const { server, client } = await start();
    const disposed = server[Symbol.asyncDispose]();
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.UNAVAILABLE);
    await client.expectClosed();
    await disposed;
    expect(server.sessionCount).toBe(0);
  });

  it.each([-1, Number.NaN])("throws RangeError for a grace of %d", (graceMs) => {
    expect(() => new Server().close(graceMs)).toThrow(RangeError);
  });
});

describe("Server.close", () => {
  /** A server whose connections are made by hand: they tell what is done to them. */
  async function start() {
    const clock = new FakeClock();
    let events: ListenerEvents | undefined;
    const transport = transportOf("by hand", {
      listen: async (_options, given) => {
        events = given;
        return { address: { path: "by hand" }, setTls: () => {}, close: async () => {} };
      },
    });
    const server = new Server({ transport, clock });
    await server.listen("127.0.0.1:1");
    const connect = () => {
      const log: string[] = [];
      const session: Session = {
        peer: { remoteAddress: "192.0.2.1:1", localAddress: "192.0.2.2:1" },
        openStreamCount: 0,
        nowMs: clock.nowMs(),
        accepting: true,
        drain: () => log.push("drained"),
        destroy: (code, message) => log.push(`destroyed (${errorCodeName(code)}, ${message})`),
        ping: () => {},
      };
      const listener = events!.onSession(session);
      const message = "192.0.2.1:1 is gone";
      return { log, gone: () => listener.onClosed({ kind: "closed", code: 0, message }) };
    };
    return { clock, server, connect };
  }

  const DESTROYED = "destroyed (NO_ERROR, the server is shutting down)";

  it("drains a connection that comes while calls may finish", async () => {
    const { server, connect } = await start();
    const early = connect();
    const closed = server.close(1_000);
    const late = connect();
    expect([early.log, late.log]).toEqual([["drained"], ["drained"]]);
    for (const { gone } of [early, late]) gone();
    await closed;
  });

  it("destroys a connection that comes when calls were cut off, and one that comes when it is closed", async () => {
    const { server, connect } = await start();
    const early = connect();
    const closed = server.close();
    const late = connect();
    expect([early.log, late.log]).toEqual([["drained"], [DESTROYED]]);
    for (const { gone } of [early, late]) gone();
    await closed;
    expect(connect().log).toEqual([DESTROYED]);
  });

  it("destroys what still stands a tenth of a second after the cut-off", async () => {
    const { server, connect, clock } = await start();
    const { log, gone } = connect();
    const closed = server.close(5_000);
    clock.advance(5_004);
    expect(log).toEqual(["drained"]);
    clock.advance(104);
    expect(log).toEqual(["drained", DESTROYED]);
    gone();
    await closed;
    expect(clock.timerCount).toBe(0);
  });

  it("gives no grace any more once calls were cut off", async () => {
    const { server, connect, clock } = await start();
    const { log, gone } = connect();
    const closed = server.close();
    void server.close(100_000);
    clock.advance(104);
    expect(log).toEqual(["drained", DESTROYED]);
    gone();
    await closed;
  });

  it("refuses a call that crosses with GOAWAY after the cut-off, so that it can be sent elsewhere", async () => {
    const methods: string[] = [];
    const server = watchServer(
      new Server({
        clock: new FakeClock(),
        unknownServiceHandler: ({ method }) => void methods.push(method),
      }),
    );
    const client = await ScriptedClient.connect((await server.listen("127.0.0.1:0")).address, {
      ackPings: false,
    });
    const closed = server.close();
    expect((await client.expectGoAway(ErrorCode.NO_ERROR)).lastStreamId).toBe(0x7fffffff);
    client.send(frames.headers(1, request(PATH)).end());
    await client.expectReset(1, ErrorCode.REFUSED_STREAM);
    expect(methods).toEqual([]);
    client.end();
    await closed;
  });

  it("aborts server.draining, so that handlers can finish while the grace lasts", async () => {
    const transport = memoryTransport();
    const server = watchServer(new Server({ transport }));
    const told: unknown[] = [];
    const { draining } = server;
    server.register("test.Service", {
      Method: async ({ context }) => {
        await new Promise((resolve) => server.draining.addEventListener("abort", resolve));
        told.push(context.reason, server.draining.reason);
        throw server.draining.reason;
      },
    });
    const { address } = await server.listen("127.0.0.1:0");
    const call = watchConn(dial(formatAddress(address), { transport })).newStream(PATH);
    const end = call.trailer().catch((error) => error);
    await eventually("the call has come", () => server.openCallCount === 1);
    expect(draining.aborted).toBe(false);
    await server.close(Number.POSITIVE_INFINITY);
    expect(draining.aborted).toBe(true);
    expect(told).toMatchObject([undefined, { status: Status.UNAVAILABLE, reason: "SHUTDOWN" }]);
    expect(await end).toMatchObject({
      status: Status.UNAVAILABLE,
      details: "the server is shutting down",
    });
  });

  it("has aborted server.draining for whoever asks afterwards", async () => {
    const server = new Server();
    const closed = server.close();
    expect(server.draining.reason).toMatchObject({ reason: "SHUTDOWN" });
    await closed;
  });

  it("tells of draining in the async context of who asked first", async () => {
    const server = new Server();
    const storage = new AsyncLocalStorage<string>();
    const told: unknown[] = [];
    storage.run("who asked", () => server.draining);
    server.draining.addEventListener("abort", () => told.push(storage.getStore()));
    await server.close();
    expect(told).toEqual(["who asked"]);
  });

  it("of a closed server sets no timer", async () => {
    const { server, clock } = await start();
    await server.close();
    await server.close(1_000);
    expect(clock.timerCount).toBe(0);
  });
});
