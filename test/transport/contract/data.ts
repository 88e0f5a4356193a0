// Contract: DATA as the owners see it, how it ends, and the account of what was accepted.

import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../../src/wire/error-code.ts";
import { fieldValue } from "../../../src/wire/field.ts";
import { fieldsOf, frames, message, request, response, trailers } from "../../support/frames.ts";
import type { StreamRecorder } from "../../support/recorder.ts";
import {
  type Contract,
  clientToScript,
  loopback,
  open,
  requestFromScript,
  scriptToServer,
  settled,
} from "./harness.ts";

const NOTHING = Buffer.alloc(0);

export function dataCases(contract: Contract): void {
  describe("DATA", () => {
    it("arrives byte for byte in both directions, larger than every window", async () => {
      const call = await (await loopback(contract, { streams: { acknowledge: true } })).call();
      const [up, down] = [randomBytes(1_500_000), randomBytes(1_400_001)];
      call.server.stream.sendHeaders(fieldsOf(response()), false);
      for (let at = 0; at < up.length; at += 100_000) {
        call.client.stream.sendData(up.subarray(at, at + 100_000), false);
        call.server.stream.sendData(down.subarray(at, at + 100_000), false);
      }
      expect((await call.server.untilBytes(up.length)).equals(up)).toBe(true);
      expect((await call.client.untilBytes(down.length)).equals(down)).toBe(true);
      expect([call.client.stream.queuedBytes, call.server.stream.queuedBytes]).toEqual([0, 0]);
    });

    it("of messages of length zero arrives", async () => {
      const call = await (await loopback(contract)).call();
      call.client.stream.sendData(message(""), false);
      call.client.stream.sendData(message(""), true);
      await call.server.untilEnded();
      expect(call.server.outline).toEqual(["data(10, END)"]);
      expect(call.server.body).toEqual(Buffer.concat([message(""), message("")]));
    });

    it("without a byte ends the stream", async () => {
      const call = await (await loopback(contract)).call();
      expect(call.client.stream.sendData(NOTHING, true)).toBe(0);
      await call.server.untilEnded();
      expect(call.server.outline).toEqual(["data(0, END)"]);
    });

    it("that ends a response without trailers is the last thing told", async () => {
      const pair = await loopback(contract);
      const call = await pair.call(undefined, true);
      call.server.stream.sendHeaders(fieldsOf(response()), false);
      call.server.stream.sendData(message("abc"), true);
      await call.client.untilEnded();
      await settled(pair.client.session);
      expect(call.client.outline).toEqual(["headers", "data(8, END)"]);
      expect(call.server.outline).toEqual([]);
      expect(pair.client.session.openStreamCount).toBe(0);
    });

    it("goes on in one direction after the other has ended", async () => {
      const call = await (await loopback(contract)).call();
      call.client.stream.sendData(message("up"), true);
      await call.server.untilEnded();
      call.server.stream.sendHeaders(fieldsOf(response()), false);
      for (const text of ["one", "two"]) call.server.stream.sendData(message(text), false);
      call.server.stream.sendTrailers(fieldsOf(trailers(0)));
      await call.client.untilTrailers();
      expect(call.client.outline).toEqual(["headers", "data(16)", "trailers"]);
    });

    it("of hundreds of calls at once stays with its call", async () => {
      const pair = await loopback(contract, { streams: { acknowledge: true } });
      const calls = await Promise.all(Array.from({ length: 500 }, () => pair.call()));
      calls.forEach(({ client }, i) => {
        client.stream.sendData(message(`request ${i}`), true);
      });
      for (const [i, { server }] of calls.entries()) {
        await server.untilEnded();
        expect(server.body).toEqual(message(`request ${i}`));
        server.stream.sendHeaders(fieldsOf(response(["x-call", `${i}`])), false);
        server.stream.sendData(message(`response ${i}`), false);
        server.stream.sendTrailers(fieldsOf(trailers(0, `${i}`)));
      }
      for (const [i, { client }] of calls.entries()) {
        expect(fieldValue(await client.untilTrailers(), "grpc-message")).toBe(`${i}`);
        expect(client.body).toEqual(message(`response ${i}`));
      }
      await settled(pair.client.session);
      expect([pair.client, pair.server].map(({ session }) => session.openStreamCount)).toEqual([
        0, 0,
      ]);
    });

    it("is accounted for: what was accepted at once and what onWritable told is what was sent", async () => {
      const options = { session: { streamWindowBytes: 65_536 }, streams: { acknowledge: true } };
      const call = await (await loopback(contract, options)).call();
      let acceptedBytes = 0;
      for (let i = 0; i < 50; i++) {
        acceptedBytes += call.client.stream.sendData(Buffer.alloc(10_000, i), false);
        expectBalance(call.client, acceptedBytes, (i + 1) * 10_000);
      }
      await call.client.until("all bytes accepted", () => {
        expectBalance(call.client, acceptedBytes, 500_000);
        return call.client.writableBytes + acceptedBytes === 500_000 || undefined;
      });
      await call.server.untilBytes(500_000);
      await settled(call.client.stream.session);
      expect(call.client.writableBytes + acceptedBytes).toBe(500_000);
    });

    it("accepted for the socket is bounded by the window of a receiver that acknowledges nothing", async () => {
      const streamWindowBytes = 100_000;
      const call = await (await loopback(contract, { session: { streamWindowBytes } })).call();
      let acceptedBytes = 0;
      for (let i = 0; i < 40; i++)
        acceptedBytes += call.client.stream.sendData(Buffer.alloc(25_000), false);
      await call.server.untilBytes(streamWindowBytes);
      await settled(call.client.stream.session);
      const total = acceptedBytes + call.client.writableBytes;
      expect(call.server.receivedBytes).toBe(streamWindowBytes);
      if (contract.weaker.acceptedBytes === undefined) expect(total).toBe(streamWindowBytes);
      else expect(total).toBeLessThanOrEqual(streamWindowBytes + 131_072);
      expect(call.client.stream.queuedBytes).toBe(1_000_000 - total);
    });
  });

  if (contract.sockets) wireCases(contract);
}

