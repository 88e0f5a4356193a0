import { describe, expect, it } from "vitest";
import { dial } from "../../src/client/dial.ts";
import type { DialOptions } from "../../src/client/dial-options.ts";
import { ping } from "../../src/client/ping.ts";
import type { PingWaiter } from "../../src/client/subchannel/attempts.ts";
import { Status } from "../../src/grpc/status.ts";
import type { ConnState } from "../../src/observe/channels.ts";
import { formatAddress } from "../../src/transport/address.ts";
import { closeAtEnd } from "../support/cleanup.ts";
import { FakeClock } from "../support/clock.ts";
import { frames } from "../support/frames.ts";
import { refusingAddress } from "../support/refusing.ts";
import { eventually, PATH } from "../support/relay-fixture.ts";
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

  it("fails at once when its session is lost, though another one of the address stands", async () => {
    const settings = { MAX_CONCURRENT_STREAMS: 1 };
    const backend = await ScriptedServer.listen({ ackPings: false, settings });
    const clock = new FakeClock();
    const conn = dial(formatAddress(backend.address), { transport, clock } as DialOptions);
    closeAtEnd(() => conn.close());
    const calls = [1, 2].map(() => conn.newStream(PATH).trailer());
    const ends = Promise.allSettled(calls);
    const peer = await backend.connection();
    await (await backend.connection()).expectRequest();
    const answer = conn.ping();
    await peer.recv("PING");
    peer.destroy();
    await expect(answer).rejects.toMatchObject({
      status: Status.UNAVAILABLE,
      reason: "UPSTREAM_SESSION",
      message: expect.stringContaining("is lost"),
    });
    expect([conn.state, conn.openStreamCount]).toEqual(["ready", 1]);
    await conn.close();
    await ends;
  });

  it("fails at once when its address is lost, though another one stands", async () => {
    const backends = [
      await ScriptedServer.listen({ ackPings: false }),
      await ScriptedServer.listen(),
    ];
    const addresses = backends.map(({ address }) => formatAddress(address));
    const options = { transport, balancing: "roundRobin", clock: new FakeClock() } as const;
    const conn = dial(addresses, options as DialOptions);
    closeAtEnd(() => conn.close());
    conn.connect();
    const [peer] = await Promise.all(backends.map((backend) => backend.connection()));
    await eventually("both are ready", () =>
      conn.addresses.every(({ state }) => state === "ready"),
    );
    const answer = conn.ping();
    await peer?.recv("PING");
    peer?.destroy();
    await expect(answer).rejects.toMatchObject({ reason: "UPSTREAM_SESSION" });
    expect(conn.state).toBe("ready");
  });

  it("is answered on a session that drains, and fails when that is lost", async () => {
    const { backend, conn } = await start({ clock: new FakeClock() } as DialOptions);
    const call = conn.newStream(PATH);
    const end = call.trailer().catch(() => undefined);
    const peer = await backend.connection();
    const { streamId } = await peer.expectRequest();
    const [answered, lost] = [conn.ping(), conn.ping()];
    const { frame } = await peer.recv("PING");
    await peer.recv("PING");
    peer.send(frames.goaway(streamId, 0));
    await eventually("it is left", () => conn.state === "idle");
    peer.send(frames.pingAck(frame.payload));
    expect(await answered).toBe(0);
    peer.destroy();
    await expect(lost).rejects.toMatchObject({ reason: "UPSTREAM_SESSION" });
    await end;
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
  let tell = (): void => {};
  const log: string[] = [];
  const conn = {
    target: "backend",
    clock: new FakeClock(),
    state: () => ({ kind }),
    connect: () => log.push("connect"),
    onState: (listener: () => void) => {
      tell = listener;
      return () => log.push("stop");
    },
    sendPing: (waiter: PingWaiter) => {
      log.push("ping");
      waiter.onAnswer();
    },
  };
  const answer = ping(conn, 1_000, {});
  kind = "idle";
  tell();
  kind = "ready";
  tell();
  expect(await answer).toBe(0);
  expect(log).toEqual(["connect", "connect", "ping", "stop"]);
});
