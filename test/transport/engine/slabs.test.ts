// Output slabs are shared by all connections: bytes that a slow socket has not written yet must not
// be written over by another.

import { Socket } from "node:net";
import { expect, it } from "vitest";
import { DEFAULT_LIMITS } from "../../../src/h2/limits.ts";
import { acquireSmallSlab } from "../../../src/h2/slabs.ts";
import { WindowBudget } from "../../../src/h2/window-budget.ts";
import { resolveSessionOptions } from "../../../src/transport/defaults.ts";
import { engineTransport } from "../../../src/transport/engine/index.ts";
import { ServerSession } from "../../../src/transport/engine/server-session.ts";
import { resolveServerKeepalive } from "../../../src/transport/keepalive.ts";
import type { Session, Stream } from "../../../src/transport/transport.ts";
import { fieldsOf, frames, request, response } from "../../support/frames.ts";
import { liesIn } from "../../support/lent.ts";
import { SessionRecorder } from "../../support/recorder.ts";
import { type Contract, type Scripted, scriptToServer } from "../contract/harness.ts";

const ENGINE: Contract = { makeTransport: () => engineTransport(), sockets: true, weaker: {} };
const MESSAGE_BYTES = 1_000;

async function begin(): Promise<{ end: Scripted; stream: Stream }> {
  const peer = { settings: { INITIAL_WINDOW_SIZE: 0x7fffffff } };
  const end = await scriptToServer(ENGINE, { peer });
  end.peer.send(frames.windowUpdate(0, 0x7fff0000), frames.headers(1, request("/a/B")));
  const { stream } = await end.events.nextStream();
  stream.sendHeaders(fieldsOf(response()), false);
  return { end, stream };
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

it("a slow peer gets its own bytes, whatever a fast one is sent meanwhile", async () => {
  const [slow, fast] = [await begin(), await begin()];
  slow.end.peer.pauseReading();
  // Small messages, a few in each turn, until the kernel takes no more and some of them wait in
  // slabs.
  let sentCount = 0;
  while (slow.stream.queuedBytes === 0) {
    for (let i = 0; i < 20; i++) {
      slow.stream.sendData(Buffer.alloc(MESSAGE_BYTES, sentCount++ % 251), false);
    }
    await nextTurn();
  }
  const noise = Buffer.alloc(MESSAGE_BYTES, 0xff);
  let noiseCount = 0;
  slow.end.peer.resumeReading();
  // While the slow socket writes what waits, the fast one goes through every free slab.
  while (slow.end.peer.receivedBytes(1) < sentCount * MESSAGE_BYTES) {
    for (let i = 0; i < 100; i++, noiseCount++) fast.stream.sendData(noise, false);
    await nextTurn();
  }
  await slow.end.peer.expectHeaders(1);
  const got = await slow.end.peer.expectBytes(1, sentCount * MESSAGE_BYTES);
  for (let i = 0; i < sentCount; i++) {
    const message = got.subarray(i * MESSAGE_BYTES, (i + 1) * MESSAGE_BYTES);
    if (!message.equals(Buffer.alloc(MESSAGE_BYTES, i % 251)))
      throw new Error(`message ${i} differs`);
  }
  await fast.end.peer.until("all noise", () => {
    return fast.end.peer.receivedBytes(1) === noiseCount * MESSAGE_BYTES || undefined;
  });
  expect(noiseCount).toBeGreaterThan(0);
});

/** A socket that writes nothing, and gives up when it is told to what it was given last. */
class StuckSocket extends Socket {
  readonly given: Buffer[] = [];
  override writableLength = 0;
  #onWritten: (error: Error) => void = () => {};

  override write(chunk: string | Uint8Array, ...rest: readonly unknown[]): boolean {
    this.given.push(chunk as Buffer);
    this.writableLength += chunk.length;
    this.#onWritten = rest.find((each) => typeof each === "function") as (error: Error) => void;
    return false;
  }

  giveUpLast(): void {
    this.writableLength -= this.given.at(-1)!.length;
    this.#onWritten(new Error("broken"));
  }
}

it("a failed write gives nobody the bytes of those that are still under way", async () => {
  const socket = new StuckSocket();
  const events = new SessionRecorder("server");
  const peer = { remoteAddress: "192.0.2.1:1", localAddress: "192.0.2.2:1" };
  const options = {
    ...resolveSessionOptions({}),
    limits: DEFAULT_LIMITS,
    windowBudget: new WindowBudget(0),
    ...resolveServerKeepalive(),
    handshakeTimeoutMs: 10_000,
  };
  const begun = (session: Session): SessionRecorder => {
    events.attach(session);
    return events;
  };
  new ServerSession(socket, undefined, peer, options).open(begun, 10_000);
  const opening = [frames.preface(), frames.settings(), frames.headers(1, request("/a/B"))];
  socket.emit("data", frames.bytes(...opening));
  await nextTurn();
  expect(socket.given).toHaveLength(1);
  const { stream } = await events.nextStream();
  stream.sendHeaders(fieldsOf(response()), false);
  stream.sendData(Buffer.alloc(MESSAGE_BYTES), false);
  await nextTurn();
  expect(socket.given).toHaveLength(2);
  socket.giveUpLast();
  const underWay = socket.given[0]!;
  for (let i = 0; i < 10; i++) expect(liesIn(underWay, acquireSmallSlab())).toBe(false);
  socket.destroy();
  await events.untilClosed();
});
