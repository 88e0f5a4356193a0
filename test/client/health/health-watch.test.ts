// The watch as a stream beside calls: it counts as none, and goes with its session.

import { describe, expect, it } from "vitest";
import { trailers } from "../../support/frames.ts";
import { A, checked, NOT_SERVING, SERVING, Watched } from "../../support/health-scene.ts";
import { PATH } from "../../support/relay-fixture.ts";

describe("the watch", () => {
  it("is no call: not in the counts, the capacity, the calls in flight or the shares", () => {
    let inFlight = -1;
    const { connect, at, call, conn } = checked(A, {
      ...{ maxInFlightPerAddress: 1, maxConnectionsPerAddress: 1 },
      balancing: () => ({
        update: (given) => {
          given[0]?.connect();
          return {
            pick: () => {
              inFlight = given[0]!.inFlight;
              return given[0];
            },
          };
        },
      }),
      outlierDetection: { consecutiveFailures: { threshold: 1 } },
    });
    conn.connect();
    at(A).session.streamLimit = 2;
    connect(A);
    at(A).say(SERVING);
    expect([conn.openStreamCount, conn.addresses[0]?.room]).toEqual([0, 1]);
    expect([call(), inFlight, conn.openStreamCount]).toEqual([A, 0, 1]);
  });

  it("takes no share from those who make calls", () => {
    const { connect, at, call, answer, conn } = checked(A, { maxConnectionsPerAddress: 1 });
    conn.connect();
    at(A).session.streamLimit = 5;
    connect(A);
    at(A).say(SERVING);
    // Four are for calls, and one of them is kept for somebody else.
    const went = [1, 2, 3, 4].map(() => call({ fairnessKey: "a" }));
    expect(went).toEqual([A, A, A, undefined]);
    expect(call({ fairnessKey: "b" })).toBe(A);
    // While the streams are watched, the watch ends and another one begins.
    at(A).end(trailers(14));
    answer(A);
    expect(conn.openStreamCount).toBe(3);
  });

  it("keeps no connection from being idle, and ends with it", () => {
    const { connect, at, clock, conn } = checked(A, { idleTimeoutMs: 60_000 });
    connect(A);
    at(A).say(SERVING);
    clock.advance(59_996);
    expect(at(A).session.drained).toBe(0);
    clock.advance(15_004);
    expect([at(A).session.drained, at(A).isWatched, conn.state]).toEqual([1, false, "idle"]);
    expect(conn.addresses[0]).toMatchObject({ health: "unknown", waitsFor: "connection" });
    at(A).session.closed();
  });

  it("ends when the connection is closed, and so does its backoff", async () => {
    for (const fails of [false, true]) {
      const { connect, at, conn, clock } = checked();
      connect(A);
      if (fails) at(A).end(trailers(14));
      void conn.close(1_000);
      expect([at(A).isWatched, at(A).session.openStreamCount]).toEqual([false, 0]);
      at(A).session.closed();
      await conn.close();
      expect(clock.timerCount).toBe(0);
    }
  });

  it("leaves with a session that goes away, and the last answer holds until the next", () => {
    const { connect, at, call, conn, sessions, states } = checked(A, {
      maxConnectionAgeMs: 1_000,
      idleTimeoutMs: Number.POSITIVE_INFINITY,
    });
    connect(A);
    at(A).say(SERVING);
    call();
    const [first] = sessions;
    first!.listener.onAvailable();
    const second = (): Watched => new Watched(sessions[1]!);
    // Too old, and in use: another one is made first.
    conn.newStream(PATH).cancel();
    expect(sessions.length).toBe(1);
    (conn.clock as unknown as { advance(ms: number): void }).advance(1_004);
    expect(sessions.length).toBe(2);
    second().session.becomeReady();
    expect([new Watched(first!).isWatched, second().isWatched]).toEqual([false, true]);
    expect([conn.state, conn.addresses[0]?.health]).toEqual(["ready", "serving"]);
    second().say(NOT_SERVING);
    expect(conn.state).toBe("transientFailure");
    expect(states.slice(1)).toEqual([
      "ready: its health is SERVING",
      "transientFailure: its health is NOT_SERVING",
    ]);
    first!.closed();
  });

  it("leaves with a session that is lost, without a failure", () => {
    const { connect, at, conn, states } = checked();
    connect(A);
    at(A).say(SERVING);
    const lost = at(A);
    lost.session.accepting = false;
    lost.reset("session");
    expect(conn.addresses[0]?.health).toBe("serving");
    lost.session.closed();
    expect([conn.state, states.at(-1)]).toEqual(["idle", "idle: stub closed"]);
  });

  it("is on no session whose server allows one stream", () => {
    const { connect, at, call, conn, states, sessions } = checked(A, {
      maxConnectionsPerAddress: 2,
    });
    conn.connect();
    at(A).session.streamLimit = 1;
    connect(A);
    expect([at(A).watches.length, conn.addresses[0]?.health]).toEqual([0, "unchecked"]);
    expect(states.at(-1)).toBe(
      "ready: its health is not watched: the server allows one stream, which is for calls",
    );
    expect([call(), call()]).toEqual([A, undefined]);
    sessions[1]!.becomeReady();
    expect(conn.waitingCount).toBe(0);
  });

  it("gives way when its server allows one stream from now on", () => {
    const { connect, at, call, conn } = checked(A, { maxConnectionsPerAddress: 1 });
    connect(A);
    at(A).say(SERVING);
    at(A).session.streamLimit = 1;
    at(A).session.listener.onAvailable();
    expect([at(A).isWatched, conn.addresses[0]?.health]).toEqual([false, "unchecked"]);
    expect(call()).toBe(A);
  });

  it("gives way to a call that finds no room", () => {
    const { connect, at, conn, call } = checked(A, { maxConnectionsPerAddress: 1 });
    connect(A);
    at(A).say(SERVING);
    at(A).session.streamLimit = 1;
    call();
    call();
    expect(at(A).isWatched).toBe(false);
    at(A).session.listener.onAvailable();
    expect([conn.openStreamCount, conn.waitingCount]).toEqual([1, 1]);
  });

  it("waits for room, and has another connection made for it", () => {
    const { connect, at, call, conn, sessions, clock } = checked(A);
    conn.connect();
    at(A).session.streamLimit = 3;
    connect(A);
    at(A).say(SERVING);
    call();
    call();
    at(A).session.streamLimit = 2;
    at(A).end(trailers(14));
    clock.advance(1_004);
    expect([sessions.length, at(A).watches.length, conn.state]).toEqual([2, 0, "connecting"]);
    sessions[1]!.becomeReady();
    expect(at(A).isWatched).toBe(true);
    at(A).say(SERVING);
    expect(conn.state).toBe("ready");
  });

  it("goes to the next session when it takes the last stream id of one", () => {
    const { connect, at, conn, sessions } = checked();
    conn.connect();
    sessions[0]!.onOpenStream = (session) => {
      session.accepting = false;
    };
    connect(A);
    const first = new Watched(sessions[0]!);
    expect([first.isWatched, first.session.drained, sessions.length]).toEqual([false, 1, 2]);
    at(A).session.becomeReady();
    at(A).say(SERVING);
    expect(conn.state).toBe("ready");
    first.session.closed();
  });
});
