// Output slabs are shared by all connections: bytes that a slow socket has not written yet must not be written over by another.

import { expect, it } from "vitest";
import { engineTransport } from "../../../src/transport/engine/index.ts";
import type { Stream } from "../../../src/transport/transport.ts";
import { fieldsOf, frames, request, response } from "../../support/frames.ts";
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
  // Small messages, a few in each turn, until the kernel takes no more and some of them wait in slabs.
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
