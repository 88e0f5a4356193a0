// A conn whose transport, server or owner does what none should: its calls end, it closes, and it
// does not connect in a loop.

import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import { describe, expect, it } from "vitest";
import { dial } from "../../src/client/dial.ts";
import type { GrpcError } from "../../src/grpc/error.ts";
import { Metadata } from "../../src/grpc/metadata.ts";
import { Status } from "../../src/grpc/status.ts";
import type { ConnState } from "../../src/observe/channels.ts";
import type { Stream } from "../../src/transport/transport.ts";
import { closeAtEnd } from "../support/cleanup.ts";
import { eventually, PATH } from "../support/relay-fixture.ts";
import { type StubSession, stubConn } from "../support/stub-session.ts";

function failureOf(promise: Promise<unknown>): Promise<GrpcError> {
  return promise.then(
    () => expect.fail("expected a failure"),
    (error: GrpcError) => error,
  );
}

describe("a conn", () => {
  it("whose transport throws fails its calls as not connected, tries again, and closes", async () => {
    const { conn, clock } = stubConn({}, () => {
      throw new TypeError("what a host name");
    });
    expect(await failureOf(conn.newStream(PATH).trailer())).toMatchObject({
      status: Status.UNAVAILABLE,
      reason: "UPSTREAM_CONNECT",
      details: "the backend cannot be reached",
      message: expect.stringContaining("what a host name"),
    });
    expect(conn.state).toBe("transientFailure");
    clock.advance(1_004);
    expect(conn.state).toBe("idle");
    await conn.close();
  });

  it("whose server goes away before it took a call waits for the backoff, and fails the call", async () => {
    const { conn, sessions, clock } = stubConn();
    const failure = failureOf(conn.newStream(PATH).trailer());
    const patient = conn.newStream(PATH, { waitForReady: true });
    sessions[0]?.listener.onGoAway(0, 0, "");
    sessions[0]?.closed();
    expect(await failure).toMatchObject({ status: Status.UNAVAILABLE, retry: "safe" });
    expect([conn.state, sessions.length]).toEqual(["transientFailure", 1]);
    clock.advance(1_004);
    expect([conn.state, sessions.length, conn.waitingCount]).toEqual(["connecting", 2, 1]);
    patient.cancel();
    await conn.close();
  });

  it("keeps 100 sessions that drain, and ends for another one that has answered nothing, or the oldest", async () => {
    const { conn, sessions } = stubConn();
    const ended: number[] = [];
    /** A call on a session of its own, which the server then ends without ending the call. */
    const drain = (answered: boolean): void => {
      const call = conn.newStream(PATH);
      call.trailer().catch(() => undefined);
      const index = sessions.length - 1;
      const session = sessions[index] as StubSession;
      session.becomeReady();
      session.answered = answered;
      session.openStreamCount = 1;
      session.destroy = () => {
        ended.push(index);
        session.openStreamCount = 0;
        session.closed();
      };
      session.listener.onGoAway(1, 0, "");
    };
    for (let i = 0; i < 100; i++) drain(i !== 70);
    expect([ended, conn.openStreamCount]).toEqual([[], 100]);
    drain(true);
    expect([ended, conn.openStreamCount]).toEqual([[70], 100]);
    drain(true);
    drain(true);
    expect([ended, conn.openStreamCount]).toEqual([[70, 0, 1], 100]);
    await conn.close();
    expect(conn.openStreamCount).toBe(0);
  });

  it("connects at once after GOAWAY on sessions that stood for longer than the wait, with calls or without", async () => {
    const { conn, sessions, clock } = stubConn();
    const open = (): StubSession => {
      conn.connect();
      const session = sessions.at(-1) as StubSession;
      session.becomeReady();
      return session;
    };
    for (let i = 0; i < 5; i++) {
      const session = open();
      clock.advance(10_000);
      session.listener.onGoAway(0, 0, "");
    }
    expect([conn.state, sessions.length]).toEqual(["idle", 5]);
    for (let i = 0; i < 20; i++) {
      const session = open();
      conn
        .newStream(PATH)
        .trailer()
        .catch(() => undefined);
      clock.advance(10_000);
      session.listener.onGoAway(0, 0, "");
    }
    expect([conn.state, sessions.length]).toEqual(["idle", 25]);
    await conn.close();
  });

  it("connects at once after sessions that were lost with a call, whatever went away unanswered before", async () => {
    const { conn, sessions, clock } = stubConn();
    const callOnNext = (): StubSession => {
      conn
        .newStream(PATH)
        .trailer()
        .catch(() => undefined);
      const session = sessions.at(-1) as StubSession;
      session.becomeReady();
      return session;
    };
    callOnNext().listener.onGoAway(1, 0, "");
    for (let i = 0; i < 5; i++) callOnNext().closed();
    // The look for idle sessions has seen that call.
    const looked = callOnNext();
    clock.advance(600_000);
    looked.closed();
    callOnNext().listener.onGoAway(1, 0, "");
    conn.connect();
    expect([conn.state, sessions.length]).toEqual(["connecting", 9]);
    await conn.close();
  });

  it.each([
    ["GOAWAY and loss", (at: number) => at % 2 === 0],
    ["loss alone", () => false],
    ["GOAWAY alone", () => true],
  ])(
    "does not connect in a loop to a server that ends each session after its SETTINGS: %s",
    async (_, saysGoAway) => {
      const { conn, sessions, clock } = stubConn({ balancing: "roundRobin" });
      let served = 0;
      /** The server ends all sessions that stand. */
      const end = (): void => {
        for (; served < sessions.length; served++) {
          const session = sessions[served] as StubSession;
          session.becomeReady();
          if (saysGoAway(served)) session.listener.onGoAway(0, 0, "");
          else session.closed();
        }
      };
      conn.connect();
      end();
      expect([conn.state, sessions.length]).toEqual(["transientFailure", 2]);
      for (const waitMs of [1_000, 1_600, 2_560]) {
        clock.advance(waitMs - 16);
        expect(conn.state).toBe("transientFailure");
        clock.advance(20);
        expect(conn.state).toBe("connecting");
        end();
      }
      expect(sessions).toHaveLength(5);
      clock.advance(4_104);
      const worked = sessions[5] as StubSession;
      worked.becomeReady();
      worked.answered = true;
      worked.closed();
      expect([conn.state, sessions.length]).toEqual(["connecting", 7]);
      sessions[6]?.closed();
      clock.advance(1_004);
      expect(sessions).toHaveLength(8);
      await conn.close();
    },
  );

  it("counts the wait after sessions that went away unanswered from when the last was begun", async () => {
    const { conn, sessions, clock } = stubConn();
    const goAway = (): void => {
      conn.newStream(PATH, { waitForReady: true }).cancel();
      conn.connect();
      const session = sessions.at(-1) as StubSession;
      session.becomeReady();
      conn.newStream(PATH).cancel();
      clock.advance(400);
      session.listener.onGoAway(1, 0, "");
    };
    goAway();
    goAway();
    conn.connect();
    expect(conn.state).toBe("transientFailure");
    clock.advance(592);
    expect(conn.state).toBe("transientFailure");
    clock.advance(16);
    expect([conn.state, sessions.length]).toEqual(["idle", 2]);
    await conn.close();
  });

  it("is closed when the last of its sessions is", async () => {
    const { conn, sessions } = stubConn();
    for (const index of [0, 1]) {
      conn.connect();
      sessions[index]?.becomeReady();
      if (index === 0) sessions[0]?.listener.onGoAway(1, 0, "");
    }
    let isClosed = false;
    const closed = conn.close(Number.POSITIVE_INFINITY).then(() => {
      isClosed = true;
    });
    sessions[1]?.closed();
    await new Promise(setImmediate);
    expect(isClosed).toBe(false);
    sessions[0]?.closed();
    await closed;
  });

  it("leaves a session that has used up its stream ids", async () => {
    const { conn, sessions } = stubConn();
    const calls = [conn.newStream(PATH)];
    sessions[0]?.becomeReady();
    const [first] = sessions as [StubSession];
    first.openStream = (_headers, _end, listener) => {
      first.accepting = false;
      first.isBlocked = true;
      first.opened.push(listener);
      return { reset: () => {}, queuedBytes: 0 } as unknown as Stream;
    };
    calls.push(conn.newStream(PATH));
    expect([first.drained, conn.state]).toEqual([1, "idle"]);
    calls.push(conn.newStream(PATH));
    expect(sessions).toHaveLength(2);
    sessions[1]?.becomeReady();
    expect(sessions[1]?.opened).toHaveLength(1);
    for (const call of calls) call.cancel();
    await conn.close();
  });

  it("leaves a session on which much was reset before its server ends it, calls under way finish there", async () => {
    const { conn, sessions, clock } = stubConn();
    const last = conn.newStream(PATH);
    const [first] = sessions as [StubSession];
    first.becomeReady();
    const cancelSome = (count: number): void => {
      for (let i = 0; i < count; i++) conn.newStream(PATH).cancel();
    };
    cancelSome(499);
    // 25 more in a second, and the one that is too many.
    clock.advance(1_000);
    cancelSome(25);
    expect([first.drained, conn.state]).toEqual([0, "ready"]);
    cancelSome(1);
    expect([first.drained, conn.state]).toEqual([1, "idle"]);
    last.cancel();
    conn.newStream(PATH).cancel();
    expect([first.drained, sessions.length]).toEqual([1, 2]);
    sessions[1]?.becomeReady();
    cancelSome(498);
    expect([sessions[1]?.drained, conn.state]).toEqual([0, "ready"]);
    await conn.close();
  });

  it("whose transport tells of a session before it has given it waits for that, and drains it where it was closed", async () => {
    const refused: unknown[] = [];
    const take = (event: unknown): void => void refused.push(event);
    subscribe("grpc-relay:refused", take);
    closeAtEnd(() => unsubscribe("grpc-relay:refused", take));
    const counts: number[] = [];
    let closed: Promise<void> | undefined;
    const { conn, sessions } = stubConn({}, (listener) => {
      counts.push(conn.openStreamCount);
      listener.onRefused({ scope: "connection", streamId: 0, rule: "not yet", limit: undefined });
      listener.onAvailable();
      closed = conn.close();
    });
    conn.connect();
    expect([counts, conn.state, sessions.map(({ drained }) => drained)]).toEqual([
      [0],
      "shutdown",
      [1],
    ]);
    expect(refused).toMatchObject([{ side: "upstream", peer: conn.target, rule: "not yet" }]);
    sessions[0]?.closed();
    await closed;
  });

  it("whose session is lost while a call is opened on it is idle", async () => {
    const { conn, sessions } = stubConn();
    const told: unknown[] = [];
    conn.onState((state, error, reason) => told.push([state, error?.message, reason]));
    conn.connect();
    const [session] = sessions as [StubSession];
    session.becomeReady();
    const { openStream } = session;
    session.openStream = (...parts) => {
      session.accepting = false;
      session.closed();
      return openStream.apply(session, parts);
    };
    const call = conn.newStream(PATH);
    expect(told.slice(2)).toEqual([
      ["idle", "UNAVAILABLE: upstream 127.0.0.1:1 is lost: stub closed", "stub closed"],
    ]);
    call.cancel();
    await conn.close();
  });

  it("ends a call once that a listener ends, too, because its reset was one too many", async () => {
    const { conn, sessions } = stubConn();
    const call = conn.newStream(PATH);
    sessions[0]?.becomeReady();
    for (let i = 0; i < 499; i++) conn.newStream(PATH).cancel();
    conn.onState((state) => {
      if (state === "idle") call.cancel("by the listener");
    });
    call.cancel("by its owner");
    expect(conn.state).toBe("idle");
    expect(await failureOf(call.trailer())).toMatchObject({ details: "by its owner" });
    await conn.close();
  });

  it("fails one call alone whose metadata is none", async () => {
    const { conn, sessions } = stubConn();
    const metadata = new Metadata();
    metadata.toFields = () => {
      throw new TypeError("no fields");
    };
    const call = conn.newStream(PATH, { metadata });
    sessions[0]?.becomeReady();
    expect(await failureOf(call.trailer())).toMatchObject({
      status: Status.INTERNAL,
      reason: "INVALID_METADATA",
    });
    expect(conn.state).toBe("ready");
    await conn.close();
  });
});

