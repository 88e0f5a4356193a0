// What is the engine's own between the connection and its socket: writes per turn, backpressure of
// a socket that is not read, the end of a socket.

import { Socket } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { engineTransport } from "../../../src/transport/engine/index.ts";
import { awaitTurn } from "../../../src/transport/engine/turn-queue.ts";
import { ErrorCode } from "../../../src/wire/error-code.ts";
import { FakeClock } from "../../support/clock.ts";
import { fieldsOf, frames, request, response, trailers } from "../../support/frames.ts";
import { ScriptedServer } from "../../support/scripted-endpoints.ts";
import { type Contract, clientToScript, connect, scriptToServer } from "../contract/harness.ts";

const ENGINE: Contract = { makeTransport: () => engineTransport(), sockets: true, weaker: {} };

/** Counts what the sockets of this process are asked to write, by local port. */
function countWrites(): Map<number, number> {
  const counts = new Map<number, number>();
  // Node's own hooks below `write`: one call of either is one system call.
  for (const name of ["_write", "_writev"]) {
    const original: (...args: unknown[]) => unknown = Reflect.get(Socket.prototype, name);
    Reflect.set(Socket.prototype, name, function (this: Socket, ...args: unknown[]): unknown {
      const port = this.localPort ?? 0;
      counts.set(port, (counts.get(port) ?? 0) + 1);
      return Reflect.apply(original, this, args);
    });
    onTestFinished(() => {
      Reflect.set(Socket.prototype, name, original);
    });
  }
  return counts;
}

describe("the engine's writes", () => {
  it("are one for all calls that a turn has answered", async () => {
    const end = await scriptToServer(ENGINE);
    const counts = countWrites();
    const port = end.peer.socket.remotePort ?? 0;
    const ids = Array.from({ length: 50 }, (_, i) => 2 * i + 1);
    end.peer.send(...ids.map((id) => frames.headers(id, request("/a/B")).end()));
    const streams = await Promise.all(ids.map(() => end.events.nextStream()));
    counts.clear();
    for (const { stream } of streams) {
      stream.sendHeaders(fieldsOf(response()), false);
      stream.sendData(Buffer.from("hello"), false);
      stream.sendTrailers(fieldsOf(trailers(0)));
    }
    for (const id of ids) {
      await end.peer.expectHeaders(id);
      await end.peer.expectData(id);
      await end.peer.expectTrailers(id);
    }
    expect(counts.get(port)).toBe(1);
  });

  it("are one for small frames and large payloads together", async () => {
    const end = await scriptToServer(ENGINE);
    end.peer.send(frames.headers(1, request("/a/B")).end());
    const { stream } = await end.events.nextStream();
    const counts = countWrites();
    stream.sendHeaders(fieldsOf(response()), false);
    for (let i = 0; i < 3; i++) stream.sendData(Buffer.alloc(10_000, i), false);
    stream.sendTrailers(fieldsOf(trailers(0)));
    await end.peer.expectHeaders(1);
    expect((await end.peer.expectBytes(1, 30_000)).subarray(29_000)).toEqual(
      Buffer.alloc(1_000, 2),
    );
    await end.peer.expectTrailers(1);
    expect(counts.get(end.peer.socket.remotePort ?? 0)).toBe(1);
  });
});

describe("a peer that does not read from its socket", () => {
  it("is cut off when the answers to its frames are more than the limit", async () => {
    const limits = { maxQueuedControlBytes: 10_000, pingBurst: 10_000_000 };
    const contract = { ...ENGINE, makeTransport: () => engineTransport({ limits }) };
    const end = await scriptToServer(contract);
    end.peer.pauseReading();
    const pings = frames.bytes(...Array.from({ length: 2_000 }, () => frames.ping()));
    const more = (): void => {
      while (end.events.end === undefined && end.peer.socket.write(pings));
      if (end.events.end === undefined) end.peer.socket.once("drain", more);
    };
    more();
    expect(await end.events.untilClosed()).toMatchObject({
      kind: "protocol",
      code: ErrorCode.ENHANCE_YOUR_CALM,
    });
  });

  it("stops the DATA of its streams at the high-water mark, and gets all of it in the end", async () => {
    const peer = { settings: { INITIAL_WINDOW_SIZE: 0x7fffffff } };
    const end = await scriptToServer(ENGINE, { peer });
    end.peer.send(frames.windowUpdate(0, 0x7fff0000), frames.headers(1, request("/a/B")).end());
    const log = await end.events.nextStream();
    end.peer.pauseReading();
    log.stream.sendHeaders(fieldsOf(response()), false);
    const body = Buffer.alloc(32 * 1_048_576, "relay");
    const accepted = log.stream.sendData(body, false);
    expect(accepted).toBeLessThanOrEqual(262_144);
    log.stream.sendTrailers(fieldsOf(trailers(0)));
    await new Promise((resolve) => setImmediate(resolve));
    // What the kernel's buffers do not take waits here, by reference.
    expect(log.stream.queuedBytes).toBeGreaterThan(8 * 1_048_576);
    end.peer.resumeReading();
    await end.peer.expectHeaders(1);
    const got = await end.peer.expectBytes(1, body.length);
    expect(got.equals(body)).toBe(true);
    await end.peer.expectTrailers(1);
  });
});

