// RFC 9113 §5.2, §6.9: windows of both levels and both directions; credit; whose DATA goes next.

import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { fieldsOf, frames, request, response, trailers } from "../support/frames.ts";
import { CHUNKINGS, client, type StreamLog, server, type Wire } from "./wire.ts";

const { FLOW_CONTROL_ERROR } = ErrorCode;
const REQUEST = frames.headers(1, request("/a/B"));
const MAX = 0x7fffffff;

/** A client whose server has announced `streamWindow` and, by updates, `connectionWindow`. */
function sender(streamWindow: number, connectionWindow = 65_535): Wire {
  const wire = client({ peerSettings: { INITIAL_WINDOW_SIZE: streamWindow } });
  if (connectionWindow > 65_535) wire.recv(frames.windowUpdate(0, connectionWindow - 65_535));
  return wire;
}

function openQuietly(wire: Wire): StreamLog {
  const log = wire.open();
  wire.sent();
  return log;
}

describe.each(CHUNKINGS)("received DATA, %s", (_, byteByByte) => {
  it("beyond the stream window ends the stream — §6.9.1", () => {
    const wire = server({ byteByByte, streamWindowBytes: 100, connectionWindowBytes: 100_000 });
    wire.recv(REQUEST, frames.data(1, Buffer.alloc(100)));
    wire.expectAlive();
    wire.recv(frames.data(1, "x")).expectStreamError(1, FLOW_CONTROL_ERROR);
  });

  it("that is only padding counts as well — §6.9", () => {
    const wire = server({ byteByByte, streamWindowBytes: 100, connectionWindowBytes: 100_000 });
    wire.recv(REQUEST, frames.data(1, "", { padded: 100 }));
    wire.expectStreamError(1, FLOW_CONTROL_ERROR);
  });

  it("beyond the connection window ends the connection — §6.9.1", () => {
    const wire = server({ byteByByte, streamWindowBytes: 1 << 20 });
    // The credit of the connection returns in batches of half its window, so its peer has at least
    // half.
    wire.recv(REQUEST);
    Reflect.get(wire.connection, "data").windowBytes = 10;
    wire.recv(frames.data(1, Buffer.alloc(11))).expectConnectionError(FLOW_CONTROL_ERROR);
  });

  it("of a stream whose credit never returns still refills the connection, by halves", () => {
    const wire = server({ byteByByte, streamWindowBytes: 1 << 20, connectionWindowBytes: 100_000 });
    wire.recv(REQUEST);
    for (let i = 0; i < 3; i++) wire.recv(frames.data(1, Buffer.alloc(16_000)));
    expect(wire.sent()).toEqual([]);
    wire.recv(frames.data(1, Buffer.alloc(2_000)));
    expect(wire.sent()).toEqual(["WINDOW_UPDATE(50000)"]);
  });

  it("is credited to the stream by acknowledge alone, by halves", () => {
    const wire = server({ byteByByte, streamWindowBytes: 1_000 });
    const { stream } = wire.request();
    wire.recv(frames.data(1, Buffer.alloc(900)));
    expect(wire.sent()).toEqual([]);
    stream.acknowledge(499);
    expect(wire.sent()).toEqual([]);
    stream.acknowledge(1);
    expect(wire.sent()).toEqual(["WINDOW_UPDATE(1, 500)"]);
  });

  it("that uses the window up brings what credit there is at once", () => {
    const wire = server({ byteByByte, streamWindowBytes: 1_000 });
    const { stream } = wire.request();
    wire.recv(frames.data(1, Buffer.alloc(900)));
    stream.acknowledge(300);
    wire.recv(frames.data(1, Buffer.alloc(100)));
    expect(wire.sent()).toEqual(["WINDOW_UPDATE(1, 300)"]);
    wire.recv(frames.data(1, Buffer.alloc(300)));
    expect(wire.sent()).toEqual([]);
  });

  it("brings no credit beyond what came, however much is acknowledged", () => {
    const wire = server({ byteByByte, streamWindowBytes: 1_000 });
    const { stream } = wire.request();
    wire.recv(frames.data(1, Buffer.alloc(600)));
    stream.acknowledge(5_000);
    stream.acknowledge(5_000);
    stream.acknowledge(-1);
    expect(wire.sent()).toEqual(["WINDOW_UPDATE(1, 600)"]);
  });

  it("brings no credit to a stream whose sender has ended it", () => {
    const wire = server({ byteByByte, streamWindowBytes: 1_000 });
    const { stream } = wire.request();
    wire.recv(frames.data(1, Buffer.alloc(1_000)).end());
    stream.acknowledge(1_000);
    expect(wire.sent()).toEqual([]);
  });

  it("may use the default window until our smaller one is acknowledged — §6.9.2", () => {
    const wire = server({ byteByByte, handshake: false, streamWindowBytes: 100 });
    wire.recv(
      frames.preface(),
      frames.settings(),
      REQUEST,
      frames.data(1, Buffer.alloc(60_000 >> 2)),
    );
    wire.sent();
    wire.recv(frames.settingsAck()).expectAlive();
    expect(wire.lastStream().bytes).toBe(15_000);
    // The window is at 65,535 - 15,000 - 65,435 now: below zero.
    wire.recv(frames.data(1, "x")).expectStreamError(1, FLOW_CONTROL_ERROR);
    wire.recv(frames.headers(3, request("/a/B")), frames.data(3, Buffer.alloc(101)));
    wire.expectStreamError(3, FLOW_CONTROL_ERROR);
  });
});

