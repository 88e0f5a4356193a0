// Addresses that are ejected: balancers leave them out, and their connections stay.

import { describe, expect, it } from "vitest";
import { dial } from "../../../src/client/dial.ts";
import type { DialOptions } from "../../../src/client/dial-options.ts";
import type { ResolverListener } from "../../../src/client/resolve/resolver.ts";
import type { DialTarget } from "../../../src/client/target.ts";
import { Status } from "../../../src/grpc/status.ts";
import { formatAddress } from "../../../src/transport/address.ts";
import { closeAtEnd } from "../../support/cleanup.ts";
import { FakeClock } from "../../support/clock.ts";
import { type TransportCombo, transportCombos } from "../../support/combos.ts";
import { fieldsOf, frames, trailersOnly } from "../../support/frames.ts";
import { eventually, PATH, watchConn } from "../../support/relay-fixture.ts";
import { ScriptedServer } from "../../support/scripted-endpoints.ts";
import { type StubSession, stubConn } from "../../support/stub-session.ts";

const A = "10.0.0.1:1";
const B = "10.0.0.2:1";
const C = "10.0.0.3:1";

const IN_A_ROW = { consecutiveFailures: { threshold: 2 } };

function several(target: DialTarget, options: DialOptions = {}) {
  const stub = stubConn({ outlierDetection: IN_A_ROW, ...options }, undefined, target);
  const { conn, sessions, clock } = stub;
  const states: string[] = [];
  conn.onState((state, _error, reason) => states.push(`${state}: ${reason}`));
  closeAtEnd(async () => {
    await conn.close();
    expect([clock.timerCount, conn.openStreamCount]).toEqual([0, 0]);
  });
  const at = (address: string): StubSession =>
    sessions.findLast((each) => each.address === address)!;
  /** Makes a call. @returns where it went */
  const call = (options_ = {}): string | undefined => {
    const before = sessions.map(({ opened }) => opened.length);
    const stream = conn.newStream(PATH, options_);
    stream.trailer().catch(() => undefined);
    return sessions.find(({ opened }, index) => opened.length !== (before[index] ?? 0))?.address;
  };
  /** The latest call on the address ends. */
  const answer = (address: string, status: number): void => {
    const session = at(address);
    session.endStream();
    session.opened.at(-1)!.onHeaders(fieldsOf(trailersOnly(status)), true);
  };
  return {
    ...{ ...stub, states, at, call, answer },
    connectAll: (...addresses: string[]): void => {
      conn.connect();
      for (const address of addresses) at(address).becomeReady();
    },
    /** Calls until the address is ejected. */
    eject: (address: string, options_ = {}): void => {
      for (let turn = 0; turn < 20 && conn.addresses.every(isIn(address)); turn++) {
        const went = call(options_)!;
        answer(went, went === address ? Status.UNAVAILABLE : Status.OK);
      }
    },
    ejected: (): string[] =>
      conn.addresses.filter((each) => each.ejectedForMs !== undefined).map((each) => each.address),
  };
}

function isIn(address: string) {
  return (each: { address: string; ejectedForMs: number | undefined }): boolean =>
    each.address !== address || each.ejectedForMs === undefined;
}