describe("a listener of onState", () => {
  it("may close the conn while it begins to connect", async () => {
    let closed: Promise<void> | undefined;
    const { conn, sessions } = stubConn();
    conn.onState((state) => {
      if (state === "connecting") closed = conn.close();
    });
    const failure = failureOf(conn.newStream(PATH).trailer());
    await closed;
    expect(await failure).toMatchObject({ reason: "CONN_CLOSED" });
    expect(sessions).toHaveLength(0);
  });

  it("may connect at once when the conn becomes idle, and one connection is made", async () => {
    const { conn, sessions } = stubConn();
    conn.onState((state) => {
      if (state === "idle") conn.connect();
    });
    const call = conn.newStream(PATH);
    sessions[0]?.becomeReady();
    const [first] = sessions as [StubSession];
    first.isBlocked = true;
    const waiting = conn.newStream(PATH);
    first.listener.onGoAway(1, 0, "");
    expect([conn.state, sessions.length]).toEqual(["connecting", 2]);
    first.closed();
    call.cancel();
    waiting.cancel();
    await conn.close();
  });

  it("that throws is warned of and changes nothing", async () => {
    const states: ConnState[] = [];
    const warned = once(process, "warning");
    const { conn, sessions } = stubConn();
    conn.onState((state) => {
      if (state === "connecting") throw new Error("mine");
    });
    conn.onState((state) => states.push(state));
    conn.connect();
    expect((await warned)[0].message).toBe("a listener of onState must not throw");
    sessions[0]?.becomeReady();
    await eventually("it is ready", () => conn.state === "ready");
    await conn.close();
    expect(states).toEqual(["connecting", "ready", "shutdown"]);
  });
});

