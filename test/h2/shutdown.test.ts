// RFC 9113 §5.4, §6.8: GOAWAY both ways, the end of a connection, and limits on streams.

import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { fieldsOf, frames, request, response, trailers } from "../support/frames.ts";
import { CHUNKINGS, client, server, type Wire } from "./wire.ts";

const { NO_ERROR, PROTOCOL_ERROR, REFUSED_STREAM, ENHANCE_YOUR_CALM, INTERNAL_ERROR } = ErrorCode;

function answer(wire: Wire): void {
  const { stream } = wire.lastStream();
  stream.sendHeaders(fieldsOf(response()), false);
  stream.sendTrailers(fieldsOf(trailers(0)));
}

describe.each(CHUNKINGS)("GOAWAY received %s", (_, byteByByte) => {
  it("ends what the server will not process, as unprocessed; the rest goes on — §6.8", () => {
    const wire = client({ byteByByte });
    const [below, above] = [wire.open(true), wire.open(true)];
    wire.recv(frames.goaway(1, NO_ERROR, "bye"));
    expect(wire.log).toEqual(["goaway 1 NO_ERROR bye"]);
    expect([below.log, above.log]).toEqual([[], ["reset goaway NO_ERROR, unprocessed"]]);
    expect([wire.connection.accepting, wire.connection.availableStreamCount]).toEqual([false, 0]);
    wire.recv(frames.headers(1, response()), frames.headers(1, trailers(0)).end());
    wire.sent();
    expect(below.log).toEqual(["headers", "trailers"]);
    expect(wire.log.at(-1)).toBe("closed closed NO_ERROR");
  });

  it("allows no stream to be opened any more — §6.8", () => {
    const wire = client({ byteByByte });
    wire.open();
    wire.recv(frames.goaway(1, NO_ERROR));
    expect(() => wire.open()).toThrow("no stream can be opened");
  });

  it("with an error ends streams at or below its id, too: the peer must close the connection — §5.4.1", () => {
    const wire = client({ byteByByte });
    const logs = [wire.open(true), wire.open(true)];
    wire.recv(
      frames.headers(1, response()),
      frames.goaway(1, ENHANCE_YOUR_CALM, "calm"),
      frames.data(1, "x"),
    );
    wire.sent();
    expect(logs.map((log) => log.log)).toEqual([
      ["headers", "reset goaway ENHANCE_YOUR_CALM"],
      ["reset goaway ENHANCE_YOUR_CALM, unprocessed"],
    ]);
    expect(wire.log.at(-1)).toBe("closed goaway ENHANCE_YOUR_CALM");
  });

  it("with an error and nothing open closes as goaway", () => {
    const wire = client({ byteByByte });
    wire.recv(frames.goaway(0, INTERNAL_ERROR));
    wire.sent();
    expect(wire.log).toEqual(["goaway 0 INTERNAL_ERROR", "closed goaway INTERNAL_ERROR"]);
  });

  it("twice may lower the last id — §6.8", () => {
    const wire = client({ byteByByte });
    const logs = [wire.open(), wire.open()];
    wire.recv(frames.goaway(0x7fffffff, NO_ERROR));
    expect(logs.map((log) => log.log)).toEqual([[], []]);
    wire.recv(frames.goaway(1, NO_ERROR));
    expect(logs.map((log) => log.log.length)).toEqual([0, 1]);
  });

  it("twice may not raise the last id — §6.8", () => {
    const wire = client({ byteByByte });
    wire.open();
    wire.recv(frames.goaway(1, NO_ERROR), frames.goaway(3, NO_ERROR));
    wire.expectConnectionError(PROTOCOL_ERROR);
  });

  it("from a client lets its streams finish — §6.8", () => {
    const wire = server({ byteByByte });
    wire.recv(frames.headers(1, request("/a/B")).end(), frames.goaway(0, NO_ERROR));
    expect(wire.connection.accepting).toBe(false);
    expect(wire.lastStream().log).toEqual(["headers END"]);
    answer(wire);
    expect(wire.sent()).toHaveLength(2);
    expect(wire.log.at(-1)).toBe("closed closed NO_ERROR");
  });

  it("resets from its own callback are not repeated", () => {
    const wire = client({ byteByByte });
    const logs = [wire.open(), wire.open()];
    wire.sent();
    const [first, second] = logs;
    if (first !== undefined) first.onEvent = () => second?.stream.reset(8);
    wire.recv(frames.goaway(0, NO_ERROR));
    expect(logs.map((log) => log.log)).toEqual([["reset goaway NO_ERROR, unprocessed"], []]);
  });
});

