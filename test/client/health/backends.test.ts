// Health checks with backends on real sockets: scripted frame by frame, and of grpc-js.

import * as grpc from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import type { ClientConn } from "../../../src/client/client-conn.ts";
import { dial } from "../../../src/client/dial.ts";
import type { DialOptions } from "../../../src/client/dial-options.ts";
import { ErrorCode } from "../../../src/wire/error-code.ts";
import { FakeClock } from "../../support/clock.ts";
import { type TransportCombo, transportCombos } from "../../support/combos.ts";
import { frames, message, pairsOf, response, trailersOnly } from "../../support/frames.ts";
import { bindBackend } from "../../support/grpc-js.ts";
import {
  answerCall,
  eventually,
  PATH,
  scriptedBackend,
  watchConn,
} from "../../support/relay-fixture.ts";
import type { ScriptedPeer } from "../../support/scripted-peer.ts";

const WATCH = "/grpc.health.v1.Health/Watch";
const SERVING = 1;
const NOT_SERVING = 2;
const UNIMPLEMENTED = trailersOnly(12);

const health = (status: number): Buffer => message(Buffer.from([8, status]));

/** Answers the watch of a scripted backend. @returns its stream */
async function beginWatch(peer: ScriptedPeer, status: number): Promise<number> {
  const { streamId } = await peer.expectRequest(WATCH);
  peer.send(frames.headers(streamId, response()), frames.data(streamId, health(status)));
  return streamId;
}

async function outcome(conn: ClientConn): Promise<unknown> {
  const stream = conn.newStream(PATH);
  stream.closeSend();
  return await stream.trailer().then(
    () => "OK",
    (error: unknown) => error,
  );
}

const isIn = (conn: ClientConn, state: string) => (): boolean => conn.state === state;

describe.each(transportCombos)("on $client, a scripted backend", (combo: TransportCombo) => {
  const dialled = (options: DialOptions = {}, settings = {}) =>
    scriptedBackend(combo, { settings }, { healthCheck: {}, ...options });

  it("is asked by a request that ends, and gets calls while it is SERVING", async () => {
    const { conn, scripted, peer } = await dialled({ healthCheck: { serviceName: "a.B" } });
    conn.connect();
    const backend = await peer();
    const { streamId, fields } = await backend.expectRequest(WATCH);
    expect(pairsOf(fields)).toEqual([
      [":method", "POST"],
      [":scheme", "http"],
      [":path", WATCH],
      [":authority", conn.authority],
      ["te", "trailers"],
      ["content-type", "application/grpc"],
    ]);
    expect(await backend.expectBody(streamId)).toEqual(message("\x0a\x03a.B"));
    expect([conn.state, conn.openStreamCount]).toEqual(["connecting", 0]);
    // The first answer byte by byte.
    backend.send(frames.headers(streamId, response()));
    for (const byte of health(SERVING)) backend.send(frames.data(streamId, Buffer.from([byte])));
    await eventually("it is ready", isIn(conn, "ready"));
    const call = outcome(conn);
    answerCall(backend, (await backend.expectRequest(PATH)).streamId);
    expect(await call).toBe("OK");
    backend.send(frames.data(streamId, health(NOT_SERVING)));
    await eventually("it has failed", isIn(conn, "transientFailure"));
    expect(await outcome(conn)).toMatchObject({ status: 14, reason: "UPSTREAM_UNHEALTHY" });
    backend.send(frames.data(streamId, health(SERVING)));
    await eventually("it is ready again", isIn(conn, "ready"));
    const again = outcome(conn);
    answerCall(backend, (await backend.expectRequest(PATH)).streamId);
    expect(await again).toBe("OK");
    await eventually("no call is left", () => conn.openStreamCount === 0);
    expect(scripted.connectionCount).toBe(1);
    await conn.close(10_000);
    await backend.expectReset(streamId, ErrorCode.CANCEL);
  });

  it("without a health service gets calls", async () => {
    const { conn, peer } = await dialled();
    const call = outcome(conn);
    const backend = await peer();
    const { streamId } = await backend.expectRequest(WATCH);
    backend.send(frames.headers(streamId, UNIMPLEMENTED, { endStream: true }));
    answerCall(backend, (await backend.expectRequest(PATH)).streamId);
    expect([await call, conn.addresses[0]?.health]).toEqual(["OK", "unchecked"]);
  });

  it("that goes away ends the watch, and is asked anew on the next connection", async () => {
    const { conn, peer } = await dialled();
    conn.connect();
    const first = await peer();
    const watch = await beginWatch(first, SERVING);
    await eventually("it is ready", isIn(conn, "ready"));
    first.send(frames.goaway(watch, 0));
    await first.expectReset(watch, ErrorCode.CANCEL, { skip: ["DATA"] });
    await first.expectClosed();
    const call = outcome(conn);
    const second = await peer();
    await beginWatch(second, SERVING);
    answerCall(second, (await second.expectRequest(PATH)).streamId);
    expect(await call).toBe("OK");
  });

  it("that dies is lost, and not unhealthy", async () => {
    const { conn, peer } = await dialled();
    const states: string[] = [];
    conn.onState((state) => states.push(state));
    conn.connect();
    const backend = await peer();
    await beginWatch(backend, SERVING);
    await eventually("it is ready", isIn(conn, "ready"));
    backend.destroy();
    await eventually("it is lost", isIn(conn, "idle"));
    expect(states).toEqual(["connecting", "ready", "idle"]);
  });

  it("that allows one stream gets calls and no watch", async () => {
    const { conn, peer } = await dialled({}, { MAX_CONCURRENT_STREAMS: 1 });
    const call = outcome(conn);
    const backend = await peer();
    answerCall(backend, (await backend.expectRequest(PATH)).streamId);
    expect([await call, conn.addresses[0]?.health]).toEqual(["OK", "unchecked"]);
  });

  it.each([
    ["a large message", Buffer.from([0, 0, 1, 0, 0])],
    ["a malformed message", message(Buffer.from([8]))],
  ])("that answers with %s is asked again", async (_what, bytes) => {
    const clock = new FakeClock();
    const { conn, peer } = await dialled({ clock });
    conn.connect();
    const backend = await peer();
    const { streamId } = await backend.expectRequest(WATCH);
    backend.send(frames.headers(streamId, response()), frames.data(streamId, bytes));
    await backend.expectReset(streamId, ErrorCode.CANCEL, { skip: ["DATA"] });
    expect(conn.addresses[0]?.health).toBe("failed");
    clock.advance(2_000);
    await beginWatch(backend, SERVING);
    await eventually("it is ready", isIn(conn, "ready"));
  });

  it("is left when it is idle, although it is watched", async () => {
    const clock = new FakeClock();
    const { conn, peer } = await dialled({ clock, idleTimeoutMs: 10_000 });
    conn.connect();
    const backend = await peer();
    const watch = await beginWatch(backend, SERVING);
    await eventually("it is ready", isIn(conn, "ready"));
    clock.advance(12_500);
    expect(conn.state).toBe("idle");
    await backend.expectReset(watch, ErrorCode.CANCEL, { skip: ["DATA"] });
    await backend.expectClosed();
  });
});

