// RFC 9113 §6: what each frame type may look like, and what it does.

import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { fieldsOf, frames, headerBlock, request, response } from "../support/frames.ts";
import { CHUNKINGS, client, server } from "./wire.ts";

const { PROTOCOL_ERROR, FRAME_SIZE_ERROR, FLOW_CONTROL_ERROR } = ErrorCode;
const REQUEST = frames.headers(1, request("/a/B"));
const BLOCK = headerBlock(request("/a/B"));

describe.each(CHUNKINGS)("bytes %s", (_, byteByByte) => {
  it.each([
    ["DATA on stream 0 — §6.1", frames.data(0, "x"), PROTOCOL_ERROR],
    ["DATA padded by its whole length — §6.1", frames.raw(0, 8, 1, "\x04abc"), PROTOCOL_ERROR],
    ["DATA padded without a pad length — §6.1", frames.raw(0, 8, 1), PROTOCOL_ERROR],
    ["HEADERS on stream 0 — §6.2", frames.headers(0, request("/a/B")), PROTOCOL_ERROR],
    ["HEADERS padded beyond the block — §6.2", frames.raw(1, 0xc, 3, "\x20abc"), PROTOCOL_ERROR],
    ["HEADERS padded without a pad length — §6.2", frames.raw(1, 0xc, 3), FRAME_SIZE_ERROR],
    [
      "HEADERS too short for its priority — §6.2",
      frames.raw(1, 0x24, 3, "\0\0\0\0"),
      FRAME_SIZE_ERROR,
    ],
    [
      "HEADERS padded into its priority — §6.2",
      frames.raw(1, 0x2c, 3, "\x02\0\0\0\0\0ab"),
      undefined,
    ],
    [
      "HEADERS padded over its priority — §6.2",
      frames.raw(1, 0x2c, 3, "\x03\0\0\0\0\0ab"),
      PROTOCOL_ERROR,
    ],
    ["PRIORITY on stream 0 — §6.3", frames.priority(0, 1), PROTOCOL_ERROR],
    ["PRIORITY of 4 bytes on an idle stream — §6.3", frames.raw(2, 0, 9, "1234"), FRAME_SIZE_ERROR],
    ["PRIORITY of an idle stream on itself", frames.priority(9, 9), PROTOCOL_ERROR],
    ["RST_STREAM on stream 0 — §6.4", frames.rst(0, 8), PROTOCOL_ERROR],
    ["RST_STREAM of 3 bytes — §6.4", frames.raw(3, 0, 1, "123"), FRAME_SIZE_ERROR],
    ["RST_STREAM of 5 bytes — §6.4", frames.raw(3, 0, 1, "12345"), FRAME_SIZE_ERROR],
    ["SETTINGS on a stream — §6.5", frames.raw(4, 0, 1), PROTOCOL_ERROR],
    ["SETTINGS of 5 bytes — §6.5", frames.raw(4, 0, 0, "12345"), FRAME_SIZE_ERROR],
    [
      "SETTINGS acknowledged with a payload — §6.5",
      frames.raw(4, 1, 0, "123456"),
      FRAME_SIZE_ERROR,
    ],
    ["SETTINGS acknowledged that were not sent — §6.5.3", frames.settingsAck(), PROTOCOL_ERROR],
    ["ENABLE_PUSH of 2 — §6.5.2", frames.settings({ ENABLE_PUSH: 2 }), PROTOCOL_ERROR],
    [
      "INITIAL_WINDOW_SIZE of 2^31 — §6.5.2",
      frames.settings({ INITIAL_WINDOW_SIZE: 2 ** 31 }),
      FLOW_CONTROL_ERROR,
    ],
    [
      "MAX_FRAME_SIZE of 16,383 — §6.5.2",
      frames.settings({ MAX_FRAME_SIZE: 16_383 }),
      PROTOCOL_ERROR,
    ],
    [
      "MAX_FRAME_SIZE of 2^24 — §6.5.2",
      frames.settings({ MAX_FRAME_SIZE: 2 ** 24 }),
      PROTOCOL_ERROR,
    ],
    [
      "PUSH_PROMISE from a client — §6.6, §8.4",
      frames.pushPromise(1, 2, request("/a/B")),
      PROTOCOL_ERROR,
    ],
    ["PING on a stream — §6.7", frames.raw(6, 0, 1, "12345678"), PROTOCOL_ERROR],
    ["PING of 6 bytes — §6.7", frames.ping("123456"), FRAME_SIZE_ERROR],
    ["PING acknowledged with 9 bytes — §6.7", frames.pingAck("123456789"), FRAME_SIZE_ERROR],
    ["GOAWAY on a stream — §6.8", frames.raw(7, 0, 1, "\0\0\0\0\0\0\0\0"), PROTOCOL_ERROR],
    ["GOAWAY of 7 bytes — §6.8", frames.raw(7, 0, 0, "1234567"), FRAME_SIZE_ERROR],
    ["WINDOW_UPDATE of 0 on the connection — §6.9", frames.windowUpdate(0, 0), PROTOCOL_ERROR],
    ["WINDOW_UPDATE of 3 bytes — §6.9", frames.raw(8, 0, 0, "123"), FRAME_SIZE_ERROR],
    ["WINDOW_UPDATE of 5 bytes on a stream — §6.9", frames.raw(8, 0, 1, "12345"), FRAME_SIZE_ERROR],
    [
      "WINDOW_UPDATE of the connection beyond 2^31 - 1 — §6.9.1",
      frames.windowUpdate(0, 0x7fffffff),
      FLOW_CONTROL_ERROR,
    ],
  ] as const)("%s ends the connection", (_, frame, code) => {
    const wire = server({ byteByByte }).recv(REQUEST, frame);
    // A case on the right side of the border: the block is empty, which is another stream's
    // trouble.
    if (code === undefined) wire.expectStreamError(3, PROTOCOL_ERROR);
    else wire.expectConnectionError(code);
  });

  it.each([
    ["PUSH_PROMISE — §6.6, §8.4", frames.pushPromise(1, 2, request("/a/B")), PROTOCOL_ERROR],
    ["ENABLE_PUSH of 1 — §6.5.2", frames.settings({ ENABLE_PUSH: 1 }), PROTOCOL_ERROR],
    ["DATA on stream 0 — §6.1", frames.data(0, "x"), PROTOCOL_ERROR],
    ["GOAWAY of 7 bytes — §6.8", frames.raw(7, 0, 0, "1234567"), FRAME_SIZE_ERROR],
  ] as const)("%s from a server ends the connection", (_, frame, code) => {
    const wire = client({ byteByByte });
    wire.open();
    wire.recv(frame).expectConnectionError(code);
  });

  it.each([
    ["WINDOW_UPDATE of 0 — §6.9", frames.windowUpdate(1, 0), PROTOCOL_ERROR],
    [
      "WINDOW_UPDATE beyond 2^31 - 1 — §6.9.1",
      frames.windowUpdate(1, 0x7fffffff),
      FLOW_CONTROL_ERROR,
    ],
    ["PRIORITY of 6 bytes — §6.3", frames.raw(2, 0, 1, "123456"), FRAME_SIZE_ERROR],
    ["PRIORITY on itself", frames.priority(1, 1), PROTOCOL_ERROR],
  ] as const)("%s ends its stream", (_, frame, code) => {
    const wire = server({ byteByByte }).recv(REQUEST, frame);
    wire.expectStreamError(1, code);
    expect(wire.lastStream().log[1]).toMatch(/^reset protocol/);
  });

  it("HEADERS that depend on themselves end their stream", () => {
    const headers = frames.headers(1, request("/a/B"), { priority: { dependsOn: 1 } });
    const wire = server({ byteByByte }).recv(headers);
    wire.expectStreamError(1, PROTOCOL_ERROR);
    expect(wire.streams).toHaveLength(0);
  });

  it("HEADERS that depend on themselves in CONTINUATION end their stream", () => {
    const options = { priority: { dependsOn: 1 }, endHeaders: false };
    server({ byteByByte })
      .recv(
        frames.headers(1, BLOCK.subarray(0, 5), options),
        frames.continuation(1, BLOCK.subarray(5)),
      )
      .expectStreamError(1, PROTOCOL_ERROR);
  });

  it("priority and padding of HEADERS are left out of the block — §6.2", () => {
    const wire = server({ byteByByte });
    const priority = { dependsOn: 3, weight: 7, exclusive: true };
    wire.recv(frames.headers(1, request("/a/B"), { priority, padded: 9 }));
    expect(wire.lastStream().headers[0]?.map((field) => field.value)).toEqual(
      fieldsOf(request("/a/B")).map((field) => field.value),
    );
  });

  it("padding of DATA is not told, and its credit returns by itself — §6.1", () => {
    const wire = server({ byteByByte, streamWindowBytes: 400 });
    const stream = wire.request();
    wire.recv(frames.data(1, "abc", { padded: 200 }), frames.data(1, "", { padded: 0 }));
    expect(Buffer.concat(stream.chunks).toString()).toBe("abc");
    expect(wire.sent()).toEqual(["WINDOW_UPDATE(1, 201)"]);
    wire.recv(frames.data(1, "", { padded: 255, endStream: true }));
    expect(stream.log.at(-1)).toBe("data 0 END");
  });

  it("PING is answered with the same octets, ahead of everything that waits — §6.7", () => {
    const wire = client({ byteByByte, peerSettings: { INITIAL_WINDOW_SIZE: 0 } });
    wire.open().stream.sendData(Buffer.from("waits"), true);
    wire.recv(frames.ping("\x00\x01\x02\x03\x04\x05\x06\x07"));
    const sent = wire.sent();
    expect(sent.slice(1)).toEqual(["PING(ACK, 0001020304050607)"]);
  });

  it("PING of ours is told when it is acknowledged, once, and by its own octets — §6.7", () => {
    const wire = client({ byteByByte });
    const told: string[] = [];
    wire.connection.ping(() => told.push("first"));
    wire.connection.ping(() => told.push("second"));
    const [first, second] = wire.sentFrames();
    wire.recv(frames.pingAck("whatever"), frames.pingAck(second?.payload ?? ""));
    wire.recv(frames.pingAck(second?.payload ?? ""));
    expect(told).toEqual(["second"]);
    wire.recv(frames.pingAck(first?.payload ?? ""));
    expect(told).toEqual(["second", "first"]);
  });

  it("SETTINGS are acknowledged one by one, in order — §6.5.3", () => {
    const wire = server({ byteByByte });
    wire.recv(
      frames.settings({ MAX_FRAME_SIZE: 2 ** 24 - 1, ENABLE_PUSH: 0 }),
      frames.ping("between!"),
    );
    wire.recv(frames.settings({ 30583: 1, MAX_HEADER_LIST_SIZE: 100 }));
    expect(wire.sent()).toEqual(["SETTINGS(ACK)", expect.stringMatching(/^PING/), "SETTINGS(ACK)"]);
  });

  it("SETTINGS with one identifier twice take the last value — §6.5.3", () => {
    const wire = client({ byteByByte });
    const pair = (value: number): Buffer =>
      frames.settings({ MAX_CONCURRENT_STREAMS: value }).payload;
    wire.recv(frames.raw(4, 0, 0, Buffer.concat([pair(1), pair(7)])));
    expect(wire.connection.availableStreamCount).toBe(7);
  });

  it("SETTINGS_HEADER_TABLE_SIZE of 0 empties the encoder's table: the next block says so — §6.5.2", () => {
    const wire = client({ byteByByte });
    wire.open();
    wire.recv(frames.settings({ HEADER_TABLE_SIZE: 0 }));
    wire.sent();
    wire.open();
    expect(wire.sentFrames()[0]?.payload[0]).toBe(0x20);
  });
});

