// Contract: the life of a session apart from GOAWAY: availability, PING, the loss of the
// connection, destroy.

import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../../src/wire/error-code.ts";
import { FakeClock } from "../../support/clock.ts";
import {
  fieldsOf,
  frames,
  message,
  request,
  response,
  trailersOnly,
} from "../../support/frames.ts";
import {
  type Contract,
  clientToScript,
  connect,
  loopback,
  open,
  requestFromScript,
  scriptToServer,
  settled,
} from "./harness.ts";

export function sessionCases(contract: Contract): void {
  describe("a session", () => {
    it("has no streams available before the server's SETTINGS, its limit after, and counts down", async () => {
      const pair = await loopback(contract, { session: { maxConcurrentStreams: 2 } });
      const { client } = pair;
      expect(client.session.availableStreamCount).toBe(2);
      const first = await pair.call();
      expect(client.session.availableStreamCount).toBe(1);
      await pair.call();
      expect([client.session.availableStreamCount, client.session.openStreamCount]).toEqual([0, 2]);
      expect(pair.server.session.openStreamCount).toBe(2);
      expect(client.events.availableCount).toBe(1);
      first.client.stream.sendData(message("abc"), true);
      await first.server.untilEnded();
      first.server.stream.sendHeaders(fieldsOf(trailersOnly(0)), true);
      await client.events.untilAvailable(2);
      expect(client.session.availableStreamCount).toBe(1);
      await pair.call();
    });

    it("tells onAvailable only when the count rises from 0", async () => {
      const pair = await loopback(contract, { session: { maxConcurrentStreams: 5 } });
      for (const call of [await pair.call(), await pair.call()]) {
        call.server.stream.reset(ErrorCode.REFUSED_STREAM);
        await call.client.untilReset();
      }
      await settled(pair.client.session);
      expect(pair.client.events.availableCount).toBe(1);
    });

    it("gives streams odd numbers from 1, each with its session", async () => {
      const pair = await loopback(contract);
      const calls = [await pair.call(), await pair.call(), await pair.call()];
      expect(calls.map(({ client }) => client.stream.id)).toEqual([1, 3, 5]);
      expect(calls.map(({ server }) => server.stream.id)).toEqual([1, 3, 5]);
      expect(calls[0]?.client.stream.session.openStreamCount).toBe(3);
    });

    it("knows the time of what it tells", async () => {
      const clock = new FakeClock();
      const pair = await loopback(contract, { session: { clock } });
      const before = (await pair.call()).server.stream.session;
      expect(before.nowMs).toBe(clock.nowMs());
      clock.advance(1_234);
      const after = (await pair.call()).server.stream.session;
      expect(after).toBe(before);
      expect(after.nowMs).toBe(clock.nowMs());
    });

    it("runs the callback of every PING once it is acknowledged, on both sides", async () => {
      const pair = await loopback(contract);
      await Promise.all([
        settled(pair.client.session),
        settled(pair.client.session),
        settled(pair.server.session),
      ]);
    });

    it.each(["client", "server"] as const)(
      "that the %s destroys ends all its streams, then itself, once",
      async (side) => {
        const pair = await loopback(contract);
        const other = side === "client" ? "server" : "client";
        const calls = [await pair.call(), await pair.call()];
        calls[0]?.client.stream.sendData(Buffer.alloc(500_000), false);
        pair[side].session.destroy(ErrorCode.INTERNAL_ERROR, "broken beyond repair");
        pair[side].session.destroy(ErrorCode.NO_ERROR, "again");
        expect(pair[side].session.accepting).toBe(false);
        expect(await pair[side].events.untilClosed()).toMatchObject({
          kind: "destroyed",
          code: ErrorCode.INTERNAL_ERROR,
          message: expect.stringContaining("broken beyond repair"),
        });
        for (const call of calls) {
          expect(call[side].reset).toMatchObject({ kind: "session", unprocessed: false });
          expect((await call[other].untilReset()).kind).toMatch(/^(goaway|session|reset)$/);
          expect(call[other].ended).toBe(false);
        }
        expect((await pair[other].events.untilClosed()).kind).toMatch(/^(goaway|socket)$/);
        pair[side].session.ping(() => expect.unreachable("a PING of a dead session"));
        pair[side].session.drain();
      },
    );

    it("that nobody listens for is told as kind connect", async () => {
      const address = (await loopback(contract)).listener.address;
      const other = await loopback(contract);
      await other.listener.close();
      const refused = connect(contract, { address: other.listener.address });
      expect([refused.session.accepting, refused.session.availableStreamCount]).toEqual([false, 0]);
      const end = await refused.events.untilClosed();
      expect(end.kind).toBe("connect");
      expect(end.message).toContain("127.0.0.1:");
      expect(refused.events.log).toHaveLength(1);
      expect(address).not.toEqual(other.listener.address);
    });

    it("destroyed before it is connected is told once", async () => {
      const { listener } = await loopback(contract);
      const end = connect(contract, { address: listener.address });
      end.session.destroy(ErrorCode.NO_ERROR, "changed my mind");
      expect((await end.events.untilClosed()).kind).toBe("destroyed");
      expect(end.events.log).toEqual(["closed(destroyed, NO_ERROR)"]);
    });

    it("drained before it is connected ends without ever being available", async () => {
      const { listener } = await loopback(contract);
      const end = connect(contract, { address: listener.address });
      end.session.drain();
      await end.events.untilClosed();
      expect(end.events.availableCount).toBe(0);
    });

    it("outlives the listener it came from, which takes no more", async () => {
      const pair = await loopback(contract);
      await pair.listener.close();
      await pair.call();
      const late = connect(contract, { address: pair.listener.address });
      expect((await late.events.untilClosed()).kind).toBe("connect");
    });

    it("knows both addresses", async () => {
      const pair = await loopback(contract);
      const address = pair.listener.address as { port: number };
      expect(pair.client.session.peer.remoteAddress).toBe(`127.0.0.1:${address.port}`);
      expect(pair.server.session.peer.localAddress).toBe(`127.0.0.1:${address.port}`);
      expect(pair.client.session.peer.localAddress).toBe(pair.server.session.peer.remoteAddress);
      expect(pair.client.session.peer.tls).toBeUndefined();
    });
  });

  if (!contract.sockets) return;
  describe("the loss of a connection", () => losses(contract));
}

