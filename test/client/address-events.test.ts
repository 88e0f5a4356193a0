// Each change of an address is told on a channel, whatever becomes of the whole connection.

import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { describe, expect, it } from "vitest";
import type { ResolverListener } from "../../src/client/resolve/resolver.ts";
import type { AddressStateEvent } from "../../src/observe/channels.ts";
import { closeAtEnd } from "../support/cleanup.ts";
import { addressStates, connStates } from "../support/events.ts";
import { fieldsOf, trailers, trailersOnly } from "../support/frames.ts";
import { A, B, checked, NOT_SERVING, SERVING, scene } from "../support/health-scene.ts";
import { stubConn } from "../support/stub-session.ts";

const PLAIN = { balancing: "roundRobin" } as const;
const ONE_FAILURE = { consecutiveFailures: { threshold: 1 } };

/** One line for each event. */
function lines(events: readonly AddressStateEvent[]): string[] {
  return events.map(({ address, state, health, ejectedForMs, reason }) =>
    [address, state, health, ejectedForMs, reason].filter((part) => part !== undefined).join(" | "),
  );
}

describe("the channel of addresses", () => {
  it("tells of connections", async () => {
    const { connect, at, conn } = scene(stubConn(PLAIN, undefined, A));
    const events = addressStates();
    connect(A);
    at(A).session.closed();
    await conn.close();
    expect(lines(events.slice(0, 2))).toEqual([
      `${A} | connecting | asked to connect`,
      `${A} | ready | the server has sent its SETTINGS`,
    ]);
    expect(events[2]).toMatchObject({
      ...{ target: A, address: A, state: "idle", ejectedForMs: undefined, health: undefined },
      ...{ reason: "stub closed", error: { reason: "UPSTREAM_SESSION" } },
    });
    expect(lines(events).at(-1)).toBe(`${A} | shutdown | closed by its owner`);
  });

  it("tells of an ejection and its end, of which the whole connection sees nothing", () => {
    const { connect, at, call, answer, conn, clock } = scene(
      stubConn({ ...PLAIN, outlierDetection: ONE_FAILURE }, undefined, [A, B]),
    );
    connect(A, B);
    const events = addressStates();
    const states = connStates();
    for (let turn = 0; turn < 2; turn++) {
      if (call() === B) answer(B);
      else {
        const { session } = at(A);
        session.endStreamOf(session.opened[0]!);
        session.opened[0]!.onHeaders(fieldsOf(trailersOnly(14)), true);
      }
    }
    clock.advance(40_000);
    expect(lines(events)).toEqual([
      `${A} | transientFailure | 30000 | ejected: 1 calls in a row have failed`,
      `${A} | ready | its ejection is over`,
    ]);
    expect(events[0]).toMatchObject({ target: conn.target, error: { status: 14 } });
    expect([states, conn.state]).toEqual([[], "ready"]);
  });

  it("tells of the ejection of an address that takes no calls anyway", () => {
    const { connect, at, call, conn } = scene(
      stubConn({ outlierDetection: ONE_FAILURE }, undefined, [A, B]),
    );
    connect(A);
    call();
    const { session } = at(A);
    session.accepting = false;
    session.listener.onGoAway(100, 0, "");
    const events = addressStates();
    const lost = { kind: "session", code: 0, unprocessed: false, message: "", reason: "" } as const;
    session.opened[0]!.onReset(lost);
    expect(lines(events)).toEqual([`${A} | idle | 30000 | ejected: 1 calls in a row have failed`]);
    expect(conn.state).toBe("idle");
    session.closed();
  });

  it("tells of health, and once more why an address counts as healthy", () => {
    const { connect, at } = checked([A, B], { balancing: "roundRobin" });
    connect(A, B);
    const events = addressStates();
    at(A).say(SERVING);
    at(B).end(trailers(12));
    at(A).say(NOT_SERVING);
    at(A).say(NOT_SERVING);
    expect(lines(events)).toEqual([
      `${A} | ready | serving | its health is SERVING`,
      `${B} | ready | unchecked | the server has no health service (UNIMPLEMENTED)`,
      `${A} | transientFailure | notServing | its health is NOT_SERVING`,
    ]);
    expect(events[2]).toMatchObject({ error: { reason: "UPSTREAM_UNHEALTHY" } });
  });

  it("tells of an address that leaves the list", () => {
    let listener: ResolverListener | undefined;
    const start = (given: ResolverListener): void => {
      listener = given;
    };
    const { connect, at, conn } = scene(stubConn(PLAIN, undefined, { start }));
    conn.connect();
    listener!.onAddresses([A, B]);
    connect(A, B);
    const events = addressStates();
    listener!.onAddresses([B]);
    expect(lines(events)).toEqual([`${A} | shutdown | the address has left the list`]);
    at(A).session.closed();
  });

  it("may have a subscriber that closes the connection", async () => {
    let isReset = false;
    const start = (listener: ResolverListener): void => listener.onAddresses([A]);
    const resolveNow = (): void => {
      isReset = true;
    };
    const { connect, at, conn, states } = scene(stubConn(PLAIN, undefined, { start, resolveNow }));
    conn.connect();
    connect(A);
    const close = (event: unknown): void => {
      if ((event as AddressStateEvent).state !== "shutdown") void conn.close();
    };
    subscribe("grpc-relay:address:state", close);
    closeAtEnd(() => {
      unsubscribe("grpc-relay:address:state", close);
    });
    at(A).session.listener.onGoAway(0, 0, "");
    expect([conn.state, isReset, states.at(-1)]).toEqual([
      ...["shutdown", false, "shutdown: closed by its owner"],
    ]);
    at(A).session.closed();
  });
});