/** The three accounts of one stream agree at any time. */
function expectBalance(sender: StreamRecorder, acceptedBytes: number, sentBytes: number): void {
  expect(acceptedBytes + sender.writableBytes + sender.stream.queuedBytes).toBe(sentBytes);
}

function wireCases(contract: Contract): void {
  describe("DATA on the wire", () => {
    it("carries END_STREAM on its last frame", async () => {
      const end = await clientToScript(contract);
      const stream = open(end);
      stream.stream.sendData(message("abc"), true);
      await end.peer.expectRequest();
      expect(await end.peer.expectBody(1)).toEqual(message("abc"));
      await end.peer.expectQuiet(1);
    });

    it("carries END_STREAM without a byte where nothing else is left to say", async () => {
      const end = await clientToScript(contract);
      const stream = open(end);
      await end.peer.expectRequest();
      stream.stream.sendData(message("abc"), false);
      expect(await end.peer.expectData(1, { endStream: false })).toEqual(message("abc"));
      stream.stream.sendData(NOTHING, true);
      expect(await end.peer.expectData(1, { endStream: true })).toEqual(NOTHING);
    });

    it("reaches the owner without padding", async () => {
      const end = await scriptToServer(contract);
      const data = frames.data(1, message("abc"), { padded: 100 });
      const stream = await requestFromScript(end, frames.headers(1, request("/a/B")), data.end());
      await stream.untilEnded();
      expect(stream.outline).toEqual(["data(8, END)"]);
      expect(stream.body).toEqual(message("abc"));
    });

    it("is told while it arrives, not when it is complete", async () => {
      const end = await scriptToServer(contract);
      const [first, second] = [message("abcdef").subarray(0, 3), message("abcdef").subarray(3)];
      const stream = await requestFromScript(end, frames.headers(1, request("/a/B")));
      end.peer.send(frames.data(1, first));
      await stream.untilBytes(3);
      end.peer.send(frames.data(1, second).end());
      await stream.untilEnded();
      expect(stream.body).toEqual(message("abcdef"));
    });

    it("without END_STREAM frames of no length is not told", async () => {
      const end = await scriptToServer(contract);
      const stream = await requestFromScript(end, frames.headers(1, request("/a/B")));
      end.peer.send(frames.data(1, ""), frames.data(1, message("a")), frames.data(1, "").end());
      await stream.untilEnded();
      expect(stream.outline).toEqual(["data(6, END)"]);
    });

    it("accepted for the socket is bounded when the peer does not read from it", async () => {
      // Windows as large as HTTP/2 has them, so that only the socket pushes back.
      const settings = { INITIAL_WINDOW_SIZE: 0x7fffffff };
      const end = await clientToScript(contract, { peer: { settings } });
      end.peer.send(frames.windowUpdate(0, 0x7fffffff - 65_535));
      const stream = open(end);
      await end.peer.expectRequest();
      end.peer.pauseReading();
      const piece = Buffer.alloc(1_048_576);
      let acceptedBytes = 0;
      for (let i = 0; i < 64; i++) acceptedBytes += stream.stream.sendData(piece, false);
      expect(acceptedBytes).toBeLessThan(32 * 1_048_576);
      expect(stream.stream.queuedBytes).toBe(64 * 1_048_576 - acceptedBytes);
      stream.stream.reset(ErrorCode.CANCEL);
      end.peer.destroy();
      await end.events.untilClosed();
    });

    it("is accepted as the peer's window opens, byte for byte", async () => {
      const settings = { INITIAL_WINDOW_SIZE: 1_000 };
      const end = await clientToScript(contract, { peer: { settings } });
      const stream = open(end);
      stream.stream.sendData(Buffer.alloc(3_000), false);
      await end.peer.expectRequest();
      await end.peer.expectBytes(1, 1_000);
      end.peer.send(frames.windowUpdate(1, 700));
      await end.peer.expectBytes(1, 700);
      end.peer.send(frames.settings({ INITIAL_WINDOW_SIZE: 1_100 }));
      await end.peer.expectBytes(1, 100);
      await end.peer.expectQuiet(1);
      if (contract.weaker.acceptedBytes === undefined)
        expect(stream.stream.queuedBytes).toBe(1_200);
    });

    it("waits while the peer's window is below zero — RFC 9113 §6.9.2", async () => {
      const end = await clientToScript(contract, {
        peer: { settings: { INITIAL_WINDOW_SIZE: 1_000 } },
      });
      const stream = open(end);
      stream.stream.sendData(Buffer.alloc(2_000), true);
      await end.peer.expectRequest();
      await end.peer.expectBytes(1, 1_000);
      end.peer.send(frames.settings({ INITIAL_WINDOW_SIZE: 0 }), frames.windowUpdate(1, 500));
      await end.peer.expectQuiet(1);
      end.peer.send(frames.windowUpdate(1, 501));
      expect((await end.peer.expectData(1)).length).toBe(1);
    });

    it("of streams that share a short connection window all arrives", async () => {
      const settings = { INITIAL_WINDOW_SIZE: 1_000_000 };
      const end = await clientToScript(contract, { peer: { settings } });
      const streams = [1, 3, 5].map(() => open(end));
      for (const { stream } of streams) stream.sendData(Buffer.alloc(100_000), true);
      await end.peer.until(
        "the connection window used up",
        () => end.peer.receivedBytes() === 65_535 || undefined,
      );
      end.peer.send(frames.windowUpdate(0, 300_000));
      await end.peer.until("the rest", () => end.peer.receivedBytes() === 300_000 || undefined);
      expect([1, 3, 5].map((id) => end.peer.receivedBytes(id))).toEqual([1e5, 1e5, 1e5]);
    });
  });
}
