// A connection that nobody uses for `idleTimeoutMs`: it is idle as a whole, and wakes when wanted.

import { describe, expect, it } from "vitest";
import type { BalancerFactory, SubchannelView } from "../../src/client/balance/balancer.ts";
import { dial } from "../../src/client/dial.ts";
import type { DialOptions } from "../../src/client/dial-options.ts";
import type { ResolverListener } from "../../src/client/resolve/resolver.ts";
import type { DialTarget } from "../../src/client/target.ts";
import { formatAddress } from "../../src/transport/address.ts";
import { closeAtEnd } from "../support/cleanup.ts";
import { FakeClock } from "../support/clock.ts";
import { eventually, PATH } from "../support/relay-fixture.ts";
import { ScriptedServer } from "../support/scripted-endpoints.ts";
import { type StubConn, stubConn, stubConnOver } from "../support/stub-session.ts";

const A = "192.0.2.1:1";
const B = "192.0.2.2:2";
const C = "192.0.2.3:3";
const IDLE_MS = 10_000;

function setUp(options: DialOptions = {}, target: DialTarget = [A, B]): StubConn {
  return stubConn({ idleTimeoutMs: IDLE_MS, ...options }, undefined, target);
}

/** The servers of all sessions that have been made have sent their SETTINGS. */
function settle({ sessions }: StubConn): void {
  for (let i = 0; i < sessions.length; i++) {
    const session = sessions[i];
    if (session !== undefined && !session.accepting && session.drained === 0) session.becomeReady();
  }
}

function call({ conn }: StubConn): void {
  conn
    .newStream(PATH, { waitForReady: true })
    .trailer()
    .catch(() => undefined);
}

const drained = ({ sessions }: StubConn): number[] => sessions.map((session) => session.drained);
const states = ({ conn }: StubConn): string[] => conn.addresses.map(({ state }) => state);

/** It is idle after the timeout and a quarter, and not before the timeout. */
function expectIdleAfterTimeout(scene: StubConn): void {
  scene.clock.advance(IDLE_MS - 4);
  expect(scene.conn.state).not.toBe("idle");
  scene.clock.advance(IDLE_MS / 4 + 4);
  expect(scene.conn.state).toBe("idle");
}

describe.each(["engine", "node"] as const)("an idle connection on '%s'", (transport) => {
  it.each(["roundRobin", "leastRequest", "ringHash", "pickFirst"] as const)(
    "closes its sessions and makes none with %s, until ready() wants it",
    async (balancing) => {
      const backends = [await ScriptedServer.listen(), await ScriptedServer.listen()];
      const clock = new FakeClock();
      const count = balancing === "pickFirst" || balancing === "ringHash" ? 1 : 2;
      const options = { transport, balancing, clock, idleTimeoutMs: IDLE_MS };
      const conn = dial(
        backends.map(({ address }) => formatAddress(address)),
        options as DialOptions,
      );
      closeAtEnd(() => conn.close());
      conn.connect();
      const areReady = (): boolean =>
        conn.addresses.filter(({ state }) => state === "ready").length === count;
      await eventually("they are ready", areReady);
      clock.advance(IDLE_MS + IDLE_MS / 4);
      expect(conn.state).toBe("idle");
      await eventually("its sessions have ended", () =>
        conn.addresses.every(({ sessionCount, state }) => sessionCount === 0 && state === "idle"),
      );
      clock.advance(10 * IDLE_MS);
      const made = (): number =>
        backends.reduce((sum, { connectionCount }) => sum + connectionCount, 0);
      expect([conn.state, made(), clock.timerCount]).toEqual(["idle", count, 0]);
      await conn.ready();
      await eventually("they are ready again", areReady);
      expect(made()).toBe(2 * count);
    },
  );
});

