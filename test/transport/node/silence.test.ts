// What ends client sessions of node:http2 that would stand for ever and answer nothing.

import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { describe, expect, it } from "vitest";
import { nodeTransport, wrapSession } from "../../../src/transport/node/index.ts";
import { closeAtEnd } from "../../support/cleanup.ts";
import { FakeClock } from "../../support/clock.ts";
import { ACK, frames, message, response, trailersOnly } from "../../support/frames.ts";
import { SessionRecorder } from "../../support/recorder.ts";
import { ScriptedServer } from "../../support/scripted-endpoints.ts";
import type { ScriptedPeer } from "../../support/scripted-peer.ts";
import { type Contract, clientToScript, open, settled } from "../contract/harness.ts";

const NODE: Contract = { makeTransport: () => nodeTransport(), sockets: true, weaker: {} };

function pingsOf(peer: ScriptedPeer): number {
  return peer.received(0, "PING").filter((frame) => !frame.has(ACK)).length;
}

/** A session with a call, and nothing on its way. Its server does not answer PING any more. */
async function unanswered(clock: FakeClock) {
  const end = await clientToScript(NODE, { session: { clock } });
  await settled(end.session);
  const before = pingsOf(end.peer);
  for (let i = 0; i < before; i++) await end.peer.recv("PING");
  end.peer.ackPings = false;
  const call = open(end);
  await end.peer.expectRequest();
  return { ...end, call, asked: () => pingsOf(end.peer) - before };
}

describe("a client session of node:http2", () => {
  it("whose server is silent for 5 s is asked by PING, and ended after 5 s more", async () => {
    const clock = new FakeClock();
    const { peer, call, events } = await unanswered(clock);
    clock.advance(5_000);
    await peer.recv("PING");
    expect(call.reset).toBeUndefined();
    clock.advance(5_000);
    expect(await call.untilReset()).toMatchObject({ kind: "session", unprocessed: false });
    expect(await events.untilClosed()).toMatchObject({
      kind: "timeout",
      message: expect.stringContaining("did not answer PING"),
    });
    await peer.expectClosed();
    expect(clock.timerCount).toBe(0);
  });

  it("whose server answers the PING, and nothing else, stands and is not asked again", async () => {
    const clock = new FakeClock();
    const slow = await unanswered(clock);
    slow.peer.ackPings = true;
    clock.advance(5_000);
    await slow.peer.recv("PING");
    await slow.peer.sync();
    const silent = await unanswered(clock);
    clock.advance(200_000);
    // It is looked at behind the slow one.
    await silent.peer.recv("PING");
    expect(slow.asked()).toBe(1);
    slow.peer.send(frames.headers(1, trailersOnly(0)).end());
    await slow.call.untilEnded();
    expect(slow.session.accepting).toBe(true);
  });

  it("whose server has sent something of the answer is not asked", async () => {
    const clock = new FakeClock();
    const answered = await unanswered(clock);
    answered.peer.send(frames.headers(1, response()));
    await answered.call.untilHeaders();
    const silent = await unanswered(clock);
    clock.advance(60_000);
    await silent.peer.recv("PING");
    expect(answered.asked()).toBe(0);
    expect(answered.session.accepting).toBe(true);
  });

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

  it("that is over is not looked at any more, whatever its owner still sends", async () => {
    const clock = new FakeClock();
    const events = new SessionRecorder("client");
    const backend = await ScriptedServer.listen();
    const session = NODE.makeTransport().connect({ address: backend.address, clock }, events);
    events.attach(session);
    await events.untilAvailable();
    const call = open({ session, events });
    const peer = await backend.connection();
    await peer.expectRequest();
    peer.send(frames.headers(1, response()));
    await call.untilHeaders();
    peer.destroy();
    await events.untilClosed();
    call.stream.sendData(message("abc"), false);
    let looks = 0;
    Reflect.set(session, "takeRound", () => ++looks > 0);
    const silent = await unanswered(clock);
    clock.advance(5_000);
    await silent.peer.recv("PING");
    expect(looks).toBe(0);
  });
});

describe("a client session that was handed over", () => {
  async function handedOver(clock: FakeClock) {
    const scripted = await ScriptedServer.listen({ ackPings: false });
    const { port } = scripted.address as { port: number };
    const node = connectHttp2(`http://127.0.0.1:${port}`);
    node.on("error", () => undefined);
    closeAtEnd(() => node.destroy());
    const events = new SessionRecorder("client");
    const session = wrapSession(node, { clock }, events);
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
    const silent = await unanswered(clock);
    clock.advance(60_000);
    await silent.peer.recv("PING");
    expect(pingsOf(peer)).toBe(0);
    expect(session.accepting).toBe(true);
  });

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
