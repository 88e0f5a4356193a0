// RFC 9113 §3.4 where the client may speak something else: an HTTP/1 client is answered in its own
// words, others are recognised.

import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { frames, request } from "../support/frames.ts";
import { client, server, type Wire, type WireOptions } from "./wire.ts";

const { PROTOCOL_ERROR } = ErrorCode;

/** A server that waits for what its client speaks. */
function waiting(options: WireOptions = {}): Wire {
  return server({ awaitsClient: true, handshake: false, ...options });
}

const ANSWER = (version: string): string => {
  const body = `this port speaks gRPC over HTTP/2, not ${version}\n`;
  return `HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`;
};

describe.each<[string, WireOptions]>([
  ["in one chunk", {}],
  ["byte by byte", { byteByByte: true }],
  ["in memory that is read into again", { lending: true }],
])("what a client speaks first, %s,", (_, options) => {
  it("if it is HTTP/2, is answered by SETTINGS, and what follows counts", () => {
    const wire = waiting(options);
    expect(wire.turn()).toHaveLength(0);
    wire.recv(frames.preface(), frames.settings(), frames.headers(1, request("/a/B")));
    expect(wire.sent().map((frame) => frame.replace(/\(.*/, ""))).toEqual(["SETTINGS", "SETTINGS"]);
    expect(wire.lastStream().log).toEqual(["headers"]);
    expect(wire.refused).toEqual([]);
  });

  it.each([
    ["GET / HTTP/1.1\r\nhost: x\r\n\r\n", "GET", "HTTP/1.1"],
    ["POST /grpc.health.v1.Health/Check HTTP/1.0\n\n", "POST", "HTTP/1.0"],
    ["OPTIONS * HTTP/1.1\r\n", "OPTIONS", "HTTP/1.1"],
    ["PROPFIND /x HTTP/1.1\r\n", "PROPFIND", "HTTP/1.1"],
    ["PRI * HTTP/1.1\r\n", "PRI", "HTTP/1.1"],
    ["M-SEARCH /\xfc HTTP/1.1\r\n", "M-SEARCH", "HTTP/1.1"],
  ])("if it is %j, is answered in HTTP/1.1 and closed", (text, method, version) => {
    const wire = waiting(options);
    wire.recv(Buffer.from(text, "latin1"));
    expect(wire.turn().toString()).toBe(ANSWER(version));
    expect(wire.end).toMatchObject({ kind: "protocol", code: PROTOCOL_ERROR });
    expect(wire.refused).toMatchObject([
      { scope: "connection", rule: `${version} (${method}) on a port for HTTP/2` },
    ]);
  });

  it("if it is a HEAD request, is answered without a body", () => {
    const wire = waiting(options);
    wire.recv(Buffer.from("HEAD / HTTP/1.1\r\n\r\n"));
    expect(wire.turn().toString()).toBe(ANSWER("HTTP/1.1").replace(/this port.*\n/, ""));
  });

  it.each([
    ["SSH", "SSH-2.0-OpenSSH_9.2\r\n"],
    ["words in upper case", "INVALID CONNECTION PREFACE"],
    ["HTTP/0.9", "GET /\r\n"],
    ["HTTP/1.1 with a method in lower case", "get / HTTP/1.1\r\n"],
    ["HTTP/1.1 with more on the line", "GET / HTTP/1.1 x\r\n"],
    ["HTTP/3 by name", "GET / HTTP/3.0\r\n"],
    ["a preface that goes wrong late", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"],
    ["a frame", "\0\0\0\x04\0\0\0\0\0"],
    ["what begins like TLS", "\x16\x00"],
    ["a request line without an end", `GET /${"a".repeat(8_187)}`],
  ])("if it is %s, is answered by GOAWAY and closed", (_name, text) => {
    const wire = waiting(options);
    wire.recv(Buffer.from(text, "latin1"));
    expect(wire.sent().map((frame) => frame.replace(/\(.*/, ""))).toEqual(["SETTINGS", "GOAWAY"]);
    expect(wire.refused).toMatchObject([{ rule: "the client preface is not HTTP/2's" }]);
  });

  it("if it is TLS, is told as that", () => {
    const wire = waiting(options);
    wire.recv(Buffer.from("16030100c8010000c40303", "hex"));
    wire.expectConnectionError(PROTOCOL_ERROR);
    expect(wire.refused).toMatchObject([{ rule: "TLS on a port without TLS" }]);
  });

  it.each(["PROXY TCP4 192.0.2.1 192.0.2.2 4711 50051\r\n", "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"])(
    "if it is a PROXY header, is told as that: %j",
    (text) => {
      const wire = waiting(options);
      wire.recv(Buffer.from(text, "latin1"));
      wire.expectConnectionError(PROTOCOL_ERROR);
      expect(wire.refused).toMatchObject([
        { rule: "a PROXY protocol header from an address that is not trusted to send one" },
      ]);
    },
  );

  it.each([
    "P",
    "PRI * HTTP/2.0\r\n",
    "G",
    "GET",
    "GET /a",
    "GET /a HT",
    "GET /a HTTP/1.1\r",
    "\x16",
  ])("if it begins with %j, is waited for", (text) => {
    const wire = waiting(options);
    wire.recv(Buffer.from(text, "latin1"));
    expect(wire.turn()).toHaveLength(0);
    expect(wire.connection.ended).toBeUndefined();
  });
});

describe("a server that waits for its client's preface", () => {
  it("announces a drain at once, behind SETTINGS", () => {
    const wire = waiting();
    wire.connection.drain();
    const names = wire.sent().map((frame) => frame.replace(/\(.*/, ""));
    expect(names).toEqual(["SETTINGS", "GOAWAY", "PING"]);
    wire.recv(Buffer.from("GET / HTTP/1.1\r\n\r\n"));
    wire.expectConnectionError(PROTOCOL_ERROR);
  });

  it("that is draining before does not wait", () => {
    const wire = waiting({ drainsFirst: true });
    const names = wire.sent().map((frame) => frame.replace(/\(.*/, ""));
    expect(names).toEqual(["SETTINGS", "GOAWAY", "PING"]);
  });

  it("sends a PING that was asked for before behind SETTINGS", () => {
    const wire = waiting();
    wire.connection.ping(() => undefined);
    wire.connection.ping(() => undefined);
    expect(wire.turn()).toHaveLength(0);
    wire.recv(frames.preface());
    const names = wire.sent().map((frame) => frame.replace(/\(.*/, ""));
    expect(names).toEqual(["SETTINGS", "PING", "PING"]);
  });

  it("says nothing when it is ended before", () => {
    const wire = waiting();
    wire.connection.abort({ kind: "destroyed", code: 0, message: "over", reason: "over" }, true);
    expect(wire.turn()).toHaveLength(0);
    expect(wire.end).toMatchObject({ kind: "destroyed" });
  });
});

describe("what a server speaks first", () => {
  it.each([
    ["HTTP/1", Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"), "HTTP/1 instead of HTTP/2"],
    ["TLS", Buffer.from("15030100020246", "hex"), "a TLS alert on a connection without TLS"],
  ])("if it is %s, is told as that", (_, bytes, rule) => {
    const wire = client({ handshake: false });
    wire.recv(bytes);
    wire.expectConnectionError(ErrorCode.FRAME_SIZE_ERROR);
    expect(wire.refused).toMatchObject([{ scope: "connection", rule }]);
  });

  it("if it is HTTP/2 in pieces, is taken", () => {
    const wire = client({ handshake: false, byteByByte: true });
    wire.recv(frames.settings());
    expect(wire.connection.settingsReady).toBe(true);
    expect(wire.refused).toEqual([]);
  });
});