describe("an ejected address", () => {
  it("gets no call, keeps its connection, shows why and for how long, and returns", () => {
    const { conn, clock, connectAll, eject, call, answer, sessions } = several([A, B], {
      balancing: "roundRobin",
    });
    connectAll(A, B);
    eject(A);
    const reason = "ejected: 2 calls in a row have failed";
    expect(conn.addresses[0]).toMatchObject({
      ...{ address: A, state: "transientFailure", reason, sessionCount: 1, waitsFor: "ejection" },
      ...{ ejectedForMs: 30_000, error: { status: Status.UNAVAILABLE, retry: "safe" } },
    });
    expect(conn.addresses[1]).toMatchObject({ state: "ready", ejectedForMs: undefined });
    for (let turn = 0; turn < 4; turn++) {
      expect(call()).toBe(B);
      answer(B, Status.OK);
    }
    clock.advance(40_000);
    expect(conn.addresses[0]).toMatchObject({
      ...{ state: "ready", reason: "its ejection is over", error: undefined },
      ...{ waitsFor: undefined, ejectedForMs: undefined },
    });
    const went = [call(), call()];
    expect([went.sort(), sessions.length]).toEqual([[A, B], 2]);
    answer(A, Status.OK);
    answer(B, Status.OK);
  });

  it("gets no waiting call that finds the others full", () => {
    const { conn, connectAll, eject, call, at, answer } = several([A, B], {
      ...{ balancing: "roundRobin", maxConnectionsPerAddress: 1 },
    });
    connectAll(A, B);
    eject(A);
    at(B).streamLimit = 1;
    expect(call()).toBe(B);
    expect(call()).toBeUndefined();
    expect([conn.waitingCount, at(A).openStreamCount]).toEqual([1, 0]);
    answer(B, Status.OK);
    expect([conn.waitingCount, at(A).openStreamCount]).toEqual([0, 0]);
    answer(B, Status.OK);
  });

  it("gets no further connection for calls that wait", () => {
    const { conn, connectAll, eject, call, at, sessions } = several([A, B], {
      balancing: "roundRobin",
    });
    connectAll(A, B);
    // Each has one call that lasts.
    expect([call(), call()].sort()).toEqual([A, B]);
    eject(A);
    at(A).streamLimit = 1;
    at(B).streamLimit = 1;
    expect(call()).toBeUndefined();
    expect(sessions.map(({ address }) => address)).toEqual([A, B, B]);
    at(A).listener.onAvailable();
    expect([conn.waitingCount, sessions.length]).toEqual([1, 3]);
    at(B).becomeReady();
    for (const session of sessions) session.closed();
  });

  it("is no part of the capacity that clients share", () => {
    const { conn, connectAll, eject, call, at } = several([A, B], {
      ...{ balancing: "roundRobin", maxConnectionsPerAddress: 1 },
    });
    connectAll(A, B);
    eject(A);
    at(B).streamLimit = 2;
    at(B).listener.onAvailable();
    // Of the two streams of B one is kept for somebody else.
    expect(call({ fairnessKey: "a" })).toBe(B);
    expect(call({ fairnessKey: "a" })).toBeUndefined();
    expect(call({ fairnessKey: "b" })).toBe(B);
    expect(conn.waitingCount).toBe(1);
    at(A).closed();
    at(B).closed();
  });

  it("stays ejected when its connection is lost and made again", () => {
    const { conn, clock, connectAll, eject, at, ejected } = several([A, B], {
      balancing: "roundRobin",
    });
    connectAll(A, B);
    eject(A);
    at(A).closed();
    expect(conn.addresses[0]).toMatchObject({ state: "connecting", waitsFor: "connection" });
    at(A).becomeReady();
    expect([conn.addresses[0]?.state, ejected()]).toEqual(["transientFailure", [A]]);
    at(A).closed();
    clock.advance(40_000);
    expect([conn.addresses[0]?.state, ejected()]).toEqual(["connecting", []]);
  });

  it("begins anew when it leaves the list and returns, and is freed when it is alone", () => {
    let listener: ResolverListener | undefined;
    const resolver = {
      start: (given: ResolverListener) => {
        listener = given;
      },
    };
    const { connectAll, conn, eject, ejected, at } = several(resolver, {
      balancing: "roundRobin",
    });
    conn.connect();
    listener!.onAddresses([A, B]);
    connectAll(A, B);
    eject(A);
    listener!.onAddresses([B]);
    at(A).closed();
    listener!.onAddresses([A, B]);
    expect([conn.addresses.length, ejected()]).toEqual([2, []]);
    at(A).becomeReady();
    eject(A);
    listener!.onAddresses([A]);
    at(B).closed();
    expect([ejected(), conn.state, conn.addresses[0]?.state]).toEqual([[], "ready", "ready"]);
  });

  it("may take another off the list when it is ejected", () => {
    let listener: ResolverListener | undefined;
    let turn = 0;
    const start = (given: ResolverListener): void => {
      listener = given;
    };
    const failurePercentage = { threshold: 0, minimumHosts: 1, requestVolume: 1 };
    const { connectAll, conn, clock, call, answer, ejected } = several(
      { start },
      {
        balancing: () => ({
          update: (given) => {
            for (const each of given) each.connect();
            const isEjected = given[0]?.state === "transientFailure";
            if (isEjected && given.length === 3) listener!.onAddresses([A, B]);
            return { pick: () => given[turn++ % given.length] };
          },
        }),
        outlierDetection: { failurePercentage, maxEjectionPercent: 100 },
      },
    );
    conn.connect();
    listener!.onAddresses([A, B, C]);
    connectAll(A, B, C);
    turn = 0;
    expect([call(), call(), call()]).toEqual([A, B, C]);
    answer(A, Status.INTERNAL);
    answer(B, Status.OK);
    answer(C, Status.INTERNAL);
    clock.advance(10_004);
    expect([conn.addresses.map(({ address }) => address), ejected()]).toEqual([[A, B], [A]]);
  });

  it("makes pickFirst go to the next one", () => {
    const { connectAll, conn, eject, call, at, answer } = several([A, B]);
    connectAll(A);
    eject(A);
    expect(call()).toBeUndefined();
    at(B).becomeReady();
    expect([conn.waitingCount, at(B).openStreamCount]).toEqual([0, 1]);
    expect(conn.addresses.map(({ state }) => state)).toEqual(["idle", "ready"]);
    answer(B, Status.OK);
    at(A).closed();
  });

  it("gives its keys to the next one on the ring, and takes them back", () => {
    const { connectAll, clock, eject, call, answer, at, conn } = several([A, B, C], {
      balancing: "ringHash",
    });
    connectAll(A);
    const keys = Array.from({ length: 50 }, (_, index) => ({ hashKey: `${index}` }));
    for (const address of [A, B, C]) {
      for (const key of keys) {
        conn.newStream(PATH, key).cancel();
        if (at(address) !== undefined) break;
      }
      if (!at(address).accepting) at(address).becomeReady();
    }
    const owners = (): (string | undefined)[] =>
      keys.map((key) => {
        const went = call(key)!;
        answer(went, Status.OK);
        return went;
      });
    const before = owners();
    eject(B, keys[before.indexOf(B)]);
    const without = owners();
    expect(without).not.toContain(B);
    expect(without.filter((_, index) => before[index] !== B)).toEqual(
      before.filter((owner) => owner !== B),
    );
    clock.advance(40_000);
    expect(owners()).toEqual(before);
  });

  it("fails calls when all are ejected, until one returns", async () => {
    const { connectAll, conn, clock, eject, states } = several([A, B], {
      balancing: "roundRobin",
      outlierDetection: { ...IN_A_ROW, maxEjectionPercent: 100 },
    });
    connectAll(A, B);
    eject(A);
    eject(B);
    expect(conn.state).toBe("transientFailure");
    const error = await conn
      .newStream(PATH)
      .trailer()
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      ...{ status: Status.UNAVAILABLE, reason: "UPSTREAM_CONNECT", retry: "safe" },
      details: "the backend cannot be reached: too many calls to it have failed",
    });
    expect(states.at(-1)).toBe(
      "transientFailure: 10.0.0.2:1: ejected: 2 calls in a row have failed",
    );
    clock.advance(40_000);
    expect(conn.state).toBe("ready");
  });

  it("is not one whose calls the caller cancels, but one that loses them", () => {
    const { connectAll, conn, at, ejected, answer, call } = several([A, B]);
    connectAll(A);
    for (let turn = 0; turn < 4; turn++) {
      const stream = conn.newStream(PATH);
      stream.trailer().catch(() => undefined);
      stream.cancel();
    }
    expect(ejected()).toEqual([]);
    call();
    call();
    const session = at(A);
    session.accepting = false;
    session.listener.onGoAway(100, 0, "");
    const lost = { kind: "session", code: 0, unprocessed: false, message: "", reason: "" } as const;
    for (const listener of session.opened.slice(-2)) listener.onReset(lost);
    expect(ejected()).toEqual([A]);
    session.closed();
    call();
    at(A).becomeReady();
    at(B).becomeReady();
    answer(B, Status.OK);
    at(A).closed();
  });

  it("is let go with calls under way: what they end with no longer counts", () => {
    let views: readonly { disconnect(): void; connect(): void; state: string }[] = [];
    const { connectAll, at, call, ejected, conn } = several([A, B], {
      balancing: () => ({
        update: (given) => {
          views = given;
          return { pick: () => given[0] };
        },
      }),
    });
    conn.connect();
    views[0]!.connect();
    connectAll(A);
    call();
    call();
    const [one, two] = at(A).opened;
    const session = at(A);
    views[0]!.disconnect();
    for (const each of [one!, two!]) each.onHeaders(fieldsOf(trailersOnly(Status.INTERNAL)), true);
    session.closed();
    expect(ejected()).toEqual([]);
  });
});

