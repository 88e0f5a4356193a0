// Contract: how our owner ends a stream before its time, and that nothing of it looks like a
// complete one.

import { describe, expect, it } from "vitest";
import { ErrorCode, errorCodeName } from "../../../src/wire/error-code.ts";
import { fieldsOf, frames, message, request, response, trailers } from "../../support/frames.ts";
import type { StreamRecorder } from "../../support/recorder.ts";
import {
  type Contract,
  clientToScript,
  loopback,
  open,
  requestFromScript,
  type Scripted,
  scriptToServer,
  settled,
} from "./harness.ts";

const OWN_CODES = [0, 1, 2, 7, 8, 11];

export function resetCases(contract: Contract): void {
  describe("reset", () => {
    it.each([0, 2, 7, 8, 11])(
      "with code %i before any response reaches the client",
      async (code) => {
        const pair = await loopback(contract);
        const call = await pair.call();
        call.server.stream.reset(code);
        const end = await call.client.untilReset();
        expect(end).toMatchObject({ kind: "reset", code, unprocessed: code === 7 });
        expect(call.client.outline).toEqual([`reset(reset, ${errorCodeName(code)})`]);
        await settled(pair.client.session);
        expect([pair.client.session.openStreamCount, pair.server.session.openStreamCount]).toEqual([
          0, 0,
        ]);
        expect(call.server.log).toEqual([]);
      },
    );

    it("of the client reaches the server's owner after what came before it", async () => {
      const call = await (await loopback(contract)).call();
      call.client.stream.sendData(message("abc"), false);
      await call.server.untilBytes(8);
      call.client.stream.reset(ErrorCode.CANCEL);
      expect(await call.server.untilReset()).toMatchObject({ kind: "reset", code: 8 });
      expect(call.server.outline).toEqual(["data(8)", "reset(reset, CANCEL)"]);
      expect(call.client.log.filter((entry) => !entry.startsWith("writable"))).toEqual([]);
    });

    it("drops what is queued and makes room for another stream at once", async () => {
      const pair = await loopback(contract, { session: { maxConcurrentStreams: 1 } });
      const call = await pair.call();
      call.client.stream.sendData(Buffer.alloc(1_000_000), true);
      expect(pair.client.session.availableStreamCount).toBe(0);
      call.client.stream.reset(ErrorCode.CANCEL);
      expect(call.client.stream.queuedBytes).toBe(0);
      await pair.client.events.untilAvailable(2);
      await call.server.untilReset();
      expect(call.server.ended).toBe(false);
      await pair.call(request("/a/Next"));
    });

    it("and every other ending make the stream's methods harmless", async () => {
      const pair = await loopback(contract, { streams: { acknowledge: true } });
      const [own, peers, complete] = [await pair.call(), await pair.call(), await pair.call()];
      own.client.stream.reset(ErrorCode.CANCEL);
      await own.server.untilReset();
      peers.server.stream.reset(ErrorCode.INTERNAL_ERROR);
      await peers.client.untilReset();
      complete.client.stream.sendData(message("abc"), true);
      await complete.server.untilEnded();
      complete.server.stream.sendHeaders(fieldsOf(response()), false);
      complete.server.stream.sendTrailers(fieldsOf(trailers(0)));
      await complete.client.untilTrailers();
      const ended = [own, peers, complete].flatMap(({ client, server }) => [client, server]);
      const outlines = ended.map((side) => side.outline);
      for (const { stream } of ended) useAll(stream);
      await settled(pair.client.session);
      await settled(pair.server.session);
      expect(ended.map((side) => side.outline)).toEqual(outlines);
      expect(pair.client.session.openStreamCount).toBe(0);
      await pair.call();
    });

    it("after the session was destroyed and before the stream was told is the last word", async () => {
      const pair = await loopback(contract);
      const [reset, told] = [await pair.call(), await pair.call()];
      pair.client.session.destroy(ErrorCode.NO_ERROR, "gone");
      reset.client.stream.reset(ErrorCode.CANCEL);
      await pair.client.events.untilClosed();
      expect([reset.client.outline, told.client.reset?.kind]).toEqual([[], "session"]);
    });

    it("twice is once", async () => {
      const pair = await loopback(contract);
      const call = await pair.call();
      call.client.stream.reset(ErrorCode.CANCEL);
      call.client.stream.reset(ErrorCode.INTERNAL_ERROR);
      expect((await call.server.untilReset()).code).toBe(ErrorCode.CANCEL);
    });
  });

  if (!contract.sockets) return;
  describe("reset of the client on the wire", () => ownResets(contract, "client"));
  describe("reset of the server on the wire", () => ownResets(contract, "server"));
}

/** Every method of a stream that has ended: nothing may come of it. */
export function useAll(stream: StreamRecorder["stream"]): void {
  stream.sendHeaders(fieldsOf(response()), false);
  expect(stream.sendData(message("late"), false)).toBe(0);
  expect(stream.sendData(Buffer.alloc(0), true)).toBe(0);
  stream.sendTrailers(fieldsOf(trailers(0)));
  stream.acknowledge(100);
  stream.reset(ErrorCode.INTERNAL_ERROR);
  expect(stream.queuedBytes).toBe(0);
}

