// What owners get of DATA that came in the read buffer: a view for the time of the callback, or
// memory of their own.

import { describe, expect, it } from "vitest";
import { memoryStays } from "../../src/wire/lent-bytes.ts";
import { fieldsOf, frames, response } from "../support/frames.ts";
import { client, type StreamLog, server } from "./wire.ts";

describe("DATA in memory that is read into again", () => {
  /** Whether the chunks of `log` were lent when they came. */
  function watchLending(log: StreamLog): boolean[] {
    const lent: boolean[] = [];
    const { listener } = log.stream;
    log.stream.listener = {
      onHeaders: (headers, endStream) => listener.onHeaders(headers, endStream),
      onData(chunk, endStream) {
        lent.push(!memoryStays(chunk));
        listener.onData(chunk, endStream);
      },
      onTrailers: (fields) => listener.onTrailers(fields),
      onWritable: (bytes) => listener.onWritable(bytes),
      onReset: (end) => listener.onReset(end),
    };
    return lent;
  }

  const SHORT = Buffer.alloc(2_047, "s");
  const LONG = Buffer.alloc(2_048, "l");

  it("is lent to the owner of a request where it is long, and given where it is short", () => {
    const wire = server({ lending: true, streamWindowBytes: 65_535 });
    const log = wire.request();
    const lent = watchLending(log);
    wire.recv(...[SHORT, LONG, SHORT].map((body) => frames.data(1, body)));
    expect(lent).toEqual([false, true, false]);
    expect(Buffer.concat(log.chunks).equals(Buffer.concat([SHORT, LONG, SHORT]))).toBe(true);
  });

  it("is lent where the frame is long, however little of it comes at a time", () => {
    const wire = server({ lending: true, streamWindowBytes: 65_535 });
    const log = wire.request();
    const lent = watchLending(log);
    const frame = frames.bytes(frames.data(1, LONG));
    for (const [start, end] of [
      [0, 11],
      [11, 2_000],
      [2_000, frame.length],
    ] as const) {
      wire.recv(frame.subarray(start, end));
    }
    wire.recv(frames.data(1, SHORT));
    expect(lent).toEqual([true, true, true, false]);
    expect(Buffer.concat(log.chunks).equals(Buffer.concat([LONG, SHORT]))).toBe(true);
  });

  it("is lent to who has begun to answer, and to who is answered, however short it is", () => {
    const answering = server({ lending: true });
    const request = answering.request();
    request.stream.sendHeaders(fieldsOf(response()), false);
    const asked = watchLending(request);
    answering.recv(frames.data(1, "a"), frames.data(1, "bc"));
    const calling = client({ lending: true });
    const call = calling.open();
    calling.recv(frames.headers(1, response()));
    const answered = watchLending(call);
    calling.recv(frames.data(1, "d"), frames.data(1, "ef"));
    expect([asked, answered]).toEqual([
      [true, true],
      [true, true],
    ]);
    expect([...request.chunks, ...call.chunks].join()).toBe("a,bc,d,ef");
  });
});
