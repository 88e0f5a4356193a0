// What a client can do wrong towards our server, beyond the cases that test/h2 has for it already
// (see README.md).

import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { CHUNKINGS, server } from "../h2/wire.ts";
import { fieldsOf, frames, request, response, trailers } from "../support/frames.ts";

const { PROTOCOL_ERROR, COMPRESSION_ERROR, STREAM_CLOSED, CANCEL } = ErrorCode;
const REQUEST = frames.headers(1, request("/a/B"));
const BAD_BLOCK = Buffer.from([0xc6]);

describe.each(CHUNKINGS)("a client, bytes %s,", (_, byteByByte) => {
  it.each([
    ["PING — §3.4", frames.ping()],
    ["PRIORITY — §3.4", frames.priority(1, 0)],
    ["an unknown frame — §3.4", frames.raw(0x42, 0, 0)],
  ])("that begins with %s instead of SETTINGS loses the connection", (_, frame) => {
    const wire = server({ byteByByte, handshake: false });
    wire.recv(frames.preface(), frame).expectConnectionError(PROTOCOL_ERROR);
  });

  it("may send requests behind its preface, before it has seen our SETTINGS — §3.4", () => {
    const wire = server({ byteByByte, handshake: false });
    wire.recv(frames.preface(), frames.settings(), REQUEST.end());
    expect(wire.lastStream().log).toEqual(["headers END"]);
  });

  it.each([
    ["that we have reset — §4.3", "reset"],
    ["that it has reset — §4.3", "rst"],
    ["that both sides have ended — §4.3", "complete"],
  ])("whose field block does not decode on a stream %s loses the connection", (_, how) => {
    const wire = server({ byteByByte });
    wire.recv(how === "complete" ? REQUEST.end() : REQUEST);
    const { stream } = wire.lastStream();
    if (how === "reset") stream.reset(CANCEL);
    if (how === "rst") wire.recv(frames.rst(1, CANCEL));
    if (how === "complete") stream.sendHeaders(fieldsOf(response()), true);
    wire.sent();
    wire.recv(frames.headers(1, BAD_BLOCK)).expectConnectionError(COMPRESSION_ERROR);
  });

  it("keeps the table in step by HEADERS on a stream that we have reset — §4.3", () => {
    const wire = server({ byteByByte });
    wire.recv(REQUEST);
    wire.lastStream().stream.reset(CANCEL);
    wire.sent();
    wire.recv(frames.headers(1, Buffer.from("\x40\x01x\x01y", "latin1")).end());
    const block = Buffer.concat([frames.headers(3, request("/a/B")).payload, Buffer.from([0xbe])]);
    wire.recv(frames.headers(3, block).end());
    expect(wire.lastStream().headers[0]?.at(-1)).toMatchObject({ name: "x", value: "y" });
  });

  it.each([
    ["DATA", frames.data(1, "x")],
    ["trailers", frames.headers(1, trailers()).end()],
  ])("that goes on with %s after its trailers loses the stream — §5.1, §8.1", (_, frame) => {
    const wire = server({ byteByByte });
    wire.recv(REQUEST, frames.headers(1, trailers()).end(), frame);
    wire.expectStreamError(1, STREAM_CLOSED);
  });

  it.each([
    ["once", [0]],
    ["down and up again, in one frame", [0, 4_096]],
  ])(
    "lowers its header table %s: the next block says so first — §6.5.3, RFC 7541 §4.2",
    (_, sizes) => {
      const wire = server({ byteByByte });
      const settings = sizes.map((size) => frames.settings({ HEADER_TABLE_SIZE: size }).payload);
      wire.recv(REQUEST, frames.raw(4, 0, 0, Buffer.concat(settings)));
      wire.sent();
      wire.lastStream().stream.sendHeaders(fieldsOf(response()), false);
      const [headers] = wire.sentFrames();
      expect(headers?.payload[0]).toBe(0x20);
      if (sizes.length > 1) expect(headers?.payload.subarray(1, 4).toString("hex")).toBe("3fe11f");
    },
  );

  it("changes no connection window by SETTINGS_INITIAL_WINDOW_SIZE — §6.9.2", () => {
    const wire = server({ byteByByte });
    wire.recv(REQUEST, frames.settings({ INITIAL_WINDOW_SIZE: 200_000 }));
    const { stream } = wire.lastStream();
    stream.sendHeaders(fieldsOf(response()), false);
    wire.sent();
    expect(stream.sendData(Buffer.alloc(100_000), false)).toBe(65_535);
    wire.recv(frames.windowUpdate(0, 10));
    expect(wire.sent().at(-1)).toBe("DATA(1, 10 bytes)");
  });

  it.each([0xe, 0xffffffff])(
    "may reset with the unknown code %i, which means nothing special — §7",
    (code) => {
      const wire = server({ byteByByte });
      wire.recv(REQUEST, frames.rst(1, code));
      expect(wire.lastStream().log.at(-1)).toMatch(/^reset reset/);
      wire.expectAlive();
    },
  );

  it("may ask for OPTIONS * and for a path that is no URI; that is the owner's to answer — §8.3.1", () => {
    const wire = server({ byteByByte });
    const options = request("*").map((field) =>
      Array.isArray(field) && field[0] === ":method" ? ([":method", "OPTIONS"] as const) : field,
    );
    wire.recv(frames.headers(1, options).end(), frames.headers(3, request("<>")).end());
    expect(wire.streams.map(({ log }) => log[0])).toEqual(["headers END", "headers END"]);
  });
});