describe("sent DATA", () => {
  it("is accepted as far as the stream window reaches, the rest as it opens — §6.9.1", () => {
    const wire = sender(10);
    const log = openQuietly(wire);
    expect(log.stream.sendData(Buffer.from("0123456789abcdef"), true)).toBe(10);
    expect(wire.sent()).toEqual(["DATA(1, 10 bytes)"]);
    expect(log.stream.queuedBytes).toBe(6);
    wire.recv(frames.windowUpdate(1, 4));
    expect(wire.sent()).toEqual(["DATA(1, 4 bytes)"]);
    wire.recv(frames.windowUpdate(1, 4));
    expect(wire.sent()).toEqual(["DATA(1, END_STREAM, 2 bytes)"]);
    expect(log.log).toEqual(["writable 4", "writable 2"]);
  });

  it("is held at the connection window as well — §6.9.1", () => {
    const wire = sender(MAX);
    const [first, second] = [openQuietly(wire), openQuietly(wire)];
    expect(first.stream.sendData(Buffer.alloc(65_000), false)).toBe(65_000);
    expect(second.stream.sendData(Buffer.alloc(1_000), false)).toBe(535);
    wire.sent();
    wire.recv(frames.windowUpdate(0, 400));
    expect(wire.sent()).toEqual(["DATA(3, 400 bytes)"]);
  });

  it("waits while SETTINGS have made the window negative — §6.9.2", () => {
    const wire = sender(100);
    const { stream } = openQuietly(wire);
    stream.sendData(Buffer.alloc(150), false);
    wire.recv(frames.settings({ INITIAL_WINDOW_SIZE: 20 }));
    wire.sent();
    wire.recv(frames.windowUpdate(1, 80));
    expect(wire.sent()).toEqual([]);
    wire.recv(frames.windowUpdate(1, 1));
    expect(wire.sent()).toEqual(["DATA(1, 1 bytes)"]);
  });

  it("goes on when SETTINGS raise the window of open streams — §6.9.2", () => {
    const wire = sender(0);
    const { stream } = openQuietly(wire);
    expect(stream.sendData(Buffer.from("abc"), true)).toBe(0);
    wire.recv(frames.settings({ INITIAL_WINDOW_SIZE: 3 }));
    expect(wire.sent()).toEqual(["SETTINGS(ACK)", "DATA(1, END_STREAM, 3 bytes)"]);
  });

  it("does not go when the window closed between WINDOW_UPDATE and the turn", () => {
    const wire = sender(5);
    const { stream } = openQuietly(wire);
    stream.sendData(Buffer.alloc(10), false);
    wire.recv(frames.windowUpdate(1, 2), frames.settings({ INITIAL_WINDOW_SIZE: 0 }));
    expect(wire.sent()).toEqual(["DATA(1, 5 bytes)", "SETTINGS(ACK)"]);
  });

  it("SETTINGS that overflow a stream's window end the connection — §6.9.2", () => {
    const wire = sender(0);
    openQuietly(wire);
    wire.recv(frames.windowUpdate(1, MAX), frames.settings({ INITIAL_WINDOW_SIZE: 1 }));
    wire.expectConnectionError(FLOW_CONTROL_ERROR);
  });

  it("goes once however often its window opens in one read", () => {
    const wire = sender(0);
    const { stream } = openQuietly(wire);
    stream.sendData(Buffer.alloc(9), true);
    wire.recv(...[1, 2, 3, 4].map((increment) => frames.windowUpdate(1, increment)));
    expect(wire.sent()).toEqual(["DATA(1, END_STREAM, 9 bytes)"]);
  });

  it("of nothing but the end needs no window — §6.9", () => {
    const wire = sender(0);
    const { stream } = openQuietly(wire);
    expect(stream.sendData(Buffer.alloc(0), true)).toBe(0);
    expect(wire.sent()).toEqual(["DATA(1, END_STREAM, 0 bytes)"]);
  });

  it("of nothing but the end goes past the DATA of others that waits", () => {
    const wire = sender(MAX);
    const [bulk, other] = [openQuietly(wire), openQuietly(wire)];
    bulk.stream.sendData(Buffer.alloc(70_000), false);
    other.stream.sendData(Buffer.alloc(0), true);
    expect(wire.sent().at(-1)).toBe("DATA(3, END_STREAM, 0 bytes)");
  });

  it("of nothing without the end is not sent", () => {
    const wire = sender(10);
    const { stream } = openQuietly(wire);
    expect(stream.sendData(Buffer.alloc(0), false)).toBe(0);
    expect(wire.sent()).toEqual([]);
  });

  it("of nothing marks the end of what is queued", () => {
    const wire = sender(1);
    const { stream } = openQuietly(wire);
    stream.sendData(Buffer.from("ab"), false);
    stream.sendData(Buffer.alloc(0), true);
    wire.recv(frames.windowUpdate(1, 9));
    expect(wire.sent()).toEqual(["DATA(1, 1 bytes)", "DATA(1, END_STREAM, 1 bytes)"]);
  });

  it("in many queued pieces leaves as few frames, in order", () => {
    const wire = sender(0, 1 << 20);
    const log = openQuietly(wire);
    const pieces = Array.from({ length: 100 }, (_, i) => Buffer.alloc(i * 7 + 1, i));
    for (const piece of pieces) log.stream.sendData(piece, false);
    const all = Buffer.concat(pieces);
    wire.recv(frames.windowUpdate(1, 1_000));
    const first = wire.sentFrames();
    wire.recv(frames.windowUpdate(1, 100_000));
    const rest = wire.sentFrames();
    expect([first.length, rest.length]).toEqual([1, Math.ceil((all.length - 1_000) / 16_384)]);
    expect(Buffer.concat([...first, ...rest].map((frame) => frame.payload))).toEqual(all);
    expect(log.stream.queuedBytes).toBe(0);
  });

  it("larger than a frame leaves in frames that every peer takes, END_STREAM on the last — §4.2", () => {
    const wire = sender(MAX, 1 << 20);
    const body = Buffer.alloc(40_000, "relay");
    expect(openQuietly(wire).stream.sendData(body, true)).toBe(40_000);
    const sent = wire.sentFrames();
    expect(sent.map((frame) => [frame.payload.length, frame.endStream])).toEqual([
      [16_384, false],
      [16_384, false],
      [7_232, true],
    ]);
    expect(Buffer.concat(sent.map((frame) => frame.payload))).toEqual(body);
  });

  it("that makes a write of its own is announced, unless it waits", () => {
    const wire = sender(MAX, 1 << 20);
    const { stream } = openQuietly(wire);
    stream.sendData(Buffer.alloc(32_000), false);
    expect(wire.bulky).toBe(false);
    stream.sendData(Buffer.alloc(1_000), false);
    expect(wire.bulky).toBe(true);
    wire.turn();
    const blocked = sender(0);
    openQuietly(blocked).stream.sendData(Buffer.alloc(60_000), false);
    expect(blocked.bulky).toBe(false);
  });

  it("with the end of the only stream is announced, and none with that of one among others", () => {
    const wire = sender(MAX, 1 << 20);
    const [first, second] = [openQuietly(wire), openQuietly(wire)];
    first.stream.sendData(Buffer.alloc(10), true);
    expect(wire.loneEnds).toBe(0);
    first.stream.reset(8);
    second.stream.sendData(Buffer.alloc(10), false);
    expect(wire.loneEnds).toBe(0);
    second.stream.sendData(Buffer.alloc(10), true);
    expect(wire.loneEnds).toBe(1);
  });

  it("and trailers behind it leave in order as the window opens", () => {
    const wire = server({ peerSettings: { INITIAL_WINDOW_SIZE: 3 } });
    wire.recv(REQUEST.end());
    const log = wire.lastStream();
    log.stream.sendHeaders(fieldsOf(response()), false);
    expect(log.stream.sendData(Buffer.from("hello"), false)).toBe(3);
    log.stream.sendTrailers(fieldsOf(trailers(0)));
    wire.sent();
    wire.recv(frames.windowUpdate(1, 2));
    expect(wire.sent()).toEqual([
      "DATA(1, 2 bytes)",
      "HEADERS(1, END_STREAM|END_HEADERS) grpc-status=0",
    ]);
    expect(wire.connection.openStreamCount).toBe(0);
    expect(log.log).toEqual(["headers END", "writable 2"]);
  });
});