function losses(contract: Contract): void {
  it.each(["reset", "FIN"])("by %s ends all streams of a client, then the session", async (how) => {
    const end = await clientToScript(contract);
    const streams = [open(end), open(end), open(end)];
    for (const _ of streams) await end.peer.expectRequest();
    end.peer.send(frames.headers(3, response()), frames.data(3, message("abc")));
    await streams[1]?.untilBytes(8);
    if (how === "FIN") end.peer.end();
    else end.peer.destroy();
    expect(await end.events.untilClosed()).toMatchObject({ kind: "socket" });
    for (const stream of streams)
      expect(stream.reset).toMatchObject({ kind: "session", unprocessed: false });
    expect(streams[1]?.outline).toEqual(["headers", "data(8)", expect.stringMatching(/^reset/)]);
    await end.events.untilClosed();
  });

  it.each(["reset", "FIN"])("by %s ends all streams of a server, then the session", async (how) => {
    const end = await scriptToServer(contract);
    end.peer.send(frames.headers(1, request("/a/B")), frames.headers(3, request("/a/B")).end());
    const streams = [await end.events.nextStream(), await end.events.nextStream()];
    streams[1]?.stream.sendHeaders(fieldsOf(response()), false);
    await end.peer.expectHeaders(3);
    if (how === "FIN") end.peer.end();
    else end.peer.destroy();
    expect((await end.events.untilClosed()).kind).toBe("socket");
    for (const stream of streams) expect(stream.reset?.kind).toBe("session");
  });

  it("by FIN loses no byte that came before it", async () => {
    const end = await clientToScript(contract);
    const stream = open(end);
    await end.peer.expectRequest();
    end.peer.send(frames.headers(1, response()), frames.data(1, Buffer.alloc(16_000)));
    end.peer.end();
    await stream.untilReset();
    expect(stream.outline.slice(0, 2)).toEqual(["headers", "data(16000)"]);
  });

  it("by FIN with nothing open ends the session once", async () => {
    const end = await clientToScript(contract);
    end.peer.end();
    expect((await end.events.untilClosed()).kind).toMatch(/^(closed|socket)$/);
  });

  it("leaves PINGs unanswered for good", async () => {
    const end = await clientToScript(contract, { peer: { ackPings: false } });
    end.session.ping(() => expect.unreachable("a PING that nobody acknowledged"));
    await end.peer.recv("PING");
    end.peer.destroy();
    await end.events.untilClosed();
  });

  it("on the server's side is GOAWAY with the code, then the end of the socket", async () => {
    const end = await scriptToServer(contract);
    const stream = await requestFromScript(end, frames.headers(5, request("/a/B")).end());
    stream.stream.sendHeaders(fieldsOf(response()), false);
    await end.peer.expectHeaders(5);
    end.session.destroy(ErrorCode.ENHANCE_YOUR_CALM, "too many pings");
    expect(await end.peer.expectGoAway(11)).toMatchObject({ lastStreamId: 5 });
    await end.peer.expectClosed();
    end.peer.expectNoEndStream(5);
  });

  it.each([0, 2])(
    "on the client's side with code %i completes no request by mistake",
    async (code) => {
      const end = await clientToScript(contract);
      const [idle, blocked] = [open(end), open(end)];
      for (const _ of [idle, blocked]) await end.peer.expectRequest();
      idle.stream.sendData(message("abc"), false);
      blocked.stream.sendData(Buffer.alloc(200_000), true);
      await end.peer.expectData(1);
      end.session.destroy(code, "given up");
      await end.peer.expectGoAway(code);
      await end.peer.expectClosed();
      for (const id of [1, 3]) end.peer.expectNoEndStream(id);
      expect([idle.reset?.kind, blocked.reset?.kind]).toEqual(["session", "session"]);
    },
  );

  const breaches = [
    { breach: "DATA on stream 0", frame: frames.raw(0, 0, 0, "x"), code: ErrorCode.PROTOCOL_ERROR },
    {
      breach: "SETTINGS cut short",
      frame: frames.raw(4, 0, 0, "12345"),
      code: ErrorCode.FRAME_SIZE_ERROR,
    },
    {
      breach: "credit of 0 for the connection",
      frame: frames.windowUpdate(0, 0),
      code: ErrorCode.PROTOCOL_ERROR,
    },
    {
      breach: "credit beyond 2^31-1",
      frame: frames.windowUpdate(0, 0x7fffffff),
      code: ErrorCode.FLOW_CONTROL_ERROR,
    },
  ].flatMap((row) => [
    { ...row, side: "client" as const },
    { ...row, side: "server" as const },
  ]);

  it.each(breaches)(
    "of a $side whose peer sends $breach is announced by GOAWAY",
    async ({ side, frame, code }) => {
      const end = await (side === "client" ? clientToScript : scriptToServer)(contract);
      end.peer.send(frame);
      if (contract.weaker.protocolClose === undefined) {
        await end.peer.expectGoAway(code);
        expect(await end.events.untilClosed()).toMatchObject({ kind: "protocol", code });
      } else {
        await end.peer.expectGoAway();
        expect((await end.events.untilClosed()).kind).toBe("protocol");
      }
      await end.peer.expectClosed();
    },
  );

  it("answers the peer's PING meanwhile", async () => {
    const end = await scriptToServer(contract);
    await end.peer.sync();
  });
}
