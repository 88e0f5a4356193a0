// What Node frees behind a session of node:http2, and when. Where the order is wrong, Node can end
// the process.

import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import { setImmediate as turn } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { nodeTransport } from "../../../src/transport/node/index.ts";
import { nativeSession } from "../../../src/transport/node/native-session.ts";
import type { ClientSessionListener, StreamListener } from "../../../src/transport/transport.ts";
import { ErrorCode } from "../../../src/wire/error-code.ts";
import { within } from "../../support/cleanup.ts";
import { FRAME_TYPES, fieldsOf, frames, message, request, response } from "../../support/frames.ts";
import { ScriptedServer } from "../../support/scripted-endpoints.ts";

setFlagsFromString("--expose-gc");
const collect: () => void = runInNewContext("gc");
const NOTHING = (): void => {};

/** Not a recorder, which would keep what has to become garbage. */
class Told implements ClientSessionListener, StreamListener {
  onAvailable: () => void = NOTHING;
  onClosed: () => void = NOTHING;
  onData: () => void = NOTHING;
  onRefused = NOTHING;
  onGoAway = NOTHING;
  onHeaders = NOTHING;
  onTrailers = NOTHING;
  onWritable = NOTHING;
  onReset = NOTHING;

  next(event: "onAvailable" | "onClosed" | "onData"): Promise<void> {
    const told = new Promise<void>((resolve) => {
      this[event] = resolve;
    });
    return within(event, told);
  }
}

async function clientWithStream() {
  const backend = await ScriptedServer.listen({ settings: { INITIAL_WINDOW_SIZE: 2 ** 31 - 1 } });
  const told = new Told();
  const session = nodeTransport().connect({ address: backend.address }, told);
  await told.next("onAvailable");
  const peer = await backend.connection();
  const stream = session.openStream(fieldsOf(request("/a/B")), false, told);
  await peer.expectRequest();
  const node: ClientHttp2Session = Reflect.get(session, "node");
  const native = nativeSession(node);
  if (native === undefined) throw new Error("the session has nothing native");
  return { session, stream, peer, told, native: new WeakRef(native) };
}

/** Collects garbage, so many times at most, until it is freed. */
async function isFreed(native: WeakRef<object>, times: number): Promise<boolean> {
  for (let i = 0; i < times; i++) {
    // Who has asked for it keeps it for a turn.
    await turn();
    collect();
    await turn();
    if (native.deref() === undefined) return true;
  }
  return false;
}

/** What Node has behind a stream. */
function handleOf(stream: ClientHttp2Stream): object {
  const keys = Object.getOwnPropertySymbols(stream);
  const key = keys.find(({ description }) => description === "kHandle");
  const handle: unknown = key === undefined ? undefined : Reflect.get(stream, key);
  if (typeof handle !== "object" || handle === null) throw new Error("the stream has no handle");
  return handle;
}

describe("what Node has behind a session of node:http2", () => {
  it("is not freed before the close of the session is over", async () => {
    const { peer, told, native } = await clientWithStream();
    let isThere = false;
    const closed = told.next("onClosed");
    const { onClosed } = told;
    told.onClosed = () => {
      collect();
      isThere = native.deref() !== undefined;
      onClosed();
    };
    await turn();
    peer.send(frames.raw(FRAME_TYPES.SETTINGS, 0, 1));
    peer.destroy();
    await closed;
    expect(isThere).toBe(true);
  });

  /**
   * Its stream holds the fields of a header block that was cut, and data that the socket did not
   * take.
   */
  async function over() {
    const { session, stream, peer, told, native } = await clientWithStream();
    const nativeStream = handleOf(Reflect.get(stream, "node"));
    const data = told.next("onData");
    const cut = frames.headers(1, [["a", "v".repeat(100)]], { endHeaders: false });
    peer.send(frames.windowUpdate(0, 2 ** 30), frames.headers(1, response()));
    peer.send(frames.data(1, message("abc")), cut);
    await data;
    peer.pauseReading();
    const large = message("x".repeat(1 << 20));
    for (let i = 0; i < 16; i++) stream.sendData(large, false);
    for (let i = 0; i < 10; i++) await turn();
    const closed = told.next("onClosed");
    session.destroy(ErrorCode.NO_ERROR, "enough");
    await turn();
    peer.destroy();
    await closed;
    return { native, nativeStream };
  }

  it("is freed, but not as long as what Node has behind one of its streams is there", async () => {
    const kept: { native: WeakRef<object>; nativeStream?: object } = await over();
    expect(await isFreed(kept.native, 5)).toBe(false);
    delete kept.nativeStream;
    expect(await isFreed(kept.native, 50)).toBe(true);
  });
});