describe("the end of a socket", () => {
  it("waits for a peer that still reads the last response, for as long as it does", async () => {
    const clock = new FakeClock();
    const peer = { settings: { INITIAL_WINDOW_SIZE: 0x7fffffff } };
    const end = await scriptToServer(ENGINE, { peer, session: { clock } });
    end.peer.send(frames.windowUpdate(0, 0x7fff0000), frames.headers(1, request("/a/B")).end());
    const { stream } = await end.events.nextStream();
    stream.sendHeaders(fieldsOf(response()), false);
    const body = Buffer.alloc(16 * 1_048_576, 1);
    stream.sendData(body, true);
    end.session.drain();
    await end.peer.expectHeaders(1);
    const got = await end.peer.expectBytes(1, body.length);
    expect(got.length).toBe(body.length);
    await end.peer.expectGoAway(ErrorCode.NO_ERROR);
    await end.peer.expectClosed();
    expect((await end.events.untilClosed()).kind).toBe("closed");
    expect(clock.timerCount).toBe(0);
  });

  it("does not wait for ever for a peer that keeps its side open", async () => {
    const clock = new FakeClock();
    const end = await scriptToServer(ENGINE, { session: { clock } });
    end.peer.socket.allowHalfOpen = true;
    end.session.destroy(ErrorCode.INTERNAL_ERROR, "broken");
    await end.peer.expectGoAway(ErrorCode.INTERNAL_ERROR);
    await end.peer.until("FIN", () => end.peer.ended || undefined);
    expect(end.events.end).toBeUndefined();
    clock.advance(1_008);
    expect((await end.events.untilClosed()).kind).toBe("destroyed");
    expect(clock.timerCount).toBe(0);
  });

  it("comes after a drain whose PING is not answered, when the last stream has ended", async () => {
    const clock = new FakeClock();
    const end = await scriptToServer(ENGINE, { session: { clock }, peer: { ackPings: false } });
    end.session.drain();
    expect((await end.peer.expectGoAway(0)).lastStreamId).toBe(0x7fffffff);
    clock.advance(1_008);
    expect((await end.peer.expectGoAway(0)).lastStreamId).toBe(0);
    await end.peer.expectClosed();
    expect((await end.events.untilClosed()).kind).toBe("closed");
    expect(clock.timerCount).toBe(0);
  });

  it("is told in order: streams, then the session", async () => {
    const end = await clientToScript(ENGINE);
    const listener = {
      onHeaders() {},
      onData() {},
      onTrailers() {},
      onWritable() {},
      onReset: () => told.push(`stream, session ${end.events.end === undefined ? "open" : "over"}`),
    };
    const told: string[] = [];
    end.session.openStream(fieldsOf(request("/a/B")), false, listener);
    await end.peer.expectRequest();
    end.peer.destroy();
    await end.events.untilClosed();
    expect(told).toEqual(["stream, session open"]);
  });
});

describe("a PING before the connection is made", () => {
  it("is sent behind the preface", async () => {
    const backend = await ScriptedServer.listen();
    const end = connect(ENGINE, { address: backend.address });
    const acknowledged = new Promise<void>((resolve) => end.session.ping(resolve));
    const peer = await backend.connection();
    await acknowledged;
    expect(peer.trace.filter(({ direction }) => direction === "recv")[0]?.frame.name).toBe(
      "SETTINGS",
    );
  });
});

describe("turns", () => {
  it("of others are taken although one throws", async () => {
    const taken: string[] = [];
    const writeEarly = (): void => {};
    const thrown = new Promise<unknown>((resolve) => {
      const listeners = process.listeners("uncaughtException");
      process.removeAllListeners("uncaughtException");
      process.once("uncaughtException", (error) => {
        for (const listener of listeners) process.on("uncaughtException", listener);
        resolve(error);
      });
    });
    const done = new Promise<void>((resolve) => {
      awaitTurn({ takeTurn: () => taken.push("first"), writeEarly });
      awaitTurn({
        takeTurn: () => {
          throw new TypeError("defect");
        },
        writeEarly,
      });
      awaitTurn({
        takeTurn: () => {
          taken.push("third");
          awaitTurn({
            takeTurn: () => {
              taken.push("next turn");
              resolve();
            },
            writeEarly,
          });
        },
        writeEarly,
      });
    });
    expect(await thrown).toMatchObject({ message: "defect" });
    await done;
    expect(taken).toEqual(["first", "third", "next turn"]);
  });
});

describe("engineTransport()", () => {
  it("refuses a limit that is none", () => {
    expect(() => engineTransport({ limits: { resetBurst: 0 } })).toThrow(RangeError);
  });
});
