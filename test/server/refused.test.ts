// The channel `grpc-relay:refused`, of clients and of backends.

import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { connect as connectSocket } from "node:net";
import { describe, expect, it } from "vitest";
import type { RefusedEvent } from "../../src/index.ts";
import { formatAddress } from "../../src/transport/address.ts";
import { makeCertificate } from "../support/certificate.ts";
import { closeAtEnd } from "../support/cleanup.ts";
import { transportCombos } from "../support/combos.ts";
import { frames, request, response } from "../support/frames.ts";
import { eventually, listen, PATH, scriptedRelay } from "../support/relay-fixture.ts";
import { ScriptedClient } from "../support/scripted-endpoints.ts";
import type { ScriptedPeer } from "../support/scripted-peer.ts";

/** What is published from now on until the end of the test. */
function refusals(): RefusedEvent[] {
  const events: RefusedEvent[] = [];
  const look = (event: unknown): void => {
    events.push(event as RefusedEvent);
  };
  subscribe("grpc-relay:refused", look);
  closeAtEnd(() => unsubscribe("grpc-relay:refused", look));
  return events;
}

function addressOf({ socket }: ScriptedPeer): string {
  return formatAddress({ host: socket.localAddress ?? "", port: socket.localPort ?? 0 });
}

describe.each(transportCombos)(
  "grpc-relay:refused, server on $server, client on $client",
  (combo) => {
    it("tells of a request that is not gRPC", async () => {
      const { address } = await listen(combo);
      const events = refusals();
      const client = await ScriptedClient.connect(address);
      client.send(
        frames.headers(1, [...request("/a/B").slice(0, 4), ["content-type", "text/html"]]).end(),
      );
      await client.expectHeaders(1);
      expect(events).toEqual([
        {
          scope: "stream",
          side: "downstream",
          peer: addressOf(client),
          streamId: 1,
          rule: "expected content-type application/grpc, got text/html",
        },
      ]);
    });

    it("tells of a client's connection that breaks HTTP/2", async () => {
      const { address } = await listen(combo);
      const events = refusals();
      const client = await ScriptedClient.connect(address, { handshake: false });
      const peer = addressOf(client);
      client.socket.write("not a preface at all\r\n\r\n");
      await client.expectClosed();
      await eventually("it is told", () => events.length > 0);
      expect(events).toMatchObject([{ scope: "connection", side: "downstream", peer }]);
    });

    it("tells of a handshake that failed, with what onConnectionError is told", async () => {
      const errors: Error[] = [];
      const onConnectionError = (error: Error): void => {
        errors.push(error);
      };
      const { address } = await listen(combo, { tls: makeCertificate(), onConnectionError });
      const events = refusals();
      const socket = connectSocket(address as { host: string; port: number });
      closeAtEnd(() => socket.destroy());
      socket.on("error", () => undefined).resume();
      socket.write("this is not TLS\r\n\r\n");
      await eventually("it is told", () => events.length > 0);
      expect(events).toMatchObject([
        {
          scope: "connection",
          side: "downstream",
          peer: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
        },
      ]);
      expect(errors).toHaveLength(1);
      expect(events[0]?.cause).toBe(errors[0]);
    });

    it("tells of a client that did not negotiate h2", async () => {
      const { cert, key } = makeCertificate();
      const { address } = await listen(combo, { tls: { cert, key } });
      const events = refusals();
      const options = { tls: { ca: cert }, alpn: [], handshake: false } as const;
      const client = await ScriptedClient.connect(address, options);
      await eventually("it is told", () => events.length > 0);
      expect(events).toMatchObject([
        {
          scope: "connection",
          peer: addressOf(client),
          rule: "did not negotiate HTTP/2 (ALPN h2)",
        },
      ]);
    });

    it("tells of a backend whose connection breaks HTTP/2", async () => {
      const { client, backend, conn } = await scriptedRelay(combo, {
        dial: { settingsTimeoutMs: 50 },
        backend: { ackSettings: false },
      });
      const events = refusals();
      await eventually("it is told", () => events.length > 0);
      expect(events).toEqual([
        {
          scope: "connection",
          side: "upstream",
          peer: conn.target,
          rule: "did not acknowledge SETTINGS",
          limit: { name: "settingsTimeoutMs", value: 50 },
        },
      ]);
      await backend.expectClosed();
      client.end();
    });
  },
);

describe.each(
  transportCombos.filter(({ server, client }) => server === "engine" && client === "engine"),
)("grpc-relay:refused on the engine, which alone sees it,", (combo) => {
  it("tells of malformed messages of clients and backends, and of bounds that they meet", async () => {
    const { client, backend, conn } = await scriptedRelay(combo, {
      dial: { maxHeaderListBytes: 1_000 },
    });
    const events = refusals();
    client.send(
      frames.headers(1, request(PATH, ["connection", "close"])),
      frames.headers(3, request(PATH)),
      frames.data(3).end(),
    );
    const { streamId } = await backend.expectRequest(PATH);
    backend.send(frames.headers(streamId, response(["x", "v".repeat(2_000)])));
    await client.expectTrailers(3);
    expect(events).toMatchObject([
      { scope: "stream", side: "downstream", peer: addressOf(client), streamId: 1 },
      {
        scope: "stream",
        side: "upstream",
        peer: conn.target,
        streamId: 1,
        limit: { name: "maxHeaderListBytes", value: 1_000 },
      },
    ]);
  });
});
