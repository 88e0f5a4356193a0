// Several sessions to one address, on real sockets.

import { describe, expect, it } from "vitest";
import type { Frame } from "../../../src/grpc/frame.ts";
import { Server } from "../../../src/server/server.ts";
import { selectTransport } from "../../../src/transport/select.ts";
import type { ClientSession } from "../../../src/transport/transport.ts";
import { transportCombos } from "../../support/combos.ts";
import { dialTo, eventually, watchServer } from "../../support/relay-fixture.ts";
import { transportOf } from "../../support/transport-of.ts";

interface Load {
  /** The most calls that were under way at once. */
  mostCalls: number;
  /** Most sessions at once. */
  mostSessions: number;
}

/** A server whose calls last for a turn or two of its event loop. */
async function serve(transport: "engine" | "node", maxConcurrentStreams: number) {
  const server = watchServer(new Server({ transport, maxConcurrentStreams }));
  const load: Load = { mostCalls: 0, mostSessions: 0 };
  let callCount = 0;
  server.register("test.Service", {
    Method: async (stream) => {
      load.mostCalls = Math.max(load.mostCalls, ++callCount);
      load.mostSessions = Math.max(load.mostSessions, server.sessionCount);
      for await (const message of stream) await stream.sendMessage(message);
      await new Promise(setImmediate);
      callCount--;
    },
  });
  const { address } = await server.listen("127.0.0.1:0");
  return { server, load, address };
}

/** `transport`, whose client sessions are told to `onReady` before they take a call. */
function watched(transport: "engine" | "node", onReady: (session: ClientSession) => void) {
  const inner = selectTransport(transport);
  return transportOf(inner.name, {
    connect: (options, listener) => {
      let isNew = true;
      const session: ClientSession = inner.connect(options, {
        onAvailable: () => {
          if (isNew) onReady(session);
          isNew = false;
          listener.onAvailable();
        },
        onGoAway: (...event) => listener.onGoAway(...event),
        onRefused: (refusal) => listener.onRefused(refusal),
        onClosed: (end) => listener.onClosed(end),
      });
      return session;
    },
  });
}

/** Leaves it room for few streams before its ids run out. */
function useUpIds(session: ClientSession): void {
  const connection: unknown = Reflect.get(session, "connection");
  if (connection !== undefined) {
    const streams: unknown = Reflect.get(connection as object, "streams");
    Reflect.set(streams as object, "nextLocalId", 0x7fffffff - 6);
    return;
  }
  const node: object = Reflect.get(session, "node");
  const handleKey = Object.getOwnPropertySymbols(node).find(
    ({ description }) => description === "kHandle",
  );
  const handle = Reflect.get(node, handleKey as symbol) as { setNextStreamID(id: number): boolean };
  expect(handle.setNextStreamID(0x7fff0000 - 5)).toBe(true);
}

describe.each(transportCombos)("a conn on $client to a server on $server", (combo) => {
  it("that takes one stream per connection has 100 calls at once, and as many connections as the cap", async () => {
    const { load, address, server } = await serve(combo.server, 1);
    const conn = dialTo(combo, address, { maxConnectionsPerAddress: 4 });
    await Promise.all(
      Array.from({ length: 100 }, async () => {
        const call = conn.newStream("/test.Service/Method");
        await call.sendMessage(Buffer.from("hello"));
        call.closeSend();
        expect(await call.recvMessage()).toBeDefined();
        await call.trailer();
      }),
    );
    expect(load.mostCalls).toBeGreaterThan(1);
    expect(load.mostSessions).toBeLessThanOrEqual(4);
    expect(server.sessionCount).toBeLessThanOrEqual(4);
  });

  it("with a cap of two calls has two at a time, whatever they send", async () => {
    const { load, address } = await serve(combo.server, 1_000);
    const conn = dialTo(combo, address, { maxInFlightPerAddress: 2 });
    const text = Buffer.alloc(1_000_000, "a");
    await Promise.all(
      Array.from({ length: 10 }, async () => {
        const call = conn.newStream<Buffer, Frame>("/test.Service/Method");
        const sent = call.sendMessage(text);
        call.closeSend();
        expect((await call.recvMessage())?.payload.length).toBe(text.length);
        await sent;
        await call.trailer();
      }),
    );
    expect(load.mostCalls).toBe(2);
  });

  it("whose connections use up their stream ids fails no call", async () => {
    const { address, server } = await serve(combo.server, 1_000);
    let sessionCount = 0;
    const transport = watched(combo.client, (session) => {
      sessionCount++;
      useUpIds(session);
    });
    const conn = dialTo(combo, address, { transport });
    await Promise.all(
      Array.from({ length: 40 }, async () => {
        const call = conn.newStream("/test.Service/Method");
        call.closeSend();
        await call.trailer();
      }),
    );
    expect(sessionCount).toBeGreaterThanOrEqual(10);
    await eventually("those that are used up are closed", () => server.sessionCount <= 1);
  });
});
