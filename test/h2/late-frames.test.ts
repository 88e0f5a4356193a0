// RFC 9113 §5.1, §6.8, §6.9: what a correct peer may still send when much ended at once, and what
// we may still say ourselves.

import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { HeaderField } from "../../src/wire/field.ts";
import { fieldsOf, frames, request, response, trailers } from "../support/frames.ts";
import { CHUNKINGS, client, server } from "./wire.ts";

const { CANCEL, PROTOCOL_ERROR, STREAM_CLOSED } = ErrorCode;
const NOTHING = Buffer.alloc(0);

describe.each(CHUNKINGS)("frames on streams that all ended in one turn, %s", (_, byteByByte) => {
  it.each(["reset", "answered"] as const)("by being %s are ignored — §5.1", (how) => {
    const wire = server({ byteByByte, maxConcurrentStreams: 1_000 });
    const ids = Array.from({ length: 1_000 }, (_id, i) => 2 * i + 1);
    for (const id of ids) {
      const { stream } = wire.request(id);
      if (how === "reset") stream.reset(CANCEL);
      else stream.sendHeaders(fieldsOf(response()), true);
    }
    expect(wire.sentFrames().filter((frame) => frame.name === "RST_STREAM")).toHaveLength(1_000);
    for (let round = 0; round < 3; round++) {
      for (const id of ids) wire.recv(frames.data(id, "x"));
    }
    for (const id of ids) wire.recv(frames.headers(id, trailers(0)).end());
    wire.expectAlive();
  });

  it("are known apart from those on streams that ended by themselves before", () => {
    const wire = server({ byteByByte, maxConcurrentStreams: 1_000 });
    const { stream } = wire.request(1);
    wire.recv(frames.data(1, "all").end());
    stream.sendHeaders(fieldsOf(response()), true);
    for (let id = 3; id < 1_203; id += 2) wire.request(id).stream.reset(CANCEL);
    wire.sent();
    wire.recv(frames.data(3, "late"), frames.data(1_201, "late"));
    wire.expectAlive();
    wire.recv(frames.data(1, "late")).expectConnectionError(STREAM_CLOSED);
  });
});

describe("END_STREAM without DATA", () => {
  it("goes out whatever the window of the stream is, also a negative one — §6.9.1", () => {
    const wire = client();
    const { stream } = wire.open();
    stream.sendData(Buffer.alloc(30_000), false);
    wire.recv(frames.settings({ INITIAL_WINDOW_SIZE: 1_000 }));
    wire.sent();
    expect(stream.sendWindow).toBe(-29_000);
    expect(stream.sendData(NOTHING, true)).toBe(0);
    expect(wire.sent()).toEqual(["DATA(1, END_STREAM, 0 bytes)"]);
  });

  it("goes out behind more than the share of a write", () => {
    const wire = client({ peerSettings: { INITIAL_WINDOW_SIZE: 1 << 20 } });
    wire.recv(frames.windowUpdate(0, 1 << 20));
    const { stream } = wire.open();
    stream.sendData(Buffer.alloc(100_000), false);
    wire.open();
    stream.sendData(NOTHING, true);
    expect(wire.sent().at(-1)).toBe("DATA(1, END_STREAM, 0 bytes)");
  });

  it("is taken whatever our window is: SETTINGS may have made it negative — §6.9.1, §6.9.2", () => {
    const wire = server({ handshake: false, streamWindowBytes: 10_000 });
    wire.recv(frames.preface(), frames.settings());
    const log = wire.request();
    wire.recv(frames.data(1, Buffer.alloc(15_000)), frames.data(1, Buffer.alloc(5_384)));
    wire.recv(frames.settingsAck());
    expect(log.stream.recvWindow).toBeLessThan(0);
    wire.recv(frames.data(1, "").end());
    expect(log.log.at(-1)).toBe("data 0 END");
    wire.sent();
    wire.expectAlive();
  });
});

describe("a client whose server does not read", () => {
  it("opens no more streams when their headers pile up, and goes on when they have gone", () => {
    const wire = client({
      limits: { maxQueuedControlBytes: 40_000 },
      highWaterBytes: 10_000,
      peerSettings: { MAX_CONCURRENT_STREAMS: 1_000 },
    });
    const fields = request("/a/B", new HeaderField("x-large", "v".repeat(4_000), true));
    let opened = 0;
    for (; wire.connection.availableStreamCount > 0; opened++) wire.open(true, fields);
    // Half of 40,000 bytes, and the high-water mark.
    expect(opened).toBe(8);
    expect(() => wire.open(true, fields)).toThrow("no stream can be opened");
    wire.connection.turn();
    const unread = Buffer.concat(wire.connection.output.take()).length;
    wire.connection.written(unread, 10_000);
    expect([wire.connection.availableStreamCount, wire.end]).toEqual([0, undefined]);
    wire.log.length = 0;
    wire.connection.written(0, 10_000);
    wire.turn();
    expect(wire.log).toEqual(["available 992"]);
  });
});

describe("GOAWAY", () => {
  it("that says nothing new is not looked at the streams for", () => {
    const wire = client();
    const logs = [wire.open(true), wire.open(true)];
    for (let i = 0; i < 3; i++) wire.recv(frames.goaway(1, 0));
    expect(logs.map(({ log }) => log.length)).toEqual([0, 1]);
    wire.recv(frames.goaway(0, 0));
    expect(logs.map(({ log }) => log.length)).toEqual([1, 1]);
  });

  it("never names a higher stream than before, whatever has come since — §6.8", () => {
    const wire = server();
    wire.request(1);
    wire.connection.drain();
    wire.sent();
    wire.connection.finishDrain();
    wire.recv(frames.headers(3, request("/a/B")));
    wire.connection.abort({ kind: "destroyed", code: PROTOCOL_ERROR, message: "bye" }, true);
    const goAways = wire.sentFrames().filter((frame) => frame.name === "GOAWAY");
    expect(goAways.map((frame) => frame.payload.readUInt32BE(0))).toEqual([1, 1]);
  });

  it("does not come before SETTINGS, nor does PING — §3.4", () => {
    const wire = server({ handshake: false, drainsFirst: true });
    wire.connection.finishDrain();
    const names = wire.sentFrames().map((frame) => frame.name);
    expect(names).toEqual(["SETTINGS", "GOAWAY", "PING", "GOAWAY"]);
    expect(wire.end?.kind).toBe("closed");
  });
});
