// The last address that is ready goes away while others wait for a backoff. Their servers may be
// back since: they are tried at once, and calls wait for that.

import { describe, expect, it } from "vitest";
import type { ClientStream } from "../../src/client/client-stream.ts";
import { dial } from "../../src/client/dial.ts";
import type { DialOptions } from "../../src/client/dial-options.ts";
import type { ResolverListener } from "../../src/client/resolve/resolver.ts";
import type { DialTarget } from "../../src/client/target.ts";
import type { SocketAddress } from "../../src/transport/transport.ts";
import { closeAtEnd } from "../support/cleanup.ts";
import { FakeClock } from "../support/clock.ts";
import { frames, trailersOnly } from "../support/frames.ts";
import { PATH } from "../support/relay-fixture.ts";
import { ScriptedServer } from "../support/scripted-endpoints.ts";
import { type StubConn, type StubSession, stubConn } from "../support/stub-session.ts";

const A = "10.0.0.1:1";
const B = "10.0.0.2:1";
const C = "10.0.0.3:1";

interface Scene extends StubConn {
  /** The latest session to an address. */
  at(address: string): StubSession;
  /** How many sessions were made to an address. */
  count(address: string): number;
  call(): ClientStream;
  readonly states: string[];
}

function scene(target: DialTarget, options: DialOptions = {}): Scene {
  const stub = stubConn({ balancing: "roundRobin", ...options }, undefined, target);
  const { conn, sessions, clock } = stub;
  const states: string[] = [];
  conn.onState((state, error, reason) =>
    states.push(`${state}${error === undefined ? "" : "!"}: ${reason}`),
  );
  closeAtEnd(async () => {
    await conn.close();
    expect(clock.timerCount).toBe(0);
  });
  return {
    ...stub,
    states,
    at: (address) => sessions.findLast((each) => each.address === address)!,
    count: (address) => sessions.filter((each) => each.address === address).length,
    call: () => {
      const call = conn.newStream(PATH);
      call.trailer().catch(() => undefined);
      return call;
    },
  };
}

/** The server at `address` goes away in order, and listens no more. */
function restart({ at }: Scene, address: string): void {
  const leaving = at(address);
  leaving.answered = true;
  leaving.accepting = false;
  leaving.listener.onGoAway(0, 0, "");
  leaving.closed();
  at(address).closed();
}