it.each<[object, string]>([
  [
    {},
    "outlierDetection: expected consecutiveFailures, successRate or failurePercentage, got none",
  ],
  [{ intervalMs: 0 }, "outlierDetection.intervalMs: expected a number from 1 to 2147483647, got 0"],
  [
    { successRate: { minimumHosts: 0 } },
    "outlierDetection.successRate.minimumHosts: expected an integer from 1 up, got 0",
  ],
  [
    { successRate: { stdevFactor: -1 } },
    "outlierDetection.successRate.stdevFactor: expected a number from 0 to 4294967295, got -1",
  ],
  [
    { successRate: { stdevFactor: Number.POSITIVE_INFINITY } },
    "outlierDetection.successRate.stdevFactor: expected a number from 0 to 4294967295, got Infinity",
  ],
  [
    { failurePercentage: { threshold: 101 } },
    "outlierDetection.failurePercentage.threshold: expected a number from 0 to 100, got 101",
  ],
  [
    { consecutiveFailures: { treshold: 3 } },
    'outlierDetection.consecutiveFailures: expected one of threshold, enforcementPercentage, got "treshold"; did you mean threshold?',
  ],
])("refuses %j", (outlierDetection, text) => {
  expect(() => dial(A, { outlierDetection })).toThrow(text);
});

