// Clients of a plain port that do not speak HTTP/2: what they read, and what is told of them.

import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { connect as connectSocket } from "node:net";
import { connect as connectTls } from "node:tls";
import { describe, expect, it } from "vitest";
import type { RefusedEvent } from "../../src/index.ts";
import { Server } from "../../src/index.ts";
import { closeAtEnd, within } from "../support/cleanup.ts";
import { FakeClock } from "../support/clock.ts";
import { frames } from "../support/frames.ts";
import { dialTo, eventually } from "../support/relay-fixture.ts";
import { ScriptedClient, ScriptedServer } from "../support/scripted-endpoints.ts";

interface Address {
  readonly host: string;
  readonly port: number;
}

async function listening(transport: "engine" | "node", clock?: FakeClock) {
  const server = new Server({ transport, ...(clock === undefined ? {} : { clock }) });
  closeAtEnd(() => server.close());
  return { server, address: (await server.listen("127.0.0.1:0")).address as Address };
}

function refusals(): RefusedEvent[] {
  const events: RefusedEvent[] = [];
  const look = (event: unknown): void => {
    events.push(event as RefusedEvent);
  };
  subscribe("grpc-relay:refused", look);
  closeAtEnd(() => unsubscribe("grpc-relay:refused", look));
  return events;
}

async function get(
  address: Address,
  method: string,
): Promise<{ head: IncomingMessage; body: string }> {
  const head = await within(
    "an answer",
    new Promise<IncomingMessage>((resolve, reject) => {
      httpRequest({ ...address, method, path: "/healthz?a=b" }, resolve)
        .on("error", reject)
        .end();
    }),
  );
  let body = "";
  for await (const chunk of head) body += String(chunk);
  return { head, body };
}

describe("an HTTP/1.1 client of the engine's plain port", () => {
  it.each(["GET", "DELETE"])(
    "reads with %s that it is a port for gRPC over HTTP/2",
    async (method) => {
      const { server, address } = await listening("engine");
      const events = refusals();
      const { head, body } = await get(address, method);
      expect([head.statusCode, head.httpVersion]).toEqual([400, "1.1"]);
      expect(body).toBe("this port speaks gRPC over HTTP/2, not HTTP/1.1\n");
      expect(events).toMatchObject([
        {
          scope: "connection",
          side: "downstream",
          rule: `HTTP/1.1 (${method}) on a port for HTTP/2`,
        },
      ]);
      await eventually("the connection is gone", () => server.sessionCount === 0);
    },
  );

  it("reads no body with HEAD", async () => {
    const { address } = await listening("engine");
    const { head, body } = await get(address, "HEAD");
    expect([head.statusCode, body]).toEqual([400, ""]);
  });
});

describe.each(["engine", "node"] as const)("on %s", (transport) => {
  it("a TLS client of a plain port is closed, and told", async () => {
    const { server, address } = await listening(transport);
    const events = refusals();
    const socket = connectTls({ ...address, rejectUnauthorized: false });
    closeAtEnd(() => socket.destroy());
    await within("an error", new Promise((resolve) => socket.on("error", resolve)));
    await eventually("the connection is gone", () => server.sessionCount === 0);
    const rule =
      transport === "engine" ? "TLS on a port without TLS" : expect.stringContaining("magic");
    expect(events).toMatchObject([{ scope: "connection", side: "downstream", rule }]);
  });

  it("a client that says nothing is closed when its time is over", async () => {
    const clock = new FakeClock();
    const { server, address } = await listening(transport, clock);
    const events = refusals();
    const socket = connectSocket(address);
    closeAtEnd(() => socket.destroy());
    await eventually("it is there", () => server.sessionCount === 1);
    const closed = new Promise((resolve) => socket.on("close", resolve));
    socket.resume();
    clock.advance(9_900);
    expect([server.sessionCount, events]).toEqual([1, []]);
    clock.advance(104);
    const limit = { name: "handshakeTimeoutMs", value: 10_000 };
    expect(events).toMatchObject([{ rule: "did not begin to speak HTTP/2", limit }]);
    await within("the end", closed);
    clock.advance(5_000);
    await eventually("the connection is gone", () => server.sessionCount === 0);
  });

  it("a client that says nothing keeps no server from closing", async () => {
    const { server, address } = await listening(transport);
    const socket = connectSocket(address);
    closeAtEnd(() => socket.destroy());
    socket.resume();
    await eventually("it is there", () => server.sessionCount === 1);
    await within("the server", server.close(60_000));
  });

  it("a client that sends its preface in pieces is served", async () => {
    const { address } = await listening(transport);
    const client = await ScriptedClient.connect(address, { handshake: false });
    client.send(frames.preface().subarray(0, 7));
    client.send(frames.preface().subarray(7), frames.settings());
    await client.expectSettings();
    await client.sync();
  });
});

describe("a backend of the engine that speaks HTTP/1.1", () => {
  it("is told as that, and the call is UNAVAILABLE", async () => {
    const backend = await ScriptedServer.listen({ handshake: false });
    const events = refusals();
    const conn = dialTo({ server: "engine", client: "engine" }, backend.address);
    const call = conn.newStream("/a.B/C");
    const peer = await backend.connection();
    peer.socket.write("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n");
    await expect(call.recvMessage()).rejects.toMatchObject({ status: 14 });
    expect(events).toMatchObject([
      {
        scope: "connection",
        side: "upstream",
        peer: conn.target,
        rule: "HTTP/1 instead of HTTP/2",
      },
    ]);
  });
});