describe("a response that ends before its request", () => {
  it("is reset with NO_ERROR when the last queued byte and the trailers have left — §8.1", () => {
    const wire = server({ peerSettings: { INITIAL_WINDOW_SIZE: 3 } });
    const { stream, log } = wire.request();
    stream.sendHeaders(fieldsOf(response()), false);
    stream.sendData(Buffer.from("hello"), false);
    stream.sendTrailers(fieldsOf(trailers(0)));
    wire.sent();
    wire.recv(frames.windowUpdate(1, 2));
    expect(wire.sent().map((line) => line.split(" ")[0])).toEqual([
      "DATA(1,",
      "HEADERS(1,",
      "RST_STREAM(1,",
    ]);
    expect(log).toEqual(["headers"]);
  });
});

describe("turns", () => {
  it("are taken frame by frame, so that no stream waits for a long one", () => {
    const wire = sender(MAX);
    const bulk = openQuietly(wire);
    bulk.stream.sendData(Buffer.alloc(300_000), false);
    const others = [openQuietly(wire), openQuietly(wire)];
    for (const { stream } of others) stream.sendData(Buffer.from("small"), true);
    wire.sent();
    wire.recv(frames.windowUpdate(0, 100_000));
    expect(wire.sent().slice(0, 4)).toEqual([
      "DATA(1, 16384 bytes)",
      "DATA(3, END_STREAM, 5 bytes)",
      "DATA(5, END_STREAM, 5 bytes)",
      "DATA(1, 16384 bytes)",
    ]);
  });

  it("go around: three bulk streams share what there is", () => {
    const wire = sender(MAX, 65_535);
    const logs = [openQuietly(wire), openQuietly(wire), openQuietly(wire)];
    for (const { stream } of logs) stream.sendData(Buffer.alloc(300_000), false);
    wire.sent();
    for (const log of logs) log.log.length = 0;
    wire.recv(frames.windowUpdate(0, 16_384 * 6));
    wire.sent();
    const sum = (log: StreamLog): number =>
      log.log.reduce((total, line) => total + Number(line.split(" ")[1]), 0);
    expect(logs.map(sum)).toEqual([32_768, 32_768, 32_768]);
  });

  it("are not waited for by headers and control frames", () => {
    const wire = sender(MAX);
    openQuietly(wire).stream.sendData(Buffer.alloc(200_000), false);
    wire.sent();
    wire.open(true);
    wire.recv(frames.ping("now, pls"), frames.windowUpdate(0, 10_000));
    expect(wire.sent().map((line) => line.split("(")[0])).toEqual(["HEADERS", "PING", "DATA"]);
  });

  it("take at most 64 KiB of each stream, so that small calls which arrive later in the turn still go out with it", () => {
    const wire = sender(MAX, MAX);
    const [bulk, other] = [openQuietly(wire), openQuietly(wire)];
    expect(bulk.stream.sendData(Buffer.alloc(150_000), false)).toBe(65_536);
    expect(bulk.stream.sendData(Buffer.alloc(10_000), true)).toBe(0);
    other.stream.sendData(Buffer.from("small"), true);
    expect(wire.turn().length).toBe(4 * (9 + 16_384) + (9 + 5));
    expect(other.log).toEqual(["writable 5"]);
    // The rest takes a turn of its own for every 64 KiB, and nothing has to happen for that.
    const turns = [];
    while (wire.dirty) turns.push(wire.turn().length);
    expect(turns).toEqual([4 * (9 + 16_384), 9 + 16_384 + (9 + 160_000 - 9 * 16_384)]);
    expect(bulk.log.map((line) => line.split(" ")[0])).not.toContain("reset");
  });

  it("go on with every stream that had sent its share, in the order of before", () => {
    const wire = sender(MAX, MAX);
    const logs = [openQuietly(wire), openQuietly(wire), openQuietly(wire)];
    // The first sends its share at once; the others wait behind it and send theirs in the same
    // turn.
    for (const { stream } of logs) stream.sendData(Buffer.alloc(140_000), false);
    const shareOf = (bytes: number): number => bytes + 9 * Math.ceil(bytes / 16_384);
    expect(wire.turn().length).toBe(3 * shareOf(65_536));
    expect(wire.turn().length).toBe(3 * shareOf(65_536));
    expect(wire.turn().length).toBe(3 * shareOf(140_000 - 2 * 65_536));
    expect(wire.dirty).toBe(false);
    const written = logs.map(({ log }) =>
      log.reduce((sum, line) => sum + Number(line.split(" ")[1]), 0),
    );
    expect(written).toEqual([140_000 - 65_536, 140_000, 140_000]);
  });

  it("are all for a stream that is the only one", () => {
    const wire = sender(MAX, MAX);
    const { stream } = openQuietly(wire);
    expect(stream.sendData(Buffer.alloc(300_000), true)).toBe(300_000);
  });

  it("forget a stream that was reset when it had sent its share", () => {
    const wire = sender(MAX, MAX);
    const [bulk, other] = [openQuietly(wire), openQuietly(wire)];
    bulk.stream.sendData(Buffer.alloc(150_000), false);
    // Within the turn, when the share is used up.
    other.onEvent = () => bulk.stream.reset(8);
    other.stream.sendData(Buffer.alloc(70_000), false);
    wire.turn();
    wire.turn();
    expect(wire.dirty).toBe(false);
    expect(wire.connection.openStreamCount).toBe(1);
  });

  it("of a stream that was reset are given to the others", () => {
    const wire = sender(MAX);
    const logs = [1, 3, 5, 7, 9].map(() => openQuietly(wire));
    for (const { stream } of logs) stream.sendData(Buffer.alloc(65_535), false);
    wire.sent();
    // 1 has used the window up; the others wait in a row.
    wire.recv(frames.rst(5, 8), frames.rst(9, 8), frames.rst(3, 8), frames.windowUpdate(0, 1_000));
    expect(wire.sent()).toEqual(["DATA(7, 1000 bytes)"]);
    expect(logs.map((log) => log.log)).toEqual([
      [],
      ["reset reset CANCEL"],
      ["reset reset CANCEL"],
      ["writable 1000"],
      ["reset reset CANCEL"],
    ]);
  });

  it("end for a stream that is reset from within onWritable", () => {
    const wire = sender(0);
    const log = openQuietly(wire);
    log.stream.sendData(Buffer.alloc(40_000), true);
    log.onEvent = () => log.stream.reset(8);
    wire.recv(frames.windowUpdate(1, 40_000));
    expect(wire.sent()).toEqual(["DATA(1, 16384 bytes)", "RST_STREAM(1, CANCEL)"]);
    expect(log.log).toEqual(["writable 16384"]);
  });
});

