// What stands in front of handlers and directors, and what it can do there.

import { describe, expect, it } from "vitest";
import { ErrorReason, GrpcError } from "../../src/grpc/error.ts";
import type { Frame } from "../../src/grpc/frame.ts";
import { Metadata } from "../../src/grpc/metadata.ts";
import { Status } from "../../src/grpc/status.ts";
import { StreamParameters } from "../../src/proxy/director.ts";
import { handleStream, transparentHandler } from "../../src/proxy/transparent-handler.ts";
import { incomingToOutgoing } from "../../src/server/call-context.ts";
import type {
  StreamHandler,
  StreamInterceptor,
  StreamServerInfo,
} from "../../src/server/interceptor.ts";
import type { ServerOptions } from "../../src/server/server.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { fieldValue } from "../../src/wire/field.ts";
import { FakeClock } from "../support/clock.ts";
import { transportCombos } from "../support/combos.ts";
import { frames, message, request, response, trailers, trailersOnly } from "../support/frames.ts";
import {
  connectTo,
  eventually,
  listen,
  PATH,
  scriptedBackend,
  statusOf,
} from "../support/relay-fixture.ts";
import { ScriptedClient } from "../support/scripted-endpoints.ts";

describe.each(transportCombos)("interceptors, server on $server, client on $client", (combo) => {
  /** `interceptors` before `handler`, which answers whatever is not registered. */
  async function start(
    interceptors: readonly StreamInterceptor[],
    handler: StreamHandler,
    options: ServerOptions = {},
  ) {
    const { server, address } = await listen(combo, {
      ...options,
      interceptors,
      unknownServiceHandler: handler,
    });
    const client = await ScriptedClient.connect(address, { refillWindows: true });
    return { server, client };
  }

  /** A relay behind `interceptors`, its backend connected. */
  async function startRelay(
    interceptors: readonly StreamInterceptor[],
    options: ServerOptions = {},
  ) {
    const upstream = await scriptedBackend(combo, {}, options);
    const handler = transparentHandler((_ctx) => new StreamParameters({ conn: upstream.conn }));
    const started = await start(interceptors, handler, options);
    return { ...started, backend: await connectTo(upstream), conn: upstream.conn };
  }

  it("run in order around the handler, and know what is registered", async () => {
    const log: string[] = [];
    const infos: StreamServerInfo[] = [];
    const named =
      (name: string): StreamInterceptor =>
      async (stream, info, next) => {
        log.push(`${name} in`);
        infos.push(info);
        await next(stream);
        log.push(`${name} out`);
      };
    const { client, server } = await start([named("outer"), named("inner")], () => {
      log.push("handler");
    });
    server.register("known.Service", { A: () => {} });
    client.send(frames.headers(1, request(PATH), { endStream: true }));
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
    expect(log).toEqual(["outer in", "inner in", "handler", "inner out", "outer out"]);
    client.send(frames.headers(3, request("/known.Service/A"), { endStream: true }));
    await client.expectTrailers(3);
    expect(infos[0]).toEqual({ fullMethod: PATH, registered: false });
    expect(infos[2]).toEqual({ fullMethod: "/known.Service/A", registered: true });
  });

  it("do not run for a method that nobody answers", async () => {
    let ran = false;
    const { address } = await listen(combo, {
      interceptors: [
        () => {
          ran = true;
        },
      ],
    });
    const client = await ScriptedClient.connect(address);
    client.send(frames.headers(1, request(PATH), { endStream: true }));
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.UNIMPLEMENTED);
    expect(ran).toBe(false);
  });

  it.each([
    [
      "throws at once",
      () => {
        throw new GrpcError(Status.UNAUTHENTICATED, "who are you");
      },
    ],
    ["rejects", () => Promise.reject(new GrpcError(Status.UNAUTHENTICATED, "who are you"))],
  ])("refuse a call: one that %s", async (_how, interceptor) => {
    let handled = false;
    const { client } = await start([interceptor], () => {
      handled = true;
    });
    client.send(frames.headers(1, request(PATH)), frames.data(1, message("abc")));
    const fields = await client.expectTrailers(1);
    expect(statusOf(fields)).toBe(Status.UNAUTHENTICATED);
    expect(fieldValue(fields, "grpc-message")).toBe("who are you");
    await client.expectReset(1, ErrorCode.NO_ERROR);
    expect(handled).toBe(false);
  });

  it("give the director another context: metadata and deadline reach the backend", async () => {
    const clock = new FakeClock();
    const relay = await startRelay(
      [
        (stream, _info, next) => {
          const ctx = incomingToOutgoing(stream.context).withTimeout(300);
          ctx.metadata.set("x-user", "alice");
          return next(stream.withContext(ctx));
        },
      ],
      { clock },
    );
    relay.client.send(frames.headers(1, request(PATH, ["x-own", "1"])), frames.data(1).end());
    const { streamId, fields } = await relay.backend.expectRequest(PATH);
    expect(fieldValue(fields, "x-user")).toBe("alice");
    expect(fieldValue(fields, "x-own")).toBe("1");
    expect(fieldValue(fields, "grpc-timeout")).toMatch(/^300000u$|^300m$/);
    clock.advance(304);
    expect(statusOf(await relay.client.expectTrailers(1))).toBe(Status.DEADLINE_EXCEEDED);
    await relay.backend.expectReset(streamId, ErrorCode.CANCEL, { skip: ["DATA"] });
  });

  it("wait for the outcome of a relayed call, OK", async () => {
    const log: string[] = [];
    const relay = await startRelay([
      async (stream, _info, next) => {
        await next(stream);
        log.push("done");
      },
    ]);
    relay.client.send(frames.headers(1, request(PATH)), frames.data(1).end());
    const { streamId } = await relay.backend.expectRequest(PATH);
    relay.backend.send(frames.headers(streamId, response()), frames.data(streamId, message("x")));
    await relay.client.expectHeaders(1);
    await relay.client.expectBytes(1, 6);
    expect(log).toEqual([]);
    relay.backend.send(frames.headers(streamId, [["grpc-status", "0"]], { endStream: true }));
    expect(statusOf(await relay.client.expectTrailers(1))).toBe(Status.OK);
    expect(log).toEqual(["done"]);
  });

  const failing = [
    [
      "see its error and pass it on",
      (error: unknown) => {
        throw error;
      },
      5,
    ],
    [
      "change its error",
      () => {
        throw new GrpcError(Status.ABORTED, "changed");
      },
      Status.ABORTED,
    ],
    ["swallow its error: OK", () => {}, Status.OK],
  ] as const;

  it.each(failing)(
    "wait for the outcome of a relayed call that fails, and %s",
    async (_title, handle, expected) => {
      const errors: unknown[] = [];
      const relay = await startRelay([
        async (stream, _info, next) => {
          try {
            await next(stream);
          } catch (error) {
            errors.push(error);
            handle(error);
          }
        },
      ]);
      relay.client.send(frames.headers(1, request(PATH)), frames.data(1).end());
      const { streamId } = await relay.backend.expectRequest(PATH);
      const fields = trailersOnly(5, "not%20here", ["x-t", "1"]);
      relay.backend.send(frames.headers(streamId, fields, { endStream: true }));
      expect(statusOf(await relay.client.expectTrailers(1))).toBe(expected);
      expect(errors).toMatchObject([
        { status: 5, details: "not here", reason: ErrorReason.UPSTREAM_STATUS },
      ]);
    },
  );

  it("that do not wait leave the relay's outcome as it is", async () => {
    const relay = await startRelay([
      (stream, _info, next) => {
        void next(stream);
      },
    ]);
    relay.client.send(frames.headers(1, request(PATH)), frames.data(1).end());
    const { streamId } = await relay.backend.expectRequest(PATH);
    relay.backend.send(frames.headers(streamId, trailersOnly(9, "no"), { endStream: true }));
    expect(statusOf(await relay.client.expectTrailers(1))).toBe(9);
  });

  it("that give up while the relay is at work end it: the backend is reset, the finalizer runs", async () => {
    let giveUp = (): void => {};
    let finalized = 0;
    const upstream = await scriptedBackend(combo);
    const given = new Promise<void>((_, reject) => {
      giveUp = () => reject(new GrpcError(Status.ABORTED, "enough"));
    });
    const { client, server } = await start(
      [(stream, _info, next) => Promise.race([Promise.resolve(next(stream)), given])],
      transparentHandler(
        () => new StreamParameters({ conn: upstream.conn }, [], () => void finalized++),
      ),
    );
    const backend = await connectTo(upstream);
    client.send(frames.headers(1, request(PATH)), frames.data(1, message("abc")));
    const { streamId } = await backend.expectRequest(PATH);
    giveUp();
    const fields = await client.expectTrailers(1);
    expect([statusOf(fields), fieldValue(fields, "grpc-message")]).toEqual([10, "enough"]);
    await backend.expectReset(streamId, ErrorCode.CANCEL, { skip: ["DATA"] });
    expect(finalized).toBe(1);
    expect(server.openCallCount).toBe(0);
  });

  it("that give up while the director is at work: the client hears it, the finalizer still runs once", async () => {
    let answer = (): void => {};
    const answered = new Promise<void>((resolve) => {
      answer = resolve;
    });
    let finalized = 0;
    const upstream = await scriptedBackend(combo);
    const { client } = await start(
      [
        (stream, _info, next) => {
          void next(stream);
          throw new GrpcError(Status.ABORTED, "enough");
        },
      ],
      transparentHandler(async () => {
        await answered;
        return new StreamParameters({ conn: upstream.conn }, [], () => void finalized++);
      }),
    );
    client.send(frames.headers(1, request(PATH)), frames.data(1).end());
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.ABORTED);
    answer();
    await eventually("the finalizer has run", () => finalized === 1);
    expect(upstream.scripted.connectionCount).toBe(0);
  });

  it("may read messages, which are then not relayed, and may not send any", async () => {
    const seen: string[] = [];
    const errors: unknown[] = [];
    const relay = await startRelay([
      async (stream, _info, next) => {
        seen.push(((await stream.recvMessage()) as Frame).payload.toString());
        const relayed = next(stream);
        await stream.recvMessage().catch((error: unknown) => errors.push(error));
        await relayed;
      },
    ]);
    relay.client.send(frames.headers(1, request(PATH)));
    relay.client.send(frames.data(1, Buffer.concat([message("taken"), message("left")])).end());
    const { streamId } = await relay.backend.expectRequest(PATH);
    expect(await relay.backend.expectBody(streamId)).toEqual(message("left"));
    relay.backend.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
    expect(statusOf(await relay.client.expectTrailers(1))).toBe(Status.OK);
    expect(seen).toEqual(["taken"]);
    expect(errors).toMatchObject([expect.any(TypeError)]);
  });
});

