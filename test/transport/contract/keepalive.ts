// Contract: how a client session finds a server that is gone although its connection stands.

import { describe, expect, it } from "vitest";
import type { KeepaliveOptions, ServerKeepaliveOptions } from "../../../src/transport/keepalive.ts";
import { ErrorCode } from "../../../src/wire/error-code.ts";
import { FakeClock } from "../../support/clock.ts";
import {
  ACK,
  fieldsOf,
  frames,
  message,
  request,
  response,
  trailersOnly,
} from "../../support/frames.ts";
import type { StreamRecorder } from "../../support/recorder.ts";
import type { ScriptedPeer } from "../../support/scripted-peer.ts";
import {
  type Contract,
  clientToScript,
  open,
  requestFromScript,
  scriptToServer,
  settled,
} from "./harness.ts";

/** Turns of the event loop: whatever was to be done for what has happened is done then. */
async function turns(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
}

export function keepaliveCases(contract: Contract): void {
  /** A session with nothing on its way. Its server does not answer PING any more. */
  async function standing(clock: FakeClock, keepalive?: KeepaliveOptions) {
    const connect = keepalive === undefined ? {} : { keepalive };
    const end = await clientToScript(contract, { session: { clock }, connect });
    await settled(end.session);
    const before = pingsOf(end.peer);
    for (let i = 0; i < before; i++) await end.peer.recv("PING");
    end.peer.ackPings = false;
    return { ...end, asked: () => pingsOf(end.peer) - before };
  }

  /** The same with a call that its server has got. */
  async function unanswered(clock: FakeClock, keepalive?: KeepaliveOptions) {
    const end = await standing(clock, keepalive);
    const call = open(end);
    await end.peer.expectRequest();
    return { ...end, call };
  }

  /** The same with a call that has been answered, and goes on. */
  async function idle(clock: FakeClock, keepalive?: KeepaliveOptions) {
    const end = await unanswered(clock, keepalive);
    end.peer.send(frames.headers(1, response()));
    await end.call.untilHeaders();
    return end;
  }

  async function expectLost(
    end: Awaited<ReturnType<typeof standing>>,
    clock: FakeClock,
    call?: StreamRecorder,
  ): Promise<void> {
    if (call !== undefined) {
      expect(await call.untilReset()).toMatchObject({
        kind: "session",
        unprocessed: false,
        reason: "did not answer PING",
      });
    }
    expect(await end.events.untilClosed()).toMatchObject({
      kind: "timeout",
      code: ErrorCode.NO_ERROR,
      message: expect.stringContaining("did not answer PING"),
    });
    await end.peer.expectClosed();
    expect(clock.timerCount).toBe(0);
  }

  describe("a client session whose server is silent", () => {
    it("asks it by PING 5 s after a request, and is lost 5 s later", async () => {
      const clock = new FakeClock();
      const end = await unanswered(clock);
      clock.advance(4_996);
      await turns();
      expect(end.asked()).toBe(0);
      clock.advance(4);
      await end.peer.recv("PING");
      clock.advance(4_996);
      await turns();
      expect(end.call.reset).toBeUndefined();
      clock.advance(4);
      await expectLost(end, clock, end.call);
    });

    it("asks it 5 s after DATA on a call that is answered", async () => {
      const clock = new FakeClock();
      const end = await idle(clock);
      clock.advance(100_000);
      end.call.stream.sendData(message("abc"), false);
      await end.peer.expectData(1);
      clock.advance(4_000);
      await turns();
      expect(end.asked()).toBe(0);
      clock.advance(1_000);
      await end.peer.recv("PING");
      clock.advance(5_000);
      await expectLost(end, clock, end.call);
    });

    it("stands and does not ask again soon when the PING is answered, and nothing else", async () => {
      const clock = new FakeClock();
      const end = await unanswered(clock);
      end.peer.ackPings = true;
      clock.advance(5_000);
      await end.peer.recv("PING");
      await end.peer.sync();
      clock.advance(300_000);
      await end.peer.sync();
      expect(end.asked()).toBe(1);
      end.peer.send(frames.headers(1, trailersOnly(0)).end());
      await end.call.untilEnded();
      expect(end.session.accepting).toBe(true);
    });

    it("is not asked in 5 minutes when something of the answer has come", async () => {
      const clock = new FakeClock();
      const end = await idle(clock);
      clock.advance(300_000);
      await end.peer.sync();
      expect(end.asked()).toBe(0);
      expect(end.session.accepting).toBe(true);
    });

    it("is found within interval and timeout while a call waits for nothing in particular", async () => {
      const clock = new FakeClock();
      const end = await idle(clock, { intervalMs: 10_000, timeoutMs: 2_000 });
      clock.advance(10_500);
      await end.peer.recv("PING");
      clock.advance(1_900);
      await turns();
      expect(end.call.reset).toBeUndefined();
      clock.advance(100);
      await expectLost(end, clock, end.call);
    });

    it("is asked again after each interval in which nothing came", async () => {
      const clock = new FakeClock();
      const end = await idle(clock, { intervalMs: 10_000 });
      end.peer.ackPings = true;
      for (let i = 1; i <= 3; i++) {
        clock.advance(10_500);
        await end.peer.recv("PING");
        await end.peer.sync();
        expect(end.asked()).toBe(i);
      }
      expect(end.session.accepting).toBe(true);
    });

    it("is left in peace without calls", async () => {
      const clock = new FakeClock();
      const end = await standing(clock, { intervalMs: 1_000 });
      clock.advance(1_000_000);
      await turns();
      await end.peer.sync();
      expect(end.asked()).toBe(0);
      expect(clock.timerCount).toBe(0);
    });

    it("is found without calls where that is asked for", async () => {
      const clock = new FakeClock();
      const end = await standing(clock, { intervalMs: 10_000, withoutCalls: true });
      clock.advance(10_500);
      await end.peer.recv("PING");
      clock.advance(20_000);
      await expectLost(end, clock);
    });

    it("is asked together with a call that begins after the interval", async () => {
      const clock = new FakeClock();
      const end = await idle(clock, { intervalMs: 60_000 });
      end.peer.send(frames.headers(1, [["grpc-status", "0"]]).end());
      await end.call.untilEnded();
      clock.advance(65_000);
      const call = open(end);
      await end.peer.recv("PING");
      clock.advance(10_000);
      await expectLost(end, clock, call);
    });

    it("is found while the session drains", async () => {
      const clock = new FakeClock();
      const end = await unanswered(clock);
      end.session.drain();
      clock.advance(5_000);
      await end.peer.recv("PING");
      clock.advance(5_000);
      await expectLost(end, clock, end.call);
    });

    it("is found after its GOAWAY", async () => {
      const clock = new FakeClock();
      const end = await unanswered(clock);
      end.peer.send(frames.goaway(1, 0));
      await end.events.untilGoAway();
      clock.advance(5_000);
      if (contract.weaker.goAwayPing !== undefined) {
        await turns();
        expect(end.asked()).toBe(0);
        return;
      }
      await end.peer.recv("PING");
      clock.advance(5_000);
      await expectLost(end, clock, end.call);
    });

    it("is not lost when its answer came while the process was busy", async () => {
      const clock = new FakeClock();
      const end = await unanswered(clock);
      end.peer.ackPings = true;
      clock.advance(5_000);
      await end.peer.recv("PING");
      // The acknowledgement is in the socket, and nobody has read it.
      clock.advance(5_000);
      await end.peer.sync();
      expect(end.call.reset).toBeUndefined();
      expect(end.session.accepting).toBe(true);
    });
  });

  it("a session that is over keeps no timer, whatever its owner still sends", async () => {
    const clock = new FakeClock();
    const end = await idle(clock);
    end.peer.destroy();
    await end.events.untilClosed();
    end.call.stream.sendData(message("abc"), false);
    await turns();
    expect(clock.timerCount).toBe(0);
  });
}