describe("a socket that takes less", () => {
  it("holds DATA at the high-water mark; headers go on", () => {
    const wire = client({ peerSettings: { INITIAL_WINDOW_SIZE: MAX }, highWaterBytes: 20_000 });
    const log = openQuietly(wire);
    const accepted = log.stream.sendData(Buffer.alloc(60_000), false);
    expect(accepted).toBe(20_000);
    wire.connection.turn();
    const written = wire.connection.output.byteCount;
    wire.connection.output.take();
    wire.connection.output.settle(written);
    // The socket has taken nothing of it.
    wire.dirty = false;
    wire.connection.written(written, 20_000);
    expect(wire.dirty).toBe(false);
    wire.open(true);
    wire.connection.turn();
    const frame = wire.connection.output.take();
    expect(frame).toHaveLength(1);
    expect(log.log).toEqual([]);
    // It has taken all of it.
    wire.connection.written(0, 20_000);
    expect(wire.dirty).toBe(true);
    wire.connection.turn();
    expect(log.log).toEqual(["writable 16384", "writable 3616"]);
  });

  it("counts what is in the output already", () => {
    const wire = client({ peerSettings: { INITIAL_WINDOW_SIZE: MAX }, highWaterBytes: 20_000 });
    const { stream } = openQuietly(wire);
    stream.sendData(Buffer.alloc(19_000), false);
    wire.connection.written(0, 20_000);
    expect(stream.sendData(Buffer.alloc(19_000), false)).toBeLessThan(1_000);
  });

  it("goes without DATA while one stream waits in front: the next queues behind it", () => {
    const wire = client({ peerSettings: { INITIAL_WINDOW_SIZE: MAX }, highWaterBytes: 1_000 });
    const [first, second] = [openQuietly(wire), openQuietly(wire)];
    first.stream.sendData(Buffer.alloc(2_000), false);
    expect(second.stream.sendData(Buffer.from("x"), false)).toBe(0);
    const [one, two] = [wire.turn(), wire.turn()];
    expect([one.length > 1_000, two.length > 1_000]).toEqual([true, true]);
  });
});
