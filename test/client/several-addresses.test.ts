// A connection to several addresses, of stubs: which of them calls wait for and go to, and what is
// told of it.

import { describe, expect, it } from "vitest";
import type { ClientStream } from "../../src/client/client-stream.ts";
import type { DialOptions } from "../../src/client/dial-options.ts";
import type { DialTarget } from "../../src/client/target.ts";
import type { GrpcError } from "../../src/grpc/error.ts";
import { Status } from "../../src/grpc/status.ts";
import { closeAtEnd } from "../support/cleanup.ts";
import { PATH } from "../support/relay-fixture.ts";
import { type StubConn, type StubSession, stubConn } from "../support/stub-session.ts";

const A = "10.0.0.1:1";
const B = "10.0.0.2:1";
const C = "10.0.0.3:1";

interface Several extends StubConn {
  /** The latest session to an address. */
  at(address: string): StubSession;
  /** A call, whose failure is `failureOf(call)`. */
  call(options?: object): ClientStream;
  readonly states: string[];
}

function several(target: DialTarget, options: DialOptions = {}): Several {
  const stub = stubConn(options, undefined, target);
  const { conn, sessions } = stub;
  const states: string[] = [];
  conn.onState((state, _error, reason) => states.push(`${state}: ${reason}`));
  closeAtEnd(async () => {
    await conn.close();
    expect([stub.clock.timerCount, conn.openStreamCount, conn.addresses]).toEqual([0, 0, []]);
  });
  return {
    ...stub,
    states,
    at: (address) => sessions.findLast((each) => each.address === address)!,
    call: (callOptions = {}) => {
      const call = conn.newStream(PATH, callOptions);
      call.trailer().catch(() => undefined);
      return call;
    },
  };
}

function failureOf(call: ClientStream): Promise<GrpcError> {
  return call.trailer().then(
    () => expect.fail("expected a failure"),
    (error: GrpcError) => error,
  );
}

const addressesOf = (sessions: readonly StubSession[]): string[] =>
  sessions.map(({ address }) => address);

