// AsyncLocalStorage: whoever is called back finds what was stored where the call was directed, and
// not what somebody else stored who caused the event: the call that opened the connection, the one
// that wrote last, the one that scheduled a timer.

import { AsyncLocalStorage, createHook } from "node:async_hooks";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { describe, expect, it } from "vitest";
import type { ClientConn } from "../../src/client/client-conn.ts";
import { dial } from "../../src/client/dial.ts";
import { GrpcError } from "../../src/grpc/error.ts";
import { Metadata } from "../../src/grpc/metadata.ts";
import { Status } from "../../src/grpc/status.ts";
import { type Destination, StreamParameters } from "../../src/proxy/director.ts";
import { handleStream, transparentHandler } from "../../src/proxy/transparent-handler.ts";
import type { StreamHandler, StreamInterceptor } from "../../src/server/interceptor.ts";
import { Server } from "../../src/server/server.ts";
import type { ServerStream } from "../../src/server/server-stream.ts";
import { formatAddress } from "../../src/transport/address.ts";
import type { SocketAddress } from "../../src/transport/transport.ts";
import { closeAtEnd } from "../support/cleanup.ts";
import { type TransportCombo, transportCombos } from "../support/combos.ts";
import { frames, request, trailersOnly } from "../support/frames.ts";
import { memoryTransport } from "../support/memory-transport.ts";
import {
  connectTo,
  dialTo,
  eventually,
  listen,
  listenRelay,
  PATH,
  scriptedBackend,
  statusOf,
  watchConn,
  watchServer,
} from "../support/relay-fixture.ts";
import { ScriptedClient } from "../support/scripted-endpoints.ts";
import { transportOf } from "../support/transport-of.ts";

const store = new AsyncLocalStorage<string>();
const CALLS = 200;
const AT_ONCE = 30;

/** What was found where, and what should have been. */
class Sightings {
  readonly wrong: string[] = [];
  /** Calls that a backend keeps, until their client or the relay ends them. */
  readonly kept = new Set<string>();
  readonly #counts = new Map<string, number>();

  see(where: string, expected: string | undefined): void {
    this.#counts.set(where, (this.#counts.get(where) ?? 0) + 1);
    const found = store.getStore();
    if (found !== expected) this.wrong.push(`${where}: expected ${expected}, found ${found}`);
  }

  count(where: string): number {
    return this.#counts.get(where) ?? 0;
  }
}

const idOf = (stream: ServerStream): string => stream.context.metadata.first("x-id") ?? "";

/**
 * Ends calls in all the ways there are. What it enters must not be seen by the next call on the
 * socket.
 */
function backendHandler(seen: Sightings): StreamHandler {
  return async (stream) => {
    seen.see("handler of the backend", undefined);
    const id = idOf(stream);
    store.enterWith(`backend of ${id}`);
    const message = await stream.recvMessage();
    seen.see("handler of the backend, later", `backend of ${id}`);
    switch (Number(id) % 4) {
      case 0:
        await stream.sendMessage(message);
        return;
      case 1:
        throw new GrpcError(Status.NOT_FOUND, "no such thing");
      case 2:
        seen.kept.add(id);
        await new Promise<void>((resolve) => {
          stream.context.signal.addEventListener("abort", () => {
            seen.see("signal of the backend", `backend of ${id}`);
            resolve();
          });
        });
        return;
      default:
        throw new Error("a defect");
    }
  };
}

async function makeCalls(conn: ClientConn, count: number, seen: Sightings): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      const id = `${next++}`;
      await store.run(`client ${id}`, async () => {
        const call = conn.newStream("/test.Service/Method", {
          metadata: Metadata.from({ "x-id": id }),
        });
        await call.sendMessage(Buffer.from(id));
        seen.see("sendMessage of the client", `client ${id}`);
        call.closeSend();
        if (Number(id) % 8 === 2) {
          await eventually("a backend has the call", () => seen.kept.has(id));
          call.cancel();
        }
        await call.header();
        seen.see("header of the client", `client ${id}`);
        await call.recvMessage().catch(() => {});
        seen.see("recvMessage of the client", `client ${id}`);
        await call.trailer().catch(() => {});
        seen.see("trailer of the client", `client ${id}`);
      });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

interface Made {
  readonly seen: Sightings;
  readonly client: ClientConn;
}