describe("SETTINGS of ours", () => {
  it("say what was asked for, and no more than differs — §6.5.2", () => {
    const wire = server({
      handshake: false,
      maxConcurrentStreams: 7,
      streamWindowBytes: 1_000,
      maxHeaderListBytes: 5_000,
      headerTableBytes: 128,
    });
    expect(wire.sent()).toEqual([
      "SETTINGS(MAX_CONCURRENT_STREAMS=7, HEADER_TABLE_SIZE=128, INITIAL_WINDOW_SIZE=1000, MAX_HEADER_LIST_SIZE=5000)",
    ]);
  });

  it("for a smaller header table bind the peer from its acknowledgement on — RFC 7541 §4.2", () => {
    const wire = server({ handshake: false, headerTableBytes: 100 });
    wire.recv(frames.preface(), frames.settings());
    wire.recv(frames.headers(1, Buffer.concat([Buffer.from([0x3f, 0xe1, 0x1f]), BLOCK])));
    wire.recv(frames.settingsAck(), frames.headers(3, BLOCK));
    wire.expectConnectionError(ErrorCode.COMPRESSION_ERROR);
    expect(wire.streams).toHaveLength(1);
  });

  it("are acknowledged by the peer once", () => {
    const wire = server({ handshake: false });
    expect(wire.connection.settingsAcked).toBe(false);
    wire.recv(frames.preface(), frames.settings(), frames.settingsAck());
    expect([wire.connection.settingsAcked, wire.connection.settingsReady]).toEqual([true, true]);
  });
});

describe("a response", () => {
  it("of headers, DATA and trailers leaves in one write, in order", () => {
    const wire = server();
    wire.recv(REQUEST.end());
    const { stream } = wire.lastStream();
    stream.sendHeaders(fieldsOf(response()), false);
    stream.sendData(Buffer.from("hello"), false);
    stream.sendTrailers(fieldsOf([["grpc-status", "0"]]));
    wire.connection.turn();
    expect(wire.connection.output.take()).toHaveLength(1);
  });
});
