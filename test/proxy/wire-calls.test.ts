// What a correct proxy says on the wire, continued: deadlines, compression, broken metadata, floods of cancels (checks 11 to 15).

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { ErrorReason } from "../../src/grpc/error.ts";
import { Metadata } from "../../src/grpc/metadata.ts";
import { Status } from "../../src/grpc/status.ts";
import { StreamParameters } from "../../src/proxy/director.ts";
import type { CallResult } from "../../src/proxy/results.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { fieldValue, HeaderField, type HeaderList } from "../../src/wire/field.ts";
import { FakeClock } from "../support/clock.ts";
import { transportCombos } from "../support/combos.ts";
import { frames, message, request, response, trailers, trailersOnly } from "../support/frames.ts";
import { eventually, type ScriptedRelay, scriptedRelay } from "../support/relay-fixture.ts";
import { ScriptedClient } from "../support/scripted-endpoints.ts";

const PATH = "/test.Service/Method";

function statusOf(fields: HeaderList): number {
  return Number(fieldValue(fields, "grpc-status"));
}

describe.each(transportCombos)("on the wire, server on $server, client on $client", (combo) => {
  it("11. a thousand cancels at once do not kill the backend's connection, which other calls use", async () => {
    const { address, server, backend, client, conn } = await scriptedRelay(combo);
    client.send(frames.headers(1, request(PATH)), frames.data(1, message("stays")));
    const sibling = await backend.expectRequest(PATH);
    // Node's HTTP/2 takes 1,000 resets from one client connection before it drops that; the cancels come over four.
    const CONNECTIONS = 4;
    const CALLS = 250;
    for (let n = 0; n < CONNECTIONS; n++) {
      const canceller = await ScriptedClient.connect(address);
      for (let i = 0; i < CALLS; i++) {
        const id = 2 * i + 1;
        canceller.send(frames.headers(id, request(PATH)), frames.data(id, message("x")));
      }
      await eventually("all are under way", () => conn.openStreamCount === 1 + CALLS);
      for (let i = 0; i < CALLS; i++) canceller.send(frames.rst(2 * i + 1, ErrorCode.CANCEL));
      await eventually("all are cancelled", () => server.openCallCount === 1);
    }
    await eventually("all are reset", () => conn.openStreamCount === 1);
    await backend.sync();
    const resets = backend.trace.filter(
      ({ direction, frame }) => direction === "recv" && frame.name === "RST_STREAM",
    );
    expect(resets).toHaveLength(CONNECTIONS * CALLS);
    expect(resets.every(({ frame }) => frame.errorCode === ErrorCode.CANCEL)).toBe(true);
    expect(backend.closed).toBe(false);
    backend.send(frames.headers(sibling.streamId, trailersOnly(0), { endStream: true }));
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
  });

  it("12. metadata from the director that cannot be sent fails its own call and no other", async () => {
    const { client, backend } = await scriptedRelay(combo, {
      director: (conn) => (ctx) => {
        const broken = Metadata.fromFields([new HeaderField("bad name", "x")]);
        return new StreamParameters(
          ctx.metadata.has("x-break") ? { conn, ctx: ctx.withMetadata(broken) } : { conn },
        );
      },
    });
    client.send(frames.headers(1, request(PATH)), frames.data(1, message("stays")).end());
    const sibling = await backend.expectRequest(PATH);
    client.send(frames.headers(3, request(PATH, ["x-break", "1"])), frames.data(3).end());
    const refused = await client.expectTrailers(3);
    expect(statusOf(refused)).toBe(Status.INTERNAL);
    expect(fieldValue(refused, "grpc-message")).toContain("bad name");
    backend.send(frames.headers(sibling.streamId, trailersOnly(0), { endStream: true }));
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
    expect(backend.closed).toBe(false);
  });

  describe("13. grpc-timeout", () => {
    it("is what remains when the request goes on, not what the client wrote", async () => {
      const clock = new FakeClock();
      let answer = (): void => {};
      const answered = new Promise<void>((resolve) => {
        answer = resolve;
      });
      const { client, backend, server } = await scriptedRelay(combo, {
        clock,
        director: (conn) => async () => {
          await answered;
          return new StreamParameters({ conn });
        },
      });
      client.send(frames.headers(1, request(PATH, ["grpc-timeout", "2S"])), frames.data(1).end());
      await eventually("the call is here", () => server.openCallCount === 1);
      clock.advance(500);
      answer();
      const { streamId, fields } = await backend.expectRequest(PATH);
      expect(fieldValue(fields, "grpc-timeout")).toMatch(/^1500000u$|^1500m$/);
      backend.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
      await client.expectTrailers(1);
    });

    it("is not sent when the client sets none", async () => {
      const { client, backend } = await scriptedRelay(combo);
      client.send(frames.headers(1, request(PATH)), frames.data(1).end());
      const { streamId, fields } = await backend.expectRequest(PATH);
      expect(fieldValue(fields, "grpc-timeout")).toBeUndefined();
      backend.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
      await client.expectTrailers(1);
    });

    it("is the shorter one when call options set one, too", async () => {
      const clock = new FakeClock();
      const { client, backend } = await scriptedRelay(combo, {
        clock,
        director: (conn) => () => new StreamParameters({ conn }, [], undefined, { timeoutMs: 400 }),
      });
      client.send(frames.headers(1, request(PATH, ["grpc-timeout", "2S"])), frames.data(1).end());
      const { streamId, fields } = await backend.expectRequest(PATH);
      expect(fieldValue(fields, "grpc-timeout")).toMatch(/^400000u$|^400m$/);
      clock.advance(404);
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.DEADLINE_EXCEEDED);
      await backend.expectReset(streamId, ErrorCode.CANCEL, { skip: ["DATA"] });
    });

    it("of 99999999H is no limit that overflows", async () => {
      const { client, backend } = await scriptedRelay(combo);
      client.send(
        frames.headers(1, request(PATH, ["grpc-timeout", "99999999H"])),
        frames.data(1).end(),
      );
      const { streamId, fields } = await backend.expectRequest(PATH);
      expect(fieldValue(fields, "grpc-timeout")).toMatch(/^[0-9]{1,8}H$/);
      backend.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
    });
  });

  describe("14. compressed messages", () => {
    const packed = gzipSync("compressed payload");
    const gzip: [string, string] = ["grpc-encoding", "gzip"];

    it("pass untouched both ways, flag and encoding included", async () => {
      const { client, backend } = await scriptedRelay(combo);
      const wire = message(packed, { compressed: true });
      client.send(frames.headers(1, request(PATH, gzip)), frames.data(1, wire).end());
      const { streamId, fields } = await backend.expectRequest(PATH);
      expect(fieldValue(fields, "grpc-encoding")).toBe("gzip");
      expect(await backend.expectBody(streamId)).toEqual(wire);
      backend.send(frames.headers(streamId, response(gzip)), frames.data(streamId, wire));
      backend.send(frames.headers(streamId, trailers(), { endStream: true }));
      expect(fieldValue(await client.expectHeaders(1), "grpc-encoding")).toBe("gzip");
      expect(await client.expectBytes(1, wire.length)).toEqual(wire);
      await client.expectTrailers(1);
    });

    it("are shown decompressed to a director, and go on as they came", async () => {
      const peeked: string[] = [];
      const { client, backend } = await scriptedRelay(combo, {
        director: (conn) => async (_ctx, _method, peeker) => {
          peeked.push((await peeker.peek()).toString());
          return new StreamParameters({ conn });
        },
      });
      const wire = message(packed, { compressed: true });
      client.send(frames.headers(1, request(PATH, gzip)), frames.data(1, wire).end());
      const { streamId } = await backend.expectRequest(PATH);
      expect(await backend.expectBody(streamId)).toEqual(wire);
      expect(peeked).toEqual(["compressed payload"]);
      backend.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
      await client.expectTrailers(1);
    });

    it("that are rewritten go out uncompressed and say so, the ones behind untouched", async () => {
      const { client, backend } = await scriptedRelay(combo, {
        director: (conn) => async (_ctx, _method, peeker) => {
          const first = await peeker.peek();
          return new StreamParameters({ conn, message: Buffer.from(`${first}!`) });
        },
      });
      const wire = message(packed, { compressed: true });
      client.send(frames.headers(1, request(PATH, gzip)));
      client.send(frames.data(1, Buffer.concat([wire, wire])).end());
      const { streamId, fields } = await backend.expectRequest(PATH);
      expect(fieldValue(fields, "grpc-encoding")).toBe("gzip");
      expect(await backend.expectBody(streamId)).toEqual(
        Buffer.concat([message("compressed payload!"), wire]),
      );
      backend.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
      await client.expectTrailers(1);
    });
  });

  it("15. the heap returns to where it was after thousands of calls that ended in every way", async () => {
    setFlagsFromString("--expose-gc");
    const collectGarbage = runInNewContext("gc") as () => void;
    const clock = new FakeClock();
    const relay = await scriptedRelay(combo, { clock });
    const { server, conn, address } = relay;
    const heapBytes = (): number => {
      collectGarbage();
      return process.memoryUsage().heapUsed;
    };
    // Node's HTTP/2 takes 1,000 resets from one client connection before it drops that, so every round is a connection.
    const round = async (): Promise<void> => {
      const client = await ScriptedClient.connect(address, { refillWindows: true });
      for (let i = 0; i < 900; i++) {
        const id = 2 * i + 1;
        const ending = i % 6;
        const timeout: [string, string][] = ending === 3 ? [["grpc-timeout", "1S"]] : [];
        client.send(frames.headers(id, request(PATH, ...timeout)), frames.data(id, message("abc")));
        const { streamId } = await relay.backend.expectRequest(PATH);
        if (ending === 0 || ending === 1) {
          client.send(frames.data(id).end());
          relay.backend.send(
            frames.headers(streamId, trailersOnly(ending === 0 ? 0 : 5), { endStream: true }),
          );
          await client.expectTrailers(id);
        } else if (ending === 2) {
          client.send(frames.rst(id, ErrorCode.CANCEL));
          await relay.backend.expectReset(streamId, ErrorCode.CANCEL, { skip: ["DATA"] });
        } else if (ending === 3) {
          clock.advance(1_004);
          expect(statusOf(await client.expectTrailers(id))).toBe(Status.DEADLINE_EXCEEDED);
        } else if (ending === 4) {
          relay.backend.send(frames.rst(streamId, ErrorCode.INTERNAL_ERROR));
          expect(statusOf(await client.expectTrailers(id))).toBe(Status.INTERNAL);
        }
        // What the scripted peers remember is not the relay's.
        relay.backend.trace.length = 0;
        client.trace.length = 0;
      }
      // The last kind: the client's connection goes with 150 calls on it.
      client.destroy();
      await eventually("no call is left", () => server.openCallCount === 0);
      await eventually("no stream is left", () => conn.openStreamCount === 0);
    };
    await round();
    await round();
    const before = heapBytes();
    for (let i = 0; i < 6; i++) await round();
    const grownBytes = heapBytes() - before;
    // One call that stays holds kilobytes; were it one kind in six, that would be twice this.
    expect(grownBytes).toBeLessThan(1024 * 1024);
    expect(server.sessionCount).toBe(1);
  });
});

describe.each(transportCombos)(
  "10. the finalizer, server on $server, client on $client",
  (combo) => {
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
        expect(clock.timerCount).toBeLessThanOrEqual(2);
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
      relay.client.send(frames.headers(1, request(PATH)), frames.data(1, message("abc")));
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
  },
);