/**
 * A relay to two backends; its connections are made outside of calls, or by the first call that
 * wants them.
 */
async function makeRelay(
  combo: TransportCombo,
  madeIn: "outside of calls" | "within a call",
  answer: (
    director: Parameters<typeof transparentHandler>[0],
    seen: Sightings,
  ) => {
    readonly unknownServiceHandler: StreamHandler;
    readonly interceptors?: readonly StreamInterceptor[];
  },
): Promise<Made> {
  const seen = new Sightings();
  const addresses: SocketAddress[] = [];
  for (let i = 0; i < 2; i++) {
    const backend = await listen({ ...combo, server: combo.client });
    backend.server.register("test.Service", { Method: backendHandler(seen) });
    addresses.push(backend.address);
  }
  const conns = new Map<number, ClientConn>();
  const connTo = (index: number): ClientConn => {
    const known = conns.get(index);
    if (known !== undefined) return known;
    const maker = store.getStore();
    const conn = dialTo(combo, formatAddress(addresses[index] as SocketAddress));
    conn.onState((state) => seen.see(`onState ${state}`, maker));
    conns.set(index, conn);
    return conn;
  };
  if (madeIn === "outside of calls") for (const index of [0, 1]) connTo(index);
  const destination = (
    index: number,
    what: string,
    more: Partial<Destination> = {},
  ): Destination => {
    const id = store.getStore();
    return {
      conn: connTo(index),
      onError: (error) => {
        seen.see(`onError of ${what}`, id);
        return error;
      },
      ...more,
    };
  };
  const { unknownServiceHandler, interceptors = [] } = answer((ctx, _method, peeker) => {
    const id = store.getStore();
    const number = Number(ctx.metadata.first("x-id"));
    if (number % 7 === 0) {
      ctx.signal.addEventListener("abort", () => seen.see("signal of the director", id));
    }
    const make = (): StreamParameters => {
      seen.see("director", id);
      const secondaries: Destination[] = [];
      if (number % 3 === 0) secondaries.push(destination(1, "a required secondary"));
      if (number % 3 === 1) {
        secondaries.push(destination(1, "an optional secondary", { need: "optional" }));
      }
      if (number % 5 === 0) {
        const detached = { need: "detached", maxDetachedMs: 20 } as const;
        secondaries.push(destination(1, "a detached secondary", detached));
      }
      const finalizer = (): void | Promise<void> => {
        seen.see("finalizer", id);
        if (number % 2 === 0) return undefined;
        return new Promise(setImmediate).then(() => seen.see("finalizer, later", id));
      };
      const options = number % 8 === 6 ? { timeoutMs: 20 } : {};
      return new StreamParameters(destination(0, "the primary"), secondaries, finalizer, options);
    };
    return number % 6 < 3 ? make() : peeker.peek().then(make);
  }, seen);
  const relay = await listen(combo, { unknownServiceHandler, interceptors });
  const client = dialTo({ ...combo, client: combo.server }, relay.address);
  return { seen, client };
}

const ways = {
  "a handler around the director": (director: Parameters<typeof transparentHandler>[0]) => {
    const relayed = transparentHandler(director);
    return {
      unknownServiceHandler: (stream: ServerStream) =>
        store.run(idOf(stream), () => relayed(stream)),
    };
  },
  "an interceptor that enters": (
    director: Parameters<typeof transparentHandler>[0],
    seen: Sightings,
  ) => ({
    unknownServiceHandler: transparentHandler(director),
    interceptors: [
      (stream: ServerStream, _: unknown, next: StreamHandler) => {
        seen.see("interceptor", undefined);
        store.enterWith(idOf(stream));
        return next(stream);
      },
    ],
  }),
  "a handler that relays itself": (director: Parameters<typeof transparentHandler>[0]) => ({
    unknownServiceHandler: (stream: ServerStream) =>
      store.run(idOf(stream), async () => {
        const peeker = { peek: () => new Promise<void>((resolve) => setImmediate(resolve)) };
        const params = await director(stream.context, stream.method, peeker as never);
        await handleStream(stream, stream.method, params);
      }),
  }),
};

