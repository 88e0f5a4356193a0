// Addresses that leave the list, or are let go, and come back.

import { describe, expect, it } from "vitest";
import { dial } from "../../src/client/dial.ts";
import type { DialOptions } from "../../src/client/dial-options.ts";
import { PastAddresses } from "../../src/client/past-addresses.ts";
import type { ResolverListener } from "../../src/client/resolve/resolver.ts";
import { type AddressPast, ConnectHistory } from "../../src/client/subchannel/connect-history.ts";
import type { KeepaliveOptions } from "../../src/transport/keepalive.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { FakeClock } from "../support/clock.ts";
import { PATH } from "../support/relay-fixture.ts";
import { StubSession } from "../support/stub-session.ts";
import { transportOf } from "../support/transport-of.ts";

const A = "192.0.2.1:1";
const B = "192.0.2.2:2";

/** A connection to stubs whose list the test gives. */
function setUp(options: DialOptions = {}) {
  const sessions: StubSession[] = [];
  const keepalives: (KeepaliveOptions | undefined)[] = [];
  const transport = transportOf("stub", {
    connect: ({ address, keepalive }, listener) => {
      const session = new StubSession(listener, "host" in address ? address.host : "");
      sessions.push(session);
      keepalives.push(keepalive);
      return session;
    },
  });
  const clock = new FakeClock();
  let listener: ResolverListener | undefined;
  const resolver = {
    start: (given: ResolverListener) => {
      listener = given;
    },
  };
  const own = { transport, clock, random: () => 0.5 };
  const conn = dial(resolver, { ...own, ...options });
  conn.connect();
  const list = (...addresses: string[]): void => listener?.onAddresses(addresses);
  const latest = (): StubSession => sessions.at(-1) as StubSession;
  return { conn, clock, sessions, keepalives, list, latest };
}

describe("an address that leaves the list and comes back", () => {
  it("is not tried before its backoff is over, and says why it had failed", async () => {
    const { conn, clock, sessions, list, latest } = setUp({ balancing: "roundRobin" });
    list(A, B);
    for (const session of [...sessions]) session.closed();
    clock.advance(1_004);
    expect(sessions).toHaveLength(4);
    sessions.findLast(({ address }) => A.startsWith(address))?.closed();
    sessions.findLast(({ address }) => B.startsWith(address))?.becomeReady();
    list(B);
    clock.advance(600);
    list(A, B);
    expect(sessions).toHaveLength(4);
    expect(conn.addresses[0]).toMatchObject({
      ...{ state: "transientFailure", reason: "stub closed", waitsFor: "backoff" },
      error: { reason: "UPSTREAM_CONNECT" },
    });
    clock.advance(992);
    expect(sessions).toHaveLength(4);
    clock.advance(12);
    expect(sessions).toHaveLength(5);
    latest().closed();
    clock.advance(2_552);
    expect(sessions).toHaveLength(5);
    clock.advance(12);
    expect(sessions).toHaveLength(6);
    await conn.close();
  });

  it("waits longer after its next failure, when its backoff was over in between", async () => {
    const { conn, clock, sessions, list, latest } = setUp({ balancing: "roundRobin" });
    list(A, B);
    sessions[0]?.closed();
    sessions[1]?.becomeReady();
    list(B);
    clock.advance(2_000);
    list(A, B);
    expect(sessions).toHaveLength(3);
    latest().closed();
    clock.advance(1_592);
    expect(sessions).toHaveLength(3);
    clock.advance(12);
    expect(sessions).toHaveLength(4);
    await conn.close();
  });

  it("starts over after ten minutes", async () => {
    const { conn, clock, sessions, list, latest } = setUp({ balancing: "roundRobin" });
    list(A, B);
    sessions[0]?.closed();
    sessions[1]?.becomeReady();
    list(B);
    clock.advance(600_000);
    list(A, B);
    latest().closed();
    clock.advance(1_004);
    expect(sessions).toHaveLength(4);
    await conn.close();
  });

  it("gets as few PINGs as its server has asked for, also after the connection was idle", async () => {
    const options = { balancing: "roundRobin", keepalive: { intervalMs: 10_000 } } as const;
    const { conn, clock, keepalives, list, latest } = setUp({ ...options, idleTimeoutMs: 1_000 });
    list(A);
    latest().becomeReady();
    latest().listener.onGoAway(0, ErrorCode.ENHANCE_YOUR_CALM, "too_many_pings");
    expect(keepalives.at(-1)).toEqual({ intervalMs: 20_000 });
    list(B);
    list(A);
    expect(keepalives.at(-1)).toEqual({ intervalMs: 20_000 });
    latest().becomeReady();
    clock.advance(1_300);
    expect(conn.state).toBe("idle");
    conn.connect();
    expect(keepalives.map((keepalive) => keepalive?.intervalMs)).toEqual([
      10_000, 20_000, 10_000, 20_000, 20_000,
    ]);
    await conn.close();
  });
});

it("an address that was let go is tried at once when it is wanted, and then waits longer", async () => {
  const { conn, clock, sessions, list, latest } = setUp();
  list(A, B);
  sessions[0]?.closed();
  latest().becomeReady();
  expect(conn.addresses.map(({ state }) => state)).toEqual(["idle", "ready"]);
  latest().closed();
  const call = conn.newStream(PATH, { waitForReady: true });
  call.trailer().catch(() => undefined);
  expect(latest().address).toBe("192.0.2.1");
  latest().closed();
  latest().closed();
  expect(conn.state).toBe("transientFailure");
  const count = sessions.length;
  clock.advance(1_004);
  expect(sessions.slice(count).map(({ address }) => address)).toEqual(["192.0.2.2"]);
  await conn.close();
});

describe("PastAddresses", () => {
  const past = (clock: FakeClock): AddressPast => ({
    source: { reconnects: true, connect: (listener) => new StubSession(listener) },
    history: new ConnectHistory({ clock, random: Math.random, backoff: {} }),
  });

  it("gives an address once, and none that left ten minutes ago", () => {
    const clock = new FakeClock();
    const all = new PastAddresses(clock);
    const [a, b] = [past(clock), past(clock)];
    all.keep(A, a);
    clock.advance(599_999);
    all.keep(B, b);
    expect([all.take(A), all.take(A)]).toEqual([a, undefined]);
    all.keep(A, a);
    clock.advance(600_000);
    expect([all.take(A), all.take(B)]).toEqual([undefined, undefined]);
  });

  it("forgets the one that left first when there are more than 1,000", () => {
    const clock = new FakeClock();
    const all = new PastAddresses(clock);
    const each = past(clock);
    for (let i = 0; i < 1_000; i++) all.keep(`${i}`, each);
    all.keep("0", each);
    all.keep("1000", each);
    expect([all.take("1"), all.take("2"), all.take("0")]).toEqual([undefined, each, each]);
  });
});