function pingsOf(peer: ScriptedPeer): number {
  return peer.received(0, "PING").filter((frame) => !frame.has(ACK)).length;
}

/** Contract: how a server session finds a client that is gone, and bounds what it asks. */
export function serverKeepaliveCases(contract: Contract): void {
  async function accepted(clock: FakeClock, keepalive?: ServerKeepaliveOptions) {
    const listen = keepalive === undefined ? {} : { keepalive };
    const end = await scriptToServer(contract, { session: { clock }, listen });
    await settled(end.session);
    for (let i = pingsOf(end.peer); i > 0; i--) await end.peer.recv("PING");
    end.peer.ackPings = false;
    return end;
  }

  describe("a server session whose client is silent", () => {
    it("asks it by PING after the interval, without calls, and is lost after the timeout", async () => {
      const clock = new FakeClock();
      const end = await accepted(clock, { intervalMs: 10_000, timeoutMs: 2_000 });
      clock.advance(10_500);
      await end.peer.recv("PING");
      clock.advance(1_900);
      await turns();
      expect(end.events.end).toBeUndefined();
      clock.advance(100);
      expect(await end.events.untilClosed()).toMatchObject({
        kind: "timeout",
        message: expect.stringContaining("did not answer PING"),
      });
      await end.peer.expectClosed();
      expect(clock.timerCount).toBe(0);
    });

    it("asks it after two hours by default, and lets it stand when it answers", async () => {
      const clock = new FakeClock();
      const end = await accepted(clock);
      end.peer.ackPings = true;
      const before = pingsOf(end.peer);
      clock.advance(7_199_000);
      await end.peer.sync();
      expect(pingsOf(end.peer)).toBe(before);
      clock.advance(7_320_000);
      await end.peer.recv("PING");
      await end.peer.sync();
      clock.advance(100_000);
      await turns();
      expect(end.session.accepting).toBe(true);
    });

    it("is left in peace with an interval of Infinity", async () => {
      const clock = new FakeClock();
      const end = await accepted(clock, { intervalMs: Number.POSITIVE_INFINITY });
      const before = pingsOf(end.peer);
      clock.advance(1_000_000_000);
      await end.peer.sync();
      expect(pingsOf(end.peer)).toBe(before);
      expect(clock.timerCount).toBe(0);
    });
  });

  describe("a server session whose client asks", () => {
    it("more often than it may goes away with too_many_pings at the third time", async () => {
      const clock = new FakeClock();
      const end = await accepted(clock, { minPingIntervalMs: 60_000 });
      for (let i = 0; i < 3; i++) await end.peer.sync();
      expect(end.session.accepting).toBe(true);
      end.peer.send(frames.ping("12345678"));
      const goAway = await end.peer.expectGoAway(ErrorCode.ENHANCE_YOUR_CALM);
      expect(goAway.debug).toBe("too_many_pings");
      expect(await end.events.untilClosed()).toMatchObject({
        kind: "protocol",
        code: ErrorCode.ENHANCE_YOUR_CALM,
      });
      await end.peer.expectClosed();
      expect(end.events.refusals).toMatchObject([{ scope: "connection", rule: "too_many_pings" }]);
    });

    it("as often as it may stands", async () => {
      const clock = new FakeClock();
      const end = await accepted(clock, { minPingIntervalMs: 60_000 });
      for (let i = 0; i < 10; i++) {
        clock.advance(60_000);
        await end.peer.sync();
      }
      expect(end.session.accepting).toBe(true);
    });

    it("may ask again after each HEADERS and DATA that it is sent", async () => {
      const clock = new FakeClock();
      const end = await accepted(clock, { minPingIntervalMs: 60_000 });
      const call = await requestFromScript(end, frames.headers(1, request("/a/B")));
      const sends = [
        () => call.stream.sendHeaders(fieldsOf(response()), false),
        () => call.stream.sendData(message("abc"), false),
        () => call.stream.sendData(message("abc"), false),
        () => call.stream.sendTrailers(fieldsOf([["grpc-status", "0"]])),
      ];
      for (const send of sends) {
        for (let i = 0; i < 3; i++) await end.peer.sync();
        send();
        await turns();
      }
      for (let i = 0; i < 3; i++) await end.peer.sync();
      expect(end.session.accepting).toBe(true);
    });

    it("as often as it likes stands by default", async () => {
      const end = await accepted(new FakeClock());
      for (let i = 0; i < 50; i++) await end.peer.sync();
      expect(end.session.accepting).toBe(true);
    });

    it("too often when it is over already is not told twice", async () => {
      const clock = new FakeClock();
      const end = await accepted(clock, { minPingIntervalMs: 60_000 });
      const pings = Array.from({ length: 9 }, () => frames.ping("12345678"));
      end.peer.send(...pings);
      await end.events.untilClosed();
      expect(end.events.refusals).toHaveLength(1);
    });
  });
}
