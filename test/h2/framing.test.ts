// RFC 9113 §3.4 (prefaces) and §4 (frame format, size, field section compression).

import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { END_HEADERS, frames, headerBlock, request, response } from "../support/frames.ts";
import { CHUNKINGS, client, server, type Wire } from "./wire.ts";

const { PROTOCOL_ERROR, FRAME_SIZE_ERROR, COMPRESSION_ERROR } = ErrorCode;

describe.each(CHUNKINGS)("bytes %s", (_, byteByByte) => {
  describe("the connection preface", () => {
    it("of a server is SETTINGS, before the client has said anything — §3.4", () => {
      const wire = server({ handshake: false, byteByByte });
      expect(wire.sent()[0]).toMatch(/^SETTINGS\(MAX_CONCURRENT_STREAMS=100/);
    });

    it("of a client is the magic octets and SETTINGS without push — §3.4, §6.5.2", () => {
      const wire = client({ handshake: false, byteByByte });
      const bytes = wire.turn();
      expect(bytes.subarray(0, 24)).toEqual(frames.preface());
      expect(bytes.readUInt8(24 + 3)).toBe(4);
      expect(client({ handshake: false }).sent()[0]).toMatch(/^SETTINGS\(ENABLE_PUSH=0/);
    });

    it("announces the connection window in the first flight", () => {
      const wire = server({ handshake: false, connectionWindowBytes: 100_000 });
      expect(wire.sent()[1]).toBe("WINDOW_UPDATE(34465)");
    });

    it.each([
      ["another version", Buffer.from("PRI * HTTP/1.1\r\n\r\nSM\r\n\r\n")],
      ["an HTTP/1.1 request", Buffer.from("GET / HTTP/1.1\r\nhost: relay.test\r\n\r\n")],
      ["a wrong last octet", Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\rX")],
    ])("of a client that is %s ends the connection — §3.4", (_, bytes) => {
      server({ handshake: false, byteByByte }).recv(bytes).expectConnectionError(PROTOCOL_ERROR);
    });

    it.each([
      ["server", "HEADERS", frames.headers(1, request("/a/B"))],
      ["server", "DATA", frames.data(1, "x")],
      ["server", "SETTINGS acknowledged", frames.settingsAck()],
      ["client", "PING", frames.ping()],
      ["client", "DATA", frames.data(1, "x")],
      ["client", "an unknown frame", frames.raw(0x42, 0, 0)],
    ] as const)("is broken when a %s first receives %s — §3.4", (role, _, frame) => {
      const wire =
        role === "server"
          ? server({ handshake: false, byteByByte }).recv(frames.preface())
          : client({ handshake: false, byteByByte });
      wire.recv(frame).expectConnectionError(PROTOCOL_ERROR);
    });

    it("may bring empty SETTINGS — §3.4", () => {
      server({ handshake: false, byteByByte })
        .recv(frames.preface(), frames.settings())
        .recv(frames.settingsAck())
        .connection.turn();
      const wire = client({ handshake: false, byteByByte });
      wire.recv(frames.settings());
      expect(wire.sent()).toContain("SETTINGS(ACK)");
      expect(wire.log).toEqual(["available 1073741824"]);
    });
  });

  describe("a frame", () => {
    it("of an unknown type is ignored, whatever its flags, stream and payload — §4.1, §5.5", () => {
      server({ byteByByte })
        .recv(frames.raw(0x16, 0xff, 0, "what"), frames.raw(0xff, 0, 77, "is this"))
        .recv(frames.raw(0x10, 0, 0))
        .expectAlive();
    });

    it("with the reserved bit of the stream id set is as if it were not — §4.1", () => {
      const wire = server({ byteByByte });
      const frame = frames.headers(1, request("/a/B")).bytes();
      frame.writeUInt8(0x80, 5);
      wire.recv(frame);
      expect(wire.lastStream().stream.id).toBe(1);
    });

    it("with undefined flags is as if they were not set — §4.1", () => {
      const wire = server({ byteByByte });
      wire.recv(frames.headers(1, request("/a/B")).with(0x42));
      wire.recv(frames.data(1, "abc").with(0x76), frames.ping("undefine").with(0x16));
      expect(wire.lastStream().bytes).toBe(3);
      expect(wire.sent()).toEqual([expect.stringMatching(/^PING\(ACK/)]);
    });

    it("of 16,384 bytes is taken — §4.2", () => {
      const wire = server({ byteByByte });
      const stream = wire.request();
      wire.recv(frames.data(1, Buffer.alloc(16_384)));
      expect(stream.bytes).toBe(16_384);
    });

    it.each([
      ["DATA", frames.data(1, Buffer.alloc(16_385))],
      ["HEADERS", frames.headers(1, Buffer.alloc(16_385))],
      ["SETTINGS", frames.raw(4, 0, 0, Buffer.alloc(16_386))],
      ["an unknown type", frames.raw(0x99, 0, 0, Buffer.alloc(16_385))],
    ])("of %s over SETTINGS_MAX_FRAME_SIZE ends the connection — §4.2", (_, frame) => {
      server({ byteByByte }).recv(frame).expectConnectionError(FRAME_SIZE_ERROR);
    });

    it("over SETTINGS_MAX_FRAME_SIZE is refused by its header alone — §4.2", () => {
      const header = frames.data(1, Buffer.alloc(20_000)).bytes().subarray(0, 9);
      server({ byteByByte }).recv(header).expectConnectionError(FRAME_SIZE_ERROR);
    });
  });

  describe("a header block", () => {
    it.each([
      ["an index without an entry", Buffer.from([0xff, 0xff, 0x01])],
      ["a truncated literal", Buffer.from([0x40, 0x0a, 0x61])],
      ["a table size over ours", Buffer.from([0x3f, 0xff, 0xff, 0x01])],
    ])("with %s ends the connection — §4.3", (_, block) => {
      server({ byteByByte })
        .recv(frames.headers(1, block))
        .expectConnectionError(COMPRESSION_ERROR);
    });

    it("that cannot be decoded ends the connection although its stream is refused — §4.3", () => {
      const wire = server({ byteByByte, maxConcurrentStreams: 0 });
      wire.recv(frames.headers(1, Buffer.from([0xff, 0xff, 0x01])));
      wire.expectConnectionError(COMPRESSION_ERROR);
    });

    it("keeps the table in step although its stream is refused — §4.3", () => {
      const wire = server({ byteByByte, maxConcurrentStreams: 1 });
      wire.request(1);
      // A literal with incremental indexing on a stream that is refused, then its index on one that
      // is not.
      const indexed = Buffer.from("\x40\x01x\x01y", "latin1");
      wire.recv(frames.headers(3, Buffer.concat([headerBlock(request("/a/B")), indexed])));
      wire.expectStreamError(3, ErrorCode.REFUSED_STREAM);
      wire.recv(frames.rst(1, 8));
      wire.recv(
        frames.headers(5, Buffer.concat([headerBlock(request("/a/B")), Buffer.from([0xbe])])),
      );
      expect(wire.lastStream().headers[0]?.at(-1)).toMatchObject({ name: "x", value: "y" });
    });

    const block = headerBlock(request("/a/B", ["x-long", "v".repeat(300)]));
    const open = frames.headers(1, block.subarray(0, 50), { endHeaders: false });

    it("in HEADERS and CONTINUATION is one — §4.3, §6.10", () => {
      const wire = server({ byteByByte });
      wire.recv(open.end());
      wire.recv(frames.continuation(1, block.subarray(50, 50), { endHeaders: false }));
      wire.recv(frames.continuation(1, block.subarray(50, 90), { endHeaders: false }));
      expect(wire.streams).toHaveLength(0);
      wire.recv(frames.continuation(1, block.subarray(90)));
      expect(wire.lastStream().log).toEqual(["headers END"]);
      expect(wire.lastStream().headers[0]).toHaveLength(7);
    });

    it.each([
      ["DATA on the stream", frames.data(1, "x")],
      ["HEADERS of another stream", frames.headers(3, request("/a/B"))],
      ["PING", frames.ping()],
      ["SETTINGS", frames.settings()],
      ["WINDOW_UPDATE", frames.windowUpdate(0, 1)],
      ["RST_STREAM on the stream", frames.rst(1, 8)],
      ["an unknown frame", frames.raw(0x99, 0, 0, "x")],
      ["CONTINUATION of another stream", frames.continuation(3, block.subarray(50))],
      ["CONTINUATION of stream 0", frames.continuation(0, block.subarray(50))],
    ])("interrupted by %s ends the connection — §4.3, §5.5, §6.2, §6.10", (_, frame) => {
      server({ byteByByte }).recv(open, frame).expectConnectionError(PROTOCOL_ERROR);
    });

    it.each([
      ["no HEADERS before it", (wire: Wire) => wire],
      ["a complete block before it", (wire: Wire) => wire.recv(frames.headers(1, request("/a/B")))],
      [
        "a block that CONTINUATION completed before it",
        (wire: Wire) => wire.recv(open, frames.continuation(1, block.subarray(50))),
      ],
      [
        "RST_STREAM before it",
        (wire: Wire) => wire.recv(frames.headers(1, request("/a/B")), frames.rst(1, 8)),
      ],
    ])("in CONTINUATION with %s ends the connection — §6.10", (_, before) => {
      const wire = server({ byteByByte });
      before(wire);
      wire.recv(frames.continuation(1, block));
      wire.expectConnectionError(PROTOCOL_ERROR);
    });

    it("of a response may span frames as well", () => {
      const wire = client({ byteByByte });
      const stream = wire.open();
      const answer = headerBlock(response());
      wire.recv(frames.headers(1, answer.subarray(0, 3), { endHeaders: false }));
      wire.recv(frames.continuation(1, answer.subarray(3)));
      expect(stream.log).toEqual(["headers"]);
    });

    it("longer than a frame is sent as HEADERS and CONTINUATION — §4.3", () => {
      const wire = client({ byteByByte });
      wire.open(true, request("/a/B", ["x-long", "v".repeat(40_000)]));
      const sent = wire.sentFrames();
      expect(sent.map((frame) => [frame.name, frame.payload.length, frame.endStream])).toEqual([
        ["HEADERS", 16_384, true],
        ["CONTINUATION", 16_384, false],
        ["CONTINUATION", expect.any(Number), false],
      ]);
      expect(sent.map((frame) => frame.has(END_HEADERS))).toEqual([false, false, true]);
    });

    it("that may be long but is not is sent as HEADERS alone", () => {
      const wire = client({ byteByByte });
      const long = request(
        "/a/B",
        ["x-long", "v".repeat(16_300)],
        ["x", "1"],
        ["y", "2"],
        ["z", "3"],
      );
      wire.open(true, long);
      expect(wire.sentFrames().map((frame) => frame.has(END_HEADERS))).toEqual([true]);
    });
  });
});