describe("the last address that is ready", () => {
  it("says GOAWAY: those in backoff are tried at once, and no call fails", () => {
    const all = scene([A, B, C]);
    const { conn, at, count, call, states } = all;
    call();
    for (const address of [A, B, C]) at(address).becomeReady();
    restart(all, A);
    restart(all, B);
    expect(conn.addresses.map(({ state }) => state)).toEqual([
      "transientFailure",
      "transientFailure",
      "ready",
    ]);
    expect([A, B].map(count)).toEqual([2, 2]);
    restart(all, C);
    expect([conn.state, ...[A, B, C].map(count)]).toEqual(["connecting", 3, 3, 2]);
    expect(conn.addresses.map(({ state }) => state)).toEqual([
      "connecting",
      "connecting",
      "transientFailure",
    ]);
    call();
    at(B).closed();
    expect(conn.waitingCount).toBe(1);
    at(A).becomeReady();
    expect([conn.waitingCount, at(A).opened.length]).toEqual([0, 1]);
    expect(states).toEqual([
      "connecting: a call wants it",
      `ready: ${A}: the server has sent its SETTINGS`,
      `connecting!: ${C}: the server is going away: NO_ERROR`,
      `ready: ${A}: the server has sent its SETTINGS`,
    ]);
  });

  it("is lost while another attempt is under way to one that has failed: calls wait for that", async () => {
    const all = scene([A, B]);
    const { conn, at, call, clock } = all;
    call();
    for (const address of [A, B]) at(address).becomeReady();
    restart(all, A);
    clock.advance(1_004);
    expect(conn.addresses[0]).toMatchObject({ state: "connecting" });
    at(B).closed();
    at(B).closed();
    expect(conn.state).toBe("connecting");
    const waits = call();
    at(A).closed();
    expect(conn.state).toBe("transientFailure");
    await expect(waits.trailer()).rejects.toMatchObject({ reason: "UPSTREAM_CONNECT" });
  });

  it("leaves the list: those in backoff are tried at once", () => {
    let listener: ResolverListener | undefined;
    const all = scene({
      start: (given) => {
        listener = given;
        given.onAddresses([A, B]);
      },
    });
    const { conn, at, count, call } = all;
    call();
    for (const address of [A, B]) at(address).becomeReady();
    restart(all, A);
    listener?.onAddresses([A]);
    expect([conn.state, count(A)]).toEqual(["connecting", 3]);
    call();
    at(A).becomeReady();
    expect(at(A).opened).toHaveLength(1);
    at(B).closed();
  });

  it("goes away again and again: each wait is cut once until one has run out, or its server has worked", () => {
    const all = scene([A, B]);
    const { at, count, call, clock } = all;
    call();
    /** It works: it has answered a call. */
    const work = (address: string): void => {
      at(address).becomeReady();
      at(address).answered = true;
    };
    for (const address of [A, B]) work(address);
    restart(all, A);
    const loseB = (): void => {
      at(B).closed();
      work(B);
    };
    loseB();
    expect(count(A)).toBe(3);
    at(A).closed();
    loseB();
    loseB();
    expect(count(A)).toBe(3);
    // The wait has grown, although the one before was cut: 1.6 s.
    clock.advance(1_500);
    expect(count(A)).toBe(3);
    clock.advance(104);
    expect(count(A)).toBe(4);
    at(A).closed();
    loseB();
    expect(count(A)).toBe(5);
    work(A);
    restart(all, A);
    loseB();
    expect(count(A)).toBe(7);
    at(A).closed();
  });

  it("goes away, and so do all that are tried, before they answer: they are not tried in a circle", () => {
    const all = scene([A, B]);
    const { conn, sessions, at, call } = all;
    for (let i = 0; i < 50; i++) {
      const waits = call();
      for (const address of [A, B]) {
        const session = at(address);
        if (conn.addresses.find((each) => each.address === address)?.state !== "connecting") {
          continue;
        }
        session.becomeReady();
        session.accepting = false;
        session.listener.onGoAway(0, 0, "");
        session.closed();
      }
      waits.cancel();
    }
    expect(sessions.length).toBeLessThan(12);
  });
});

describe.each(["engine", "node"] as const)("roundRobin over two backends on '%s'", (transport) => {
  it("loses no call when one is restarted before its backoff of the other is over", async () => {
    // Time stands still: no backoff runs out.
    const clock = new FakeClock();
    const first = await ScriptedServer.listen();
    const second = await ScriptedServer.listen();
    const textOf = ({ address }: ScriptedServer): string =>
      `127.0.0.1:${(address as SocketAddress & { readonly port: number }).port}`;
    const conn = dial([textOf(first), textOf(second)], {
      ...{ transport, clock, random: () => 0.5, balancing: "roundRobin" },
    });
    closeAtEnd(() => conn.close());
    conn.connect();
    const one = await first.connection();
    const other = await second.connection();
    const states = (): string[] => conn.addresses.map(({ state }) => state);
    await expect.poll(states).toEqual(["ready", "ready"]);
    void first.stopListening();
    one.send(frames.goaway(0, 0));
    one.socket.end();
    await expect.poll(states).toEqual(["transientFailure", "ready"]);
    const back = await ScriptedServer.listen({ address: first.address });
    void second.stopListening();
    other.send(frames.goaway(0, 0));
    other.socket.end();
    await expect.poll(() => states()[1]).not.toBe("ready");
    const call = conn.newStream(PATH);
    const served = await back.connection();
    const { streamId } = await served.expectRequest();
    served.send(frames.headers(streamId, trailersOnly(0)).end());
    await call.trailer();
    expect(conn.state).toBe("ready");
  });
});
