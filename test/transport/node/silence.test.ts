// What ends client sessions of node:http2 that would stand for ever and answer nothing.

import { once } from "node:events";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { describe, expect, it } from "vitest";
import type { KeepaliveOptions } from "../../../src/transport/keepalive.ts";
import { nodeTransport, wrapSession } from "../../../src/transport/node/index.ts";
import { closeAtEnd } from "../../support/cleanup.ts";
import { FakeClock } from "../../support/clock.ts";
import { ACK, frames, trailersOnly } from "../../support/frames.ts";
import { SessionRecorder } from "../../support/recorder.ts";
import { ScriptedServer } from "../../support/scripted-endpoints.ts";
import type { ScriptedPeer } from "../../support/scripted-peer.ts";
import { type Contract, open } from "../contract/harness.ts";

const NODE: Contract = { makeTransport: () => nodeTransport(), sockets: true, weaker: {} };

function pingsOf(peer: ScriptedPeer): number {
  return peer.received(0, "PING").filter((frame) => !frame.has(ACK)).length;
}

describe("a client session of node:http2", () => {
  it("that node:http2 closes of its own accord ends at once", async () => {
    const clock = new FakeClock();
    const events = new SessionRecorder("client");
    const backend = await ScriptedServer.listen();
    const session = NODE.makeTransport().connect({ address: backend.address, clock }, events);
    events.attach(session);
    await events.untilAvailable();
    const call = open({ session, events });
    const node: ClientHttp2Session = Reflect.get(session, "node");
    node.close();
    expect(await call.untilReset()).toMatchObject({ kind: "session" });
    expect(await events.untilClosed()).toMatchObject({
      kind: "socket",
      message: expect.stringContaining("node:http2 closed the session"),
    });
  });
});

describe("a client session that was handed over", () => {
  async function handedOver(clock: FakeClock, keepalive?: KeepaliveOptions, connected = false) {
    const scripted = await ScriptedServer.listen({ ackPings: false });
    const { port } = scripted.address as { port: number };
    const node = connectHttp2(`http://127.0.0.1:${port}`);
    node.on("error", () => undefined);
    closeAtEnd(() => node.destroy());
    const events = new SessionRecorder("client");
    if (connected) await once(node, "connect");
    const session = wrapSession(
      node,
      keepalive === undefined ? { clock } : { clock, keepalive },
      events,
    );
    events.attach(session);
    const peer = await scripted.connection();
    await events.untilAvailable();
    const call = open({ session, events });
    await peer.expectRequest();
    return { node, peer, call, events, session };
  }

  it("is not asked by PING: which of them its server gets is its owner's to decide", async () => {
    const clock = new FakeClock();
    const { peer, session } = await handedOver(clock);
    clock.advance(60_000);
    await peer.sync();
    expect([pingsOf(peer), clock.timerCount]).toEqual([0, 0]);
    expect(session.accepting).toBe(true);
  });

  it.each([true, false])(
    "is asked where its owner decided so (connected before: %s)",
    async (is) => {
      const clock = new FakeClock();
      const { peer, call, events } = await handedOver(clock, {}, is);
      for (let i = pingsOf(peer); i > 0; i--) await peer.recv("PING");
      clock.advance(5_500);
      await peer.recv("PING");
      clock.advance(5_500);
      expect(await call.untilReset()).toMatchObject({ kind: "session" });
      expect((await events.untilClosed()).message).toContain("did not answer PING");
    },
  );

  it("may be closed by its owner: the call under way is finished", async () => {
    const { node, peer, call, session } = await handedOver(new FakeClock());
    node.close();
    expect(session.accepting).toBe(false);
    peer.send(frames.headers(1, trailersOnly(0)).end());
    await call.untilEnded();
    expect(call.reset).toBeUndefined();
  });

  it("whose server breaks the protocol and keeps its socket open ends, and the call with it", async () => {
    const { node, peer, call, events } = await handedOver(new FakeClock());
    peer.send(frames.ping("1234567"));
    expect(await call.untilReset()).toMatchObject({ kind: "session" });
    expect((await events.untilClosed()).kind).toBe("protocol");
    expect(node.destroyed).toBe(true);
  });
});