type HealthStream = grpc.ServerWritableStream<Buffer, Buffer>;

/** A grpc-js server with a health service, and how many calls it has had. */
class HealthBackend {
  callCount = 0;
  readonly asked: string[] = [];
  #status = SERVING;
  readonly #watches = new Set<HealthStream>();

  listen(): Promise<string> {
    const bytes = (given: Buffer): Buffer => given;
    const codec = {
      ...{ requestSerialize: bytes, requestDeserialize: bytes },
      ...{ responseSerialize: bytes, responseDeserialize: bytes },
    };
    const server = new grpc.Server();
    server.addService(
      {
        watch: { path: WATCH, requestStream: false, responseStream: true, ...codec },
        unary: { path: PATH, requestStream: false, responseStream: false, ...codec },
      },
      {
        watch: (stream: HealthStream) => this.#watch(stream),
        unary: (_call: unknown, answer: grpc.sendUnaryData<Buffer>) => {
          this.callCount++;
          answer(null, Buffer.alloc(0));
        },
      },
    );
    return bindBackend(server);
  }

  become(status: number): void {
    this.#status = status;
    for (const stream of this.#watches) stream.write(Buffer.from([8, status]));
  }

  #watch(stream: HealthStream): void {
    this.asked.push(stream.request.toString("latin1"));
    this.#watches.add(stream);
    stream.on("cancelled", () => this.#watches.delete(stream));
    stream.write(Buffer.from([8, this.#status]));
  }

  get watchCount(): number {
    return this.#watches.size;
  }
}

describe.each(transportCombos)("on $client, backends of grpc-js", (combo: TransportCombo) => {
  it("get calls while they are SERVING", async () => {
    const backends = [new HealthBackend(), new HealthBackend()] as const;
    const [a, b] = backends;
    const targets = await Promise.all(backends.map((each) => each.listen()));
    const conn = watchConn(
      dial(targets, {
        ...{ transport: combo.client, balancing: "roundRobin" },
        healthCheck: { serviceName: "test.Service" },
      }),
    );
    const call = async (): Promise<void> => {
      const stream = conn.newStream(PATH);
      await stream.sendMessage(Buffer.alloc(0));
      stream.closeSend();
      await stream.trailer();
    };
    const calls = async (): Promise<[number, number]> => {
      for (const each of backends) each.callCount = 0;
      for (let turn = 0; turn < 6; turn++) await call();
      return [a.callCount, b.callCount];
    };
    const healthIs = (...expected: string[]): Promise<void> =>
      eventually(`their health is ${expected}`, () =>
        conn.addresses.every(({ health: known }, index) => known === expected[index]),
      );
    b.become(NOT_SERVING);
    conn.connect();
    await healthIs("serving", "notServing");
    expect(await calls()).toEqual([6, 0]);
    b.become(SERVING);
    await healthIs("serving", "serving");
    expect(await calls()).toEqual([3, 3]);
    a.become(NOT_SERVING);
    await healthIs("notServing", "serving");
    expect(await calls()).toEqual([0, 6]);
    expect(a.asked).toEqual(["\x0a\x0ctest.Service"]);
    await conn.close();
    await eventually("no watch is left", () => a.watchCount + b.watchCount === 0);
  });
});
