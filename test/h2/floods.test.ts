// What a peer can do for nothing, and where it ends: GOAWAY(ENHANCE_YOUR_CALM), never growth.

import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { type Frame, fieldsOf, frames, headerBlock, request, response } from "../support/frames.ts";
import { client, server, type Wire } from "./wire.ts";

const { ENHANCE_YOUR_CALM, CANCEL } = ErrorCode;

/** Sends what `frame` gives until the connection has ended; how many it took, at most `limit`. */
function flood(wire: Wire, limit: number, frame: (i: number) => Frame[]): number {
  let count = 0;
  while (wire.connection.ended === undefined && count < limit) {
    wire.recv(...frame(count));
    count++;
    if (count % 100 === 0 && wire.connection.ended === undefined) wire.sent();
  }
  if (count < limit) wire.expectConnectionError(ENHANCE_YOUR_CALM);
  return count;
}

const idOf = (i: number): number => 2 * i + 1;

describe("a flood", () => {
  const idle = { idleFrameBurst: 50, idleFramesPerSecond: 10 };

  it.each([
    ["PRIORITY", () => [frames.priority(1, 3)]],
    ["WINDOW_UPDATE on the connection", () => [frames.windowUpdate(0, 1)]],
    ["WINDOW_UPDATE on a stream", () => [frames.windowUpdate(1, 1)]],
    ["empty DATA", () => [frames.data(1)]],
    ["DATA of padding alone", () => [frames.data(1, "", { padded: 3 })]],
    ["unknown frames", () => [frames.raw(0x99, 0, 0, "x")]],
    ["GOAWAY", () => [frames.goaway(0, 0)]],
    ["RST_STREAM on an ended stream", () => [frames.rst(3, 8)]],
  ])("of %s ends the connection", (_, frame) => {
    const wire = server({ limits: idle });
    wire.recv(frames.headers(1, request("/a/B")), frames.headers(3, request("/a/B")));
    wire.recv(frames.rst(3, 8));
    // The two requests pay for some of it.
    expect(flood(wire, 1_000, frame)).toBeLessThanOrEqual(50 + 2 * 4 + 1);
  });

  it("of HEADERS on a stream that we reset ends the connection", () => {
    const wire = server({ limits: idle });
    wire.request().stream.reset(CANCEL);
    expect(flood(wire, 1_000, () => [frames.headers(1, [["x", "y"]]).end()])).toBeLessThan(60);
  });

  it("of 1xx responses ends the connection", () => {
    const wire = client({ limits: idle });
    wire.open();
    expect(flood(wire, 1_000, () => [frames.headers(1, [[":status", "103"]])])).toBeLessThan(60);
  });

  it("of SETTINGS ends the connection", () => {
    expect(flood(server(), 1_000, () => [frames.settings()])).toBe(100);
  });

  it("of PING ends the connection, acknowledgements nobody asked for count as well", () => {
    const limits = { pingBurst: 20, pingsPerSecond: 1 };
    expect(flood(server({ limits }), 1_000, () => [frames.ping()])).toBe(21);
    expect(flood(server({ limits }), 1_000, () => [frames.pingAck()])).toBe(21);
  });

  it("of requests that are reset at once ends the connection (rapid reset)", () => {
    const wire = server({ limits: { resetBurst: 100, resetsPerSecond: 50 } });
    const frame = (i: number): Frame[] => [
      frames.headers(idOf(i), request("/a/B")),
      frames.rst(idOf(i), CANCEL),
    ];
    expect(flood(wire, 1_000, frame)).toBe(101);
    expect(wire.connection.openStreamCount).toBe(0);
  });

  it("of stream errors that make us reset ends the connection (MadeYouReset)", () => {
    const limits = { provokedResetBurst: 100, provokedResetsPerSecond: 1 };
    const frame = (i: number): Frame[] => [
      frames.headers(idOf(i), request("/a/B")),
      frames.windowUpdate(idOf(i), 0),
    ];
    expect(flood(server({ limits }), 1_000, frame)).toBe(101);
  });

  it("of requests above the limit ends the connection", () => {
    const limits = { provokedResetBurst: 100, provokedResetsPerSecond: 1 };
    const wire = server({ limits, maxConcurrentStreams: 0 });
    expect(flood(wire, 1_000, (i) => [frames.headers(idOf(i), request("/a/B"))])).toBe(101);
  });

  it("of CONTINUATION frames ends the connection, empty ones too", () => {
    const wire = server({ limits: { maxContinuationFrames: 8 } });
    wire.recv(frames.headers(1, headerBlock(request("/a/B")), { endHeaders: false }));
    const empty = frames.continuation(1, Buffer.alloc(0), { endHeaders: false });
    expect(flood(wire, 1_000, () => [empty])).toBe(9);
  });

  it("of header block bytes ends the connection before they are kept", () => {
    const wire = server({ limits: { maxHeaderBlockBytes: 40_000 } });
    wire.recv(frames.headers(1, Buffer.alloc(16_384), { endHeaders: false }));
    const more = frames.continuation(1, Buffer.alloc(16_384), { endHeaders: false });
    expect(flood(wire, 1_000, () => [more])).toBe(2);
  });

  it("of frames whose answers are not read ends the connection", () => {
    const wire = server({ limits: { maxQueuedControlBytes: 1_000 }, highWaterBytes: 500 });
    const { connection } = wire;
    connection.written(1_500, 500);
    expect(connection.ended).toBeUndefined();
    connection.written(1_501, 500);
    expect(connection.ended).toMatchObject({ kind: "protocol", code: ENHANCE_YOUR_CALM });
  });
});

