// What directors, error handlers and backends get wrong: it costs the call at most, and the client
// is told.

import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import type { ClientConn } from "../../src/client/client-conn.ts";
import { dial } from "../../src/client/dial.ts";
import type { GrpcError } from "../../src/grpc/error.ts";
import { Status } from "../../src/grpc/status.ts";
import { StreamParameters } from "../../src/proxy/director.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { fieldValue } from "../../src/wire/field.ts";
import { FakeClock } from "../support/clock.ts";
import { transportCombos } from "../support/combos.ts";
import { callEnds } from "../support/events.ts";
import { frames, message, pairsOf, request, response, trailersOnly } from "../support/frames.ts";
import {
  connectTo,
  eventually,
  listenRelay,
  PATH,
  scriptedBackend,
  scriptedRelay,
  statusOf,
} from "../support/relay-fixture.ts";
import { ScriptedClient } from "../support/scripted-endpoints.ts";

const UNARY = [frames.headers(1, request(PATH)), frames.data(1, message("x")).end()] as const;

describe.each(transportCombos)("a relay, server on $server, client on $client", (combo) => {
  it.each(["primary", "secondary"] as const)(
    "keeps the verdict of a %s whose onError ends the other destination, and finalizes once",
    async (failing) => {
      const [a, b] = [await scriptedBackend(combo), await scriptedBackend(combo)];
      const finals: number[] = [];
      const { address } = await listenRelay(combo, (ctx) => {
        const other = ctx.withCancel();
        const judge = {
          onError: (error: GrpcError) => {
            other.cancel("no quorum");
            return error;
          },
        };
        const cut = { ctx: other.ctx, onError: () => undefined };
        return new StreamParameters(
          { conn: a.conn, ...(failing === "primary" ? judge : cut) },
          [{ conn: b.conn, ...(failing === "primary" ? cut : judge) }],
          async ({ status }) => {
            finals.push(status);
          },
        );
      });
      const peers = [await connectTo(a), await connectTo(b)] as const;
      const client = await ScriptedClient.connect(address, { refillWindows: true });
      client.send(...UNARY);
      const ids = await Promise.all(
        peers.map(async (peer) => (await peer.expectRequest(PATH)).streamId),
      );
      const at = failing === "primary" ? 0 : 1;
      peers[at]?.send(frames.headers(ids[at] ?? 0, trailersOnly(9, "not so"), { endStream: true }));
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.FAILED_PRECONDITION);
      await client.sync();
      expect(finals).toEqual([Status.FAILED_PRECONDITION]);
    },
  );

  it.each(["reset", "answer"] as const)(
    "keeps no stream whose %s by the backend crossed the client's cancellation",
    async (how) => {
      const { client, backend, conn } = await scriptedRelay(combo, {
        backend: { refillWindows: false },
      });
      for (let id = 1; id < 40; id += 2) {
        client.send(frames.headers(id, request(PATH)), frames.data(id, message("abc")));
        const { streamId } = await backend.expectRequest(PATH);
        await client.sync();
        await backend.sync();
        await client.sync();
        client.send(frames.rst(id, ErrorCode.CANCEL));
        for (let turn = 0; turn < id % 3; turn++) await new Promise((next) => setImmediate(next));
        if (how === "answer") {
          backend.send(frames.headers(streamId, trailersOnly(4), { endStream: true }));
        }
        backend.send(frames.rst(streamId, ErrorCode.NO_ERROR));
        await client.sync();
      }
      await eventually("no stream is left", () => conn.openStreamCount === 0);
    },
  );

  it("makes a gRPC response of an HTTP error that has a status, a length and a body", async () => {
    const { client, backend } = await scriptedRelay(combo);
    client.send(...UNARY);
    const { streamId } = await backend.expectRequest(PATH);
    backend.send(
      frames.headers(streamId, [
        [":status", "503"],
        ["content-type", "text/plain"],
        ["content-length", "5"],
        ["grpc-status", "14"],
        ["grpc-message", "down"],
      ]),
      frames.data(streamId, "hello").end(),
    );
    expect(pairsOf(await client.expectTrailers(1))).toEqual([
      [":status", "200"],
      ["content-type", "application/grpc"],
      ["grpc-status", "14"],
      ["grpc-message", "down"],
    ]);
  });

  it("sends the authority of the connection where there is none to pass on", async () => {
    const { client, backend, conn } = await scriptedRelay(combo, {
      director: (upstream) => () =>
        new StreamParameters({ conn: upstream }, [], undefined, { authority: "" }),
    });
    client.send(...UNARY);
    const { streamId, fields } = await backend.expectRequest(PATH);
    expect(fieldValue(fields, ":authority")).toBe(conn.authority);
    backend.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
    await client.expectTrailers(1);
  });

  it("bounds what one peek is given, however it came and whatever it was compressed to", async () => {
    const tries: string[] = [];
    const { client, backend } = await scriptedRelay(combo, {
      server: { maxPeekBytes: 100_000 },
      director: (conn) => async (_ctx, _method, peeker) => {
        for (const count of [1, 2]) {
          const seen = await peeker.peek(count).then(
            (payloads) => `${payloads.length}`,
            (error: GrpcError) => `${error.reason}`,
          );
          tries.push(seen);
        }
        return new StreamParameters({ conn });
      },
    });
    const bomb = message(gzipSync(Buffer.alloc(60_000)), { compressed: true });
    client.send(frames.headers(1, request(PATH, ["grpc-encoding", "gzip"])));
    client.send(frames.data(1, Buffer.concat([bomb, bomb])).end());
    const { streamId } = await backend.expectRequest(PATH);
    expect((await backend.expectBody(streamId)).equals(Buffer.concat([bomb, bomb]))).toBe(true);
    backend.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
    await client.expectTrailers(1);
    expect(tries).toEqual(["1", "PEEK_TOO_LARGE"]);
  });

  it("puts a message in the place of one that it could not decompress", async () => {
    const { client, backend } = await scriptedRelay(combo, {
      director: (conn) => async (_ctx, _method, peeker) => {
        await peeker.peek().catch(() => undefined);
        return new StreamParameters({ conn, message: Buffer.from("new") });
      },
    });
    client.send(frames.headers(1, request(PATH, ["grpc-encoding", "snappy"])));
    client.send(frames.data(1, message("old", { compressed: true })).end());
    const { streamId } = await backend.expectRequest(PATH);
    expect(await backend.expectBody(streamId)).toEqual(message("new"));
    backend.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
    await client.expectTrailers(1);
  });

  it("resets a call whose deadline has passed when its client does not read what came before", async () => {
    const clock = new FakeClock();
    const { client, backend, server } = await scriptedRelay(combo, {
      clock,
      client: { settings: { INITIAL_WINDOW_SIZE: 0 }, refillWindows: false },
    });
    client.send(frames.headers(1, request(PATH, ["grpc-timeout", "1S"]), { endStream: true }));
    const { streamId } = await backend.expectRequest(PATH);
    await backend.expectBody(streamId);
    backend.send(frames.headers(streamId, response()));
    const body = message(Buffer.alloc(100_000));
    for (let at = 0; at < body.length; at += 16_384) {
      backend.send(frames.data(streamId, body.subarray(at, at + 16_384)));
    }
    await client.recv("HEADERS", { stream: 1 });
    await backend.sync();
    clock.advance(1_004);
    await backend.recv("RST_STREAM", { stream: streamId });
    expect(server.openCallCount).toBe(0);
    clock.advance(1_004);
    const { frame } = await client.recv("RST_STREAM", { stream: 1 });
    expect(frame.errorCode).toBe(ErrorCode.CANCEL);
  });

  it.each([
    [
      { conn: "x" as never },
      "primary destination: expected { conn } with a conn made by dial(), got",
    ],
    [
      { conn: undefined as never, con: 5 } as never,
      'primary destination: expected one of conn, ctx, message, onError, fallbacks, callOptions, need, maxLagBytes, maxDetachedMs, got "con"; did you mean conn?',
    ],
    [{ message: "text" as never }, 'message of the primary: expected a Uint8Array, got "text"'],
    [{ ctx: {} as never }, "ctx of the primary: expected a CallContext, got an object (Object)"],
    [{ onError: 5 as never }, "onError of the primary: expected a function, got 5"],
    [
      { need: "optional" as const },
      'need of the primary: expected one of required, got "optional"',
    ],
    [{ maxLagBytes: 5 }, "maxLagBytes of the primary: expected none, got 5"],
    [{ maxDetachedMs: 5 }, "maxDetachedMs of the primary: expected none, got 5"],
  ])("refuses a call whose director answers nonsense: %#", async (nonsense, text) => {
    const ends = callEnds();
    const { client, server } = await scriptedRelay(combo, {
      director: (conn) => () => new StreamParameters({ conn, ...nonsense }),
    });
    client.send(...UNARY);
    const fields = await client.expectTrailers(1);
    expect(statusOf(fields)).toBe(Status.UNKNOWN);
    expect(fieldValue(fields, "grpc-message")).toBe("internal error in the proxy");
    await eventually("the call is over", () => server.openCallCount === 0);
    expect(ends[0]?.error).toMatchObject({ reason: "DIRECTOR", cause: expect.any(Error) });
    expect(ends[0]?.error?.message).toContain(text);
  });

  it("ends one call with INTERNAL when its destination throws instead of opening", async () => {
    const { client, conn } = await scriptedRelay(combo, {
      director: (upstream) => () => {
        const broken: ClientConn = Object.create(upstream, {
          open: {
            value: () => {
              throw new TypeError("broken conn");
            },
          },
          abandon: { value: () => {} },
        });
        return new StreamParameters({ conn: broken });
      },
    });
    client.send(...UNARY);
    const fields = await client.expectTrailers(1);
    expect(statusOf(fields)).toBe(Status.INTERNAL);
    expect(conn.state).toBe("ready");
  });
});

it("tells a conn that stands in the place of a destination", async () => {
  const conn = dial("127.0.0.1:1");
  expect(() => new StreamParameters(conn as never)).toThrow("got the conn itself");
  expect(() => new StreamParameters({ conn }, { conn } as never)).toThrow(
    "secondaries: expected an array, got an object (Object)",
  );
  for (const [nonsense, details] of [
    [
      { need: "optinal" as never },
      'need of the secondary: expected one of required, optional, detached, got "optinal"',
    ],
    [{ maxLagBytes: Number.NaN }, "maxLagBytes of the secondary: expected a number from 0 up"],
    [{ maxLagBytes: "1" as never }, "maxLagBytes of the secondary: expected a number from 0 up"],
    [{ maxDetachedMs: -1 }, "maxDetachedMs of the secondary: expected a number from 0 up, got -1"],
  ] as const) {
    expect(() => new StreamParameters({ conn }, [{ conn, ...nonsense }])).toThrow(details);
  }
  expect(() => new StreamParameters({ conn }, [], 5 as never)).toThrow(
    "requestFinalizer: expected a function, got 5",
  );
  expect(() => new StreamParameters(undefined as never)).toThrow("got undefined");
  await conn.close();
});