describe("a server's drain", () => {
  it("announces itself, waits a round trip for requests under way, then names the last — §6.8", () => {
    const wire = server();
    wire.request(1);
    wire.connection.drain();
    wire.connection.drain();
    const [announcement, ping] = wire.sentFrames();
    expect(`${announcement}`).toBe("GOAWAY(last=2147483647, NO_ERROR)");
    expect(wire.connection.accepting).toBe(false);
    wire.recv(frames.headers(3, request("/a/B")), frames.pingAck(ping?.payload ?? ""));
    expect(wire.streams).toHaveLength(2);
    expect(wire.sent()).toEqual(["GOAWAY(last=3, NO_ERROR)"]);
    wire.recv(frames.headers(5, request("/a/B")), frames.data(5, "ignored"), frames.rst(5, 8));
    expect(wire.streams).toHaveLength(2);
    expect(wire.sent()).toEqual([]);
    for (const { stream } of wire.streams) stream.reset(NO_ERROR);
    wire.sent();
    expect(wire.log).toEqual(["closed closed NO_ERROR"]);
  });

  it("does not wait for ever for the PING", () => {
    const wire = server();
    wire.connection.finishDrain();
    wire.connection.drain();
    wire.sent();
    wire.connection.finishDrain();
    wire.connection.finishDrain();
    expect(wire.sent()).toEqual(["GOAWAY(last=0, NO_ERROR)"]);
    expect(wire.log).toEqual(["closed closed NO_ERROR"]);
    wire.connection.drain();
    wire.connection.finishDrain();
    wire.connection.ping(() => {});
    expect(wire.sent()).toEqual([]);
  });
});

describe("a client's drain", () => {
  it("says GOAWAY and closes when the last stream has ended", () => {
    const wire = client();
    wire.open(true);
    wire.sent();
    wire.connection.drain();
    expect(wire.sent()).toEqual(["GOAWAY(last=0, NO_ERROR)"]);
    expect(wire.log).toEqual([]);
    wire.recv(frames.headers(1, response()).end());
    wire.sent();
    expect(wire.log).toEqual(["closed closed NO_ERROR"]);
  });
});

describe("the end of a connection", () => {
  it("is told to every stream before the owner, once, with what the peer is called", () => {
    const wire = server();
    wire.connection.peer = "10.0.0.7:50051";
    const [first, second] = [wire.request(1), wire.request(3)];
    second.stream.reset(NO_ERROR);
    wire.sent();
    wire.connection.abort({ kind: "destroyed", code: 11, message: "too many pings" }, true);
    expect([first.log, wire.log]).toEqual([["headers"], []]);
    expect(wire.sent()).toEqual(['GOAWAY(last=3, ENHANCE_YOUR_CALM, "too many pings")']);
    expect(first.log).toEqual(["headers", "reset session ENHANCE_YOUR_CALM"]);
    expect(second.log).toEqual(["headers"]);
    expect(wire.log).toEqual(["closed destroyed ENHANCE_YOUR_CALM"]);
    wire.connection.abort({ kind: "socket", code: 0, message: "gone" }, false);
    wire.recv(frames.headers(5, request("/a/B")));
    expect([wire.sent(), wire.log.length, wire.streams.length]).toEqual([[], 1, 2]);
  });

  it("is not told to a stream that its owner resets before the turn", () => {
    const wire = server();
    const log = wire.request();
    wire.connection.abort({ kind: "socket", code: 0, message: "gone" }, false);
    log.stream.reset(8);
    expect(wire.sent()).toEqual([]);
    expect(log.log).toEqual(["headers"]);
  });

  it("in the middle of a read drops the rest of it", () => {
    const wire = server();
    wire.onRequest = () =>
      wire.connection.abort({ kind: "destroyed", code: 0, message: "enough" }, true);
    const two = [frames.headers(1, request("/a/B")), frames.headers(3, request("/a/B"))];
    wire.recv(...two);
    expect(wire.streams).toHaveLength(1);
    wire.sent();
    expect(wire.lastStream().log).toEqual(["headers", "reset session NO_ERROR"]);
  });

  it("by the socket is the orderly end when GOAWAY had announced it and nothing was open", () => {
    const wire = client();
    const log = wire.open();
    wire.recv(frames.goaway(1, NO_ERROR));
    log.stream.reset(8);
    wire.connection.abort({ kind: "socket", code: 0, message: "gone" }, false);
    wire.sent();
    expect(wire.log.at(-1)).toBe("closed closed NO_ERROR");
  });

  it("by the socket is the orderly end of a drain that the client did not wait for", () => {
    const wire = server();
    wire.connection.drain();
    wire.sent();
    wire.connection.abort({ kind: "socket", code: 0, message: "gone" }, false);
    wire.sent();
    expect(wire.log).toEqual(["closed closed NO_ERROR"]);
  });

  it("by the socket in the middle of a drain is a loss when something was open", () => {
    const wire = server();
    wire.request();
    wire.connection.drain();
    wire.connection.abort({ kind: "socket", code: 0, message: "gone" }, false);
    wire.sent();
    expect(wire.log).toEqual(["closed socket NO_ERROR"]);
  });

  it("by the socket without any announcement is a loss of the session, open streams or not", () => {
    const wire = client();
    wire.connection.abort({ kind: "socket", code: 0, message: "gone" }, false);
    wire.sent();
    expect(wire.log).toEqual(["closed socket NO_ERROR"]);
  });

  it("by the socket is a loss when something was open, announced or not", () => {
    const wire = client();
    const log = wire.open();
    wire.recv(frames.goaway(1, NO_ERROR));
    wire.connection.abort({ kind: "socket", code: 0, message: "gone" }, false);
    wire.sent();
    expect(log.log).toEqual(["reset session NO_ERROR"]);
    expect(wire.log.at(-1)).toBe("closed socket NO_ERROR");
  });

  it("by a defect of an owner is INTERNAL_ERROR, and the defect comes through", () => {
    const wire = server();
    wire.onRequest = () => {
      throw new TypeError("defect");
    };
    expect(() => wire.request()).toThrow("defect");
    expect(wire.sent()).toEqual(['GOAWAY(last=1, INTERNAL_ERROR, "internal error")']);
  });

  it("tells the peer what it did, not who it is", () => {
    const wire = server();
    wire.connection.peer = "10.0.0.7:50051";
    wire.recv(frames.ping("short"));
    expect(wire.sent()).toEqual(['GOAWAY(last=0, FRAME_SIZE_ERROR, "PING of 5 bytes")']);
    expect(wire.end?.message).toBe("10.0.0.7:50051 broke the protocol: PING of 5 bytes");
  });

  it("by the owner tells the peer the reason, which does not name it", () => {
    const wire = server();
    wire.recv();
    const message = "10.0.0.7:50051 did not acknowledge SETTINGS";
    const reason = "did not acknowledge SETTINGS";
    wire.connection.abort({ kind: "timeout", code: 4, message, reason }, true);
    expect(wire.sent()).toEqual([`GOAWAY(last=0, SETTINGS_TIMEOUT, "${reason}")`]);
  });

  it("tells the peer nothing longer than 256 bytes", () => {
    const wire = server();
    wire.connection.abort({ kind: "destroyed", code: 0, message: "x".repeat(1_000) }, true);
    expect(wire.sentFrames()[0]?.payload).toHaveLength(8 + 256);
  });
});