it.each([
  [
    () => dial(50051 as never),
    "target: expected HOST:PORT, [IPV6]:PORT or unix:PATH, an array of such, or a Resolver, got 50051",
  ],
  [() => dial("a:1", null as never), "options of dial: expected an object, got null"],
  [() => dial("a:1", { authority: "a b" }), 'authority: expected HOST or HOST:PORT, got "a b"'],
  [
    () => dial("a:1", { connectTimeoutMs: "5" as never }),
    'connectTimeoutMs: expected a number above 0, got "5"',
  ],
  [() => dial("a:1", { backoff: { initial: 5 } as never }), "backoff: expected one of initialMs"],
  [() => dial("a:1").onState(5 as never), "onState: expected a function, got 5"],
  [
    () => dial("a:1", { transport: {} as never }),
    'transport: expected "engine", "node" or an engineTransport(), got an object',
  ],
  [() => dial("a:1", { tls: null as never }), "tls: expected an object, got null"],
  [() => dial("a:1", { tls: { cert: "x", key: "y" } }), "tls: expected certificates, keys"],
  [() => dial("a:1", { tls: { servername: "b" } as never }), "tls: expected the option serverName"],
  [
    () => dial("a:1", { tls: { serverName: 5 as never } }),
    "tls.serverName: expected a string, got 5",
  ],
])("dial refuses what it cannot use: %#", (act, message) => {
  expect(act).toThrow(message);
});

it.each([
  [{ timeoutMs: "5" as never }, 'timeoutMs: expected a number from 0 up, got "5"'],
  [{ metadata: { a: "b" } as never }, "call option metadata: expected a Metadata, got an object"],
  [{ signal: {} as never }, "call option signal: expected an AbortSignal, got an object"],
  [{ authority: 5 as never }, "call option authority: expected HOST or HOST:PORT, got 5"],
  [{ hashKey: 5 as never }, "call option hashKey: expected a string, got 5"],
  [{ fairnessKey: 5 as never }, "call option fairnessKey: expected a string or an object, got 5"],
  [
    { fairnessKey: null as never },
    "call option fairnessKey: expected a string or an object, got null",
  ],
  [5 as never, "call options: expected an object, got 5"],
])("newStream refuses options it cannot use: %#", async (options, message) => {
  const { conn } = stubConn();
  expect(() => conn.newStream(PATH, options)).toThrow(message);
  conn.newStream(PATH, { timeoutMs: undefined as never, authority: "" }).cancel();
  await conn.close();
});
