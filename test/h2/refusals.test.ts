// What the owner of a connection is told of a peer that breaks a rule or meets a bound: which rule,
// how far it reaches, which bound.

import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { fieldsOf, frames, request, response, trailersOnly } from "../support/frames.ts";
import { client, StreamLog, server, type Wire } from "./wire.ts";

function told(wire: Wire): unknown[] {
  return wire.refused.map(({ scope, streamId, rule, limit }) => ({ scope, streamId, rule, limit }));
}

describe("the owner of a connection is told", () => {
  it("of a malformed request, which never becomes a stream", () => {
    const wire = server();
    wire.recv(frames.headers(1, request("/a/B", ["connection", "close"])));
    expect(told(wire)).toEqual([
      {
        scope: "stream",
        streamId: 1,
        rule: expect.stringContaining("connection"),
        limit: undefined,
      },
    ]);
    expect(wire.streams).toEqual([]);
  });

  it("of a malformed response, before the owner of its stream is", () => {
    const wire = client();
    const log = wire.open();
    log.onEvent = () => expect(wire.refused).toHaveLength(1);
    wire.recv(frames.headers(1, response(["connection", "close"])));
    expect(log.log).toEqual(["reset protocol PROTOCOL_ERROR"]);
    expect(told(wire)).toMatchObject([{ scope: "stream", streamId: 1 }]);
  });

  it("of a breach that ends the connection", () => {
    const wire = server();
    wire.recv(frames.raw(0, 0, 0, "x"));
    expect(told(wire)).toEqual([
      { scope: "connection", streamId: 0, rule: "DATA on stream 0", limit: undefined },
    ]);
  });

  it("of a header block that is not HPACK", () => {
    const wire = server();
    wire.recv(frames.headers(1, Buffer.from([0xff, 0xff, 0xff])));
    expect(told(wire)).toMatchObject([{ scope: "connection", rule: "header block is truncated" }]);
  });

  it.each([
    [
      "streams",
      server({ maxConcurrentStreams: 0 }),
      [frames.headers(1, request("/a/B"))],
      { name: "maxConcurrentStreams", value: 0 },
    ],
    [
      "header bytes",
      server({ maxHeaderListBytes: 50 }),
      [frames.headers(1, request("/a/B"))],
      { name: "maxHeaderListBytes", value: 50 },
    ],
    [
      "PINGs",
      server({ limits: { pingBurst: 1, pingsPerSecond: 3 } }),
      [frames.ping(), frames.ping()],
      { name: "pingsPerSecond", value: 3 },
    ],
    [
      "SETTINGS",
      server({ limits: { settingsBurst: 1, settingsPerSecond: 4 } }),
      [frames.settings()],
      { name: "settingsPerSecond", value: 4 },
    ],
  ])("of the bound for %s that was met, by name and value", (_, wire, parts, limit) => {
    wire.recv(...parts);
    expect(told(wire)).toMatchObject([{ limit }]);
  });

  it("of what waits for a peer that does not read, once", () => {
    const wire = server({ limits: { maxQueuedControlBytes: 1_000 }, highWaterBytes: 500 });
    for (let round = 0; round < 3; round++) wire.connection.written(1_501, 500);
    expect(told(wire)).toMatchObject([{ limit: { name: "maxQueuedControlBytes", value: 1_000 } }]);
  });

  it("of nothing that is the owner's own doing", () => {
    const wire = server();
    const log = wire.request();
    log.stream.reset(ErrorCode.CANCEL);
    wire.onRequest = () => {
      throw new TypeError("a defect");
    };
    expect(() => wire.recv(frames.headers(3, request("/a/B")))).toThrow("a defect");
    expect(told(wire)).toEqual([]);
  });

  it("of nothing that a peer may do", () => {
    const wire = client();
    wire.open();
    wire.open();
    wire.recv(frames.rst(1, ErrorCode.CANCEL), frames.goaway(1, ErrorCode.ENHANCE_YOUR_CALM));
    expect(told(wire)).toEqual([]);
  });
});

describe("a request whose header list is too large", () => {
  function answering(provokedResetBurst = 100): Wire {
    const limits = { provokedResetBurst, provokedResetsPerSecond: 1 };
    const wire = server({ maxHeaderListBytes: 50, limits });
    wire.onLarge = (stream) => {
      stream.sendHeaders(fieldsOf(trailersOnly(8)), true);
      return new StreamLog(stream);
    };
    return wire;
  }

  it.each([
    ["with its body to come", false, ["HEADERS", "RST_STREAM"]],
    ["without a body", true, ["HEADERS"]],
  ])("%s can be answered instead of reset, and is told all the same", (_, endStream, names) => {
    const wire = answering();
    wire.recv(frames.headers(1, request("/a/B"), { endStream }));
    expect(wire.sentFrames().map(({ name }) => name)).toEqual(names);
    expect(wire.connection.openStreamCount).toBe(0);
    expect(wire.streams).toEqual([]);
    expect(told(wire)).toMatchObject([{ streamId: 1, limit: { name: "maxHeaderListBytes" } }]);
    if (!endStream) wire.recv(frames.data(1, "late").end());
    wire.expectAlive();
  });

  it("counts as a reset that was provoked when it is answered", () => {
    const wire = answering(2);
    for (const id of [1, 3, 5]) wire.recv(frames.headers(id, request("/a/B")));
    wire.expectConnectionError(ErrorCode.ENHANCE_YOUR_CALM);
    expect(told(wire).at(-1)).toMatchObject({ limit: { name: "provokedResetsPerSecond" } });
  });
});