describe("concurrent streams", () => {
  it("above our limit are refused, and taken again below it — §5.1.2", () => {
    const wire = server({ maxConcurrentStreams: 2 });
    const first = wire.request(1);
    wire.request(3);
    wire.recv(frames.headers(5, request("/a/B"))).expectStreamError(5, REFUSED_STREAM);
    first.stream.reset(NO_ERROR);
    wire.sent();
    expect(wire.request(7).log).toEqual(["headers"]);
  });

  it("follow the server's limit as it changes; the owner hears when there is room again — §5.1.2", () => {
    const wire = client({ peerSettings: { MAX_CONCURRENT_STREAMS: 2 } });
    const [first] = [wire.open(), wire.open()];
    expect(() => wire.open()).toThrow("no stream can be opened");
    first.stream.reset(8);
    wire.sent();
    expect(wire.log).toEqual(["available 1"]);
    wire.open();
    wire.recv(frames.settings({ MAX_CONCURRENT_STREAMS: 1 }));
    wire.sent();
    expect(wire.connection.availableStreamCount).toBe(0);
    wire.recv(frames.settings({ MAX_CONCURRENT_STREAMS: 5 }));
    wire.sent();
    expect(wire.log).toEqual(["available 1", "available 3"]);
  });

  it("are told to be available when the limit was 0 for a while", () => {
    const wire = client({ peerSettings: { MAX_CONCURRENT_STREAMS: 10 } });
    wire.open();
    wire.recv(frames.settings({ MAX_CONCURRENT_STREAMS: 0 }));
    wire.sent();
    expect([wire.connection.availableStreamCount, wire.log.length]).toEqual([0, 0]);
    wire.recv(frames.settings({ MAX_CONCURRENT_STREAMS: 4 }));
    wire.sent();
    expect(wire.log).toEqual(["available 3"]);
  });

  it("that end make room without anything to write: the turn is asked for", () => {
    const wire = client({ peerSettings: { MAX_CONCURRENT_STREAMS: 1 } });
    wire.open(true);
    wire.sent();
    expect(wire.dirty).toBe(false);
    wire.recv(frames.headers(1, response()));
    expect(wire.dirty).toBe(false);
    wire.recv(frames.headers(1, trailers(0)).end());
    expect(wire.dirty).toBe(true);
    wire.turn();
    expect(wire.log).toEqual(["available 1"]);
    wire.recv(frames.goaway(1, NO_ERROR));
    expect(wire.dirty).toBe(true);
  });

  it("are none before the server's SETTINGS — §3.4", () => {
    const wire = client({ handshake: false });
    expect([wire.connection.accepting, wire.connection.availableStreamCount]).toEqual([false, 0]);
    wire.recv(frames.settings({ MAX_CONCURRENT_STREAMS: 9 }));
    wire.sent();
    expect(wire.log).toEqual(["available 9"]);
  });

  it("opened from onAvailable leave in the same turn, their DATA too", () => {
    const wire = client({ handshake: false });
    wire.recv(frames.settings());
    const tell = wire.onAvailable.bind(wire);
    wire.onAvailable = () => {
      tell();
      wire.open().stream.sendData(Buffer.from("x"), true);
    };
    expect(wire.turn().includes("relay.test")).toBe(true);
  });
});
