// What a server can do wrong towards our client, section by section of RFC 9113; where test/h2 has
// the case already it is not repeated (see README.md). Stream 1 is an open request.

import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { CHUNKINGS, client, type StreamLog, type Wire } from "../h2/wire.ts";
import {
  END_HEADERS,
  type FieldInput,
  type Frame,
  frames,
  headerBlock,
  PADDED,
  PRIORITY,
  response,
  trailers,
} from "../support/frames.ts";

const {
  PROTOCOL_ERROR,
  FRAME_SIZE_ERROR,
  FLOW_CONTROL_ERROR,
  COMPRESSION_ERROR,
  STREAM_CLOSED,
  ENHANCE_YOUR_CALM,
} = ErrorCode;

const RESPONSE = frames.headers(1, response());
const TRAILERS = frames.headers(1, trailers()).end();
const BLOCK = headerBlock(response());
const BEGUN = frames.headers(1, BLOCK.subarray(0, 3), { endHeaders: false });

type Parts = readonly (Frame | Buffer)[];
type Row = readonly [what: string, parts: Parts, code: number];

/** A server's response, whole or in pieces, as a list of what is sent. */
function fields(...more: FieldInput[]): Parts {
  return [frames.headers(1, response(...more))];
}

describe.each(CHUNKINGS)("a server, bytes %s,", (_, byteByByte) => {
  function open(endStream = false): { readonly wire: Wire; readonly stream: StreamLog } {
    const wire = client({ byteByByte });
    const stream = wire.open(endStream);
    wire.sent();
    return { wire, stream };
  }

  it.each<Row>([
    // §4
    [
      "sends DATA over 16,384 bytes — §4.2",
      [frames.data(1, Buffer.alloc(16_385))],
      FRAME_SIZE_ERROR,
    ],
    ["sends PING over 16,384 bytes — §4.2", [frames.ping(Buffer.alloc(16_385))], FRAME_SIZE_ERROR],
    [
      "sends an index without an entry — §4.3",
      [frames.headers(1, Buffer.from([0xc6]))],
      COMPRESSION_ERROR,
    ],
    [
      "sends a block that ends inside a field — §4.3",
      [frames.headers(1, BLOCK.subarray(0, 5))],
      COMPRESSION_ERROR,
    ],
    [
      "sends a field block that does not decode on a stream that we reset — §4.3",
      [frames.data(1, "x"), frames.headers(1, Buffer.from([0xc6]))],
      COMPRESSION_ERROR,
    ],
    ["interrupts a header block with DATA — §4.3", [BEGUN, frames.data(1, "x")], PROTOCOL_ERROR],
    ["interrupts a header block with PING — §4.3", [BEGUN, frames.ping()], PROTOCOL_ERROR],
    [
      "interrupts a header block with an unknown frame — §5.5",
      [BEGUN, frames.raw(0x42, 0, 0)],
      PROTOCOL_ERROR,
    ],
    [
      "interrupts a header block with PRIORITY — §6.2",
      [BEGUN, frames.priority(1, 0)],
      PROTOCOL_ERROR,
    ],
    ["interrupts a header block with GOAWAY — §6.10", [BEGUN, frames.goaway(1, 0)], PROTOCOL_ERROR],
    // §5
    [
      "opens a stream of its own without having promised it — §5.1.1",
      [frames.headers(2, response())],
      PROTOCOL_ERROR,
    ],
    ["resets an even stream that was never promised — §5.1", [frames.rst(2, 8)], PROTOCOL_ERROR],
    [
      "answers a request that was not sent yet — §5.1",
      [frames.headers(3, response())],
      PROTOCOL_ERROR,
    ],
    [
      "sends DATA on a stream that both sides ended — §5.1",
      [RESPONSE, TRAILERS, frames.data(1, "x")],
      STREAM_CLOSED,
    ],
    // §6
    [
      "pads DATA with all of its length — §6.1",
      [RESPONSE, frames.raw(0, PADDED, 1, "\x03ab")],
      PROTOCOL_ERROR,
    ],
    ["sends DATA on stream 0 — §6.1", [frames.data(0, "x")], PROTOCOL_ERROR],
    ["sends HEADERS on stream 0 — §6.2", [frames.headers(0, response())], PROTOCOL_ERROR],
    [
      "pads HEADERS beyond their length — §6.2",
      [frames.raw(1, PADDED | END_HEADERS, 1, "\x09abc")],
      PROTOCOL_ERROR,
    ],
    [
      "sends HEADERS too short for their priority — §6.2",
      [frames.raw(1, PRIORITY | END_HEADERS, 1, "abcd")],
      FRAME_SIZE_ERROR,
    ],
    ["sends PRIORITY on stream 0 — §6.3", [frames.priority(0, 1)], PROTOCOL_ERROR],
    ["sends RST_STREAM on stream 0 — §6.4", [frames.rst(0, 8)], PROTOCOL_ERROR],
    ["sends RST_STREAM of 5 bytes — §6.4", [frames.raw(3, 0, 1, "12345")], FRAME_SIZE_ERROR],
    ["sends SETTINGS on a stream — §6.5", [frames.raw(4, 0, 1)], PROTOCOL_ERROR],
    ["sends SETTINGS of 7 bytes — §6.5", [frames.raw(4, 0, 0, "1234567")], FRAME_SIZE_ERROR],
    [
      "acknowledges SETTINGS with a payload — §6.5",
      [frames.raw(4, 1, 0, "123456")],
      FRAME_SIZE_ERROR,
    ],
    ["acknowledges SETTINGS twice — §6.5.3", [frames.settingsAck()], PROTOCOL_ERROR],
    ["sets ENABLE_PUSH to 2 — §6.5.2", [frames.settings({ ENABLE_PUSH: 2 })], PROTOCOL_ERROR],
    [
      "sets INITIAL_WINDOW_SIZE to 2^31 — §6.5.2",
      [frames.settings({ INITIAL_WINDOW_SIZE: 0x80000000 })],
      FLOW_CONTROL_ERROR,
    ],
    ["sets MAX_FRAME_SIZE to 0 — §6.5.2", [frames.settings({ MAX_FRAME_SIZE: 0 })], PROTOCOL_ERROR],
    [
      "sets MAX_FRAME_SIZE to 2^24 — §6.5.2",
      [frames.settings({ MAX_FRAME_SIZE: 2 ** 24 })],
      PROTOCOL_ERROR,
    ],
    [
      "overflows a stream's window by SETTINGS — §6.9.2",
      [frames.windowUpdate(1, 0x7fff0000), frames.settings({ INITIAL_WINDOW_SIZE: 100_000 })],
      FLOW_CONTROL_ERROR,
    ],
    ["pushes on stream 0 — §6.6", [frames.pushPromise(0, 2, [])], PROTOCOL_ERROR],
    [
      "pushes on a stream that has ended — §6.6",
      [RESPONSE, TRAILERS, frames.pushPromise(1, 2, [])],
      PROTOCOL_ERROR,
    ],
    ["sends PING on a stream — §6.7", [frames.raw(6, 0, 1, "12345678")], PROTOCOL_ERROR],
    ["sends PING of 7 bytes — §6.7", [frames.ping("1234567")], FRAME_SIZE_ERROR],
    ["acknowledges PING with nothing — §6.7", [frames.pingAck("")], FRAME_SIZE_ERROR],
    ["sends GOAWAY on a stream — §6.8", [frames.raw(7, 0, 1, "\0\0\0\0\0\0\0\0")], PROTOCOL_ERROR],
    [
      "raises the last stream id of GOAWAY — §6.8",
      [frames.goaway(1, 0), frames.goaway(3, 0)],
      PROTOCOL_ERROR,
    ],
    [
      "sends WINDOW_UPDATE of 0 for the connection — §6.9",
      [frames.windowUpdate(0, 0)],
      PROTOCOL_ERROR,
    ],
    ["sends WINDOW_UPDATE of 5 bytes — §6.9", [frames.raw(8, 0, 0, "12345")], FRAME_SIZE_ERROR],
    [
      "overflows the connection's window — §6.9.1",
      [frames.windowUpdate(0, 0x7fffffff)],
      FLOW_CONTROL_ERROR,
    ],
    ["sends CONTINUATION without HEADERS — §6.10", [frames.continuation(1, BLOCK)], PROTOCOL_ERROR],
    [
      "sends CONTINUATION after a whole block — §6.10",
      [RESPONSE, frames.continuation(1, BLOCK)],
      PROTOCOL_ERROR,
    ],
    [
      "continues on another stream — §6.10",
      [BEGUN, frames.continuation(3, BLOCK.subarray(3))],
      PROTOCOL_ERROR,
    ],
    [
      "continues on stream 0 — §6.10",
      [BEGUN, frames.continuation(0, BLOCK.subarray(3))],
      PROTOCOL_ERROR,
    ],
  ])("that %s loses the connection", (_, parts, code) => {
    const { wire, stream } = open(true);
    wire.recv(...parts).expectConnectionError(code);
    expect(stream.log.filter((line) => line.startsWith("reset")).length).toBeLessThanOrEqual(1);
    expect(wire.connection.openStreamCount).toBe(0);
  });

  it.each<Row>([
    [
      "that ended it goes on with DATA — §5.1",
      [RESPONSE.end(), frames.data(1, "x")],
      STREAM_CLOSED,
    ],
    ["that ended it goes on with trailers — §5.1", [RESPONSE.end(), TRAILERS], STREAM_CLOSED],
    [
      "that reset it goes on with DATA — §5.1",
      [frames.rst(1, 8), frames.data(1, "x")],
      STREAM_CLOSED,
    ],
    ["that reset it goes on with HEADERS — §5.1", [frames.rst(1, 8), RESPONSE], STREAM_CLOSED],
    ["sends PRIORITY of 4 bytes — §6.3", [frames.raw(2, 0, 1, "1234")], FRAME_SIZE_ERROR],
    ["sends WINDOW_UPDATE of 0 — §6.9", [frames.windowUpdate(1, 0)], PROTOCOL_ERROR],
    ["overflows its window — §6.9.1", [frames.windowUpdate(1, 0x7fffffff)], FLOW_CONTROL_ERROR],
    // §8.1
    ["begins with DATA — §8.1", [frames.data(1, "x")], PROTOCOL_ERROR],
    ["begins with trailers — §8.1", [TRAILERS], PROTOCOL_ERROR],
    ["sends headers twice — §8.1", [RESPONSE, RESPONSE], PROTOCOL_ERROR],
    [
      "sends a 1xx after the final headers — §8.1",
      [RESPONSE, frames.headers(1, [[":status", "103"]])],
      PROTOCOL_ERROR,
    ],
    ["ends with a 1xx — §8.1", [frames.headers(1, [[":status", "103"]]).end()], PROTOCOL_ERROR],
    [
      "sends trailers with :status — §8.1",
      [RESPONSE, frames.headers(1, response()).end()],
      PROTOCOL_ERROR,
    ],
    [
      "sends trailers with an upper-case name — §8.2.1",
      [RESPONSE, frames.headers(1, [["Grpc-Status", "0"]]).end()],
      PROTOCOL_ERROR,
    ],
    [
      "sends trailers with a connection-specific field — §8.2.2",
      [RESPONSE, frames.headers(1, [["connection", "x"]]).end()],
      PROTOCOL_ERROR,
    ],
    // §8.1.1
    [
      "sends less than its content-length — §8.1.1",
      [...fields(["content-length", "3"]), frames.data(1, "ab").end()],
      PROTOCOL_ERROR,
    ],
    [
      "sends more than its content-length — §8.1.1",
      [...fields(["content-length", "3"]), frames.data(1, "ab"), frames.data(1, "cd")],
      PROTOCOL_ERROR,
    ],
    [
      "sends trailers before its content-length is reached — §8.1.1",
      [...fields(["content-length", "3"]), frames.data(1, "ab"), TRAILERS],
      PROTOCOL_ERROR,
    ],
    [
      "says two content-lengths — §8.1.1",
      fields(["content-length", "3"], ["content-length", "4"]),
      PROTOCOL_ERROR,
    ],
    // §8.3.2
    ["says no :status in a list of its own — §8.3.2", [frames.headers(1, [])], PROTOCOL_ERROR],
    ["says a request's :method — §8.3", fields([":method", "POST"]), PROTOCOL_ERROR],
    ["says :status 99 — §8.3.2", [frames.headers(1, [[":status", "099"]])], PROTOCOL_ERROR],
    ["switches protocols — §8.6", [frames.headers(1, [[":status", "101"]])], PROTOCOL_ERROR],
    [
      "has a header list over our limit — §10.5.1",
      [...frames.headersInPieces(1, response(["x", "v".repeat(17_000)]))],
      ENHANCE_YOUR_CALM,
    ],
  ])("of a stream that %s loses the stream alone", (_, parts, code) => {
    const { wire, stream } = open();
    const other = wire.open();
    wire.sent();
    wire.recv(...parts).expectStreamError(1, code);
    expect(stream.log.filter((line) => line.startsWith("reset"))).toHaveLength(1);
    wire.recv(frames.headers(3, response()), frames.headers(3, trailers()).end());
    expect(other.log).toEqual(["headers", "trailers"]);
  });

  it("that overdraws a stream's window loses the stream — §6.9.1", () => {
    const wire = client({ byteByByte, streamWindowBytes: 1_000 });
    const stream = wire.open();
    wire.sent();
    wire.recv(RESPONSE, frames.data(1, Buffer.alloc(1_000)), frames.data(1, "x"));
    wire.expectStreamError(1, FLOW_CONTROL_ERROR);
    expect(stream.bytes).toBe(1_000);
  });

  it.each<[string, Parts]>([
    ["frames of unknown types — §4.1", [frames.raw(0x42, 0xff, 1, "?"), frames.raw(0xfe, 0, 0)]],
    ["settings of unknown identifiers — §6.5.2", []],
    ["PRIORITY on any stream — §5.3.2", [frames.priority(1, 0), frames.priority(77, 1)]],
    ["ENABLE_PUSH of 0 — §6.5.2", []],
    ["an acknowledged PING that nobody sent — §6.7", [frames.pingAck("nobody's")]],
    ["WINDOW_UPDATE and RST_STREAM on a stream that has ended — §5.1", []],
    ["GOAWAY that names a stream we have not opened — §6.8", [frames.goaway(0x7fffffff, 0)]],
  ])("may send %s", (what, parts) => {
    const { wire } = open();
    if (what.startsWith("settings")) wire.recv(frames.settings({ 119: 1, 65535: 9 }));
    if (what.startsWith("ENABLE_PUSH")) wire.recv(frames.settings({ ENABLE_PUSH: 0 }));
    if (what.startsWith("WINDOW_UPDATE")) {
      const done = wire.open(true);
      const { id } = done.stream;
      wire.recv(
        frames.headers(id, response()).end(),
        frames.windowUpdate(id, 9),
        frames.rst(id, 0),
      );
      expect(done.log).toEqual(["headers END"]);
    }
    wire.sent();
    wire.recv(...parts).expectAlive();
  });

  it("may pad and prioritise its HEADERS, set the reserved bit and flags without meaning — §4.1, §6.2", () => {
    const { wire, stream } = open();
    const headers = frames.headers(1, response(), { padded: 7, priority: { dependsOn: 5 } });
    const data = frames.data(1, "abc", { padded: 3 }).with(0xf2).bytes();
    data.writeUInt8(0x80, 5);
    wire.recv(headers.with(0x92), data, TRAILERS.with(0xd2));
    expect(stream.log.filter((line) => !line.startsWith("data"))).toEqual(["headers", "trailers"]);
    expect(Buffer.concat(stream.chunks).toString()).toBe("abc");
  });

  it.each([0xd, 0xe, 0x7fffffff, 0xffffffff])(
    "may reset and go away with the unknown code %i, which means nothing special — §7",
    (code) => {
      const { wire, stream } = open();
      wire.recv(frames.rst(1, code));
      expect(stream.log).toEqual([expect.stringMatching(/^reset reset [^,]*$/)]);
      wire.expectAlive();
      const other = wire.open();
      wire.sent();
      wire.recv(frames.goaway(3, code));
      // As with any error: the peer closes, so nothing more can come (§5.4.1).
      wire.sent();
      expect(other.log).toEqual([expect.stringMatching(/^reset goaway [^,]*$/)]);
      expect(wire.end?.code).toBe(code);
    },
  );

  it.each([
    [
      "an HTTP/1.1 response — §3.3",
      Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"),
      FRAME_SIZE_ERROR,
    ],
    ["acknowledged SETTINGS — §3.4", frames.settingsAck().bytes(), PROTOCOL_ERROR],
    ["GOAWAY — §3.4", frames.goaway(0, 0).bytes(), PROTOCOL_ERROR],
    ["WINDOW_UPDATE — §3.4", frames.windowUpdate(0, 1).bytes(), PROTOCOL_ERROR],
  ])("that begins with %s loses the connection", (_, bytes, code) => {
    const wire = client({ byteByByte, handshake: false });
    wire.recv(bytes).expectConnectionError(code);
  });
});