describe("legitimate load", () => {
  it("of empty DATA frames is bounded in its rate, not over the connection's life", () => {
    const wire = server({ limits: { idleFrameBurst: 50, idleFramesPerSecond: 10 } });
    wire.recv(frames.headers(1, request("/a/B")));
    for (let i = 0; i < 5_000; i++) {
      wire.recv(frames.data(1));
      wire.nowMs += 100;
    }
    wire.sent();
    wire.expectAlive();
  });

  it("of 1,000 cancelled calls a second for 20 seconds is not a flood, on either side", () => {
    const wire = server({ maxConcurrentStreams: 1_000 });
    for (let i = 0; i < 20_000; i++) {
      wire.recv(frames.headers(idOf(i), request("/a/B")), frames.rst(idOf(i), CANCEL));
      wire.nowMs += 1;
      if (i % 1_000 === 0) wire.sent();
    }
    wire.sent();
    wire.expectAlive();
  });

  it("of 1,000 streams cancelled at once, again and again, is not a flood", () => {
    const wire = server({ maxConcurrentStreams: 1_000 });
    let next = 0;
    for (let round = 0; round < 5; round++) {
      const ids = Array.from({ length: 1_000 }, () => idOf(next++));
      for (const id of ids) wire.recv(frames.headers(id, request("/a/B")));
      for (const id of ids) wire.recv(frames.rst(id, CANCEL));
      wire.nowMs += 500;
      wire.sent();
    }
    wire.sent();
    wire.expectAlive();
  });

  it("of late answers to 20,000 calls that we cancelled at once is not a flood, and pays for no other", () => {
    const wire = client({ limits: { maxQueuedControlBytes: 100_000_000 } });
    wire.recv(frames.settings({ MAX_CONCURRENT_STREAMS: 100_000 }));
    const streams = Array.from({ length: 20_000 }, () => wire.open().stream);
    wire.sent();
    for (const stream of streams) stream.reset(CANCEL);
    wire.sent();
    for (const { id } of streams) {
      wire.recv(frames.windowUpdate(id, 1), frames.headers(id, response()));
      wire.recv(frames.data(id, "late"), frames.headers(id, [["grpc-status", "0"]]).end());
    }
    expect(wire.connection.ended).toBeUndefined();
    // 20,000 of the 80,000 are left, and the burst.
    expect(flood(wire, 100_000, () => [frames.priority(1, 3)])).toBeLessThanOrEqual(31_000);
  });

  it("of window updates for every DATA frame, and of a PING for each, is not a flood", () => {
    const wire = server({ peerSettings: { INITIAL_WINDOW_SIZE: 1 << 20 } });
    const { stream } = wire.request();
    stream.sendHeaders(fieldsOf(response()), false);
    for (let i = 0; i < 20_000; i++) {
      stream.sendData(Buffer.from("message"), false);
      wire.recv(frames.windowUpdate(0, 7), frames.windowUpdate(1, 7), frames.ping());
      if (i % 100 === 0) wire.sent();
    }
    wire.sent();
    wire.expectAlive();
  });

  it("of a server that resets each of our calls after its answer is not a flood", () => {
    const wire = client();
    for (let i = 0; i < 20_000; i++) {
      const log = wire.open();
      const { id } = log.stream;
      wire.recv(frames.headers(id, response()).end(), frames.rst(id, 0));
      if (i % 100 === 0) wire.sent();
    }
    wire.sent();
    wire.expectAlive();
  });

  it("resumes as time passes after a burst", () => {
    const wire = server({ limits: { pingBurst: 10, pingsPerSecond: 10 } });
    for (let i = 0; i < 10; i++) wire.recv(frames.ping());
    wire.nowMs += 1_000;
    for (let i = 0; i < 10; i++) wire.recv(frames.ping());
    expect(wire.sent()).toHaveLength(20);
    wire.recv(frames.ping()).expectConnectionError(ENHANCE_YOUR_CALM);
  });
});
