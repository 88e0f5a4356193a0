// Calls of our own to a backend, message by message.

import { getEventListeners } from "node:events";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import type { ClientStreamOptions } from "../../src/client/client-stream.ts";
import { type Codec, codecWithParent } from "../../src/grpc/codec.ts";
import { ErrorReason, GrpcError } from "../../src/grpc/error.ts";
import { Frame } from "../../src/grpc/frame.ts";
import { Metadata } from "../../src/grpc/metadata.ts";
import { Status } from "../../src/grpc/status.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { FakeClock } from "../support/clock.ts";
import { transportCombos } from "../support/combos.ts";
import { frames, message, pairsOf, response, trailers, trailersOnly } from "../support/frames.ts";
import { connectTo, eventually, PATH, scriptedBackend } from "../support/relay-fixture.ts";
import type { ScriptedServerOptions } from "../support/scripted-endpoints.ts";
import { Upload } from "../support/upload.ts";

const json: Codec<unknown> = {
  name: "json",
  marshal: (value) => Buffer.from(JSON.stringify(value)),
  unmarshal: (data) => JSON.parse(data.toString()) as unknown,
};

describe.each(transportCombos)("ClientStream on $client", (combo) => {
  async function start<Request = unknown, Response = Frame>(
    options: ClientStreamOptions = {},
    backendOptions: ScriptedServerOptions = {},
    clock?: FakeClock,
  ) {
    const backend = await scriptedBackend(
      combo,
      backendOptions,
      clock === undefined ? {} : { clock },
    );
    const peer = await connectTo(backend);
    const call = backend.conn.newStream<Request, Response>(PATH, options);
    const { streamId, fields } = await peer.expectRequest(PATH);
    return { call, peer, streamId, fields, conn: backend.conn };
  }

  it("sends the head of a gRPC request, its fields in order", async () => {
    const metadata = new Metadata();
    metadata.set("x-a", "1");
    metadata.set("x-bin", Buffer.from([0, 1]));
    const clock = new FakeClock();
    const { call, fields, conn } = await start({ metadata, timeoutMs: 2_000 }, {}, clock);
    expect(pairsOf(fields)).toEqual([
      [":method", "POST"],
      [":scheme", "http"],
      [":path", PATH],
      [":authority", conn.target],
      ["grpc-timeout", expect.stringMatching(/^2000000u$|^2000m$/)],
      ["te", "trailers"],
      ["content-type", "application/grpc"],
      ["x-a", "1"],
      ["x-bin", "AAE"],
    ]);
    call.cancel();
  });

  it("unary: one message each way, header and trailer", async () => {
    const { call, peer, streamId } = await start<Buffer>();
    await call.sendMessage(Buffer.from("question"));
    call.closeSend();
    expect(await peer.expectBody(streamId)).toEqual(message("question"));
    peer.send(frames.headers(streamId, response(["x-h", "1"])));
    peer.send(frames.data(streamId, message("answer")));
    peer.send(frames.headers(streamId, trailers(0, undefined, ["x-t", "2"]), { endStream: true }));
    expect([...(await call.header())]).toEqual([["x-h", "1"]]);
    expect(await call.recvMessage()).toEqual(new Frame(Buffer.from("answer")));
    expect(await call.recvMessage()).toBeUndefined();
    expect([...(await call.trailer())]).toEqual([["x-t", "2"]]);
  });

  it("client-streaming: every message, then END_STREAM", async () => {
    const { call, peer, streamId } = await start<Buffer>();
    for (const part of ["a", "b", "c"]) await call.sendMessage(Buffer.from(part));
    call.closeSend();
    call.closeSend();
    expect(await peer.expectBody(streamId)).toEqual(
      Buffer.concat([message("a"), message("b"), message("c")]),
    );
    peer.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
    await call.trailer();
  });

  it("server-streaming: by iterating", async () => {
    const { call, peer, streamId } = await start();
    call.closeSend();
    peer.send(frames.headers(streamId, response()));
    peer.send(frames.data(streamId, Buffer.concat([message("a"), message("b")])));
    peer.send(frames.headers(streamId, trailers(), { endStream: true }));
    const got: string[] = [];
    for await (const frame of call) got.push(`${frame.payload}`);
    expect(got).toEqual(["a", "b"]);
  });

  it("bidirectional: each answered before the next", async () => {
    const { call, peer, streamId } = await start<Buffer>();
    peer.send(frames.headers(streamId, response()));
    for (const part of ["a", "b"]) {
      await call.sendMessage(Buffer.from(part));
      expect(await peer.expectData(streamId)).toEqual(message(part));
      peer.send(frames.data(streamId, message(`${part}!`)));
      expect(`${(await call.recvMessage())!.payload}`).toBe(`${part}!`);
    }
    call.closeSend();
    peer.send(frames.headers(streamId, trailers(), { endStream: true }));
    expect(await call.recvMessage()).toBeUndefined();
  });

  it("keeps what is sent before the connection stands, in order, END_STREAM last", async () => {
    const backend = await scriptedBackend(combo);
    const call = backend.conn.newStream<Buffer>(PATH);
    void call.sendMessage(Buffer.from("a"));
    void call.sendMessage(Buffer.from("b"));
    call.closeSend();
    const peer = await backend.peer();
    const { streamId } = await peer.expectRequest(PATH);
    expect(await peer.expectBody(streamId)).toEqual(Buffer.concat([message("a"), message("b")]));
    peer.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
    await call.trailer();
  });

  describe("fails", () => {
    it("with the backend's status: messages before it can be read, its metadata is on the error", async () => {
      const { call, peer, streamId } = await start();
      peer.send(frames.headers(streamId, response()), frames.data(streamId, message("first")));
      peer.send(
        frames.headers(streamId, trailers(5, "not%20here", ["x-t", "1"]), { endStream: true }),
      );
      expect(`${(await call.recvMessage())!.payload}`).toBe("first");
      const error = await call.recvMessage().catch((thrown: GrpcError) => thrown);
      expect(error).toMatchObject({ status: 5, details: "not here", source: "upstream" });
      expect((error as GrpcError).metadata.first("x-t")).toBe("1");
      await expect(call.trailer()).rejects.toBe(error);
      await expect(call.sendMessage("late")).rejects.toBe(error);
    });

    it.each([
      ["of a message", 9],
      ["of a prefix", 3],
    ])("with INTERNAL when only a part %s came before trailers that say OK", async (_, bytes) => {
      const { call, peer, streamId } = await start();
      const part = message("second").subarray(0, bytes);
      peer.send(frames.headers(streamId, response()), frames.data(streamId, message("first")));
      peer.send(frames.data(streamId, part), frames.headers(streamId, trailers(0)).end());
      await expect(call.trailer()).rejects.toMatchObject({
        ...{ status: Status.INTERNAL, reason: "TRUNCATED_MESSAGE", source: "upstream" },
      });
      expect(`${(await call.recvMessage())!.payload}`).toBe("first");
      await expect(call.recvMessage()).rejects.toMatchObject({ reason: "TRUNCATED_MESSAGE" });
    });

    it("by Trailers-Only: the header is empty", async () => {
      const { call, peer, streamId } = await start();
      peer.send(frames.headers(streamId, trailersOnly(7, "no"), { endStream: true }));
      expect((await call.header()).size).toBe(0);
      await expect(call.trailer()).rejects.toMatchObject({ status: 7, details: "no" });
      await peer.expectReset(streamId, ErrorCode.NO_ERROR);
    });

    it.each([
      [ErrorCode.CANCEL, Status.CANCELLED],
      [ErrorCode.ENHANCE_YOUR_CALM, Status.RESOURCE_EXHAUSTED],
      [ErrorCode.INTERNAL_ERROR, Status.INTERNAL],
    ])("by RST_STREAM(%i): status %i", async (code, status) => {
      const { call, peer, streamId } = await start();
      peer.send(frames.rst(streamId, code));
      await expect(call.trailer()).rejects.toMatchObject({
        status,
        reason: ErrorReason.UPSTREAM_RESET,
      });
    });

    it("when the response ends without a status", async () => {
      const { call, peer, streamId } = await start();
      peer.send(frames.headers(streamId, response()), frames.data(streamId).end());
      await expect(call.recvMessage()).rejects.toMatchObject({
        status: Status.UNKNOWN,
        reason: ErrorReason.UPSTREAM_MISSING_STATUS,
      });
    });

    it("when the response is not gRPC, and resets it", async () => {
      const { call, peer, streamId } = await start();
      peer.send(frames.headers(streamId, [[":status", "404"]]), frames.data(streamId, "<html>"));
      await expect(call.trailer()).rejects.toMatchObject({ status: Status.UNIMPLEMENTED });
      await peer.expectReset(streamId, ErrorCode.CANCEL);
    });

    it.each([
      ["is too large", message(Buffer.alloc(101)), Status.RESOURCE_EXHAUSTED],
      ["cannot be decoded", message("{"), Status.INTERNAL],
      ["is of an unknown encoding", message("x", { compressed: true }), Status.INTERNAL],
    ])("when a message %s, and resets the stream", async (_what, bytes, status) => {
      const { call, peer, streamId } = await start({
        codec: codecWithParent(json),
        maxResponseMessageBytes: 100,
      });
      peer.send(frames.headers(streamId, response()), frames.data(streamId, bytes));
      await expect(call.recvMessage()).rejects.toMatchObject({ status });
      await peer.expectReset(streamId, ErrorCode.CANCEL);
      await expect(call.trailer()).rejects.toMatchObject({ status });
    });

    it("by its timeout: DEADLINE_EXCEEDED, RST_STREAM(CANCEL)", async () => {
      const clock = new FakeClock();
      const { call, peer, streamId } = await start({ timeoutMs: 1_000 }, {}, clock);
      clock.advance(1_004);
      await expect(call.trailer()).rejects.toMatchObject({ status: Status.DEADLINE_EXCEEDED });
      await peer.expectReset(streamId, ErrorCode.CANCEL);
      // The session looks once more whether the peer is still there.
      clock.advance(5_000);
      await eventually("there is no timer", () => clock.timerCount === 0);
    });

    it("by cancel: CANCELLED, RST_STREAM(CANCEL) without END_STREAM", async () => {
      const { call, peer, streamId } = await start<Buffer>();
      await call.sendMessage(Buffer.from("x"));
      await peer.expectData(streamId);
      call.cancel("enough");
      call.cancel("again");
      await expect(call.trailer()).rejects.toMatchObject({
        status: Status.CANCELLED,
        details: "enough",
      });
      await peer.expectReset(streamId, ErrorCode.CANCEL);
      peer.expectNoEndStream(streamId);
    });

    it("by its signal: CANCELLED, or the GrpcError that it was aborted with", async () => {
      const plain = new AbortController();
      const first = await start({ signal: plain.signal });
      plain.abort(new Error("user left"));
      await expect(first.call.trailer()).rejects.toMatchObject({
        status: Status.CANCELLED,
        cause: { message: "user left" },
      });
      await first.peer.expectReset(first.streamId, ErrorCode.CANCEL);
      const reason = new GrpcError(Status.DEADLINE_EXCEEDED, "the call above");
      const backend = await scriptedBackend(combo);
      const aborted = backend.conn.newStream(PATH, { signal: AbortSignal.abort(reason) });
      await expect(aborted.trailer()).rejects.toBe(reason);
      expect(backend.scripted.connectionCount).toBe(0);
    });

    it("in a request that the codec cannot encode: only that message", async () => {
      const { call, peer, streamId } = await start<unknown>();
      await expect(call.sendMessage({ no: "bytes" })).rejects.toMatchObject({
        status: Status.INTERNAL,
        reason: ErrorReason.CODEC,
      });
      await call.sendMessage(Buffer.from("good"));
      call.closeSend();
      expect(await peer.expectBody(streamId)).toEqual(message("good"));
      peer.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
      await call.trailer();
    });
  });

  describe("response headers with grpc-status that do not end the stream", () => {
    const early = response(["grpc-status", "5"], ["grpc-message", "no%20such"], ["x-h", "1"]);

    it("are a Trailers-Only response when nothing but an empty DATA follows", async () => {
      const { call, peer, streamId } = await start();
      call.closeSend();
      await peer.expectBody(streamId);
      peer.send(frames.headers(streamId, early), frames.data(streamId).end());
      const error = await call.trailer().catch((thrown: GrpcError) => thrown);
      expect(error).toMatchObject({ status: Status.NOT_FOUND, details: "no such" });
      expect([...(error as GrpcError).metadata]).toEqual([["x-h", "1"]]);
      expect((await call.header()).size).toBe(0);
      await expect(call.recvMessage()).rejects.toBe(error);
      await peer.expectQuiet(streamId);
    });

    it("are headers when messages follow, and the trailers decide", async () => {
      const { call, peer, streamId } = await start();
      const details: [string, string] = ["grpc-status-details-bin", "CAU"];
      peer.send(frames.headers(streamId, [...early, details]));
      peer.send(frames.data(streamId, message("x")), frames.headers(streamId, trailers(0)).end());
      expect([...(await call.header())]).toEqual([["x-h", "1"]]);
      expect(await call.recvMessage()).toEqual(new Frame(Buffer.from("x")));
      expect(await call.recvMessage()).toBeUndefined();
      await call.trailer();
    });

    it("are headers when trailers follow, and the trailers decide", async () => {
      const { call, peer, streamId } = await start();
      peer.send(frames.headers(streamId, early), frames.headers(streamId, trailers(9)).end());
      expect([...(await call.header())]).toEqual([["x-h", "1"]]);
      await expect(call.trailer()).rejects.toMatchObject({ status: Status.FAILED_PRECONDITION });
    });

    it.each([
      ["200", "text/html"],
      ["503", "application/grpc"],
    ])("are the status when HTTP %s %s is not gRPC, and no body is read", async (http, type) => {
      const { call, peer, streamId, conn } = await start();
      peer.send(
        frames.headers(streamId, [[":status", http], ["content-type", type], ...early.slice(2)]),
        frames.data(streamId, "<html></html>"),
      );
      await expect(call.recvMessage()).rejects.toMatchObject({
        status: Status.NOT_FOUND,
        details: "no such",
      });
      expect((await call.header()).size).toBe(0);
      await peer.expectReset(streamId, ErrorCode.NO_ERROR);
      expect(conn.openStreamCount).toBe(0);
    });
  });

  it("decompresses what its codec has to decode", async () => {
    const { call, peer, streamId } = await start<unknown, number[]>({
      codec: codecWithParent(json),
    });
    const packed = message(gzipSync("[1]"), { compressed: true });
    peer.send(frames.headers(streamId, response(["grpc-encoding", "gzip"])));
    peer.send(frames.data(streamId, packed));
    expect(await call.recvMessage()).toEqual([1]);
    call.cancel();
  });

  describe("a call that the backend has not begun", () => {
    it("is sent again, all of it, and goes on", async () => {
      const { call, peer, streamId } = await start<Buffer>();
      await call.sendMessage(Buffer.from("one"));
      await call.sendMessage(Buffer.from("two"));
      await peer.expectBytes(streamId, 16);
      peer.send(frames.rst(streamId, ErrorCode.REFUSED_STREAM));
      const { streamId: again } = await peer.expectRequest(PATH);
      await call.sendMessage(Buffer.from("three"));
      call.closeSend();
      const all = ["one", "two", "three"].map((text) => message(text));
      expect(await peer.expectBody(again)).toEqual(Buffer.concat(all));
      peer.send(frames.headers(again, trailersOnly(0, undefined, ["x", "1"]), { endStream: true }));
      expect([...(await call.trailer())]).toEqual([["x", "1"]]);
    });

    it.each([["one"], []])("is sent again with its end: messages %j", async (...texts) => {
      const { call, peer, streamId } = await start<Buffer>();
      for (const text of texts) await call.sendMessage(Buffer.from(text));
      call.closeSend();
      const body = await peer.expectBody(streamId);
      peer.send(frames.rst(streamId, ErrorCode.REFUSED_STREAM));
      const { streamId: again } = await peer.expectRequest(PATH);
      expect(await peer.expectBody(again)).toEqual(body);
      peer.send(frames.headers(again, trailersOnly(0), { endStream: true }));
      await call.trailer();
    });

    it("fails when it is refused twice, or when the other stream cannot be opened", async () => {
      const { call, peer, streamId, conn } = await start();
      peer.send(frames.rst(streamId, ErrorCode.REFUSED_STREAM));
      const { streamId: again } = await peer.expectRequest(PATH);
      peer.send(frames.rst(again, ErrorCode.REFUSED_STREAM));
      const { UPSTREAM_RESET: reason } = ErrorReason;
      const unprocessed = { status: Status.UNAVAILABLE, reason, retry: "safe" };
      await expect(call.trailer()).rejects.toMatchObject(unprocessed);
      const other = conn.newStream(PATH);
      const { streamId: next } = await peer.expectRequest(PATH);
      const closed = conn.close(60_000);
      peer.send(frames.rst(next, ErrorCode.REFUSED_STREAM));
      await expect(other.trailer()).rejects.toMatchObject({ reason: "CONN_CLOSED" });
      await closed;
    });

    it("is not repeated when the request was longer than 64 KiB, or headers have come", async () => {
      const { call, peer, streamId, conn } = await start<Buffer>({}, { refillWindows: true });
      await call.sendMessage(Buffer.alloc(65_536));
      await peer.expectBytes(streamId, 65_541);
      peer.send(frames.rst(streamId, ErrorCode.REFUSED_STREAM));
      await expect(call.trailer()).rejects.toMatchObject({ retry: "safe" });
      const other = conn.newStream(PATH);
      const { streamId: next } = await peer.expectRequest(PATH);
      peer.send(frames.headers(next, response()));
      await other.header();
      peer.send(frames.rst(next, ErrorCode.REFUSED_STREAM));
      await expect(other.trailer()).rejects.toMatchObject({ reason: "UPSTREAM_RESET" });
      await peer.sync();
      const requests = peer.trace.filter(
        ({ direction, frame }) => direction === "recv" && frame.name === "HEADERS",
      );
      expect(requests).toHaveLength(2);
    });

    it("counts what it sends again once: a sender that awaits is stopped as before", async () => {
      const { call, peer, streamId } = await start<Buffer>({}, { refillWindows: false });
      for (let i = 0; i < 6; i++) await call.sendMessage(Buffer.alloc(9_995));
      await peer.expectBytes(streamId, 60_000);
      peer.send(frames.rst(streamId, ErrorCode.REFUSED_STREAM));
      const { streamId: again } = await peer.expectRequest(PATH);
      let sent = 0;
      void (async () => {
        for (;;) {
          await call.sendMessage(Buffer.alloc(9_995));
          sent++;
        }
      })().catch(() => undefined);
      // The window of the connection has 5,535 left: now it has enough for what is sent again.
      peer.send(frames.windowUpdate(0, 54_465));
      await peer.expectBytes(again, 60_000);
      for (let i = 0; i < 5; i++) await peer.sync();
      expect(sent).toBeLessThan(9);
      const enough = 1_000_000;
      peer.send(frames.windowUpdate(0, enough), frames.windowUpdate(again, enough));
      await peer.expectBytes(again, enough);
      expect(sent).toBeGreaterThan(80);
      call.cancel();
    });
  });

  describe("the brake", () => {
    it("stops a sender that awaits when the backend does not read, until it reads again", async () => {
      const { call, peer, streamId } = await start<Buffer>({}, { refillWindows: false });
      let sent = 0;
      void (async () => {
        for (;;) {
          await call.sendMessage(Buffer.alloc(9_995));
          sent++;
        }
      })().catch(() => undefined);
      await peer.expectBytes(streamId, 65_535);
      for (let i = 0; i < 5; i++) await peer.sync();
      const stopped = sent;
      expect(stopped).toBeLessThan((65_535 + 65_536 + 65_536) / 10_000);
      const enough = 1_000_000;
      peer.send(frames.windowUpdate(0, enough), frames.windowUpdate(streamId, enough));
      await peer.expectBytes(streamId, enough);
      expect(sent).toBeGreaterThan(stopped);
      call.cancel();
    });

    it("does not keep what the backend has not read of a call that it has answered", async () => {
      const { call, peer, streamId } = await start<Buffer>({}, { refillWindows: false });
      void call.sendMessage(Buffer.alloc(100_000));
      call.closeSend();
      await peer.expectBytes(streamId, 65_535);
      peer.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
      await call.trailer();
      await peer.expectReset(streamId, ErrorCode.NO_ERROR);
    });

    it("stops a backend whose messages are not read", async () => {
      const { call, peer, streamId } = await start();
      peer.send(frames.headers(streamId, response()));
      const upload = new Upload(peer, streamId);
      const body = Buffer.concat(Array.from({ length: 100 }, () => message(Buffer.alloc(19_995))));
      const taken = await upload.sendUntilStalled(body, () => peer.sync());
      expect(taken).toBeLessThanOrEqual(131_072 + 131_072);
      const rest = upload.send(body.subarray(taken));
      for (let i = 0; i < 100; i++)
        expect((await call.recvMessage())!.payload).toHaveLength(19_995);
      await rest;
      call.cancel();
    });
  });

  it("refuses a method name that is none, and options out of range", async () => {
    const { conn } = await scriptedBackend(combo);
    for (const name of ["", "pkg.Service/Method", "/pkg.Service", "/a/b/c", "/a b/c"]) {
      expect(() => conn.newStream(name)).toThrow(TypeError);
    }
    expect(() => conn.newStream(PATH, { timeoutMs: -1 })).toThrow("timeoutMs");
    expect(() => conn.newStream(PATH, { maxResponseMessageBytes: Number.NaN })).toThrow(RangeError);
  });

  it("leaves nothing behind: no timer, no stream, no listener on the signal", async () => {
    const clock = new FakeClock();
    const controller = new AbortController();
    const { call, peer, streamId, conn } = await start(
      { timeoutMs: 60_000, signal: controller.signal },
      {},
      clock,
    );
    expect(clock.timerCount).toBeGreaterThan(0);
    expect(getEventListeners(controller.signal, "abort")).toHaveLength(1);
    call.closeSend();
    peer.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
    await call.trailer();
    await eventually("the stream is gone", () => conn.openStreamCount === 0);
    // The session looks once more whether anything is open.
    clock.advance(5_004);
    expect(clock.timerCount).toBe(0);
    expect(getEventListeners(controller.signal, "abort")).toEqual([]);
    controller.abort();
    await peer.expectBody(streamId);
    await peer.expectQuiet(streamId);
  });
});