describe.each(transportCombos)("relayed calls, server on $server, client on $client", (combo) => {
  for (const madeIn of ["outside of calls", "within a call"] as const) {
    it.each(Object.entries(ways))(
      `with connections made ${madeIn}, by %s, find their own store in every callback`,
      async (_, way) => {
        const { seen, client } = await makeRelay(combo, madeIn, way);
        await makeCalls(client, CALLS, seen);
        // A client that has cancelled does not wait for it.
        await eventually("all are finalized", () => seen.count("finalizer") === CALLS);
        expect(seen.count("director")).toBe(CALLS);
        const detached = "onError of a detached secondary";
        const failing = Array.from({ length: CALLS }, (_each, id) => id).filter(
          (id) => id % 5 === 0 && id % 4 !== 0,
        );
        await eventually("all detached ones have ended", () => {
          return seen.count(detached) >= failing.length;
        });
        const some = ["finalizer, later", "signal of the director", "onState ready"];
        const onError = ["the primary", "a required secondary", "an optional secondary"];
        for (const where of [...some, ...onError.map((what) => `onError of ${what}`)]) {
          expect([where, seen.count(where) > 0]).toEqual([where, true]);
        }
        expect(seen.wrong).toEqual([]);
      },
      60_000,
    );
  }

  it("keep no context when they have no callbacks", async () => {
    const backend = await scriptedBackend(combo);
    const { address } = await listenRelay(
      combo,
      () => new StreamParameters({ conn: backend.conn }, [{ conn: backend.conn }]),
    );
    const upstream = await connectTo(backend);
    const client = await ScriptedClient.connect(address);
    let kept = 0;
    const hook = createHook({
      init: (_id, type) => {
        if (type === "GrpcRelayScope") kept++;
      },
    }).enable();
    closeAtEnd(() => hook.disable());
    for (const streamId of [1, 3, 5]) {
      client.send(frames.headers(streamId, request(PATH), { endStream: true }));
      for (const _leg of ["primary", "secondary"]) {
        const leg = await upstream.expectRequest(PATH);
        upstream.send(frames.headers(leg.streamId, trailersOnly(5), { endStream: true }));
      }
      expect(statusOf(await client.expectTrailers(streamId))).toBe(5);
    }
    expect(kept).toBe(0);
  });

  it("tell of their end on the channel where they were told of their beginning", async () => {
    const wrong: string[] = [];
    let ends = 0;
    const onStart = (): void => {
      if (store.getStore() !== undefined) wrong.push(`start: found ${store.getStore()}`);
      store.enterWith("traced");
    };
    const onEnd = (): void => {
      ends++;
      if (store.getStore() !== "traced") wrong.push(`end: found ${store.getStore()}`);
    };
    const backend = await listen({ ...combo, server: combo.client });
    backend.server.register("test.Service", { Method: () => {} });
    const upstream = dialTo(combo, backend.address);
    const { address } = await listen(combo, {
      unknownServiceHandler: transparentHandler(() => {
        if (store.getStore() !== "traced") wrong.push(`director: found ${store.getStore()}`);
        return new StreamParameters({ conn: upstream });
      }),
    });
    const conn = dialTo({ ...combo, client: combo.server }, address);
    subscribe("grpc-relay:call:start", onStart);
    subscribe("grpc-relay:call:end", onEnd);
    closeAtEnd(() => {
      unsubscribe("grpc-relay:call:start", onStart);
      unsubscribe("grpc-relay:call:end", onEnd);
    });
    const calls = Array.from({ length: 20 }, async () => {
      const call = conn.newStream("/test.Service/Method");
      call.closeSend();
      await call.trailer();
    });
    await Promise.all(calls);
    // The relay's, and those of the backend, which is in the same process.
    expect([ends, wrong]).toEqual([40, []]);
  });
});

it("a connection is made where its ClientConn was, not where the call is that wants it", async () => {
  const memory = memoryTransport();
  const found: unknown[] = [];
  const transport = transportOf("memory", {
    connect: (options, listener) => {
      found.push(store.getStore());
      return memory.connect(options, listener);
    },
    listen: (options, events) => memory.listen(options, events),
  });
  const server = watchServer(new Server({ transport }));
  server.register("test.Service", { Method: () => {} });
  const target = formatAddress((await server.listen("127.0.0.1:0")).address);
  const conn = store.run("maker", () => watchConn(dial(target, { transport })));
  const call = store.run("call", () => conn.newStream("/test.Service/Method"));
  call.closeSend();
  await call.trailer();
  expect(found).toEqual(["maker"]);
});
