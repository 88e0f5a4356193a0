// A connection that comes and goes, without sockets and on a clock that the test moves.

import { describe, expect, it } from "vitest";
import { dial } from "../../src/client/dial.ts";
import type { DialOptions } from "../../src/client/dial-options.ts";
import type { GrpcError } from "../../src/grpc/error.ts";
import type { Frame } from "../../src/grpc/frame.ts";
import { Status } from "../../src/grpc/status.ts";
import type { ConnState } from "../../src/observe/channels.ts";
import { Server, type ServerOptions } from "../../src/server/server.ts";
import { formatAddress } from "../../src/transport/address.ts";
import { closeAtEnd } from "../support/cleanup.ts";
import { FakeClock } from "../support/clock.ts";
import { memoryTransport } from "../support/memory-transport.ts";
import { eventually, PATH, watchConn, watchServer } from "../support/relay-fixture.ts";

const BACKOFF_MS = 1_000;

function setUp() {
  const clock = new FakeClock();
  const transport = memoryTransport();
  const { network } = transport;
  const states: ConnState[] = [];
  // Registered first, so it runs last.
  closeAtEnd(() => {
    expect(clock.timerCount).toBe(0);
    expect(network.sessions.size).toBe(0);
  });

  async function serve(address = "127.0.0.1:0", options: ServerOptions = {}) {
    const server = watchServer(new Server({ transport, clock, ...options }));
    const waiting: (() => void)[] = [];
    server.register("test.Service", {
      Method: async (stream) => {
        const first = await stream.recvMessage();
        if (first !== undefined) await stream.sendMessage(first);
      },
      Wait: () => new Promise<void>((resolve) => waiting.push(resolve)),
    });
    const finish = (): void => {
      for (const resolve of waiting.splice(0)) resolve();
    };
    return {
      server,
      waiting,
      finish,
      target: formatAddress((await server.listen(address)).address),
    };
  }

  function dialMemory(target: string, options: DialOptions = {}) {
    const conn = dial(target, { transport, clock, random: () => 0.5, ...options });
    conn.onState((state) => states.push(state));
    return watchConn(conn);
  }

  return { clock, network, states, serve, dialMemory };
}

type Conn = ReturnType<ReturnType<typeof setUp>["dialMemory"]>;

async function echo(conn: Conn, text = "hello", options = {}): Promise<string> {
  const stream = conn.newStream<Buffer, Frame>(PATH, options);
  void stream.sendMessage(Buffer.from(text));
  stream.closeSend();
  const reply = await stream.recvMessage();
  await stream.trailer();
  return `${reply?.payload}`;
}

function failureOf(promise: Promise<unknown>): Promise<GrpcError> {
  return promise.then(
    () => {
      throw new Error("expected a failure");
    },
    (error: GrpcError) => error,
  );
}

