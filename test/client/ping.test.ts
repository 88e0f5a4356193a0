import { describe, expect, it } from "vitest";
import { dial } from "../../src/client/dial.ts";
import type { DialOptions } from "../../src/client/dial-options.ts";
import { goingAwayError } from "../../src/client/errors/upstream-error.ts";
import { type PingListener, ping } from "../../src/client/ping.ts";
import { Status } from "../../src/grpc/status.ts";
import type { ConnState } from "../../src/observe/channels.ts";
import { closeAtEnd } from "../support/cleanup.ts";
import { FakeClock } from "../support/clock.ts";
import { frames } from "../support/frames.ts";
import { refusingAddress } from "../support/refusing.ts";
import { eventually } from "../support/relay-fixture.ts";
import { ScriptedServer } from "../support/scripted-endpoints.ts";

describe.each(["engine", "node"] as const)("ClientConn.ping on '%s'", (transport) => {
  async function start(options: DialOptions = {}) {
    const backend = await ScriptedServer.listen({ ackPings: false });
    const { port } = backend.address as { port: number };
    const conn = dial(`127.0.0.1:${port}`, { transport, ...options });
    closeAtEnd(() => conn.close());
    return { backend, conn };
  }

  it("connects, and tells how long the answer took", async () => {
    const clock = new FakeClock();
    const { backend, conn } = await start({ clock } as DialOptions);
    const answer = conn.ping();
    const peer = await backend.connection();
    const { frame } = await peer.recv("PING");
    clock.advance(72);
    peer.send(frames.pingAck(frame.payload));
    expect(await answer).toBe(72);
    expect(conn.state).toBe("ready");
    const timerCount = clock.timerCount;
    const again = conn.ping();
    const { frame: second } = await peer.recv("PING");
    clock.advance(8);
    peer.send(frames.pingAck(second.payload));
    expect(await again).toBe(8);
    await eventually("its timer is gone", () => clock.timerCount <= timerCount);
  });

  it("fails with UNAVAILABLE when there is no connection, and at once while none is tried", async () => {
    const { host, port } = await refusingAddress();
    const conn = dial(`${host}:${port}`, { transport });
    for (let i = 0; i < 2; i++) {
      await expect(conn.ping()).rejects.toMatchObject({
        status: Status.UNAVAILABLE,
        reason: "UPSTREAM_CONNECT",
      });
    }
    await conn.close();
    await expect(conn.ping()).rejects.toMatchObject({ reason: "CONN_CLOSED" });
  });

  it("fails with UNAVAILABLE when the connection is lost before the answer", async () => {
    const { backend, conn } = await start();
    const answer = conn.ping();
    const peer = await backend.connection();
    await peer.recv("PING");
    peer.destroy();
    await expect(answer).rejects.toMatchObject({
      status: Status.UNAVAILABLE,
      reason: "UPSTREAM_SESSION",
    });
  });

  it("fails with UNAVAILABLE when no answer comes within the timeout of keepalive", async () => {
    const clock = new FakeClock();
    const { backend, conn } = await start({ clock, keepalive: { timeoutMs: 700 } } as DialOptions);
    const answer = conn.ping();
    const peer = await backend.connection();
    await peer.recv("PING");
    clock.advance(700);
    await expect(answer).rejects.toMatchObject({
      status: Status.UNAVAILABLE,
      reason: "UPSTREAM_SESSION",
      message: expect.stringContaining("did not answer PING within 700 ms"),
    });
  });

  it("waits for ever with a timeout of Infinity", async () => {
    const clock = new FakeClock();
    const keepalive = { timeoutMs: Number.POSITIVE_INFINITY };
    const { backend, conn } = await start({ clock, keepalive } as DialOptions);
    const answer = conn.ping();
    const peer = await backend.connection();
    const { frame } = await peer.recv("PING");
    await peer.sync();
    clock.advance(1_000_000);
    peer.send(frames.pingAck(frame.payload));
    expect(await answer).toBe(1_000_000);
  });

  it("ends with the reason of its signal, before or after it was sent", async () => {
    const { backend, conn } = await start();
    await expect(conn.ping({ signal: AbortSignal.abort("no") })).rejects.toBe("no");
    expect(conn.state).toBe("idle");
    const controller = new AbortController();
    const answer = conn.ping({ signal: controller.signal });
    const peer = await backend.connection();
    const { frame } = await peer.recv("PING");
    controller.abort("enough");
    await expect(answer).rejects.toBe("enough");
    peer.send(frames.pingAck(frame.payload));
    await peer.sync();
    expect(conn.state).toBe("ready");
  });

  it("refuses unknown options, and a signal that is none", async () => {
    const { conn } = await start();
    const wrong: object = { signal: 5 };
    await expect(conn.ping(wrong)).rejects.toThrow("signal: expected an AbortSignal, got 5");
    const unknown: object = { timeoutMs: 5 };
    await expect(conn.ping(unknown)).rejects.toThrow("options of ping: expected signal");
  });
});

it("a PING of a connection that is gone again when it is told of connects once more", async () => {
  let kind: ConnState = "connecting";
  let tell: PingListener = () => {};
  const log: string[] = [];
  const conn = {
    target: "backend",
    clock: new FakeClock(),
    state: () => ({ kind }),
    connect: () => log.push("connect"),
    onState: (listener: PingListener) => {
      tell = listener;
      return () => log.push("stop");
    },
    sendPing: (onAcknowledged: () => void) => {
      log.push("ping");
      onAcknowledged();
    },
  };
  const answer = ping(conn, 1_000, {});
  kind = "idle";
  tell("ready", undefined);
  kind = "ready";
  tell("ready", undefined);
  expect(await answer).toBe(0);
  expect(log).toEqual(["connect", "connect", "ping", "stop"]);
});

it("a PING that was sent on a connection which goes away waits for its answer", async () => {
  const clock = new FakeClock();
  let tell: PingListener = () => {};
  let acknowledge = (): void => {};
  let kind: ConnState = "ready";
  const conn = {
    target: "backend",
    clock,
    state: () => ({ kind }),
    connect: () => {},
    onState: (listener: PingListener) => {
      tell = listener;
      return () => {};
    },
    sendPing: (onAcknowledged: () => void) => {
      acknowledge = onAcknowledged;
    },
  };
  const answer = ping(conn, 1_000, {});
  kind = "idle";
  tell("idle", goingAwayError("backend", "GOAWAY"));
  clock.advance(400);
  acknowledge();
  expect(await answer).toBe(400);
});