describe("an idle connection to several addresses", () => {
  it("has no session, timer or attempt, and says why", async () => {
    const scene = setUp({ balancing: "roundRobin" });
    const told: string[] = [];
    scene.conn.onState((state, _, reason) => told.push(`${state}: ${reason}`));
    scene.conn.connect();
    settle(scene);
    expectIdleAfterTimeout(scene);
    expect(drained(scene)).toEqual([1, 1]);
    for (const session of scene.sessions) session.closed();
    expect([scene.clock.timerCount, states(scene)]).toEqual([0, ["idle", "idle"]]);
    expect(scene.conn.addresses.map(({ reason }) => reason)).toEqual([
      "the connection was idle",
      "the connection was idle",
    ]);
    scene.clock.advance(1_000_000);
    expect(scene.sessions).toHaveLength(2);
    expect(told).toEqual([
      "connecting: asked to connect",
      `ready: ${A}: the server has sent its SETTINGS`,
      "idle: the connection was idle",
    ]);
    await scene.conn.close();
  });

  it.each([
    ["a call", (scene: StubConn) => call(scene)],
    ["ping", ({ conn }: StubConn) => void conn.ping().catch(() => undefined)],
    ["ready", ({ conn }: StubConn) => void conn.ready().catch(() => undefined)],
    ["connect", ({ conn }: StubConn) => conn.connect()],
  ])("is woken by %s, and then has its timeout again", async (by, want) => {
    const scene = setUp({ balancing: "leastRequest" });
    call(scene);
    settle(scene);
    for (const session of scene.sessions) if (session.openStreamCount > 0) session.endStream();
    scene.clock.advance(IDLE_MS + IDLE_MS / 4);
    expect(scene.conn.state).toBe("idle");
    want(scene);
    expect([scene.conn.state, scene.sessions.length]).toEqual(["connecting", 4]);
    settle(scene);
    expect([scene.conn.state, states(scene)]).toEqual(["ready", ["ready", "ready"]]);
    expect(scene.sessions.slice(2).reduce((sum, { opened }) => sum + opened.length, 0)).toBe(
      by === "a call" ? 1 : 0,
    );
    await scene.conn.close();
  });

  it("may be woken by a listener that is told of it", async () => {
    const scene = setUp({ balancing: "roundRobin" });
    scene.conn.onState((state) => {
      if (state === "idle") scene.conn.connect();
    });
    scene.conn.connect();
    settle(scene);
    scene.clock.advance(IDLE_MS + IDLE_MS / 4);
    settle(scene);
    expect([scene.conn.state, scene.sessions.length]).toEqual(["ready", 4]);
    await scene.conn.close();
  });

  it("stops trying addresses that fail, and tries them anew when it is woken", async () => {
    const scene = setUp({ balancing: "roundRobin", backoff: { initialMs: 100_000 } });
    scene.conn.connect();
    for (const session of scene.sessions) session.closed();
    expect(scene.conn.state).toBe("transientFailure");
    expectIdleAfterTimeout(scene);
    expect(scene.clock.timerCount).toBe(0);
    scene.conn.connect();
    expect([scene.conn.state, states(scene)]).toEqual(["connecting", ["connecting", "connecting"]]);
    await scene.conn.close();
  });

  it("is left alone while the first connection is made", async () => {
    const scene = setUp();
    scene.conn.connect();
    scene.clock.advance(5 * IDLE_MS);
    expect([scene.conn.state, scene.conn.addresses[0]?.state]).toEqual([
      "connecting",
      "connecting",
    ]);
    for (const session of scene.sessions) session.becomeReady();
    scene.clock.advance(IDLE_MS / 4);
    expect(scene.conn.state).toBe("idle");
    await scene.conn.close();
  });

  it("is not connected by a balancer that asks for it meanwhile, nor by a new list", async () => {
    let views: readonly SubchannelView[] = [];
    let listener: ResolverListener | undefined;
    let asked = 0;
    const balancing: BalancerFactory = () => ({
      update: (subchannels) => {
        views = subchannels;
        for (const each of subchannels) if (each.state === "idle") each.connect();
        return { pick: () => undefined };
      },
    });
    const resolver = {
      start: (given: ResolverListener) => {
        listener = given;
        given.onAddresses([A]);
      },
      resolveNow: () => asked++,
    };
    const scene = setUp({ balancing }, resolver);
    scene.conn.connect();
    settle(scene);
    expectIdleAfterTimeout(scene);
    views[0]?.connect();
    listener?.onAddresses([B, C]);
    listener?.onError(new Error("no news"));
    expect([scene.conn.state, scene.sessions.length, asked]).toEqual(["idle", 1, 0]);
    expect(scene.conn.addresses.map(({ address }) => address)).toEqual([B, C]);
    scene.conn.connect();
    expect(scene.sessions.map(({ address }) => address)).toEqual([A, B, C]);
    expect(asked).toBe(1);
    await scene.conn.close();
  });
});

