// Single streams whose peer gives them no window, while its connection goes on: a client that does
// not read its response, a backend that does not read a request.

import { describe, expect, it } from "vitest";
import { type RefusedEvent, refused } from "../../src/observe/channels.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { fieldValue } from "../../src/wire/field.ts";
import { closeAtEnd } from "../support/cleanup.ts";
import { FakeClock } from "../support/clock.ts";
import { transportCombos } from "../support/combos.ts";
import { callEnds } from "../support/events.ts";
import { frames, response } from "../support/frames.ts";
import {
  ABC,
  answerCall,
  expectCall,
  scriptedRelay,
  sendCall,
  statusOf,
} from "../support/relay-fixture.ts";

const TIMEOUT_MS = 8_000;
const LIMIT = { name: "streamStallTimeoutMs", value: TIMEOUT_MS };
const RULE = "gave no room to what waits for it";
const NO_WINDOW = { settings: { INITIAL_WINDOW_SIZE: 0 } };

function refusals(): RefusedEvent[] {
  const events: RefusedEvent[] = [];
  closeAtEnd(refused.subscribe((event) => events.push(event)));
  return events;
}

/** Time goes by, in steps between which the keepalive of the other side is answered. */
async function pass(clock: FakeClock, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 1_000) {
    clock.advance(1_000);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe.each(transportCombos)("from $server to $client", (combo) => {
  it("a client that gives its response no window gets a reset, and the backend a cancel", async () => {
    const clock = new FakeClock();
    const { client, backend } = await scriptedRelay(combo, {
      clock,
      client: { ...NO_WINDOW, refillWindows: false },
      server: { streamStallTimeoutMs: TIMEOUT_MS },
    });
    const [events, ends] = [refusals(), callEnds()];
    sendCall(client);
    const streamId = await expectCall(backend);
    backend.send(frames.headers(streamId, response()), frames.data(streamId, ABC));
    await client.expectHeaders(1);
    await backend.sync();
    await pass(clock, (TIMEOUT_MS * 7) / 8);
    expect([events, ends]).toEqual([[], []]);
    await pass(clock, TIMEOUT_MS / 2);
    await client.expectReset(1, ErrorCode.ENHANCE_YOUR_CALM);
    await backend.expectReset(streamId, ErrorCode.CANCEL);
    expect(events).toMatchObject([
      { scope: "stream", side: "downstream", streamId: 1, rule: RULE, limit: LIMIT },
    ]);
    expect(ends).toMatchObject([
      { status: 8, clientGone: true, error: { reason: "CLIENT_STALLED", source: "downstream" } },
    ]);
    expect(ends[0]?.error?.message).toMatch(/: client 127\.0\.0\.1:\d+ gave no room/);
    // The connection goes on.
    sendCall(client, true, 3);
    answerCall(backend, await expectCall(backend));
    expect(statusOf(await client.expectTrailers(3))).toBe(0);
  });

  it("a backend that gives a request no window gets a reset, and the client the reason", async () => {
    const clock = new FakeClock();
    const { client, backend } = await scriptedRelay(combo, {
      clock,
      backend: { ...NO_WINDOW, refillWindows: false },
      dial: { streamStallTimeoutMs: TIMEOUT_MS },
    });
    const [events, ends] = [refusals(), callEnds()];
    sendCall(client);
    const { streamId } = await backend.expectRequest();
    await pass(clock, (TIMEOUT_MS * 7) / 8);
    expect([events, ends]).toEqual([[], []]);
    await pass(clock, TIMEOUT_MS / 2);
    await backend.expectReset(streamId, ErrorCode.ENHANCE_YOUR_CALM);
    const trailers = await client.expectTrailers(1);
    expect(statusOf(trailers)).toBe(8);
    expect(fieldValue(trailers, "grpc-message")).toBe(`the backend ${RULE} on stream ${streamId}`);
    expect(events).toMatchObject([
      { scope: "stream", side: "upstream", streamId, rule: RULE, limit: LIMIT },
    ]);
    expect(ends).toMatchObject([
      { status: 8, error: { reason: "UPSTREAM_STALLED", source: "upstream", retry: "never" } },
    ]);
  });
});
