// Contract: peers whose connection takes nothing although something waits for them.

import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../../src/wire/error-code.ts";
import { FakeClock } from "../../support/clock.ts";
import { fieldsOf, frames, request, response } from "../../support/frames.ts";
import { eventually } from "../../support/relay-fixture.ts";
import {
  type Contract,
  clientToScript,
  open,
  requestFromScript,
  scriptToServer,
} from "./harness.ts";

/** More than the system takes for a peer that does not read. */
const MUCH = Buffer.alloc(24 * 1024 * 1024);
const WINDOW = 0x7fffffff;
/** Less than node:http2 takes unasked. */
const MESSAGE = 1_000;
const TIMEOUT_MS = 8_000;
/** A little more than the time between two looks. */
const LOOK_MS = 1_004;

export function stallCases(contract: Contract): void {
  describe("a peer that stalls", () => {
    /** Either side of the transport, with much to send to a script that has a window for it. */
    async function sending(side: string, stallTimeoutMs = TIMEOUT_MS, window = WINDOW) {
      const clock = new FakeClock();
      const options = {
        session: { clock, stallTimeoutMs },
        // Otherwise PING would find the peer sooner.
        connect: { keepalive: { timeoutMs: Number.POSITIVE_INFINITY } },
        peer: { settings: { INITIAL_WINDOW_SIZE: window } },
      };
      if (side === "client") {
        const end = await clientToScript(contract, options);
        const stream = open(end).stream;
        end.peer.send(frames.windowUpdate(0, WINDOW - 65_535));
        await end.peer.expectRequest();
        return { clock, ...end, stream };
      }
      const end = await scriptToServer(contract, options);
      end.peer.send(frames.windowUpdate(0, WINDOW - 65_535));
      const { stream } = await requestFromScript(end, frames.headers(1, request("/a/B")));
      stream.sendHeaders(fieldsOf(response()), false);
      return { clock, ...end, stream };
    }

    /**
     * Either side, towards a script that gives streams this much window, and the connection no more
     * than each has at first.
     */
    async function starving(side: string, window = 0) {
      const streamStallTimeoutMs = TIMEOUT_MS;
      const clock = new FakeClock();
      const options = {
        session: { clock, streamStallTimeoutMs },
        connect: { keepalive: { timeoutMs: Number.POSITIVE_INFINITY } },
        peer: { settings: { INITIAL_WINDOW_SIZE: window } },
      };
      if (side === "client") {
        const end = await clientToScript(contract, options);
        const stream = open(end);
        await end.peer.expectRequest();
        return { clock, ...end, stream };
      }
      const end = await scriptToServer(contract, options);
      const stream = await requestFromScript(end, frames.headers(1, request("/a/B")));
      stream.stream.sendHeaders(fieldsOf(response()), false);
      await end.peer.expectHeaders(1);
      return { clock, ...end, stream };
    }

    /** So many times between two looks go by. */
    async function ticks(clock: FakeClock, count: number): Promise<void> {
      for (let look = 0; look < count; look++) {
        clock.advance(LOOK_MS);
        await new Promise((resolve) => setImmediate(resolve));
      }
    }

    describe.each(["client", "server"])("towards a %s under test", (side) => {
      it("is left when it reads nothing for stallTimeoutMs", async () => {
        const { clock, events, peer, stream } = await sending(side);
        peer.pauseReading();
        stream.sendData(MUCH, false);
        await eventually("it is left", () => {
          clock.advance(LOOK_MS);
          return events.end !== undefined;
        });
        const code = ErrorCode.ENHANCE_YOUR_CALM;
        expect(events.end).toMatchObject({ kind: "timeout", code });
        expect(events.end?.message).toContain(" took nothing of what waits for it");
        const limit = { name: "stallTimeoutMs", value: TIMEOUT_MS };
        const rule = "took nothing of what waits for it";
        expect(events.refusals).toEqual([{ scope: "connection", streamId: 0, rule, limit }]);
        expect(clock.timerCount).toBe(0);
      });

      it("is not left while it reads", async () => {
        const { clock, events, peer, stream } = await sending(side);
        peer.pauseReading();
        stream.sendData(MUCH, false);
        const before = peer.socket.bytesRead;
        await eventually("it has read all", () => {
          clock.advance(LOOK_MS / 4);
          peer.resumeReading();
          return peer.socket.bytesRead - before >= MUCH.length;
        });
        expect([events.end, events.refusals]).toEqual([undefined, []]);
      });

      it("is not left while it reads the connection and gives a stream no window", async () => {
        const { clock, events, session, stream } = await sending(side, TIMEOUT_MS, 0);
        stream.sendData(Buffer.alloc(1_000), false);
        for (let look = 0; look < 20; look++) {
          clock.advance(LOOK_MS);
          await new Promise((resolve) => setImmediate(resolve));
        }
        expect([events.end, events.refusals]).toEqual([undefined, []]);
        expect(session.openStreamCount).toBe(1);
      });

      it("gets no window for ever, unless streamStallTimeoutMs says otherwise", async () => {
        const { clock, events, peer, session, stream } = await starving(side);
        stream.stream.sendData(Buffer.alloc(MESSAGE), false);
        await ticks(clock, 7);
        expect(events.refusals).toEqual([]);
        await ticks(clock, 3);
        const code = ErrorCode.ENHANCE_YOUR_CALM;
        const streamId = 1;
        const reason = "gave no room to what waits for it on stream 1";
        const end = { kind: "stalled", code, unprocessed: false, reason };
        expect(await stream.untilReset()).toMatchObject(end);
        const limit = { name: "streamStallTimeoutMs", value: TIMEOUT_MS };
        const rule = "gave no room to what waits for it";
        expect(events.refusals).toEqual([{ scope: "stream", streamId, rule, limit }]);
        await peer.expectReset(1, code);
        await peer.sync();
        expect([events.end, session.openStreamCount]).toEqual([undefined, 0]);
      });

      it("gets no window of the connection for ever either", async () => {
        const { clock, peer, stream } = await starving(side, WINDOW);
        stream.stream.sendData(Buffer.alloc(65_535 + MESSAGE), false);
        await ticks(clock, 11);
        expect(await stream.untilReset()).toMatchObject({ kind: "stalled" });
        await peer.expectReset(1, ErrorCode.ENHANCE_YOUR_CALM, { skip: ["DATA"] });
      });

      it("keeps a stream to which it gives a little window now and then", async () => {
        const { clock, events, peer, session, stream } = await starving(side);
        for (let given = 0; given < 3; given++) {
          stream.stream.sendData(Buffer.alloc(MESSAGE), false);
          await ticks(clock, 6);
          peer.send(frames.windowUpdate(1, MESSAGE));
          await peer.expectData(1);
        }
        // And one on which nothing waits.
        await ticks(clock, 12);
        expect([events.end, events.refusals]).toEqual([undefined, []]);
        expect(session.openStreamCount).toBe(1);
      });

      it("leaves no watch behind when it goes", async () => {
        const { clock, events, peer, stream } = await starving(side);
        stream.stream.sendData(Buffer.alloc(MESSAGE), false);
        await ticks(clock, 2);
        peer.destroy();
        await events.untilClosed();
        expect(clock.timerCount).toBe(0);
      });

      it("is never left when stallTimeoutMs is Infinity", async () => {
        const { clock, events, peer, stream } = await sending(side, Number.POSITIVE_INFINITY);
        peer.pauseReading();
        stream.sendData(MUCH, false);
        for (let look = 0; look < 20; look++) {
          clock.advance(LOOK_MS);
          await new Promise((resolve) => setImmediate(resolve));
        }
        expect([events.end, events.refusals]).toEqual([undefined, []]);
        peer.destroy();
        await events.untilClosed();
      });
    });
  });
}