describe("ClientConn", () => {
  it("connects when the first call wants it, and keeps the connection", async () => {
    const { serve, dialMemory, states } = setUp();
    const { target, server } = await serve();
    const conn = dialMemory(target);
    expect(conn.state).toBe("idle");
    expect(server.sessionCount).toBe(0);
    expect(await echo(conn)).toBe("hello");
    expect(await echo(conn, "again")).toBe("again");
    expect(server.sessionCount).toBe(1);
    expect(states).toEqual(["connecting", "ready"]);
  });

  it("connects before that when it is told to", async () => {
    const { serve, dialMemory, states } = setUp();
    const { target } = await serve();
    const conn = dialMemory(target);
    conn.connect();
    conn.connect();
    await eventually("it is ready", () => conn.state === "ready");
    expect(states).toEqual(["connecting", "ready"]);
  });

  it("connects again at once after it was lost, with the next call", async () => {
    const { serve, dialMemory, network, states } = setUp();
    const { target } = await serve();
    const conn = dialMemory(target);
    await echo(conn);
    network.cut([...network.sessions][0]!);
    await eventually("it knows", () => conn.state === "idle");
    expect(await echo(conn)).toBe("hello");
    expect(states).toEqual(["connecting", "ready", "idle", "connecting", "ready"]);
  });

  it("tells calls under way of the loss with UNAVAILABLE", async () => {
    const { serve, dialMemory, network } = setUp();
    const { target, waiting, finish } = await serve();
    const conn = dialMemory(target);
    const stream = conn.newStream("/test.Service/Wait");
    await eventually("it is under way", () => waiting.length === 1);
    network.cut([...network.sessions][0]!);
    expect(await failureOf(stream.trailer())).toMatchObject({
      status: Status.UNAVAILABLE,
      reason: "UPSTREAM_SESSION",
      retry: "never",
    });
    finish();
  });

  it("that is lost while calls wait for room is made again for them", async () => {
    const { serve, dialMemory, network } = setUp();
    const { target, waiting, finish } = await serve("127.0.0.1:0", { maxConcurrentStreams: 1 });
    const conn = dialMemory(target, { maxConnectionsPerAddress: 1 });
    const under = failureOf(conn.newStream("/test.Service/Wait").trailer());
    await eventually("it is under way", () => waiting.length === 1);
    const queued = [echo(conn, "a"), echo(conn, "b")];
    network.cut([...network.sessions][0]!);
    expect(await under).toMatchObject({ status: Status.UNAVAILABLE });
    expect(await Promise.all(queued)).toEqual(["a", "b"]);
    finish();
  });

  describe("that cannot be made", () => {
    it("fails the calls that wait for it with UNAVAILABLE, safe to retry, and those that come then at once", async () => {
      const { dialMemory, clock, states } = setUp();
      const conn = dialMemory("127.0.0.1:1");
      const calls = [echo(conn), echo(conn)].map(failureOf);
      for (const error of await Promise.all(calls)) {
        expect(error).toMatchObject({
          status: Status.UNAVAILABLE,
          reason: "UPSTREAM_CONNECT",
          retry: "safe",
        });
        expect(error.message).toContain("connection refused");
      }
      expect(conn.state).toBe("transientFailure");
      expect(await failureOf(echo(conn))).toMatchObject({ reason: "UPSTREAM_CONNECT" });
      expect(states).toEqual(["connecting", "transientFailure"]);
      clock.advance(BACKOFF_MS + 4);
      expect(conn.state).toBe("idle");
    });

    it("is tried again after 1 s, 1.6 s, 2.56 s while a call waits, and after success from the start", async () => {
      const { dialMemory, clock, serve, network, states } = setUp();
      const { target, server } = await serve();
      await server.close();
      const conn = dialMemory(target);
      const call = echo(conn, "patient", { waitForReady: true });
      await eventually("it failed", () => conn.state === "transientFailure");
      const waits: number[] = [];
      for (let i = 0; i < 3; i++) {
        let waited = 0;
        for (; conn.state === "transientFailure"; waited += 4) clock.advance(4);
        waits.push(waited);
        if (i === 2) await serve(target);
        await eventually("it was tried", () => conn.state !== "connecting");
      }
      expect(waits).toEqual([1_000, 1_600, 2_560].map((ms) => Math.ceil(ms / 4) * 4));
      expect(await call).toBe("patient");
      expect(states.filter((state) => state === "ready")).toHaveLength(1);
      // From the start again.
      network.unlisten({ host: "127.0.0.1", port: Number(target.split(":")[1]) });
      network.cut([...network.sessions][0]!);
      expect(await failureOf(echo(conn))).toMatchObject({ status: Status.UNAVAILABLE });
      clock.advance(996);
      expect(conn.state).toBe("transientFailure");
      clock.advance(8);
      expect(conn.state).toBe("idle");
    });

    it("spreads the waits by its source of jitter", async () => {
      const { dialMemory, clock } = setUp();
      const conn = dialMemory("127.0.0.1:1", { random: () => 0 });
      await failureOf(echo(conn));
      clock.advance(796);
      expect(conn.state).toBe("transientFailure");
      clock.advance(8);
      expect(conn.state).toBe("idle");
    });

    it("keeps a call with waitForReady until its own deadline", async () => {
      const { dialMemory, clock } = setUp();
      const conn = dialMemory("127.0.0.1:1");
      const call = failureOf(echo(conn, "x", { waitForReady: true, timeoutMs: 500 }));
      await eventually("it failed", () => conn.state === "transientFailure");
      const later = failureOf(echo(conn, "x", { waitForReady: true, timeoutMs: 500 }));
      expect(conn.waitingCount).toBe(2);
      clock.advance(504);
      expect(await later).toMatchObject({ status: Status.DEADLINE_EXCEEDED });
      expect(await call).toMatchObject({ status: Status.DEADLINE_EXCEEDED });
      expect(conn.waitingCount).toBe(0);
      clock.advance(500);
      expect(conn.state).toBe("idle");
    });

    it("because nobody answers, is given up after connectTimeoutMs", async () => {
      const { dialMemory, clock, network } = setUp();
      network.silence({ host: "127.0.0.1", port: 7 });
      const conn = dialMemory("127.0.0.1:7", { connectTimeoutMs: 300 });
      const call = failureOf(echo(conn));
      await eventually("it is at it", () => clock.timerCount > 0);
      clock.advance(296);
      expect(conn.state).toBe("connecting");
      clock.advance(8);
      expect(await call).toMatchObject({ status: Status.UNAVAILABLE, reason: "UPSTREAM_CONNECT" });
      clock.advance(BACKOFF_MS);
    });
  });

  describe("with one connection at the backend's MAX_CONCURRENT_STREAMS", () => {
    const one = { maxConnectionsPerAddress: 1 };

    it("of 1, ten calls at once all succeed, one after the other", async () => {
      const { serve, dialMemory } = setUp();
      const { target, server } = await serve("127.0.0.1:0", { maxConcurrentStreams: 1 });
      const conn = dialMemory(target, one);
      const texts = Array.from({ length: 10 }, (_, i) => `call ${i}`);
      expect(await Promise.all(texts.map((text) => echo(conn, text)))).toEqual(texts);
      expect(server.sessionCount).toBe(1);
    });

    it("opens waiting calls in order of arrival", async () => {
      const { serve, dialMemory } = setUp();
      const { target } = await serve("127.0.0.1:0", { maxConcurrentStreams: 1 });
      const conn = dialMemory(target, one);
      const order: number[] = [];
      await Promise.all([0, 1, 2, 3].map((i) => echo(conn).then(() => order.push(i))));
      expect(order).toEqual([0, 1, 2, 3]);
    });

    it("no more calls wait than allowed: the next fails at once, safe to retry", async () => {
      const { serve, dialMemory } = setUp();
      const { target, waiting, finish } = await serve("127.0.0.1:0", { maxConcurrentStreams: 1 });
      const conn = dialMemory(target, { maxWaitingCalls: 2, ...one });
      const under = conn.newStream("/test.Service/Wait");
      await eventually("it is under way", () => waiting.length === 1);
      const queued = [echo(conn), echo(conn)];
      expect(conn.waitingCount).toBe(2);
      expect(await failureOf(echo(conn))).toMatchObject({
        status: Status.UNAVAILABLE,
        reason: "QUEUE_FULL",
        retry: "safe",
      });
      finish();
      await under.trailer();
      expect(await Promise.all(queued)).toEqual(["hello", "hello"]);
    });

    it("a call that is cancelled while it waits is forgotten; those behind it move up", async () => {
      const { serve, dialMemory } = setUp();
      const { target, waiting, finish } = await serve("127.0.0.1:0", { maxConcurrentStreams: 1 });
      const conn = dialMemory(target, one);
      const under = conn.newStream("/test.Service/Wait");
      await eventually("it is under way", () => waiting.length === 1);
      const abandoned = conn.newStream(PATH);
      const behind = echo(conn);
      abandoned.cancel();
      expect(conn.waitingCount).toBe(1);
      await expect(abandoned.trailer()).rejects.toMatchObject({ status: Status.CANCELLED });
      finish();
      await under.trailer();
      expect(await behind).toBe("hello");
    });
  });

  it("GOAWAY moves new calls to a new connection; those under way finish on the old one", async () => {
    const { serve, dialMemory } = setUp();
    const first = await serve();
    const conn = dialMemory(first.target);
    const under = conn.newStream("/test.Service/Wait");
    await eventually("it is under way", () => first.waiting.length === 1);
    const closed = first.server.close(60_000);
    await eventually("it is left", () => conn.state === "idle");
    const second = await serve(first.target);
    expect(await echo(conn)).toBe("hello");
    expect(second.server.sessionCount).toBe(1);
    expect(conn.openStreamCount).toBe(1);
    first.finish();
    await under.trailer();
    await closed;
  });

  describe("close", () => {
    it("fails what waits and what comes, ends what is under way, and resolves when all is gone", async () => {
      const { serve, dialMemory, states } = setUp();
      const { target, waiting, finish } = await serve("127.0.0.1:0", { maxConcurrentStreams: 1 });
      const conn = dialMemory(target);
      const under = failureOf(conn.newStream("/test.Service/Wait").trailer());
      await eventually("it is under way", () => waiting.length === 1);
      const queued = failureOf(echo(conn));
      const closed = conn.close();
      expect(await queued).toMatchObject({ status: Status.UNAVAILABLE, reason: "CONN_CLOSED" });
      expect(await failureOf(echo(conn))).toMatchObject({ reason: "CONN_CLOSED", retry: "safe" });
      expect(await under).toMatchObject({ status: Status.UNAVAILABLE });
      await closed;
      await conn.close();
      expect(states.at(-1)).toBe("shutdown");
      finish();
    });

    it.each([5_000, Number.POSITIVE_INFINITY])(
      "with a grace of %d ms lets calls under way finish",
      async (graceMs) => {
        const { serve, dialMemory } = setUp();
        const { target, waiting, finish } = await serve();
        const conn = dialMemory(target);
        const under = conn.newStream("/test.Service/Wait");
        await eventually("it is under way", () => waiting.length === 1);
        const closed = conn.close(graceMs);
        expect(await failureOf(echo(conn))).toMatchObject({ reason: "CONN_CLOSED" });
        finish();
        await under.trailer();
        await closed;
      },
    );

    it("after the grace ends them", async () => {
      const { serve, dialMemory, clock } = setUp();
      const { target, waiting, finish } = await serve();
      const conn = dialMemory(target);
      const under = failureOf(conn.newStream("/test.Service/Wait").trailer());
      await eventually("it is under way", () => waiting.length === 1);
      const closed = conn.close(5_000);
      clock.advance(5_004);
      expect(await under).toMatchObject({ status: Status.UNAVAILABLE });
      await closed;
      finish();
    });

    it("while it connects gives that up", async () => {
      const { dialMemory, network } = setUp();
      network.silence({ host: "127.0.0.1", port: 7 });
      const conn = dialMemory("127.0.0.1:7");
      const call = failureOf(echo(conn));
      await conn.close(1_000);
      expect(await call).toMatchObject({ reason: "CONN_CLOSED" });
    });

    it("while it waits to try again stops trying", async () => {
      const { dialMemory, clock, states } = setUp();
      const conn = dialMemory("127.0.0.1:1");
      const call = failureOf(echo(conn, "x", { waitForReady: true }));
      await eventually("it failed", () => conn.state === "transientFailure");
      await conn.close();
      expect(await call).toMatchObject({ reason: "CONN_CLOSED" });
      expect(clock.timerCount).toBe(0);
      expect(states).toEqual(["connecting", "transientFailure", "shutdown"]);
    });

    it("is what `await using` does at the end of its block", async () => {
      const { serve, dialMemory } = setUp();
      const { target } = await serve();
      const conn = dialMemory(target);
      await echo(conn);
      await conn[Symbol.asyncDispose]();
      expect(conn.state).toBe("shutdown");
    });

    it.each([-1, Number.NaN])("throws RangeError for a grace of %d", (graceMs) => {
      expect(() => dial("backend.test:1").close(graceMs)).toThrow(RangeError);
    });
  });
});
