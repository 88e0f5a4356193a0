// Addresses that are asked for their health: what they may answer, and how a watch may end.

import { describe, expect, it } from "vitest";
import { dial } from "../../../src/client/dial.ts";
import { HeaderError } from "../../../src/wire/field.ts";
import { fieldsOf, message, response, trailers, trailersOnly } from "../../support/frames.ts";
import {
  A,
  checked,
  NOT_SERVING,
  SERVING,
  scene,
  type Watched,
} from "../../support/health-scene.ts";
import { stubConnOver } from "../../support/stub-session.ts";

describe("an address that is asked for its health", () => {
  it("is connecting until it is SERVING, and calls wait", () => {
    const { conn, connect, at, call, states } = checked();
    connect(A);
    expect(conn.addresses[0]).toMatchObject({
      ...{ state: "connecting", health: "unknown", waitsFor: "health", error: undefined },
      ...{ reason: "its health is not known yet", sessionCount: 1, openStreamCount: 0 },
    });
    expect([call(), conn.waitingCount, conn.state]).toEqual([undefined, 1, "connecting"]);
    at(A).say(SERVING);
    expect([conn.waitingCount, conn.openStreamCount]).toEqual([0, 1]);
    expect(conn.addresses[0]).toMatchObject({
      ...{
        state: "ready",
        health: "serving",
        waitsFor: undefined,
        reason: "its health is SERVING",
      },
    });
    expect(states).toEqual(["connecting: asked to connect", "ready: its health is SERVING"]);
  });

  it.each([
    [0, "UNKNOWN"],
    [2, "NOT_SERVING"],
    [3, "SERVICE_UNKNOWN"],
    [7, "ServingStatus 7"],
  ])(
    "fails calls while it is %i, and takes them again when it is SERVING",
    async (status, name) => {
      const { conn, connect, at, call, failure, states } = checked();
      connect(A);
      at(A).say(status);
      const reason = `its health is ${name}`;
      expect(conn.addresses[0]).toMatchObject({
        ...{ state: "transientFailure", health: "notServing", waitsFor: "health", reason },
        error: { reason: "UPSTREAM_UNHEALTHY" },
      });
      expect(await failure()).toMatchObject({
        ...{ status: 14, reason: "UPSTREAM_UNHEALTHY", source: "upstream", retry: "safe" },
        details: "the backend is not healthy",
        message: `UNAVAILABLE: upstream ${A} is not healthy: ${reason}`,
      });
      expect(call({ waitForReady: true })).toBeUndefined();
      at(A).say(SERVING);
      expect([conn.waitingCount, conn.openStreamCount, conn.addresses[0]?.error]).toEqual([
        ...[0, 1, undefined],
      ]);
      expect(states.slice(1)).toEqual([
        `transientFailure: ${reason}`,
        "ready: its health is SERVING",
      ]);
    },
  );

  it("tells each change once, and the last of those that came together", () => {
    const { connect, at, conn, states } = checked();
    connect(A);
    at(A).say(NOT_SERVING, SERVING);
    at(A).say(SERVING, SERVING);
    at(A).say(NOT_SERVING);
    at(A).say(NOT_SERVING);
    at(A).say(3);
    expect(conn.addresses[0]?.reason).toBe("its health is SERVICE_UNKNOWN");
    at(A).bytes(Buffer.from([0, 0, 0, 0]));
    at(A).bytes(Buffer.from([2, 8]));
    expect(conn.state).toBe("transientFailure");
    at(A).bytes(Buffer.from([1]));
    expect(states.slice(1)).toEqual([
      "ready: its health is SERVING",
      "transientFailure: its health is NOT_SERVING",
      "ready: its health is SERVING",
    ]);
  });

  it("takes calls without an answer when it has no health service", () => {
    const { connect, at, call, conn, states } = checked();
    connect(A);
    at(A).end(trailers(12));
    expect([conn.addresses[0]?.health, call()]).toEqual(["unchecked", A]);
    expect(states.at(-1)).toBe("ready: the server has no health service (UNIMPLEMENTED)");
    at(A).session.closed();
    connect(A);
    expect(at(A).isWatched).toBe(true);
  });

  it("takes calls without an answer when nothing behind it is gRPC: HTTP 404 is UNIMPLEMENTED", () => {
    const { connect, at, conn } = checked();
    connect(A);
    at(A).watch.onHeaders(fieldsOf([[":status", "404"]]), false);
    expect([conn.addresses[0]?.health, at(A).session.openStreamCount]).toEqual(["unchecked", 0]);
  });

  it("reconnects while it is not healthy, and is asked anew", () => {
    const { connect, at, call, conn, clock } = checked();
    connect(A);
    at(A).say(NOT_SERVING);
    at(A).session.closed();
    expect(conn.addresses[0]).toMatchObject({ state: "idle", health: "unknown" });
    expect(call()).toBeUndefined();
    at(A).session.becomeReady();
    expect([conn.addresses[0]?.health, conn.waitingCount]).toEqual(["unknown", 1]);
    at(A).say(SERVING);
    expect([conn.waitingCount, clock.timerCount > 0]).toEqual([0, true]);
  });

  it("is asked over a session that was handed over, which ends with it", () => {
    const stub = stubConnOver(undefined, { healthCheck: {} });
    const { conn, connect, at } = scene(stub);
    connect("");
    expect(conn.state).toBe("connecting");
    at("").say(SERVING);
    expect(conn.state).toBe("ready");
    at("").reset("session");
    at("").session.closed();
    expect([conn.state, conn.addresses[0]?.health]).toEqual(["shutdown", "unknown"]);
  });
});

