// Several addresses that are asked for their health: who gets the calls.

import { describe, expect, it } from "vitest";
import type { ResolverListener } from "../../../src/client/resolve/resolver.ts";
import { fieldsOf, trailers, trailersOnly } from "../../support/frames.ts";
import { A, B, checked, NOT_SERVING, SERVING } from "../../support/health-scene.ts";
import { PATH } from "../../support/relay-fixture.ts";

describe("among several addresses", () => {
  it("one that is not healthy gets no call, whatever the balancer", () => {
    for (const balancing of ["roundRobin", "leastRequest", "ringHash"] as const) {
      let draw = 0;
      const random = (): number => (draw++ % 3) / 3;
      const { connect, at, call, answer, conn } = checked([A, B], { balancing, random });
      connect();
      // Ring hash connects where a call goes.
      for (let key = 0; key < 20; key++) conn.newStream(PATH, { hashKey: `${key}` }).cancel();
      connect(A, B);
      at(A).say(NOT_SERVING);
      at(B).say(SERVING);
      for (let turn = 0; turn < 6; turn++) {
        expect(call({ hashKey: `${turn}` })).toBe(B);
        answer(B);
      }
      at(A).say(SERVING);
      const went = new Set<string | undefined>();
      for (let turn = 0; turn < 20; turn++) {
        const address = call({ hashKey: `${turn}` });
        went.add(address);
        answer(address!);
      }
      expect([...went].sort()).toEqual([A, B]);
    }
  });

  it("pickFirst goes on to the next, and lets the first go when that is ready", () => {
    const { connect, at, call, conn } = checked([A, B]);
    connect(A);
    const first = at(A);
    first.say(NOT_SERVING);
    expect(call()).toBeUndefined();
    expect(conn.addresses.map(({ state }) => state)).toEqual(["transientFailure", "connecting"]);
    at(B).session.becomeReady();
    expect([first.isWatched, conn.waitingCount]).toEqual([true, 1]);
    at(B).say(SERVING);
    expect([conn.waitingCount, at(B).session.openStreamCount]).toEqual([0, 2]);
    expect([first.isWatched, first.session.drained]).toEqual([false, 1]);
    expect(conn.addresses.map(({ health }) => health)).toEqual(["unknown", "serving"]);
    first.session.closed();
  });

  it("none healthy fails calls with what was said last", async () => {
    const { connect, at, failure, conn } = checked([A, B], { balancing: "roundRobin" });
    connect(A, B);
    at(A).say(NOT_SERVING);
    expect(conn.state).toBe("connecting");
    at(B).end(trailers(14));
    expect(await failure()).toMatchObject({
      ...{ status: 14, reason: "UPSTREAM_UNHEALTHY", retry: "safe" },
      message: expect.stringContaining("all 2 addresses failed, at last UNAVAILABLE: upstream"),
    });
  });

  it("calls do not wait for one that is asked again, when all have failed", () => {
    const { connect, at, clock, conn } = checked([A, B], { balancing: "roundRobin" });
    connect(A, B);
    at(A).say(NOT_SERVING);
    at(B).end(trailers(14));
    clock.advance(1_004);
    expect([conn.addresses[1]?.state, conn.state]).toEqual(["connecting", "transientFailure"]);
    at(B).say(SERVING);
    expect(conn.state).toBe("ready");
    at(B).say(NOT_SERVING);
    expect(conn.state).toBe("transientFailure");
  });

  it("one that is not healthy is no part of the shared capacity, and helps nobody out", () => {
    const options = { balancing: "roundRobin", maxConnectionsPerAddress: 1 } as const;
    const { connect, at, call, answer, conn } = checked([A, B], options);
    conn.connect();
    at(B).session.streamLimit = 2;
    connect(A, B);
    at(A).say(NOT_SERVING);
    at(B).say(SERVING);
    expect(call({ fairnessKey: "a" })).toBe(B);
    expect(call({ fairnessKey: "b" })).toBeUndefined();
    expect([conn.waitingCount, at(A).session.openStreamCount]).toEqual([1, 1]);
    answer(B);
    expect(conn.waitingCount).toBe(0);
  });

  it("one that is not healthy gets no further connection for calls that wait", () => {
    const { connect, at, call, sessions, conn } = checked([A, B], { balancing: "roundRobin" });
    conn.connect();
    at(A).session.streamLimit = 2;
    at(B).session.streamLimit = 2;
    connect(A, B);
    at(A).say(SERVING);
    at(B).say(SERVING);
    expect([call(), call()].sort()).toEqual([A, B]);
    at(A).say(NOT_SERVING);
    expect(sessions.length).toBe(2);
    expect(call()).toBeUndefined();
    expect(sessions.map(({ address }) => address)).toEqual([A, B, B]);
    at(A).session.listener.onAvailable();
    expect(sessions.length).toBe(3);
  });

  it("a balancer that picks one that is not healthy makes calls wait, or go elsewhere", () => {
    const { connect, at, call, conn } = checked([A, B], {
      balancing: () => ({
        update: (given) => {
          for (const each of given) each.connect();
          return { pick: () => given[0] };
        },
      }),
    });
    connect(A, B);
    at(A).say(NOT_SERVING);
    expect(call()).toBeUndefined();
    at(B).say(SERVING);
    expect([conn.waitingCount, at(B).session.openStreamCount]).toEqual([0, 2]);
    expect(call()).toBe(B);
  });

  it("one that is ejected and not healthy returns when it is neither", () => {
    const { connect, at, call, answer, conn, clock } = checked([A, B], {
      balancing: "roundRobin",
      outlierDetection: { consecutiveFailures: { threshold: 1 } },
    });
    connect(A, B);
    at(A).say(SERVING);
    at(B).say(SERVING);
    for (let turn = 0; turn < 2; turn++) {
      const went = call()!;
      if (went === B) answer(B);
      else {
        const { session } = at(A);
        const listener = session.opened.at(-1)!;
        session.endStreamOf(listener);
        listener.onHeaders(fieldsOf(trailersOnly(14)), true);
      }
    }
    at(A).say(NOT_SERVING);
    expect(conn.addresses[0]).toMatchObject({
      ...{ state: "transientFailure", waitsFor: "ejection", health: "notServing" },
      reason: "ejected: 1 calls in a row have failed",
    });
    clock.advance(40_000);
    expect(conn.addresses[0]).toMatchObject({
      ...{ waitsFor: "health", reason: "its health is NOT_SERVING" },
    });
    at(A).say(SERVING);
    expect(conn.addresses[0]).toMatchObject({ state: "ready", waitsFor: undefined });
  });

  it("one that leaves the list is asked no more", () => {
    let listener: ResolverListener | undefined;
    const start = (given: ResolverListener): void => {
      listener = given;
    };
    const { connect, at, conn, clock } = checked({ start }, { balancing: "roundRobin" });
    conn.connect();
    listener!.onAddresses([A, B]);
    connect(A, B);
    at(A).end(trailers(14));
    const left = at(A);
    const right = at(B);
    right.say(SERVING);
    listener!.onAddresses([B]);
    clock.advance(10_000);
    expect([left.watches.length, left.session.drained, right.isWatched]).toEqual([1, 1, true]);
    listener!.onAddresses([A]);
    expect([right.isWatched, right.session.drained]).toEqual([false, 1]);
    for (const { session } of [left, right]) session.closed();
  });
});
