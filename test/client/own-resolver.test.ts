// A resolver of the user's own: lists that come and go, and what it does wrong.

import { once } from "node:events";
import { describe, expect, it } from "vitest";
import type { ClientStream } from "../../src/client/client-stream.ts";
import type { DialOptions } from "../../src/client/dial-options.ts";
import type { ResolverListener } from "../../src/client/resolve/resolver.ts";
import { GrpcError } from "../../src/grpc/error.ts";
import { Status } from "../../src/grpc/status.ts";
import { closeAtEnd } from "../support/cleanup.ts";
import { PATH } from "../support/relay-fixture.ts";
import { type StubSession, stubConn } from "../support/stub-session.ts";

const A = "10.0.0.1:1";
const B = "10.0.0.2:1";
const C = "10.0.0.3:1";

function setUp(options: DialOptions = {}, resolver: object = {}) {
  const log: string[] = [];
  let listener: ResolverListener | undefined;
  const target = {
    start: (given: ResolverListener) => {
      log.push("start");
      listener = given;
    },
    resolveNow: () => log.push("resolveNow"),
    close: () => log.push("close"),
    ...resolver,
  };
  const stub = stubConn(options, undefined, target);
  closeAtEnd(async () => {
    await stub.conn.close();
    expect([stub.clock.timerCount, stub.conn.openStreamCount]).toEqual([0, 0]);
  });
  return {
    ...stub,
    log,
    push: (...addresses: (string | { address: string; weight: number })[]) =>
      listener!.onAddresses(addresses),
    listener: () => listener!,
    at: (address: string): StubSession =>
      stub.sessions.findLast((each) => each.address === address)!,
    call: (callOptions = {}): ClientStream => {
      const call = stub.conn.newStream(PATH, callOptions);
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

const timerCount = (): number =>
  process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;

describe("a resolver", () => {
  it("is started by the first call, which waits for a list, and closed with the connection", async () => {
    const before = timerCount();
    const { conn, log, call, push, at, listener } = setUp();
    expect([conn.state, log, conn.addresses]).toEqual(["idle", [], []]);
    call();
    call();
    expect([conn.state, log, conn.waitingCount]).toEqual(["connecting", ["start"], 2]);
    expect(timerCount()).toBe(before + 1);
    push(A, B);
    expect([conn.state, timerCount()]).toEqual(["connecting", before]);
    at(A).becomeReady();
    expect([conn.state, at(A).opened.length]).toEqual(["ready", 2]);
    await conn.close();
    expect(log).toEqual(["start", "close"]);
    push(C);
    listener().onError(new Error("too late"));
    expect([conn.addresses, conn.state]).toEqual([[], "shutdown"]);
  });

  it("is not closed where it was not started", async () => {
    const { conn, log } = setUp();
    await conn.close();
    conn.connect();
    expect(log).toEqual([]);
  });

  it("may answer at once, and connect connects then", () => {
    const { conn, sessions } = setUp(
      {},
      { start: (listener: ResolverListener) => listener.onAddresses([A]) },
    );
    conn.connect();
    expect(sessions).toHaveLength(1);
    sessions[0]?.becomeReady();
    expect(conn.state).toBe("ready");
  });

  it("is waited for by connect and by ready, and its list connected to", async () => {
    for (const wanted of ["connect", "ready"] as const) {
      const { conn, sessions, push } = setUp();
      const ready = Promise.resolve(conn[wanted]());
      push(A);
      expect([conn.state, sessions.length]).toEqual(["connecting", 1]);
      sessions[0]?.becomeReady();
      await ready;
    }
  });

  it("leaves the connection idle when nobody wants its list any more", () => {
    const { conn, call, push, sessions } = setUp();
    const states: string[] = [];
    conn.onState((state, _error, reason) => states.push(`${state}: ${reason}`));
    call().cancel();
    push(A);
    expect([conn.state, sessions.length]).toEqual(["idle", 0]);
    expect(states).toEqual(["connecting: a call wants it", "idle: the resolver gave 1 address"]);
  });

  it("takes addresses away, which finish their calls, adds others, and moves no connection for a weight", () => {
    const { conn, call, push, at, sessions } = setUp({ balancing: "roundRobin" });
    call();
    push(A, B);
    for (const address of [A, B]) at(address).becomeReady();
    push({ address: B, weight: 5 }, C);
    expect([at(A).drained, at(B).drained, sessions.length]).toEqual([1, 0, 3]);
    expect(conn.addresses).toMatchObject([{ address: B, weight: 5 }, { address: C }]);
    expect([conn.state, conn.openStreamCount]).toEqual(["ready", 1]);
    at(A).closed();
    // One that comes back is connected anew.
    push(A, B, C);
    expect([sessions.length, sessions[3]?.address]).toEqual([4, A]);
  });

  it("takes the one address in use away: the next call goes to another", () => {
    const { conn, call, push, at } = setUp();
    call();
    push(A, B);
    at(A).becomeReady();
    push(B);
    expect([conn.state, at(A).drained]).toEqual(["idle", 1]);
    call();
    at(B).becomeReady();
    expect(at(B).opened).toHaveLength(1);
  });

  it("is asked again when an address fails or is lost, and not when all is well", () => {
    const { log, call, push, at } = setUp();
    call();
    push(A, B);
    at(A).closed();
    expect(log.splice(0)).toEqual(["start", "resolveNow"]);
    at(B).becomeReady();
    expect(log).toEqual([]);
    at(B).listener.onGoAway(1, 0, "");
    expect(log).toEqual(["resolveNow"]);
  });

  it("that has no list yet fails the calls that do not wait for ready, with its own error or as unreachable", async () => {
    const { conn, call, listener, push, at } = setUp({}, { name: "orders" });
    const [first, patient] = [call(), call({ waitForReady: true })];
    const noSuchHost = Object.assign(new Error("getaddrinfo ENOTFOUND orders"), {
      code: "ENOTFOUND",
      hostname: "orders",
    });
    listener().onError(noSuchHost);
    expect(await failureOf(first)).toMatchObject({
      status: Status.UNAVAILABLE,
      reason: "UPSTREAM_CONNECT",
      retry: "safe",
      details: "the backend cannot be reached: its name is not known",
      message: expect.stringContaining("upstream orders cannot be reached: getaddrinfo ENOTFOUND"),
      cause: noSuchHost,
    });
    expect([conn.state, conn.waitingCount]).toEqual(["transientFailure", 1]);
    const own = new GrpcError(Status.PERMISSION_DENIED, "no such tenant");
    listener().onError(own);
    expect(await failureOf(call())).toBe(own);
    listener().onError("what?" as never);
    expect((await failureOf(call())).message).toContain("what?");
    push(A);
    at(A).becomeReady();
    expect(at(A).opened).toHaveLength(1);
    patient.cancel();
  });

  it("is not started when a listener closes the connection that wants it", async () => {
    const { conn, call, log } = setUp();
    conn.onState((state) => {
      if (state === "connecting") void conn.close();
    });
    expect(await failureOf(call())).toMatchObject({ reason: "CONN_CLOSED" });
    expect(log).toEqual([]);
  });

  it("that fails later changes nothing", () => {
    const { conn, call, listener, push, at } = setUp();
    call();
    push(A);
    at(A).becomeReady();
    listener().onError(new Error("no"));
    expect(conn.state).toBe("ready");
  });

  it.each<[unknown, string]>([
    [[], "addresses: expected at least one, got none"],
    [["nonsense"], "expected HOST:PORT, [IPV6]:PORT or unix:PATH"],
    [[{ address: A, weight: -1 }], "weight of an address: expected a number above 0"],
    ["10.0.0.1:1", "addresses: expected an array"],
  ])("that gives %j is warned of, and the list before stays", async (bad, message) => {
    const { conn, call, push, listener, at } = setUp();
    const failed = call();
    const warned = once(process, "warning");
    listener().onAddresses(bad as string[]);
    expect((await warned)[0]).toMatchObject({
      code: "GRPC_RELAY_CALLBACK",
      detail: expect.stringContaining(message),
    });
    expect(await failureOf(failed)).toMatchObject({
      status: Status.UNAVAILABLE,
      details: "the backend cannot be reached",
      message: expect.stringContaining(message),
    });
    push(A);
    call();
    at(A).becomeReady();
    listener().onAddresses(bad as string[]);
    expect([conn.state, conn.addresses.length]).toEqual(["ready", 1]);
  });

  it("whose start throws fails calls; what its other methods throw is warned of", async () => {
    const { call } = setUp(
      {},
      {
        start: () => {
          throw new Error("no start");
        },
        close: undefined,
      },
    );
    expect((await failureOf(call())).message).toContain("no start");
    const wild = setUp(
      {},
      {
        resolveNow: () => {
          throw new Error("no more");
        },
      },
    );
    wild.call();
    wild.push(A, B);
    const warned = once(process, "warning");
    wild.at(A).closed();
    expect((await warned)[0].message).toBe("resolveNow of a resolver must not throw");
  });

  it("has to do no more than start", async () => {
    const { conn, call, push, at } = setUp({}, { resolveNow: undefined, close: undefined });
    call();
    push(A, B);
    at(A).closed();
    await conn.close();
  });
});