interface Begun extends Scripted {
  readonly stream: StreamRecorder;
}

function ownResets(contract: Contract, side: "client" | "server"): void {
  /** A stream whose owner has sent headers (the client always has). */
  const begin = async (sendHeaders = true): Promise<Begun> => {
    // A small window, so that DATA can be made to queue.
    const peer = { settings: { INITIAL_WINDOW_SIZE: 1_000 } };
    if (side === "client") {
      const end = await clientToScript(contract, { peer });
      const stream = open(end);
      await end.peer.expectRequest();
      return { ...end, stream };
    }
    const end = await scriptToServer(contract, { peer });
    const stream = await requestFromScript(end, frames.headers(1, request("/a/B")));
    if (sendHeaders) {
      stream.stream.sendHeaders(fieldsOf(response()), false);
      await end.peer.expectHeaders(1);
    }
    return { ...end, stream };
  };
  it("is a bare RST_STREAM(CANCEL) when idle, without END_STREAM", async () => {
    const end = await begin();
    end.stream.stream.sendData(message("abc"), false);
    await end.peer.expectData(1, { endStream: false });
    end.stream.stream.reset(ErrorCode.CANCEL);
    await end.peer.expectReset(1, ErrorCode.CANCEL);
    end.peer.expectNoEndStream(1);
    await end.peer.expectQuiet(1);
    expect(end.stream.outline).toEqual([]);
  });

  it("is a bare RST_STREAM(CANCEL) when nothing was sent after the headers", async () => {
    const end = await begin();
    end.stream.stream.reset(ErrorCode.CANCEL);
    await end.peer.expectReset(1, ErrorCode.CANCEL);
    await end.peer.expectQuiet(1);
  });

  it.each([false, true])(
    "drops queued DATA and the END_STREAM that waits behind it: %s",
    async (ending) => {
      const end = await begin();
      end.stream.stream.sendData(Buffer.alloc(5_000), ending);
      await end.peer.expectBytes(1, 1_000);
      end.stream.stream.reset(ErrorCode.CANCEL);
      await end.peer.expectReset(1, ErrorCode.CANCEL);
      end.peer.send(frames.windowUpdate(1, 100_000));
      await end.peer.expectQuiet(1);
      end.peer.expectNoEndStream(1);
      expect(end.session.openStreamCount).toBe(0);
    },
  );

  it("drops DATA of the same turn of the event loop or sends it first, without END_STREAM", async () => {
    const end = await begin();
    end.stream.stream.sendData(message("abc"), false);
    end.stream.stream.reset(ErrorCode.CANCEL);
    await end.peer.expectReset(1, ErrorCode.CANCEL, { skip: ["DATA"] });
    end.peer.expectNoEndStream(1);
  });

  it("drops trailers that wait for DATA", async () => {
    const end = await begin();
    end.stream.stream.sendData(Buffer.alloc(5_000), false);
    end.stream.stream.sendTrailers(fieldsOf(trailers(0)));
    await end.peer.expectBytes(1, 1_000);
    end.stream.stream.reset(ErrorCode.CANCEL);
    await end.peer.expectReset(1, ErrorCode.CANCEL);
    end.peer.send(frames.windowUpdate(1, 100_000));
    await end.peer.expectQuiet(1);
  });

  it("is followed by no callback, whatever the peer still sends", async () => {
    const end = await begin();
    end.stream.stream.reset(ErrorCode.CANCEL);
    await end.peer.expectReset(1, ErrorCode.CANCEL);
    if (side === "client") end.peer.send(frames.headers(1, response()));
    end.peer.send(frames.data(1, message("late")), frames.headers(1, [["a", "b"]]).end());
    await settled(end.session);
    expect(end.stream.outline).toEqual([]);
    await end.peer.expectQuiet(1);
  });

  it.each(OWN_CODES)("carries code %i after headers", async (code) => {
    const end = await begin();
    end.stream.stream.sendData(message("abc"), false);
    await end.peer.expectData(1);
    end.stream.stream.reset(code);
    await end.peer.expectReset(1, code);
    end.peer.expectNoEndStream(1);
    await end.peer.expectQuiet(1);
  });

  if (side === "server") {
    it.each(OWN_CODES)("carries code %i before headers", async (code) => {
      const end = await begin(false);
      end.stream.stream.reset(code);
      await end.peer.expectReset(1, code);
      await end.peer.expectQuiet(1);
    });

    it("carries the code after the client has ended its side", async () => {
      const end = await begin();
      end.peer.send(frames.data(1, "").end());
      await end.stream.untilEnded();
      end.stream.stream.reset(ErrorCode.CANCEL);
      await end.peer.expectReset(1, ErrorCode.CANCEL);
      end.peer.expectNoEndStream(1);
    });
  } else {
    it("right after openStream sends the request and its reset, or neither", async () => {
      const end = await clientToScript(contract);
      open(end).stream.reset(ErrorCode.CANCEL);
      open(end, request("/a/Next"));
      await end.peer.expectRequest().then(async ({ path, streamId }) => {
        if (path === "/a/Next") return;
        await end.peer.expectReset(streamId, ErrorCode.CANCEL);
        await end.peer.expectRequest("/a/Next");
      });
      end.peer.expectNoEndStream(1);
    });
  }
}
