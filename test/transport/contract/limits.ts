// Contract: what SETTINGS say on either side, and what the clock ends.

import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../../src/wire/error-code.ts";
import { FakeClock } from "../../support/clock.ts";
import { fieldsOf, frames, request, settingsOf, trailersOnly } from "../../support/frames.ts";
import { ScriptedServer } from "../../support/scripted-endpoints.ts";
import {
  type Contract,
  clientToScript,
  connect,
  open,
  requestFromScript,
  scriptToServer,
  settled,
} from "./harness.ts";

export function limitCases(contract: Contract): void {
  if (!contract.sockets) return;
  describe("SETTINGS and limits", () => limits(contract));
  describe("the clock", () => timeouts(contract));
}

function limits(contract: Contract): void {
  const session = {
    maxConcurrentStreams: 7,
    streamWindowBytes: 99_999,
    maxHeaderListBytes: 20_000,
    headerTableBytes: 1_024,
  };

  it.each(["client", "server"] as const)("of a %s are announced", async (side) => {
    const end = await (side === "client" ? clientToScript : scriptToServer)(contract, { session });
    const frame = end.peer.trace.find(
      (entry) => entry.frame.name === "SETTINGS" && entry.direction === "recv",
    )!.frame;
    const announced = Object.fromEntries(settingsOf(frame));
    expect(announced).toMatchObject({
      INITIAL_WINDOW_SIZE: 99_999,
      MAX_HEADER_LIST_SIZE: 20_000,
      HEADER_TABLE_SIZE: 1_024,
    });
    expect(announced).toMatchObject(
      side === "server" ? { MAX_CONCURRENT_STREAMS: 7 } : { ENABLE_PUSH: 0 },
    );
  });

  it("the server's stream limit raised, lowered and lifted moves availability", async () => {
    const end = await clientToScript(contract, {
      peer: { settings: { MAX_CONCURRENT_STREAMS: 1 } },
    });
    open(end);
    expect(end.session.availableStreamCount).toBe(0);
    end.peer.send(frames.settings({ MAX_CONCURRENT_STREAMS: 3 }));
    await end.events.untilAvailable(2);
    expect(end.session.availableStreamCount).toBe(2);
    open(end);
    end.peer.send(frames.settings({ MAX_CONCURRENT_STREAMS: 0 }));
    await end.peer.sync();
    expect(end.session.availableStreamCount).toBe(0);
    expect(end.session.openStreamCount).toBe(2);
    for (const _ of [1, 2]) await end.peer.expectRequest();
  });

  it("a server that sets no stream limit can be sent many", async () => {
    const end = await clientToScript(contract);
    for (let i = 0; i < 300; i++) {
      expect(end.session.availableStreamCount).toBeGreaterThan(0);
      open(end);
    }
    for (let i = 0; i < 300; i++) await end.peer.expectRequest();
  });

  it("no stream is available while SETTINGS are missing", async () => {
    const backend = await ScriptedServer.listen({ handshake: false, ackSettings: false });
    const end = connect(contract, { address: backend.address });
    const peer = await backend.connection();
    await peer.expectSettings();
    expect([end.session.availableStreamCount, end.events.availableCount]).toEqual([0, 0]);
    peer.send(frames.settings({ MAX_CONCURRENT_STREAMS: 4 }));
    await end.events.untilAvailable();
    expect(end.session.availableStreamCount).toBe(4);
  });

  it("a client above our stream limit never reaches the owner — RFC 9113 §5.1.2", async () => {
    const end = await scriptToServer(contract, { session: { maxConcurrentStreams: 1 } });
    const stream = await requestFromScript(
      end,
      frames.headers(1, request("/a/B")).end(),
      frames.headers(3, request("/a/Beyond")).end(),
    );
    if (contract.weaker.streamLimit === undefined) {
      const code = await end.peer.expectReset(3);
      expect([ErrorCode.REFUSED_STREAM, ErrorCode.PROTOCOL_ERROR]).toContain(code);
      stream.stream.sendHeaders(fieldsOf(trailersOnly(0)), true);
      await end.peer.expectTrailers(1);
    } else {
      await end.peer.expectGoAway();
      expect((await end.events.untilClosed()).kind).toBe("protocol");
    }
    expect(end.events.streams).toHaveLength(1);
  });
}

function timeouts(contract: Contract): void {
  it("ends a connection whose server sends no SETTINGS within connectTimeoutMs", async () => {
    const clock = new FakeClock();
    const backend = await ScriptedServer.listen({ handshake: false });
    const end = connect(contract, { address: backend.address, connectTimeoutMs: 500, clock });
    const peer = await backend.connection();
    await peer.expectSettings();
    clock.advance(496);
    expect(end.events.end).toBeUndefined();
    clock.advance(8);
    expect((await end.events.untilClosed()).kind).toBe("connect");
    await peer.expectClosed();
    expect(clock.timerCount).toBe(0);
  });

  it.each(["client", "server"] as const)(
    "ends a session of a %s whose SETTINGS are not acknowledged",
    async (side) => {
      const clock = new FakeClock();
      const options = {
        session: { clock, settingsTimeoutMs: 1_000 },
        peer: { handshake: false, ackSettings: false },
      };
      const end =
        side === "server"
          ? await scriptToServer(contract, options)
          : await clientToScript(contract, options);
      if (side === "server") end.peer.send(frames.preface());
      end.peer.send(frames.settings());
      await end.peer.expectSettings();
      await end.peer.expectSettingsAck();
      clock.advance(1_008);
      expect(await end.events.untilClosed()).toMatchObject({
        kind: "timeout",
        code: ErrorCode.SETTINGS_TIMEOUT,
      });
      await end.peer.expectGoAway(ErrorCode.SETTINGS_TIMEOUT);
      expect(clock.timerCount).toBe(0);
    },
  );

  it.each(["client", "server"] as const)(
    "a peer of a %s that acknowledges SETTINGS with its first answer after 59 s is waited for",
    async (side) => {
      const clock = new FakeClock();
      const options = { session: { clock }, peer: { ackSettings: false } };
      const end =
        side === "server"
          ? await scriptToServer(contract, options)
          : await clientToScript(contract, options);
      await end.peer.sync();
      clock.advance(59_000);
      await end.peer.sync();
      end.peer.send(frames.settingsAck());
      await end.peer.sync();
      clock.advance(120_000);
      await settled(end.session);
      expect(end.events.end).toBeUndefined();
    },
  );

  it("holds no timer of a session that is over, and none against one that stands", async () => {
    const clock = new FakeClock();
    const end = await clientToScript(contract, { session: { clock } });
    await end.peer.sync();
    clock.advance(60_000);
    await settled(end.session);
    end.session.destroy(ErrorCode.NO_ERROR, "done");
    await end.events.untilClosed();
    expect(clock.timerCount).toBe(0);
  });
}
