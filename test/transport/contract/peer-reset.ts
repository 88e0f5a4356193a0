// Contract: the peer ends a stream before its time: told as that, exactly once, after every byte
// that came before it.

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
  open,
  requestFromScript,
  type Scripted,
  scriptToServer,
  settled,
} from "./harness.ts";
import { useAll } from "./reset.ts";

const PEER_CODES = [0, 2, 7, 8, 11, 0xdeadbeef];

export function peerResetCases(contract: Contract): void {
  if (!contract.sockets) return;
  describe("reset by the server", () => serverResets(contract));
  describe("reset by the client", () => clientResets(contract));
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
      expect(stream.reset?.reason).toBe(`reset stream 1: ${name}`);
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
      end.peer.send(HEADERS, ...many(100_000), frames.rst(1, code));
      await stream.untilReset();
      expect(stream.outline).toEqual([
        "headers",
        "data(100000)",
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
        ...many(100_000),
        frames.headers(1, trailers(0)).end(),
        frames.rst(1, code),
      );
      await stream.untilReset();
      expect(stream.outline).toEqual([
        "headers",
        "data(100000)",
        "trailers",
        `reset(reset, ${errorCodeName(code)})`,
      ]);
    },
  );

  it("while the request waits for its window tells none of it as accepted", async () => {
    const end = await clientToScript(contract);
    const stream = open(end);
    await end.peer.expectRequest();
    await expectNoMoreAccepted(end, stream);
  });

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
    ["behind bytes that nobody acknowledged", many(100_000), ["data(100000)"]],
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

  it("while the response waits for its window tells none of it as accepted", async () => {
    const end = await scriptToServer(contract);
    const stream = await requestFromScript(end, frames.headers(1, request("/a/B")));
    stream.stream.sendHeaders(fieldsOf(response()), false);
    await end.peer.expectHeaders(1);
    await expectNoMoreAccepted(end, stream);
  });

  it.each(PEER_CODES)(
    "with code %i while the response flows is told with that code",
    async (code) => {
      const end = await scriptToServer(contract);
      const stream = await requestFromScript(end, frames.headers(1, request("/a/B")));
      stream.stream.sendHeaders(fieldsOf(response()), false);
      stream.stream.sendData(Buffer.alloc(100_000), false);
      await end.peer.expectHeaders(1);
      await end.peer.expectBytes(1, 65_535);
      end.peer.send(frames.rst(1, code));
      expect((await stream.untilReset()).code).toBe(code);
      expect(stream.stream.queuedBytes).toBe(0);
      end.peer.expectNoEndStream(1);
    },
  );
}

/** What a reset throws away was not accepted, and is not told as that. */
async function expectNoMoreAccepted(
  { session, peer }: Scripted,
  stream: StreamRecorder,
): Promise<void> {
  for (let i = 0; i < 10; i++) stream.stream.sendData(Buffer.alloc(20_000), false);
  await peer.expectBytes(1, 65_535);
  await settled(session);
  const acceptedBytes = stream.writableBytes;
  peer.send(frames.rst(1, ErrorCode.CANCEL));
  await stream.untilReset();
  expect(stream.writableBytes).toBe(acceptedBytes);
}

/** DATA frames of stream 1, `bytes` in all. */
function many(bytes: number): Frame[] {
  const list: Frame[] = [];
  for (let left = bytes; left > 0; left -= 16_000)
    list.push(frames.data(1, Buffer.alloc(Math.min(left, 16_000))));
  return list;
}