/** Answers each call of all its connections with one status. */
async function backend(status: number, calls: string[], name: string): Promise<string> {
  const server = await ScriptedServer.listen({ refillWindows: true });
  void (async () => {
    const peer = await server.connection();
    for (;;) {
      const { streamId } = await peer.expectRequest(PATH);
      calls.push(name);
      peer.send(frames.headers(streamId, trailersOnly(status), { endStream: true }));
    }
  })().catch(() => undefined);
  return formatAddress(server.address);
}

describe.each(transportCombos)("on $client", (combo: TransportCombo) => {
  it("a backend that fails its calls gets none after the second, and one again later", async () => {
    const calls: string[] = [];
    const target = [
      await backend(Status.UNAVAILABLE, calls, "bad"),
      await backend(0, calls, "good"),
    ];
    const clock = new FakeClock();
    const conn = watchConn(
      dial(target, {
        ...{ transport: combo.client, clock, balancing: "roundRobin", outlierDetection: IN_A_ROW },
        keepalive: { intervalMs: Number.POSITIVE_INFINITY },
        idleTimeoutMs: Number.POSITIVE_INFINITY,
      }),
    );
    conn.connect();
    await eventually("both are ready", () =>
      conn.addresses.every(({ state }) => state === "ready"),
    );
    const call = async (): Promise<void> => {
      const stream = conn.newStream(PATH);
      stream.closeSend();
      await stream.trailer().catch(() => undefined);
    };
    for (let turn = 0; turn < 10; turn++) await call();
    expect(calls.filter((name) => name === "bad").length).toBe(2);
    expect(calls.slice(-5)).toEqual(Array.from({ length: 5 }, () => "good"));
    clock.advance(40_000);
    for (let turn = 0; turn < 2; turn++) await call();
    expect(calls.slice(-2).sort()).toEqual(["bad", "good"]);
  });
});