describe.each(transportCombos)("handleStream, server on $server, client on $client", (combo) => {
  async function start(handler: StreamHandler) {
    const { server, address } = await listen(combo);
    server.register("test.Service", { Method: handler });
    return { server, client: await ScriptedClient.connect(address, { refillWindows: true }) };
  }

  it("relays under another name, behind a message that was read", async () => {
    const upstream = await scriptedBackend(combo);
    const { client } = await start(async (stream) => {
      const first = (await stream.recvMessage()) as Frame;
      const ctx = stream.context.withMetadata(new Metadata());
      const changed = Buffer.from(`${first.payload}!`);
      const params = new StreamParameters({ conn: upstream.conn, ctx, message: changed });
      await handleStream(stream, "/other.Service/Name", params);
    });
    client.send(frames.headers(1, request(PATH, ["x-own", "1"])));
    client.send(frames.data(1, Buffer.concat([message("one"), message("two")])).end());
    const backend = await connectTo(upstream);
    const { streamId, fields } = await backend.expectRequest("/other.Service/Name");
    expect(fieldValue(fields, "x-own")).toBeUndefined();
    expect(await backend.expectBody(streamId)).toEqual(
      Buffer.concat([message("one!"), message("two")]),
    );
    backend.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
  });

  it("that fails at once is OK for a handler that waited and swallowed it, and fails for one that did not wait", async () => {
    for (const waits of [true, false]) {
      const { conn } = await scriptedBackend(combo);
      await conn.close();
      const params = new StreamParameters({ conn });
      const { client } = await start((stream) => {
        const relayed = handleStream(stream, PATH, params);
        return waits ? relayed.catch(() => {}) : undefined;
      });
      client.send(frames.headers(1, request(PATH), { endStream: true }));
      const status = statusOf(await client.expectTrailers(1));
      expect(status).toBe(waits ? Status.OK : Status.UNAVAILABLE);
    }
  });

  it("gets the headers and trailers that an interceptor adds to a relayed call", async () => {
    const upstream = await scriptedBackend(combo);
    const { client } = await start(async (stream) => {
      stream.setHeader(Metadata.from({ "x-head": "h" }));
      const relayed = handleStream(stream, PATH, new StreamParameters({ conn: upstream.conn }));
      stream.setTrailer(Metadata.from({ "x-trail": "t" }));
      await relayed;
      expect(() => stream.setHeader(new Metadata())).toThrow("sent already");
    });
    client.send(frames.headers(1, request(PATH), { endStream: true }));
    const backend = await upstream.scripted.connection();
    const { streamId } = await backend.expectRequest(PATH);
    backend.send(
      frames.headers(streamId, response(["x-own", "1"])),
      frames.headers(streamId, trailers(0, undefined, ["x-own-trail", "2"]), { endStream: true }),
    );
    const head = await client.expectHeaders(1);
    expect([fieldValue(head, "x-own"), fieldValue(head, "x-head")]).toEqual(["1", "h"]);
    const tail = await client.expectTrailers(1);
    expect([fieldValue(tail, "x-own-trail"), fieldValue(tail, "x-trail")]).toEqual(["2", "t"]);
  });

  it("with call options out of range ends the call, whether or not the handler waits", async () => {
    for (const waits of [true, false]) {
      const upstream = await scriptedBackend(combo);
      let refusal: unknown;
      const { client } = await start((stream) => {
        try {
          const options = { timeoutMs: -1 };
          const params = new StreamParameters({ conn: upstream.conn }, [], undefined, options);
          const relayed = handleStream(stream, PATH, params);
          return waits ? relayed : undefined;
        } catch (error) {
          refusal = error;
          throw error;
        }
      });
      client.send(frames.headers(1, request(PATH), { endStream: true }));
      const fields = await client.expectTrailers(1);
      expect(statusOf(fields)).toBe(Status.UNKNOWN);
      expect(String(refusal)).toContain("timeoutMs");
      expect(fieldValue(fields, "grpc-message")).toBe("internal error in the proxy");
    }
  });

  it("throws for a stream that is relayed or answered already, for a bad name, for no parameters", async () => {
    const upstream = await scriptedBackend(combo);
    const params = new StreamParameters({ conn: upstream.conn });
    const errors: unknown[] = [];
    const attempt = (run: () => unknown): void => {
      try {
        run();
      } catch (error) {
        errors.push(error);
      }
    };
    const { client } = await start((stream) => {
      attempt(() => handleStream(stream, "no-slash", params));
      attempt(() => handleStream(stream, PATH, {} as StreamParameters));
      attempt(() => handleStream({} as typeof stream, PATH, params));
      if (stream.context.metadata.has("x-send")) {
        stream.sendHeader();
        attempt(() => handleStream(stream, PATH, params));
        return undefined;
      }
      const relayed = handleStream(stream, PATH, params);
      attempt(() => handleStream(stream, PATH, params));
      return relayed;
    });
    const backend = await connectTo(upstream);
    client.send(frames.headers(1, request(PATH)), frames.data(1).end());
    const { streamId } = await backend.expectRequest();
    backend.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
    expect(errors.map(String)).toEqual([
      expect.stringContaining('expected "/package.Service/Method", got "no-slash"'),
      expect.stringContaining("expected StreamParameters, got an object (Object)"),
      expect.stringContaining("expected the ServerStream that the handler was given"),
      expect.stringContaining("expected a stream that is not relayed yet"),
    ]);
    client.send(frames.headers(3, request(PATH, ["x-send", "1"])), frames.data(3).end());
    await client.expectHeaders(3);
    await client.expectTrailers(3);
    expect(errors.at(-1)).toMatchObject({
      message: expect.stringContaining("headers were sent"),
    });
  });
});
