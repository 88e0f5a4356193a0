// RFC 9113 §5.1: which frames may come in which state of a stream, and stream identifiers.

import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { fieldsOf, frames, request, response, trailers } from "../support/frames.ts";
import { CHUNKINGS, client, type StreamLog, server, type Wire } from "./wire.ts";

const { PROTOCOL_ERROR, STREAM_CLOSED, NO_ERROR, CANCEL } = ErrorCode;
const REQUEST = frames.headers(1, request("/a/B"));
const RESPONSE = frames.headers(1, response());
const TRAILERS = frames.headers(1, trailers(0)).end();

describe.each(CHUNKINGS)("bytes %s", (_, byteByByte) => {
  /** A server whose stream 1 was completed by both sides. */
  function completed(): Wire {
    const wire = server({ byteByByte });
    wire.recv(REQUEST.end());
    wire.lastStream().stream.sendHeaders(fieldsOf(response()), true);
    wire.sent();
    return wire;
  }

  describe("an idle stream", () => {
    it.each([
      ["server", "DATA", frames.data(1, "x")],
      ["server", "RST_STREAM", frames.rst(1, 8)],
      ["server", "WINDOW_UPDATE", frames.windowUpdate(1, 1)],
      ["server", "DATA on a stream of its own", frames.data(2, "x")],
      ["server", "HEADERS with an even id", frames.headers(2, request("/a/B"))],
      ["client", "HEADERS", RESPONSE],
      ["client", "HEADERS with an even id", frames.headers(2, response())],
      ["client", "DATA", frames.data(1, "x")],
      ["client", "RST_STREAM", frames.rst(1, 8)],
      ["client", "WINDOW_UPDATE", frames.windowUpdate(1, 1)],
    ] as const)("of a %s takes no %s — §5.1, §5.1.1", (role, _, frame) => {
      const wire = role === "server" ? server({ byteByByte }) : client({ byteByByte });
      wire.recv(frame).expectConnectionError(PROTOCOL_ERROR);
    });

    it("takes PRIORITY — §5.1", () => {
      server({ byteByByte }).recv(frames.priority(7, 3)).expectAlive();
    });

    it("is closed by the first use of a higher id — §5.1.1", () => {
      server({ byteByByte })
        .recv(frames.headers(5, request("/a/B")), frames.headers(3, request("/a/B")))
        .expectConnectionError(PROTOCOL_ERROR);
    });

    it("that was skipped takes WINDOW_UPDATE and RST_STREAM like a closed one", () => {
      const wire = server({ byteByByte });
      wire.recv(frames.headers(5, request("/a/B")));
      wire.recv(frames.windowUpdate(3, 1), frames.rst(3, 8)).expectAlive();
      wire.recv(frames.data(3, "x")).expectStreamError(3, STREAM_CLOSED);
    });
  });

  describe("a half-closed (remote) stream", () => {
    it.each([
      ["DATA", frames.data(1, "x")],
      ["HEADERS", frames.headers(1, trailers(0)).end()],
    ])("takes no %s — §5.1", (_, frame) => {
      const wire = server({ byteByByte });
      wire.recv(REQUEST.end(), frame);
      wire.expectStreamError(1, STREAM_CLOSED);
      expect(wire.lastStream().log).toEqual(["headers END", "reset protocol STREAM_CLOSED"]);
    });

    it("takes WINDOW_UPDATE, PRIORITY and RST_STREAM — §5.1", () => {
      const wire = server({ byteByByte });
      wire.recv(REQUEST.end(), frames.windowUpdate(1, 10), frames.priority(1, 3));
      wire.recv(frames.rst(1, 8));
      expect(wire.lastStream().log).toEqual(["headers END", "reset reset CANCEL"]);
    });

    it("of a client takes no DATA after the trailers — §5.1", () => {
      const wire = client({ byteByByte });
      const stream = wire.open();
      wire.recv(RESPONSE, TRAILERS, frames.data(1, "x"));
      wire.sent();
      expect(stream.log).toEqual(["headers", "trailers", "reset protocol STREAM_CLOSED"]);
    });
  });

  describe("a closed stream", () => {
    it.each([
      ["DATA", frames.data(1, "x")],
      ["HEADERS", frames.headers(1, request("/a/B"))],
    ])("that both sides completed takes no %s — §5.1", (_, frame) => {
      completed().recv(frame).expectConnectionError(STREAM_CLOSED);
    });

    it.each([
      ["DATA", frames.data(1, "x")],
      ["HEADERS", frames.headers(1, trailers(0)).end()],
    ])("that the peer reset takes no %s — §5.1", (_, frame) => {
      const wire = server({ byteByByte });
      wire.recv(REQUEST, frames.rst(1, 8), frame);
      wire.expectStreamError(1, STREAM_CLOSED);
    });

    it("takes WINDOW_UPDATE, RST_STREAM and PRIORITY for a while — §5.1", () => {
      completed()
        .recv(frames.windowUpdate(1, 5), frames.rst(1, 8), frames.priority(1, 3))
        .expectAlive();
    });

    it("that we reset takes what was under way: DATA, trailers, RST_STREAM — §5.1", () => {
      const wire = server({ byteByByte });
      const stream = wire.request();
      stream.stream.reset(CANCEL);
      expect(wire.sent()).toEqual(["RST_STREAM(1, CANCEL)"]);
      wire.recv(frames.data(1, Buffer.alloc(100)), TRAILERS, frames.rst(1, 8)).expectAlive();
      expect(stream.log).toEqual(["headers"]);
    });

    it("that we reset still counts for the connection's window — §5.1, §6.9", () => {
      const wire = server({ byteByByte });
      wire.request().stream.reset(CANCEL);
      wire.sent();
      for (let i = 0; i < 2; i++) wire.recv(frames.data(1, Buffer.alloc(16_384)));
      expect(wire.sent()).toEqual(["WINDOW_UPDATE(32768)"]);
    });

    it("that we reset in the middle of a DATA frame takes the rest of it", () => {
      const wire = server({ byteByByte });
      const stream = wire.request();
      stream.onEvent = () => stream.stream.reset(CANCEL);
      const data = frames.data(1, "abcdef", { padded: 3 }).bytes();
      wire.recv(data.subarray(0, 12));
      wire.recv(data.subarray(12));
      expect(stream.log.slice(0, 2)).toEqual(["headers", byteByByte ? "data 1" : "data 2"]);
      expect(wire.sent()).toEqual(["RST_STREAM(1, CANCEL)"]);
      wire.expectAlive();
    });

    it("is forgotten after many others: then DATA is a stream error and HEADERS a connection error", () => {
      const wire = server({ byteByByte });
      for (let id = 1; id < 2_000; id += 2) {
        wire.recv(frames.headers(id, request("/a/B")), frames.rst(id, 8));
      }
      wire.recv(frames.data(1, "x")).expectStreamError(1, STREAM_CLOSED);
      wire.recv(frames.headers(3, request("/a/B"))).expectConnectionError(PROTOCOL_ERROR);
    });

    it.each([1, 511, 513, 0x3fffffff, 0x7fffffff])("with id %i is known for how it ended", (id) => {
      const reset = server({ byteByByte });
      reset.request(id).stream.reset(CANCEL);
      expect(reset.sent()).toEqual([`RST_STREAM(${id}, CANCEL)`]);
      reset.recv(frames.data(id, "late"), frames.headers(id, trailers(0)).end()).expectAlive();
      const ended = server({ byteByByte });
      ended.recv(frames.headers(id, request("/a/B")).end());
      ended.lastStream().stream.sendHeaders(fieldsOf(response()), true);
      ended.sent();
      ended.recv(frames.data(id, "x")).expectConnectionError(STREAM_CLOSED);
      const byPeer = server({ byteByByte });
      byPeer.request(id);
      byPeer
        .recv(frames.rst(id, CANCEL), frames.data(id, "x"))
        .expectStreamError(id, STREAM_CLOSED);
    });

    it("of a client that was reset long ago takes its late response — §5.1", () => {
      const wire = client({ byteByByte });
      for (let i = 0; i < 300; i++) wire.open().stream.reset(CANCEL);
      wire.sent();
      wire.recv(RESPONSE, frames.data(1, "late"), TRAILERS).expectAlive();
    });

    it("of a client takes no second response — §5.1", () => {
      const wire = client({ byteByByte });
      wire.open(true);
      wire.recv(RESPONSE, TRAILERS, RESPONSE).expectConnectionError(STREAM_CLOSED);
    });
  });

  describe("stream ids", () => {
    it("of requests are odd and rise by two — §5.1.1", () => {
      const wire = client({ byteByByte });
      expect([wire.open(), wire.open(), wire.open()].map((log) => log.stream.id)).toEqual([
        1, 3, 5,
      ]);
    });

    it("run out at 2^31 - 1: then the session takes no more — §5.1.1", () => {
      const wire = client();
      const table = Reflect.get(wire.connection, "streams");
      Reflect.set(table, "nextLocalId", 0x7fffffff);
      expect(wire.connection.availableStreamCount).toBe(1);
      expect(wire.open(true).stream.id).toBe(0x7fffffff);
      expect(wire.sent()[0]).toMatch(/^HEADERS\(2147483647/);
      expect([wire.connection.availableStreamCount, wire.connection.accepting]).toEqual([0, false]);
    });
  });
});

describe("the life of a stream", () => {
  it("is over for a server when both sides have ended, in either order", () => {
    const wire = server();
    const first = wire.request(1);
    wire.recv(frames.data(1, "x").end());
    first.stream.sendHeaders(fieldsOf(response()), false);
    first.stream.sendTrailers(fieldsOf(trailers(0)));
    expect(wire.connection.openStreamCount).toBe(0);
    expect(wire.sent().map((line) => line.split(" ")[0])).toEqual(["HEADERS(1,", "HEADERS(1,"]);
    expect(first.log).toEqual(["headers", "data 1 END"]);
  });

  it.each([
    ["trailers", (log: StreamLog) => log.stream.sendTrailers(fieldsOf(trailers(0)))],
    ["END_STREAM on DATA", (log: StreamLog) => log.stream.sendData(Buffer.from("x"), true)],
  ])(
    "ends early when a server answers an open request by %s: RST_STREAM(NO_ERROR) — §8.1",
    (_, end) => {
      const wire = server();
      const stream = wire.request();
      stream.stream.sendHeaders(fieldsOf(response()), false);
      end(stream);
      expect(wire.sent().at(-1)).toBe("RST_STREAM(1, NO_ERROR)");
      expect(wire.connection.openStreamCount).toBe(0);
      wire.recv(frames.data(1, "late"), TRAILERS);
      wire.expectAlive();
      expect(stream.log).toEqual(["headers"]);
    },
  );

  it.each([
    ["DATA", [frames.data(1, "x").end()]],
    ["empty DATA", [frames.data(1, "x"), frames.data(1).end()]],
    ["trailers", [frames.headers(1, [["x", "y"]]).end()]],
  ])("ends without RST_STREAM when the request's end came in the same read, by %s", (_, rest) => {
    const wire = server();
    wire.onRequest = ({ stream }) => stream.sendHeaders(fieldsOf(response()), true);
    wire.recv(REQUEST, ...rest);
    expect(wire.connection.openStreamCount).toBe(0);
    expect(wire.sent()).toHaveLength(1);
    expect(wire.lastStream().log).toEqual(["headers"]);
  });

  it("is held to the rules up to the end of the turn in which it was answered early", () => {
    const wire = server();
    wire.onRequest = ({ stream }) => {
      stream.sendHeaders(fieldsOf(response()), true);
      stream.reset(CANCEL);
      stream.acknowledge(1);
    };
    wire.recv(REQUEST, frames.headers(1, request("/a/B")));
    wire.expectStreamErrorAfter(1, PROTOCOL_ERROR, ["HEADERS"]);
    expect(wire.lastStream().log).toEqual(["headers"]);
  });

  it("goes on for a client whose request is open after the response has ended", () => {
    const wire = client();
    const stream = wire.open();
    wire.recv(RESPONSE, TRAILERS);
    expect(wire.connection.openStreamCount).toBe(1);
    stream.stream.sendData(Buffer.from("late"), true);
    expect(wire.connection.openStreamCount).toBe(0);
    expect(stream.log).toEqual(["headers", "trailers"]);
  });

  it("ends with RST_STREAM(NO_ERROR) of a server that has answered", () => {
    const wire = client();
    const stream = wire.open();
    wire.recv(RESPONSE, TRAILERS, frames.rst(1, NO_ERROR));
    expect(stream.log).toEqual(["headers", "trailers", "reset reset NO_ERROR"]);
  });

  it("is told as unprocessed when the server refused the stream — §8.7", () => {
    const wire = client();
    const stream = wire.open();
    wire.recv(frames.rst(1, ErrorCode.REFUSED_STREAM));
    expect(stream.log).toEqual(["reset reset REFUSED_STREAM, unprocessed"]);
  });

  it("makes every method harmless when it is over", () => {
    const wire = server();
    const { stream } = wire.request();
    stream.reset(CANCEL);
    wire.sent();
    stream.sendHeaders(fieldsOf(response()), false);
    expect(stream.sendData(Buffer.from("x"), true)).toBe(0);
    stream.sendTrailers(fieldsOf(trailers(0)));
    stream.acknowledge(10);
    stream.reset(NO_ERROR);
    expect(wire.sent()).toEqual([]);
  });

  it("takes nothing more to send once its end is queued", () => {
    const wire = client({ peerSettings: { INITIAL_WINDOW_SIZE: 2 } });
    const { stream } = wire.open();
    expect(stream.sendData(Buffer.from("abc"), true)).toBe(2);
    expect(stream.sendData(Buffer.from("more"), true)).toBe(0);
    stream.sendTrailers(fieldsOf(trailers(0)));
    expect(stream.queuedBytes).toBe(1);
    wire.recv(frames.windowUpdate(1, 100));
    expect(wire.sent().slice(1)).toEqual(["DATA(1, 2 bytes)", "DATA(1, END_STREAM, 1 bytes)"]);
  });
});