describe("a conn to several addresses", () => {
  it("has them idle before the first call", () => {
    const { conn, sessions } = several([A, { address: B, weight: 3 }]);
    expect([conn.state, sessions.length]).toEqual(["idle", 0]);
    expect(conn.addresses).toEqual([
      {
        ...{ address: A, state: "idle", reason: "nobody has asked for it yet", error: undefined },
        ...{ weight: 1, sessionCount: 0, openStreamCount: 0, room: 0, waitsFor: "connection" },
      },
      expect.objectContaining({ address: B, weight: 3 }),
    ]);
  });

  it("tries one after the other, and is ready with the first that is; others are let go", () => {
    const { conn, sessions, at, call, clock, states } = several([A, B, C]);
    call();
    clock.advance(252);
    expect(addressesOf(sessions)).toEqual([A, B]);
    at(A).closed();
    at(B).becomeReady();
    expect(at(B).opened).toHaveLength(1);
    expect(conn.addresses).toMatchObject([
      { state: "idle", reason: "another address is used", waitsFor: "connection" },
      { state: "ready", reason: "the server has sent its SETTINGS", waitsFor: undefined },
      { state: "idle" },
    ]);
    expect(states).toEqual([
      `connecting: ${A}: a call wants it`,
      `ready: ${B}: the server has sent its SETTINGS`,
    ]);
  });

  it("gives up what is still connecting when another one is ready", () => {
    const { sessions, at, call, clock } = several([A, B]);
    call();
    clock.advance(252);
    at(B).becomeReady();
    expect([addressesOf(sessions), at(A).drained]).toEqual([[A, B], 1]);
    at(A).closed();
  });

  it("fails calls when all have failed, naming the last; until then they wait", async () => {
    const { conn, at, call, states } = several([A, B]);
    const calls = [call(), call()];
    at(A).closed();
    expect([conn.state, conn.waitingCount]).toEqual(["connecting", 2]);
    at(B).closed();
    for (const each of calls) {
      expect(await failureOf(each)).toMatchObject({
        status: Status.UNAVAILABLE,
        reason: "UPSTREAM_CONNECT",
        retry: "safe",
        details: "the backend cannot be reached",
        message: expect.stringMatching(
          /upstream 10\.0\.0\.1:1,10\.0\.0\.2:1 cannot be reached: all 2 addresses failed, at last .*10\.0\.0\.2:1/,
        ),
      });
    }
    expect(await failureOf(call())).toMatchObject({ reason: "UPSTREAM_CONNECT" });
    expect(conn.addresses).toMatchObject([
      { waitsFor: "backoff", error: { reason: "UPSTREAM_CONNECT" } },
      { waitsFor: "backoff" },
    ]);
    expect(states.at(-1)).toBe(`transientFailure: ${B}: stub closed`);
  });

  it("stays in transientFailure while it tries again for calls that wait, until one is ready", async () => {
    const { conn, sessions, at, call, clock, states } = several([A, B]);
    call({ waitForReady: true });
    at(A).closed();
    at(B).closed();
    clock.advance(1_004);
    expect([sessions.length, conn.state]).toEqual([4, "transientFailure"]);
    expect(await failureOf(call())).toMatchObject({ reason: "UPSTREAM_CONNECT" });
    at(A).closed();
    at(B).becomeReady();
    expect([conn.state, at(B).opened.length]).toEqual(["ready", 1]);
    expect(conn.addresses).toMatchObject([{}, { error: undefined }]);
    expect(states.map((state) => state.split(":")[0])).toEqual([
      "connecting",
      "transientFailure",
      "ready",
    ]);
  });

  it("is idle again when the backoff of one is over and nobody waits, and the next call tries that", async () => {
    const { conn, at, call, clock, sessions } = several([A, B]);
    call();
    at(A).closed();
    clock.advance(500);
    at(B).closed();
    clock.advance(504);
    expect(conn.state).toBe("idle");
    const next = call();
    expect([conn.state, sessions.length, sessions[2]?.address]).toEqual(["connecting", 3, A]);
    at(A).closed();
    expect(await failureOf(next)).toMatchObject({ status: Status.UNAVAILABLE });
  });

  it("moves calls that wait to another address when theirs is lost", () => {
    const { conn, at, call } = several([A, B]);
    call();
    at(A).becomeReady();
    at(A).isBlocked = true;
    call();
    at(A).closed();
    // It tries both, the first of the list and the one that was lost, which are the same here.
    expect([conn.state, conn.waitingCount]).toEqual(["connecting", 1]);
    at(A).closed();
    at(B).becomeReady();
    expect([at(B).opened.length, conn.waitingCount]).toEqual([1, 0]);
  });

  it.each(["roundRobin", "leastRequest"] as const)(
    "%s connects all, at the first call, and again at once after a loss, which it tells",
    (balancing) => {
      const { conn, at, call, sessions, states } = several([A, B], { balancing });
      expect(sessions).toEqual([]);
      const calls = [call(), call()];
      expect(addressesOf(sessions)).toEqual([A, B]);
      at(A).becomeReady();
      expect([at(A).opened.length, conn.state]).toEqual([2, "ready"]);
      at(B).becomeReady();
      at(B).closed();
      expect(addressesOf(sessions)).toEqual([A, B, B]);
      expect(conn.addresses).toMatchObject([
        { state: "ready" },
        { state: "connecting", error: { reason: "UPSTREAM_SESSION" }, waitsFor: "connection" },
      ]);
      at(A).closed();
      expect(states).toEqual([
        "connecting: a call wants it",
        `ready: ${A}: the server has sent its SETTINGS`,
        `connecting: ${A}: stub closed`,
      ]);
      for (const each of calls) each.cancel();
    },
  );

  it("roundRobin takes turns, and gives the call to another one where the one in turn has no room", () => {
    const { at, call } = several([A, B, C], { balancing: "roundRobin" });
    call().cancel();
    for (const address of [A, B, C]) at(address).becomeReady();
    for (let i = 0; i < 6; i++) call();
    expect([A, B, C].map((address) => at(address).opened.length)).toEqual([2, 2, 2]);
    at(B).isBlocked = true;
    for (let i = 0; i < 8; i++) call();
    expect([A, B, C].map((address) => at(address).opened.length)).toEqual([6, 2, 6]);
  });

  it("lets calls wait in one queue where none has room, for whichever has it first", () => {
    const { conn, at, call } = several([A, B], {
      balancing: "roundRobin",
      maxConnectionsPerAddress: 1,
    });
    call().cancel();
    for (const address of [A, B]) {
      at(address).becomeReady();
      at(address).isBlocked = true;
    }
    const calls = [call(), call(), call()];
    expect(conn.addresses).toMatchObject([
      { state: "ready", room: 0, waitsFor: "room" },
      { waitsFor: "room" },
    ]);
    at(B).streamLimit = 1;
    at(B).isBlocked = false;
    at(B).listener.onAvailable();
    expect([at(A).opened.length, at(B).opened.length, conn.waitingCount]).toEqual([0, 1, 2]);
    calls[1]?.cancel();
    expect(conn.waitingCount).toBe(1);
    at(A).isBlocked = false;
    at(A).listener.onAvailable();
    expect([at(A).opened.length, conn.waitingCount]).toEqual([1, 0]);
  });

  it("ringHash sends calls with the same key to the same address", () => {
    const { at, call } = several([A, B, C], { balancing: "ringHash" });
    for (let i = 0; i < 20; i++) call({ hashKey: `key ${i}`, waitForReady: true });
    for (const address of [A, B, C]) at(address)?.becomeReady();
    const opened = () => [A, B, C].map((address) => at(address).opened.length);
    const before = opened();
    for (let i = 0; i < 30; i++) call({ hashKey: "customer 5" });
    const more = opened().map((count, i) => count - (before[i] ?? 0));
    expect([...more].sort((a, b) => a - b)).toEqual([0, 0, 30]);
  });

  it("connect and ready connect by the balancer's rules", async () => {
    const first = several([A, B]);
    first.conn.connect();
    first.conn.connect();
    expect(addressesOf(first.sessions)).toEqual([A]);
    const ready = first.conn.ready();
    first.at(A).becomeReady();
    await ready;
    await first.conn.ready({});
    const all = several([A, B], { balancing: "roundRobin" });
    all.conn.connect();
    expect(addressesOf(all.sessions)).toEqual([A, B]);
  });

  it("close drains all, ends what is under way after the grace, and is over when the last is", async () => {
    const { conn, at, call, clock, states } = several([A, B], { balancing: "roundRobin" });
    call();
    for (const address of [A, B]) at(address).becomeReady();
    let isClosed = false;
    const closed = conn.close(1_000).then(() => {
      isClosed = true;
    });
    expect([at(A).drained, at(B).drained, states.at(-1)]).toEqual([
      1,
      1,
      "shutdown: closed by its owner",
    ]);
    at(A).closed();
    await new Promise(setImmediate);
    expect(isClosed).toBe(false);
    clock.advance(1_004);
    await closed;
    expect(await failureOf(call())).toMatchObject({ reason: "CONN_CLOSED" });
    conn.connect();
    expect(conn.state).toBe("shutdown");
  });
});

