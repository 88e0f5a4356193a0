// Contract: how a stream ends before its time, from either side, and that nothing of it looks like a complete one.

import { describe, expect, it } from "vitest";
import { ErrorCode, errorCodeName } from "../../../src/wire/error-code.ts";
import {
  type Frame,
  fieldsOf,
  frames,
  message,
  request,
  response,
  trailers,
} from "../../support/frames.ts";
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

const PEER_CODES = [0, 2, 7, 8, 11, 0xdeadbeef];
const OWN_CODES = [0, 1, 2, 7, 8, 11];

export function resetCases(contract: Contract): void {
  describe("reset", () => {
    it.each(PEER_CODES.slice(0, 5))(
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
  describe("reset by the server", () => serverResets(contract));
  describe("reset by the client", () => clientResets(contract));
}

/** Every method of a stream that has ended: nothing may come of it. */
function useAll(stream: StreamRecorder["stream"]): void {
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

function serverResets(contract: Contract): void {
  const HEADERS = frames.headers(1, response());
  const WHOLE = frames.data(1, message("abc"));
  const CUT = frames.data(1, message("abc").subarray(0, 6));
  const moments: readonly (readonly [string, readonly Frame[], readonly string[]])[] = [
    ["before headers", [], []],
    ["after headers", [HEADERS], ["headers"]],
    ["in the middle of a message", [HEADERS, CUT], ["headers", "data(6)"]],
    ["after the last message", [HEADERS, WHOLE], ["headers", "data(8)"]],
  ];
  const cases = moments.flatMap(([when, sent, told]) =>
    PEER_CODES.map((code) => ({ when, code, sent, told, name: errorCodeName(code) })),
  );

  it.each(cases)(
    "$when with $name is told as such, after every byte",
    async ({ code, sent, told, name }) => {
      const end = await clientToScript(contract);
      const stream = open(end);
      stream.stream.sendData(message("request"), true);
      await end.peer.expectRequest();
      await end.peer.expectBody(1);
      end.peer.send(...sent, frames.rst(1, code));
      expect(await stream.untilReset()).toMatchObject({ kind: "reset", code });
      if (sent.length === 0)
        expect(stream.reset?.unprocessed).toBe(code === ErrorCode.REFUSED_STREAM);
      expect(stream.reset?.message).toMatch(/^127\.0\.0\.1:\d+ /);
      expect(stream.reset?.message).toContain(`stream 1: ${name}`);
      await settled(end.session);
      expect(stream.outline).toEqual([...told, `reset(reset, ${name})`]);
      expect(end.session.openStreamCount).toBe(0);
      await end.peer.expectQuiet(1);
    },
  );

  it.each(cases)(
    "$when with $name while the request is open is told as such",
    async ({ code, sent, told, name }) => {
      const end = await clientToScript(contract);
      const stream = open(end);
      await end.peer.expectRequest();
      end.peer.send(...sent, frames.rst(1, code));
      await stream.untilReset();
      await settled(end.session);
      expect(stream.outline).toEqual([...told, `reset(reset, ${name})`]);
      await end.peer.expectQuiet(1);
    },
  );

  it.each([0, 2, 8])(
    "with code %i behind bytes that nobody acknowledged loses none of them",
    async (code) => {
      const end = await clientToScript(contract);
      const stream = open(end);
      await end.peer.expectRequest();
      end.peer.send(HEADERS, ...many(200_000), frames.rst(1, code));
      await stream.untilReset();
      expect(stream.outline).toEqual([
        "headers",
        "data(200000)",
        `reset(reset, ${errorCodeName(code)})`,
      ]);
    },
  );

  it.each([0, 2, 8])(
    "with code %i behind trailers loses neither bytes nor trailers of an unread response",
    async (code) => {
      const end = await clientToScript(contract);
      const stream = open(end);
      await end.peer.expectRequest();
      end.peer.send(
        HEADERS,
        ...many(200_000),
        frames.headers(1, trailers(0)).end(),
        frames.rst(1, code),
      );
      await stream.untilReset();
      expect(stream.outline).toEqual([
        "headers",
        "data(200000)",
        "trailers",
        `reset(reset, ${errorCodeName(code)})`,
      ]);
    },
  );

  it("behind a complete response to a complete request is not told", async () => {
    const end = await clientToScript(contract);
    const stream = open(end);
    stream.stream.sendData(message("request"), true);
    await end.peer.expectRequest();
    await end.peer.expectBody(1);
    end.peer.send(HEADERS, WHOLE, frames.headers(1, trailers(0)).end(), frames.rst(1, 0));
    await stream.untilTrailers();
    await settled(end.session);
    expect(stream.outline).toEqual(["headers", "data(8)", "trailers"]);
    expect(end.session.accepting).toBe(true);
  });

  it("of one stream leaves the others alone", async () => {
    const end = await clientToScript(contract);
    const [first, second] = [open(end), open(end)];
    for (const _ of [first, second]) await end.peer.expectRequest();
    end.peer.send(
      frames.rst(1, 2),
      frames.headers(3, response()),
      frames.headers(3, trailers(0)).end(),
    );
    await second.untilTrailers();
    expect(first.outline).toEqual(["reset(reset, INTERNAL_ERROR)"]);
  });
}

function clientResets(contract: Contract): void {
  const CUT = frames.data(1, message("abc").subarray(0, 6));
  it.each([
    ["right after the headers", [], []],
    ["in the middle of a message", [CUT], ["data(6)"]],
    ["behind bytes that nobody acknowledged", many(200_000), ["data(200000)"]],
    ["after its side had ended", [frames.data(1, message("abc")).end()], ["data(8, END)"]],
  ] as const)("%s is told after every byte", async (_, sent, told) => {
    const end = await scriptToServer(contract);
    const open = frames.headers(1, request("/a/B"));
    const stream = await requestFromScript(end, open, ...sent, frames.rst(1, ErrorCode.CANCEL));
    expect(await stream.untilReset()).toMatchObject({ kind: "reset", code: ErrorCode.CANCEL });
    expect(stream.outline).toEqual([...told, "reset(reset, CANCEL)"]);
    expect(end.session.openStreamCount).toBe(0);
    useAll(stream.stream);
    await end.peer.expectQuiet(1);
  });

  it.each(PEER_CODES)(
    "with code %i while the response flows is told with that code",
    async (code) => {
      const end = await scriptToServer(contract);
      const stream = await requestFromScript(end, frames.headers(1, request("/a/B")));
      stream.stream.sendHeaders(fieldsOf(response()), false);
      stream.stream.sendData(Buffer.alloc(200_000), false);
      await end.peer.expectHeaders(1);
      await end.peer.expectBytes(1, 65_535);
      end.peer.send(frames.rst(1, code));
      expect((await stream.untilReset()).code).toBe(code);
      expect(stream.stream.queuedBytes).toBe(0);
      end.peer.expectNoEndStream(1);
    },
  );
}

/** DATA frames of stream 1, `bytes` in all. */
function many(bytes: number): Frame[] {
  const list: Frame[] = [];
  for (let left = bytes; left > 0; left -= 16_000)
    list.push(frames.data(1, Buffer.alloc(Math.min(left, 16_000))));
  return list;
}
