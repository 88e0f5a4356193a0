// A first message that does not come while a director waits for it.

import { describe, expect, it } from "vitest";
import { type GrpcError, Status, transparentHandler } from "../../src/index.ts";
import { type RefusedEvent, refused } from "../../src/observe/channels.ts";
import { StreamParameters } from "../../src/proxy/director.ts";
import type { StreamPeeker } from "../../src/proxy/peeker.ts";
import { fieldValue } from "../../src/wire/field.ts";
import { closeAtEnd } from "../support/cleanup.ts";
import { FakeClock } from "../support/clock.ts";
import { transportCombos } from "../support/combos.ts";
import { frames, message, request, trailersOnly } from "../support/frames.ts";
import { eventually, listen, PATH, scriptedBackend, statusOf } from "../support/relay-fixture.ts";
import { ScriptedClient } from "../support/scripted-endpoints.ts";

describe.each(transportCombos)("a peek on $server, to $client,", (combo) => {
  async function start(look: (peeker: StreamPeeker) => unknown, options = {}) {
    const clock = new FakeClock();
    const backend = await scriptedBackend(combo);
    const director = async (_ctx: unknown, _method: string, peeker: StreamPeeker) => {
      await look(peeker);
      return new StreamParameters({ conn: backend.conn });
    };
    const unknownServiceHandler = transparentHandler(director, options);
    const { server, address } = await listen(combo, { clock, unknownServiceHandler });
    const client = await ScriptedClient.connect(address);
    await client.sync();
    // Those of its connection.
    const timerCount = clock.timerCount;
    client.send(frames.headers(1, request(PATH)));
    await eventually("the call is here", () => server.openCallCount === 1);
    return { clock, backend, client, timerCount };
  }

  it("ends its call when the message has not come as a whole within a minute", async () => {
    const { clock, client, timerCount } = await start((peeker) => peeker.peek());
    const events: RefusedEvent[] = [];
    closeAtEnd(refused.subscribe((event) => events.push(event)));
    client.send(frames.data(1, message("abc").subarray(0, 6)));
    await client.sync();
    clock.advance(59_996);
    await client.expectQuiet(1);
    clock.advance(8);
    const trailers = await client.expectTrailers(1);
    expect(statusOf(trailers)).toBe(Status.DEADLINE_EXCEEDED);
    expect(fieldValue(trailers, "grpc-message")).toBe(
      "peek: expected a message within 60000 ms, got 6 bytes",
    );
    expect(clock.timerCount).toBe(timerCount);
    expect(events).toEqual([
      {
        scope: "stream",
        side: "downstream",
        peer: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
        streamId: 1,
        rule: "peek: expected a message within 60000 ms, got 6 bytes",
        limit: { name: "peekTimeoutMs", value: 60_000 },
      },
    ]);
  });

  it("tells a director that can do without it, and the message is passed on when it comes", async () => {
    const told: unknown[] = [];
    const { clock, client, backend } = await start(
      (peeker) =>
        peeker.peek().catch(({ reason, source }: GrpcError) => told.push([reason, source])),
      { peekTimeoutMs: 100 },
    );
    clock.advance(104);
    const peer = await backend.peer();
    const { streamId } = await peer.expectRequest(PATH);
    expect(told).toEqual([["PEEK_TIMEOUT", "downstream"]]);
    client.send(frames.data(1, message("late")).end());
    expect(await peer.expectBody(streamId)).toEqual(message("late"));
    peer.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
  });

  it.each([
    ["whose message has come", { peekTimeoutMs: 100 }],
    ["with all the time in the world", { peekTimeoutMs: Number.POSITIVE_INFINITY }],
  ])("%s leaves no timer", async (_, options) => {
    let seen = false;
    const { clock, client, backend, timerCount } = await start(async (peeker) => {
      await peeker.peek();
      seen = true;
    }, options);
    if (options.peekTimeoutMs === Number.POSITIVE_INFINITY) clock.advance(1_000_000);
    client.send(frames.data(1, message("abc")).end());
    await eventually("it is seen", () => seen);
    expect(clock.timerCount).toBe(timerCount);
    const peer = await backend.peer();
    const { streamId } = await peer.expectRequest(PATH);
    await peer.expectBody(streamId);
    peer.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
    await client.expectTrailers(1);
  });
});

it("refuses a time that is none", () => {
  expect(() => transparentHandler(() => undefined as never, { peekTimeoutMs: 0 })).toThrow(
    "peekTimeoutMs: expected a number from 1 up, got 0",
  );
});