describe("a connection is not idle", () => {
  it("before its resolver has answered", async () => {
    let listener: ResolverListener | undefined;
    const scene = setUp({}, { start: (given) => (listener = given) });
    scene.conn.connect();
    listener?.onError(new Error("not yet"));
    scene.clock.advance(5 * IDLE_MS);
    expect(scene.conn.state).toBe("transientFailure");
    listener?.onAddresses([A]);
    scene.clock.advance(IDLE_MS / 4);
    expect(scene.conn.state).toBe("idle");
    await scene.conn.close();
  });

  it("while a call waits, or goes on at an address that has left the list", async () => {
    let listener: ResolverListener | undefined;
    const start = (given: ResolverListener): void => {
      listener = given;
      given.onAddresses([A]);
    };
    const scene = setUp({ backoff: { initialMs: 100_000 } }, { start });
    call(scene);
    scene.sessions[0]?.closed();
    scene.clock.advance(5 * IDLE_MS);
    expect(scene.conn.waitingCount).toBe(1);
    scene.clock.advance(100_000);
    settle(scene);
    listener?.onAddresses([B]);
    scene.conn.connect();
    settle(scene);
    scene.clock.advance(5 * IDLE_MS);
    expect(scene.conn.state).toBe("ready");
    // Seen at the look before its end, and not since.
    scene.clock.advance(IDLE_MS / 4 - 8);
    scene.sessions[1]?.endStream();
    scene.sessions[1]?.closed();
    expectIdleAfterTimeout(scene);
    await scene.conn.close();
  });

  it("soon after a call that began and ended between two looks, though its session is gone", async () => {
    const scene = setUp({ balancing: "roundRobin" });
    scene.conn.connect();
    settle(scene);
    scene.clock.advance(IDLE_MS - 4);
    call(scene);
    const session = scene.sessions.find(({ openStreamCount }) => openStreamCount > 0);
    session?.endStream();
    session?.closed();
    settle(scene);
    expectIdleAfterTimeout(scene);
    await scene.conn.close();
  });

  it("while a PING waits for its answer", async () => {
    const timeoutMs = 20 * IDLE_MS;
    const scene = setUp({ keepalive: { timeoutMs } });
    scene.conn.connect();
    settle(scene);
    const session = scene.sessions[0];
    let answer = (): void => {};
    if (session !== undefined) session.ping = (onAnswer) => (answer = onAnswer);
    const pinged = scene.conn.ping();
    scene.clock.advance(5 * IDLE_MS);
    expect(scene.conn.state).toBe("ready");
    answer();
    expect(await pinged).toBe(5 * IDLE_MS);
    expectIdleAfterTimeout(scene);
    await scene.conn.close();
  });

  it("when its session was handed over, or the timeout is Infinity", async () => {
    const never = setUp({ idleTimeoutMs: Number.POSITIVE_INFINITY });
    never.conn.connect();
    settle(never);
    const over = stubConnOver((session) => session.becomeReady(), { idleTimeoutMs: IDLE_MS });
    over.conn.connect();
    for (const scene of [never, over]) {
      scene.clock.advance(1_000_000_000);
      expect([scene.conn.state, scene.clock.timerCount]).toEqual(["ready", 0]);
      await scene.conn.close();
    }
  });
});
