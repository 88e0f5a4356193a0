// Header fields that begin and do not end: nothing else can come on their connection.

import { describe, expect, it } from "vitest";
import { engineTransport } from "../../../src/transport/engine/index.ts";
import { ErrorCode } from "../../../src/wire/error-code.ts";
import { FakeClock } from "../../support/clock.ts";
import { type Frame, frames, request } from "../../support/frames.ts";
import { type Contract, clientToScript, open, scriptToServer } from "../contract/harness.ts";

const ENGINE: Contract = { makeTransport: () => engineTransport(), sockets: true, weaker: {} };
const NOTHING = Buffer.alloc(0);

async function server() {
  const clock = new FakeClock();
  const end = await scriptToServer(ENGINE, { session: { clock } });
  await end.peer.sync();
  const timerCount = clock.timerCount;
  const begun = async (): Promise<void> => {
    await expect.poll(() => clock.timerCount).toBe(timerCount + 1);
  };
  return { ...end, clock, timerCount, begun };
}

/** A frame's octets, and where its payload is cut in two. */
function halves(frame: Frame): readonly [Buffer, Buffer] {
  const bytes = frame.bytes();
  return [bytes.subarray(0, 12), bytes.subarray(12)];
}

describe("header fields that are not complete after 10 s", () => {
  it("end the connection of a client that dribbles CONTINUATION", async () => {
    const { peer, clock, events, begun } = await server();
    peer.send(frames.headers(1, request("/a/B"), { endHeaders: false }));
    await begun();
    for (let i = 0; i < 9; i++) {
      clock.advance(1_000);
      peer.send(frames.continuation(1, NOTHING, { endHeaders: false }));
    }
    clock.advance(1_004);
    await peer.expectGoAway(ErrorCode.ENHANCE_YOUR_CALM);
    expect(await events.untilClosed()).toMatchObject({
      kind: "timeout",
      reason: "did not complete the header fields of stream 1",
    });
    expect(events.refusals).toMatchObject([
      { scope: "connection", limit: { name: "headerTimeoutMs", value: 10_000 } },
    ]);
    expect(clock.timerCount).toBe(0);
  });

  it("end it also within one frame", async () => {
    const { peer, clock, events, begun } = await server();
    peer.send(halves(frames.headers(1, request("/a/B")).end())[0]);
    await begun();
    clock.advance(10_004);
    expect((await events.untilClosed()).kind).toBe("timeout");
  });

  it("end the connection to a server", async () => {
    const clock = new FakeClock();
    const end = await clientToScript(ENGINE, { session: { clock, headerTimeoutMs: 100 } });
    open(end, request("/a/B"), true);
    await end.peer.expectRequest("/a/B");
    const timerCount = clock.timerCount;
    end.peer.send(frames.headers(1, [[":status", "200"]], { endHeaders: false }));
    await expect.poll(() => clock.timerCount).toBe(timerCount + 1);
    clock.advance(104);
    expect((await end.events.untilClosed()).kind).toBe("timeout");
  });

  it("are waited for anew for each stream, and leave no timer when they are complete", async () => {
    const { peer, clock, timerCount, events, begun } = await server();
    const [first, rest] = halves(frames.headers(1, request("/a/B")).end());
    const [second, last] = halves(frames.headers(3, request("/a/B")).end());
    peer.send(first);
    await begun();
    clock.advance(9_000);
    // One ends and the next begins in the same read.
    peer.send(Buffer.concat([rest, second]));
    await events.nextStream();
    clock.advance(9_000);
    peer.send(last);
    await events.nextStream();
    expect(clock.timerCount).toBe(timerCount);
    await peer.sync();
  });

  it("leave no timer when the connection goes meanwhile", async () => {
    const { peer, clock, events, begun } = await server();
    peer.send(frames.headers(1, request("/a/B"), { endHeaders: false }));
    await begun();
    peer.destroy();
    await events.untilClosed();
    expect(clock.timerCount).toBe(0);
  });
});
