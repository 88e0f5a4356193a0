// Every ending of a call runs the request finalizer exactly once, with what came of it.

import { describe, expect, it } from "vitest";
import { ErrorReason } from "../../src/grpc/error.ts";
import { Status } from "../../src/grpc/status.ts";
import { StreamParameters } from "../../src/proxy/director.ts";
import type { CallResult } from "../../src/proxy/results.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { FakeClock } from "../support/clock.ts";
import { transportCombos } from "../support/combos.ts";
import { frames, message, request, response, trailersOnly } from "../support/frames.ts";
import {
  eventually,
  PATH,
  type ScriptedRelay,
  scriptedRelay,
  sendCall,
  statusOf,
} from "../support/relay-fixture.ts";
import { Upload } from "../support/upload.ts";

describe.each(transportCombos)("the finalizer, server on $server, client on $client", (combo) => {
  interface Ending {
    readonly title: string;
    readonly ends: (relay: ScriptedRelay, streamId: number, clock: FakeClock) => void;
    readonly status: number;
    readonly clientGone?: boolean;
    readonly reason?: string;
  }
  const end =
    (fields: Parameters<typeof frames.headers>[1]) => (relay: ScriptedRelay, id: number) =>
      relay.backend.send(frames.headers(id, fields, { endStream: true }));
  const endings: readonly Ending[] = [
    { title: "OK", ends: end(trailersOnly(0)), status: Status.OK },
    {
      title: "the backend's error",
      ends: end(trailersOnly(5, "no")),
      status: Status.NOT_FOUND,
      reason: ErrorReason.UPSTREAM_STATUS,
    },
    {
      title: "the backend's reset",
      ends: (relay, id) => relay.backend.send(frames.rst(id, ErrorCode.INTERNAL_ERROR)),
      status: Status.INTERNAL,
      reason: ErrorReason.UPSTREAM_RESET,
    },
    {
      title: "the loss of the backend",
      ends: (relay) => relay.backend.destroy(),
      status: Status.UNAVAILABLE,
      reason: ErrorReason.UPSTREAM_SESSION,
    },
    {
      title: "GOAWAY with an error",
      ends: (relay, id) => relay.backend.send(frames.goaway(id, ErrorCode.INTERNAL_ERROR)),
      status: Status.UNAVAILABLE,
      reason: ErrorReason.UPSTREAM_GOAWAY,
    },
    {
      title: "a response without status",
      ends: end(response()),
      status: Status.UNKNOWN,
      reason: ErrorReason.UPSTREAM_MISSING_STATUS,
    },
    {
      title: "a response that is no gRPC",
      ends: end([[":status", "503"]]),
      status: Status.UNAVAILABLE,
      reason: ErrorReason.UPSTREAM_NOT_GRPC,
    },
    {
      title: "the client's cancel",
      ends: (relay) => relay.client.send(frames.rst(1, ErrorCode.CANCEL)),
      status: Status.CANCELLED,
      clientGone: true,
      reason: ErrorReason.CLIENT_CANCELLED,
    },
    {
      title: "the loss of the client",
      ends: (relay) => relay.client.destroy(),
      status: Status.CANCELLED,
      clientGone: true,
      reason: ErrorReason.CLIENT_CANCELLED,
    },
    {
      title: "the deadline",
      ends: (_relay, _id, clock) => clock.advance(5_004),
      status: Status.DEADLINE_EXCEEDED,
      reason: ErrorReason.DEADLINE,
    },
    {
      title: "the shutdown of the server",
      ends: (relay) => void relay.server.close(),
      status: Status.UNAVAILABLE,
      reason: ErrorReason.SHUTDOWN,
    },
    {
      title: "a request message above the limit",
      ends: (relay) => relay.client.send(frames.data(1, message(Buffer.alloc(2_000)))),
      status: Status.RESOURCE_EXHAUSTED,
      reason: ErrorReason.MESSAGE_TOO_LARGE,
    },
    {
      title: "a response message above the limit",
      ends: (relay, id) =>
        relay.backend.send(
          frames.headers(id, response()),
          frames.data(id, message(Buffer.alloc(2_000))),
        ),
      status: Status.RESOURCE_EXHAUSTED,
      reason: ErrorReason.MESSAGE_TOO_LARGE,
    },
  ];

  it.each(endings.map((ending) => [ending.title, ending] as const))(
    "runs once, after the destinations, when the call ends by %s",
    async (_title, { ends, status, clientGone = false, reason }) => {
      const clock = new FakeClock();
      const results: CallResult[] = [];
      const seen: unknown[] = [];
      const relay = await scriptedRelay(combo, {
        clock,
        director: (conn) => () =>
          new StreamParameters(
            { conn },
            [],
            async (result) => {
              results.push(result);
              seen.push(
                result.status,
                result.primary.status,
                result.error?.reason,
                result.clientGone,
              );
              await Promise.resolve();
            },
            { maxRequestMessageBytes: 1_000, maxResponseMessageBytes: 1_000 },
          ),
      });
      relay.client.send(
        frames.headers(1, request(PATH, ["grpc-timeout", "5S"])),
        frames.data(1, message("abc")),
      );
      const { streamId } = await relay.backend.expectRequest(PATH);
      await relay.backend.expectData(streamId);
      ends(relay, streamId, clock);
      if (!clientGone) {
        const trailing = await relay.client.recv("HEADERS", { stream: 1 });
        const last = trailing.frame.endStream
          ? trailing
          : await relay.client.recv("HEADERS", { stream: 1, skip: ["DATA"] });
        expect(statusOf(last.fields ?? [])).toBe(status);
      }
      await eventually("the call is over", () => relay.server.openCallCount === 0);
      expect(results).toHaveLength(1);
      expect(seen).toEqual([status, status, reason, clientGone]);
      expect(results[0]?.primary).toMatchObject({
        role: "primary",
        requestMessages: expect.any(Number),
      });
      // Of the server's end, and of the sessions to client and backend; none of the call.
      expect(clock.timerCount).toBeLessThanOrEqual(4);
    },
  );

  it("runs once when the client goes while the director is at work", async () => {
    let answer = (): void => {};
    const answered = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const results: CallResult[] = [];
    const relay = await scriptedRelay(combo, {
      director: (conn) => async () => {
        await answered;
        return new StreamParameters({ conn }, [], (result) => void results.push(result));
      },
    });
    sendCall(relay.client, false);
    await eventually("the call is here", () => relay.server.openCallCount === 1);
    relay.client.send(frames.rst(1, ErrorCode.CANCEL));
    await eventually("the call is gone", () => relay.server.openCallCount === 0);
    answer();
    await eventually("the finalizer has run", () => results.length === 1);
    expect(results[0]).toMatchObject({ status: Status.CANCELLED, clientGone: true });
    expect(relay.backend.trace.some(({ frame }) => frame.name === "HEADERS")).toBe(false);
  });

  it("does not run when the director refuses", async () => {
    const relay = await scriptedRelay(combo, {
      director: () => () => {
        throw new Error("no");
      },
    });
    relay.client.send(frames.headers(1, request(PATH)), frames.data(1).end());
    expect(statusOf(await relay.client.expectTrailers(1))).toBe(Status.UNKNOWN);
  });

  it("that is at work does not stop a client that still sends", async () => {
    let finish = (): void => {};
    const finished = new Promise<void>((resolve) => {
      finish = resolve;
    });
    let began = false;
    const relay = await scriptedRelay(combo, {
      server: { streamWindowBytes: 65_535 },
      director: (conn) => () =>
        new StreamParameters({ conn }, [], () => {
          began = true;
          return finished;
        }),
    });
    relay.client.send(frames.headers(1, request(PATH)));
    const { streamId } = await relay.backend.expectRequest(PATH);
    relay.backend.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
    await eventually("the finalizer runs", () => began);
    // Four windows.
    await new Upload(relay.client, 1).send(Buffer.alloc(4 * 65_535));
    finish();
    expect(statusOf(await relay.client.expectTrailers(1))).toBe(Status.OK);
  });

  it("that is still at work when the client goes is not run again, and not cut short", async () => {
    let finish = (): void => {};
    const finished = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const log: string[] = [];
    const relay = await scriptedRelay(combo, {
      director: (conn) => () =>
        new StreamParameters({ conn }, [], async () => {
          log.push("begins");
          await finished;
          log.push("ends");
        }),
    });
    relay.client.send(frames.headers(1, request(PATH)), frames.data(1).end());
    const { streamId } = await relay.backend.expectRequest(PATH);
    relay.backend.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
    await eventually("the finalizer runs", () => log.length === 1);
    await relay.client.expectQuiet(1);
    relay.client.send(frames.rst(1, ErrorCode.CANCEL));
    await relay.client.sync();
    finish();
    await eventually("the call is over", () => relay.server.openCallCount === 0);
    expect(log).toEqual(["begins", "ends"]);
  });
});