describe("a watch that fails", () => {
  it.each<[string, (watched: Watched) => void, string]>([
    ["without a status", (on) => on.end([]), "the server ended the watch without grpc-status"],
    ["with OK", (on) => on.end(trailers(0)), "the server ended the watch with OK"],
    [
      "with an error",
      (on) => on.end(trailers(7, "x".repeat(300))),
      `the server ended the watch with PERMISSION_DENIED: ${"x".repeat(256)}`,
    ],
    [
      "by headers alone",
      (on) => {
        on.session.endStreamOf(on.watch);
        on.watch.onHeaders(fieldsOf(trailersOnly(14, "busy")), true);
      },
      "the server ended the watch with UNAVAILABLE: busy",
    ],
    [
      "by headers with a status",
      (on) => on.watch.onHeaders(fieldsOf(trailersOnly(14)), false),
      "the server ended the watch with UNAVAILABLE",
    ],
    [
      "with HTTP 503",
      (on) => on.watch.onHeaders(fieldsOf([[":status", "503"]]), false),
      "the server ended the watch with HTTP status 503",
    ],
    [
      "after an answer, without trailers",
      (on) => on.bytes(message(Buffer.from([8, 1])), true),
      "the server ended the watch without grpc-status",
    ],
    ["by a reset", (on) => on.reset(), "the server reset stream 1: INTERNAL_ERROR"],
    [
      "with a message that is none",
      (on) => on.say(0x80),
      "expected a HealthCheckResponse, got something else",
    ],
    [
      "with a compressed message",
      (on) => on.bytes(message(Buffer.from([8, 1]), { compressed: true })),
      "expected a HealthCheckResponse, got something else",
    ],
    [
      "with a large message, before it has come",
      (on) => on.bytes(Buffer.from([0, 0, 0, 4, 1])),
      "grpc: received message larger than max (1025 vs. 1024)",
    ],
    [
      "with a flag that does not exist",
      (on) => on.bytes(Buffer.from([9, 0, 0, 0, 0])),
      "grpc: received unexpected payload format 9",
    ],
    [
      "with a flood of answers",
      (on) => {
        for (let turn = 0; turn < 601; turn++) on.say(SERVING);
      },
      "more than 600 answers in a minute",
    ],
  ])("%s makes the address fail, and is tried again after the backoff", (_how, fail, what) => {
    const { conn, connect, at, clock } = checked();
    connect(A);
    const first = at(A);
    fail(first);
    expect(conn.addresses[0]).toMatchObject({
      ...{ state: "transientFailure", health: "failed", waitsFor: "health" },
      reason: `its health is not known: ${what}`,
    });
    expect([first.isWatched, first.session.openStreamCount]).toEqual([false, 0]);
    clock.advance(996);
    expect(first.watches.length).toBe(1);
    clock.advance(8);
    expect([first.watches.length, conn.state]).toEqual([2, "connecting"]);
    first.say(SERVING);
    expect(conn.state).toBe("ready");
  });

  it("waits longer each time, as connections do", () => {
    const { connect, at, clock } = checked();
    connect(A);
    const waits: number[] = [];
    for (let turn = 1; turn < 5; turn++) {
      at(A).end(trailers(14));
      let waitMs = 0;
      for (; at(A).watches.length === turn; waitMs += 100) clock.advance(100);
      waits.push(waitMs);
    }
    expect(waits).toEqual([1_000, 1_600, 2_600, 4_100]);
  });

  it("after it has answered, and stood for ten seconds, makes calls wait for the next one", () => {
    const { connect, at, clock, conn, call } = checked();
    connect(A);
    at(A).say(SERVING);
    clock.advance(9_996);
    at(A).end(trailers(14));
    expect([conn.state, at(A).watches.length]).toEqual(["transientFailure", 1]);
    clock.advance(1_004);
    at(A).say(SERVING);
    clock.advance(10_000);
    at(A).end(trailers(14, "timeout"));
    expect([conn.state, at(A).watches.length]).toEqual(["connecting", 2 + 1]);
    expect(conn.addresses[0]?.reason).toBe(
      "its health is not known: the server ended the watch with UNAVAILABLE: timeout",
    );
    expect(call()).toBeUndefined();
    at(A).end(trailers(14));
    expect(conn.state).toBe("transientFailure");
    clock.advance(1_004);
    expect(at(A).watches.length).toBe(4);
  });

  it("that is never answered fails after the timeout, whatever it stood for", () => {
    const { connect, at, clock, conn } = checked(A, { healthCheck: { timeoutMs: 12_000 } });
    connect(A);
    at(A).watch.onHeaders(fieldsOf(response()), false);
    clock.advance(11_996);
    expect(conn.state).toBe("connecting");
    clock.advance(8);
    expect(conn.addresses[0]).toMatchObject({
      ...{ state: "transientFailure", health: "failed" },
      reason: "its health is not known: no answer within 12000 ms",
    });
    expect(at(A).session.openStreamCount).toBe(0);
  });

  it("has 20 seconds by default", () => {
    const { connect, clock, conn } = checked();
    connect(A);
    clock.advance(19_996);
    expect(conn.state).toBe("connecting");
    clock.advance(8);
    expect(conn.state).toBe("transientFailure");
  });

  it("because the server does not take its headers is tried again", () => {
    const { connect, at, clock, conn, sessions } = checked();
    conn.connect();
    sessions[0]!.onOpenStream = () => {
      throw new HeaderError("the header list is too large");
    };
    connect(A);
    expect(conn.addresses[0]).toMatchObject({
      ...{ state: "transientFailure", health: "failed" },
      reason: "its health is not known: the header list is too large",
    });
    sessions[0]!.onOpenStream = () => {};
    clock.advance(1_004);
    at(A).say(SERVING);
    expect(conn.state).toBe("ready");
    sessions[0]!.closed();
  });

  it("is asked again a minute later although it has answered often", () => {
    const { connect, at, clock, conn } = checked();
    connect(A);
    for (let minute = 0; minute < 3; minute++) {
      for (let turn = 0; turn < 600; turn++) at(A).say(SERVING);
      clock.advance(60_000);
    }
    expect([conn.state, at(A).watches.length]).toEqual(["ready", 1]);
  });
});

it.each<[object, string]>([
  [{ serviceName: 7 }, "healthCheck.serviceName: expected a string, got 7"],
  [{ timeoutMs: 0 }, "healthCheck.timeoutMs: expected a number from 1 to 2147483647, got 0"],
  [
    { service: "a.B" },
    'healthCheck: expected one of serviceName, timeoutMs, got "service"; did you mean serviceName?',
  ],
])("refuses %j", (healthCheck, text) => {
  expect(() => dial(A, { healthCheck })).toThrow(text);
});