describe("ready", () => {
  it("tries again after each failure, and keeps the process meanwhile", async () => {
    const timerCount = (): number =>
      process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
    const before = timerCount();
    const { conn, sessions, clock } = several([A]);
    const ready = conn.ready();
    sessions[0]?.closed();
    expect([conn.state, timerCount()]).toEqual(["transientFailure", before + 1]);
    clock.advance(1_004);
    sessions[1]?.becomeReady();
    await ready;
    expect(timerCount()).toBe(before);
  });

  it("tries the next address when the balancer tries one at a time, and the first has failed", async () => {
    const { conn, sessions, at } = several([A, B], { balancing: "ringHash" });
    const ready = conn.ready();
    expect(addressesOf(sessions)).toEqual([A]);
    at(A).closed();
    expect(addressesOf(sessions)).toEqual([A, B]);
    at(B).becomeReady();
    await ready;
  });

  it("connects again when the connection is lost in the meantime", async () => {
    const { conn, sessions } = several([A]);
    conn.connect();
    conn.onState((state) => {
      if (state === "connecting") void conn.ready();
    });
    sessions[0]?.becomeReady();
    sessions[0]?.closed();
    expect(conn.state).toBe("idle");
    const ready = conn.ready();
    sessions[1]?.becomeReady();
    await ready;
  });

  it("connects nothing for a signal that is aborted already", async () => {
    const { conn, sessions } = several([A]);
    await expect(conn.ready({ signal: AbortSignal.abort(new Error("before")) })).rejects.toThrow(
      "before",
    );
    expect([conn.state, sessions.length]).toEqual(["idle", 0]);
  });

  it("is given up by a signal, and by close", async () => {
    const { conn } = several([A]);
    const abort = new AbortController();
    const [aborted, closed] = [conn.ready({ signal: abort.signal }), conn.ready()];
    abort.abort(new Error("enough"));
    await expect(aborted).rejects.toThrow("enough");
    await expect(conn.ready({ signal: abort.signal })).rejects.toThrow("enough");
    await conn.close();
    await expect(closed).rejects.toMatchObject({ reason: "CONN_CLOSED" });
    await expect(conn.ready()).rejects.toMatchObject({ reason: "CONN_CLOSED" });
  });

  it.each([
    [{ signal: 5 }, "signal: expected an AbortSignal, got 5"],
    [{ signals: 5 }, "options of ready: expected signal"],
    [null, "options of ready: expected an object, got null"],
  ])("refuses %j", async (options, message) => {
    const { conn } = several([A]);
    await expect(conn.ready(options as object)).rejects.toThrow(message);
  });
});
