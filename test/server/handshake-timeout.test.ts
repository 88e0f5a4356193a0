// Clients that connect and do not begin: one time from accept to their SETTINGS, TLS included.

import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { describe, expect, it } from "vitest";
import { type RefusedEvent, refused } from "../../src/observe/channels.ts";
import { Server } from "../../src/server/server.ts";
import type { SocketAddress } from "../../src/transport/transport.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { makeCertificate } from "../support/certificate.ts";
import { closeAtEnd, within } from "../support/cleanup.ts";
import { FakeClock } from "../support/clock.ts";
import { frames } from "../support/frames.ts";
import { eventually, watchServer } from "../support/relay-fixture.ts";
import { ScriptedClient } from "../support/scripted-endpoints.ts";
import { ScriptedPeer } from "../support/scripted-peer.ts";

const TIMEOUT_MS = 10_000;
const LIMIT = { name: "handshakeTimeoutMs", value: TIMEOUT_MS };
const { cert, key } = makeCertificate();

describe.each(["engine", "node"] as const)("a server of %s", (transport) => {
  async function start(withTls: boolean) {
    const clock = new FakeClock();
    const events: RefusedEvent[] = [];
    closeAtEnd(refused.subscribe((event) => events.push(event)));
    const errors: Error[] = [];
    const onConnectionError = (error: Error): void => {
      errors.push(error);
    };
    const tls = withTls ? { tls: { cert, key } } : {};
    const server = watchServer(new Server({ transport, clock, onConnectionError, ...tls }));
    const { address } = await server.listen("127.0.0.1:0");
    return { clock, events, errors, server, address };
  }

  /** A client that has connected, and whose end is waited for by `closed`. */
  function open(address: SocketAddress): { socket: Socket; closed: Promise<unknown> } {
    const socket = connect(address).on("error", () => {});
    closeAtEnd(() => socket.destroy());
    return { socket, closed: new Promise((resolve) => socket.resume().once("close", resolve)) };
  }

  const ending = (closed: Promise<unknown>): Promise<unknown> => within("its end", closed);

  it.each([
    ["nothing", []],
    // The beginning of a ClientHello of 512 octets.
    ["an octet now and then", [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc]],
  ])("ends a client whose TLS handshake is %s, and says why once", async (_, octets) => {
    const { clock, events, errors, address } = await start(true);
    const { socket, closed } = open(address);
    await eventually("it is accepted", () => clock.timerCount === 1);
    for (let i = 0; i < 9; i++) {
      clock.advance(1_000);
      socket.write(Buffer.from(octets.slice(i, i + 1)));
      await new Promise((resolve) => setImmediate(resolve));
    }
    clock.advance(996);
    expect(events).toEqual([]);
    clock.advance(8);
    await ending(closed);
    const rule = `did not complete the TLS handshake within ${TIMEOUT_MS} ms`;
    const peer = expect.stringMatching(/^127\.0\.0\.1:\d+$/);
    expect(events).toMatchObject([
      { scope: "connection", side: "downstream", peer, rule, limit: LIMIT, cause: errors[0] },
    ]);
    // The TLS socket closes a turn later, and must add nothing.
    await new Promise((resolve) => setImmediate(resolve));
    expect([events.length, errors.length, clock.timerCount]).toEqual([1, 1, 0]);
    expect(errors[0]).toMatchObject({ code: "ERR_TLS_HANDSHAKE_TIMEOUT" });
    expect(errors[0]?.message).toMatch(/^127\.0\.0\.1:\d+ did not complete/);
  });

  it("counts the TLS handshake in the time for the preface", async () => {
    const { clock, events, server, address } = await start(true);
    const socket = connect(address);
    closeAtEnd(() => socket.destroy());
    await eventually("it is accepted", () => clock.timerCount === 1);
    clock.advance(6_000);
    const over = { socket, ca: cert, servername: "localhost", ALPNProtocols: ["h2"] };
    const client = new ScriptedPeer(connectTls(over), "client", { handshake: false });
    await eventually("it is a session", () => server.sessionCount === 1);
    clock.advance(3_900);
    expect(events).toEqual([]);
    clock.advance(104);
    expect(events).toMatchObject([{ rule: "did not begin to speak HTTP/2", limit: LIMIT }]);
    await client.expectGoAway(ErrorCode.SETTINGS_TIMEOUT);
    await client.expectClosed();
    await eventually("it is gone", () => server.sessionCount === 0);
    expect(clock.timerCount).toBe(0);
  });

  it("ends a client of a plain port that sends its preface and no SETTINGS", async () => {
    const { clock, events, server, address } = await start(false);
    const { socket, closed } = open(address);
    socket.write(frames.preface());
    await eventually("it is a session", () => server.sessionCount === 1);
    clock.advance(9_900);
    expect(events).toEqual([]);
    clock.advance(104);
    expect(events).toMatchObject([{ rule: "did not begin to speak HTTP/2", limit: LIMIT }]);
    await ending(closed);
  });

  it("gives a client that has begun settingsTimeoutMs from then on", async () => {
    const { clock, events, address } = await start(false);
    const client = await ScriptedClient.connect(address, { handshake: false, ackSettings: false });
    await eventually("it is accepted", () => clock.timerCount > 0);
    clock.advance(6_000);
    client.send(frames.preface(), frames.settings());
    await client.expectSettings();
    await client.expectSettingsAck();
    clock.advance(59_900);
    expect(events).toEqual([]);
    clock.advance(104);
    const limit = { name: "settingsTimeoutMs", value: 60_000 };
    expect(events).toMatchObject([{ rule: "did not acknowledge SETTINGS", limit }]);
    await client.expectClosed();
  });

  it.each([true, false])("leaves no timer of a client that goes before (TLS: %s)", async (tls) => {
    const { clock, events, errors, server, address } = await start(tls);
    const { socket } = open(address);
    await eventually("it is accepted", () => clock.timerCount > 0);
    socket.destroy();
    await eventually("it is gone", () => clock.timerCount === 0 && server.sessionCount === 0);
    expect([events.length, errors.length]).toEqual(tls ? [1, 1] : [0, 0]);
  });
});
