// Each change of a connection says why, to whoever listens.

import { expect, it } from "vitest";
import { dial } from "../../src/client/dial.ts";
import { formatAddress } from "../../src/transport/address.ts";
import { closeAtEnd } from "../support/cleanup.ts";
import { connStates } from "../support/events.ts";
import { frames, trailersOnly } from "../support/frames.ts";
import { refusingAddress } from "../support/refusing.ts";
import { eventually } from "../support/relay-fixture.ts";
import { ScriptedServer } from "../support/scripted-endpoints.ts";

const transports = ["engine", "node"] as const;
const PATH = "/test.Service/Method";

it.each(transports)("a connection over %s says why it comes and goes", async (transport) => {
  const backend = await ScriptedServer.listen();
  const target = formatAddress(backend.address);
  const published = connStates();
  const told: unknown[] = [];
  const conn = dial(target, { transport });
  conn.onState((state, error, reason) => told.push({ target, state, reason, error }));
  closeAtEnd(() => conn.close());
  const isReady = (): boolean => conn.state === "ready";

  conn.connect();
  const first = await backend.connection();
  await eventually("it is ready", isReady);
  const call = conn.newStream(PATH);
  call.closeSend();
  const { streamId } = await first.expectRequest(PATH);
  first.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
  await call.trailer();
  first.send(frames.goaway(streamId, 11, "too_many_pings"));
  await eventually("it has left", () => conn.state === "idle");

  const second = conn.newStream(PATH);
  const peer = await backend.connection();
  await peer.expectRequest(PATH);
  peer.destroy();
  const lost = await second.trailer().catch((error: unknown) => error);
  expect(lost).toMatchObject({ reason: "UPSTREAM_SESSION" });
  await eventually("it is lost", () => conn.state === "idle");
  await conn.close();

  const why = published.map(({ state, reason }) => `${state}: ${reason}`);
  expect(why).toEqual([
    "connecting: asked to connect",
    "ready: the server has sent its SETTINGS",
    'idle: the server is going away: ENHANCE_YOUR_CALM, "too_many_pings"',
    "connecting: a call wants it",
    "ready: the server has sent its SETTINGS",
    expect.stringMatching(/^idle: (?:closed the connection|connection closed|read ECONNRESET)$/),
    "shutdown: closed by its owner",
  ]);
  expect(published[2]?.error).toMatchObject({
    reason: "UPSTREAM_GOAWAY",
    details: "the backend is going away",
    message: expect.stringContaining(`upstream ${target} left: the server is going away`),
  });
  expect(published[5]?.error).toMatchObject({
    reason: "UPSTREAM_SESSION",
    details: "the backend is lost",
    message: expect.stringContaining(`upstream ${target} is lost: `),
  });
  expect(told).toEqual(published);
});

it.each(transports)(
  "a connection over %s that cannot be made says what the system says",
  async (transport) => {
    const target = formatAddress(await refusingAddress());
    const published = connStates();
    const conn = dial(target, { transport });
    closeAtEnd(() => conn.close());
    conn.connect();
    await eventually("it failed", () => conn.state === "transientFailure");
    expect(published.at(-1)).toMatchObject({
      reason: "connect ECONNREFUSED",
      error: {
        message: `UNAVAILABLE: upstream ${target} cannot be reached: connect ECONNREFUSED`,
        details: "the backend cannot be reached: connection refused",
      },
    });
  },
);
