// Secondaries that die, do not read, or cannot be opened: the others go on, and memory has a bound.

import { describe, expect, it } from "vitest";
import { ErrorReason, type GrpcError } from "../../src/grpc/error.ts";
import { Status } from "../../src/grpc/status.ts";
import { type Destination, StreamParameters } from "../../src/proxy/director.ts";
import type { CallResult } from "../../src/proxy/results.ts";
import type { CallContext } from "../../src/server/call-context.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { fieldValue } from "../../src/wire/field.ts";
import { FakeClock } from "../support/clock.ts";
import { transportCombos } from "../support/combos.ts";
import { frames, message, request, response, trailers, trailersOnly } from "../support/frames.ts";
import { refusingAddress } from "../support/refusing.ts";
import {
  connectTo,
  dialTo,
  eventually,
  fanOutRelay,
  listenRelay,
  PATH,
  scriptedBackend,
  sendCall,
  statusOf,
} from "../support/relay-fixture.ts";
import { ScriptedClient } from "../support/scripted-endpoints.ts";
import type { ScriptedPeer } from "../support/scripted-peer.ts";
import { Upload } from "../support/upload.ts";

const MiB = 1024 * 1024;
/** Credit is given back in steps of half a window of 128 KiB. */
const CREDIT_STEP_BYTES = 65_536;
/** A backend that takes connections and says nothing until it is told to. */
const SILENT = { handshake: false, ackSettings: false } as const;

describe.each(transportCombos)("lag, server on $server, client on $client", (combo) => {
  interface Pair {
    readonly client: ScriptedPeer;
    readonly primary: ScriptedPeer;
    readonly secondary: ScriptedPeer;
    readonly results: CallResult[];
    readonly told: GrpcError[];
    /** Stream ids at primary and secondary, once the call's headers are there. */
    begin(): Promise<readonly [primaryId: number, secondaryId: number]>;
  }

  /** The secondary gives no credit back; its window is 64 KiB. */
  async function pair(
    extra: Omit<Destination, "conn" | "onError"> = {},
    swallows = true,
  ): Promise<Pair> {
    const results: CallResult[] = [];
    const told: GrpcError[] = [];
    const onError = (error: GrpcError) => {
      told.push(error);
      return swallows ? undefined : error;
    };
    const { client, peers } = await fanOutRelay(combo, {
      backends: [{}, { refillWindows: false }],
      params: ([first, second]) =>
        new StreamParameters({ conn: first! }, [{ ...extra, conn: second!, onError }], (result) => {
          results.push(result);
        }),
    });
    const [primary, secondary] = peers as [ScriptedPeer, ScriptedPeer];
    const begin = async () => {
      client.send(frames.headers(1, request(PATH)));
      const { streamId } = await primary.expectRequest(PATH);
      return [streamId, (await secondary.expectRequest(PATH)).streamId] as const;
    };
    return { client, primary, secondary, results, told, begin };
  }

  async function settle({ primary, secondary }: Pair): Promise<void> {
    await primary.sync();
    if (!secondary.closed) await secondary.sync();
  }

  it("a secondary that dies at message 5,000 of 10,000 costs the primary nothing, and keeps nothing", async () => {
    const call = await pair();
    const { client, primary, secondary } = call;
    secondary.refillWindows = true;
    const [primaryId, secondaryId] = await call.begin();
    const upload = new Upload(client, 1);
    const one = message(Buffer.alloc(995, "m"));
    const batch = Buffer.concat(Array.from({ length: 100 }, () => one));
    const batches = async (): Promise<void> => {
      for (let i = 0; i < 50; i++) await upload.send(batch);
    };
    await batches();
    const half = 5_000 * one.length;
    await secondary.until(
      "half of it",
      () => secondary.receivedBytes(secondaryId) === half || undefined,
    );
    secondary.send(frames.rst(secondaryId, ErrorCode.INTERNAL_ERROR));
    await eventually("the relay knows", () => call.told.length === 1);
    const before = process.memoryUsage().rss;
    await batches();
    client.send(frames.data(1).end());
    await primary.until(
      "all of it",
      () => primary.receivedBytes(primaryId) === 2 * half || undefined,
    );
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * MiB);
    primary.send(frames.headers(primaryId, trailersOnly(0), { endStream: true }));
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
    expect(call.results[0]).toMatchObject({
      status: Status.OK,
      primary: { requestMessages: 10_000, requestBytes: 2 * half },
      secondaries: [
        { requestMessages: 5_000, requestBytes: half, status: Status.INTERNAL, swallowed: true },
      ],
    });
  });

  it("without a limit a secondary that never reads stops the client within the windows", async () => {
    const call = await pair();
    const [primaryId, secondaryId] = await call.begin();
    const upload = new Upload(call.client, 1);
    const body = message(Buffer.alloc(4 * MiB));
    const taken = await upload.sendUntilStalled(body, () => settle(call));
    // The secondary's window, the client's window at the relay, and what the transport holds
    // between.
    expect(taken).toBeGreaterThanOrEqual(65_535);
    expect(taken).toBeLessThanOrEqual(65_535 + 131_072 + CREDIT_STEP_BYTES);
    // It is the client who waits, not the call that hangs: once the secondary reads, all of it
    // passes.
    call.secondary.refillWindows = true;
    call.secondary.send(frames.windowUpdate(0, MiB), frames.windowUpdate(secondaryId, MiB));
    await upload.send(body.subarray(taken));
    await call.primary.expectBytes(primaryId, body.length);
    call.client.send(frames.rst(1, ErrorCode.CANCEL));
    await call.primary.expectReset(primaryId, ErrorCode.CANCEL);
  });

  it("without a limit a primary that never reads stops the client, too", async () => {
    const call = await pair();
    call.primary.refillWindows = false;
    call.secondary.refillWindows = true;
    await call.begin();
    const upload = new Upload(call.client, 1);
    const taken = await upload.sendUntilStalled(Buffer.alloc(4 * MiB), () => settle(call));
    expect(taken).toBeLessThanOrEqual(65_535 + 131_072 + CREDIT_STEP_BYTES);
    call.client.send(frames.rst(1, ErrorCode.CANCEL));
    await eventually("it is over", () => call.results.length === 1);
  });

  it("with a limit a secondary that never reads is reset when it is too far behind; the call goes on", async () => {
    const call = await pair({ maxLagBytes: 200_000 });
    const [primaryId, secondaryId] = await call.begin();
    const upload = new Upload(call.client, 1);
    const body = message(Buffer.alloc(2 * MiB));
    await upload.send(body);
    await call.primary.expectBytes(primaryId, body.length);
    await call.secondary.expectReset(secondaryId, ErrorCode.CANCEL, { skip: ["DATA"] });
    call.client.send(frames.data(1).end());
    call.primary.send(frames.headers(primaryId, trailersOnly(0), { endStream: true }));
    expect(statusOf(await call.client.expectTrailers(1))).toBe(Status.OK);
    expect(call.told).toMatchObject([{ reason: ErrorReason.SECONDARY_LAG }]);
    const result = call.results[0]!.secondaries[0]!;
    expect(result).toMatchObject({ status: Status.RESOURCE_EXHAUSTED, swallowed: true });
    // What was kept for it and never reached it: the lag allowed, and what a client can have sent
    // beyond that before the primary took it.
    expect(call.secondary.receivedBytes(secondaryId)).toBe(65_535);
    expect(result.requestBytes - 65_535).toBeLessThan(200_000 + 131_072);
  });

  it("with a limit a secondary within its lag is kept", async () => {
    const call = await pair({ maxLagBytes: 200_000 });
    const [primaryId, secondaryId] = await call.begin();
    const upload = new Upload(call.client, 1);
    const body = message(Buffer.alloc(200_000));
    await upload.send(body);
    await call.primary.expectBytes(primaryId, body.length);
    call.client.send(frames.data(1).end());
    call.primary.send(frames.headers(primaryId, trailersOnly(0), { endStream: true }));
    await call.client.expectQuiet(1);
    call.secondary.send(frames.windowUpdate(0, MiB), frames.windowUpdate(secondaryId, MiB));
    expect(await call.secondary.expectBody(secondaryId)).toEqual(body);
    call.secondary.send(frames.headers(secondaryId, trailersOnly(0), { endStream: true }));
    expect(statusOf(await call.client.expectTrailers(1))).toBe(Status.OK);
    expect(call.told).toEqual([]);
  });

  it("with a limit a secondary that is too far behind fails the call unless its onError swallows that", async () => {
    const call = await pair({ maxLagBytes: 100_000 }, false);
    const [primaryId, secondaryId] = await call.begin();
    await new Upload(call.client, 1).send(message(Buffer.alloc(MiB)));
    await call.secondary.expectReset(secondaryId, ErrorCode.CANCEL, { skip: ["DATA"] });
    call.primary.send(frames.headers(primaryId, trailersOnly(0), { endStream: true }));
    const fields = await call.client.expectTrailers(1);
    expect(statusOf(fields)).toBe(Status.RESOURCE_EXHAUSTED);
    expect(fieldValue(fields, "grpc-message")).toContain("bytes behind the primary");
  });

  it("a secondary behind that ends with the call is told why the call ended", async () => {
    const call = await pair({ maxLagBytes: 50_000 });
    const [primaryId, secondaryId] = await call.begin();
    // The primary stops reading, too, so the secondary is not too far behind it yet.
    call.primary.refillWindows = false;
    await new Upload(call.client, 1).send(message(Buffer.alloc(120_000)));
    await call.primary.expectBytes(primaryId, 65_535);
    call.client.send(frames.rst(1, ErrorCode.CANCEL));
    await call.secondary.expectReset(secondaryId, ErrorCode.CANCEL, { skip: ["DATA"] });
    expect(call.told).toMatchObject([{ reason: ErrorReason.CLIENT_CANCELLED }]);
  });

  it("a secondary behind that ends with the primary is told that, whatever ended before it", async () => {
    const told: GrpcError[] = [];
    const onError = (error: GrpcError): void => void told.push(error);
    const { client, peers } = await fanOutRelay(combo, {
      backends: [{ refillWindows: false }, {}, { refillWindows: false }],
      params: ([first, second, third]) =>
        new StreamParameters({ conn: first! }, [
          { conn: second! },
          { conn: third!, maxLagBytes: 50_000, onError },
        ]),
    });
    const [primary, , behind] = peers as [ScriptedPeer, ScriptedPeer, ScriptedPeer];
    client.send(frames.headers(1, request(PATH)));
    const { streamId } = await primary.expectRequest(PATH);
    const behindId = (await behind.expectRequest(PATH)).streamId;
    await new Upload(client, 1).send(message(Buffer.alloc(120_000)));
    await primary.expectBytes(streamId, 65_535);
    primary.send(frames.rst(streamId, ErrorCode.INTERNAL_ERROR));
    await behind.expectReset(behindId, ErrorCode.CANCEL, { skip: ["DATA"] });
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.INTERNAL);
    expect(told).toMatchObject([{ reason: ErrorReason.CALL_ENDED }]);
  });

  it("a detached secondary behind goes on when the failure of the primary has ended all others", async () => {
    const { client, peers } = await fanOutRelay(combo, {
      backends: [{ refillWindows: false }, {}, { refillWindows: false }],
      params: ([first, second, third]) =>
        new StreamParameters({ conn: first! }, [
          { conn: second! },
          { conn: third!, need: "detached", maxLagBytes: 50_000 },
        ]),
    });
    const [primary, , detached] = peers as [ScriptedPeer, ScriptedPeer, ScriptedPeer];
    client.send(frames.headers(1, request(PATH)));
    const { streamId } = await primary.expectRequest(PATH);
    const detachedId = (await detached.expectRequest(PATH)).streamId;
    const body = message(Buffer.alloc(120_000));
    await new Upload(client, 1).send(body);
    client.send(frames.data(1).end());
    await primary.expectBytes(streamId, 65_535);
    await client.sync();
    primary.send(frames.rst(streamId, ErrorCode.INTERNAL_ERROR));
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.INTERNAL);
    detached.send(frames.windowUpdate(0, MiB), frames.windowUpdate(detachedId, MiB));
    expect(await detached.expectBody(detachedId)).toEqual(body);
  });

  it("a secondary's response does not stop it, however long it is", async () => {
    const call = await pair();
    const [primaryId, secondaryId] = await call.begin();
    call.client.send(frames.data(1, message("x")).end());
    await call.secondary.expectBody(secondaryId);
    call.secondary.send(frames.headers(secondaryId, response()));
    await new Upload(call.secondary, secondaryId).send(message(Buffer.alloc(2 * MiB)));
    call.secondary.send(frames.headers(secondaryId, trailers(), { endStream: true }));
    call.primary.send(frames.headers(primaryId, trailersOnly(0), { endStream: true }));
    expect(statusOf(await call.client.expectTrailers(1))).toBe(Status.OK);
    expect(call.results[0]!.secondaries[0]).toMatchObject({ responseBytes: 2 * MiB + 5 });
  });
});

describe.each(transportCombos)("opening, server on $server, client on $client", (combo) => {
  it("keeps the request for a primary that answers while a secondary is not yet connected", async () => {
    const first = await scriptedBackend(combo);
    const second = await scriptedBackend(combo, SILENT);
    const { address } = await listenRelay(combo, () => {
      const rewritten = { conn: first.conn, message: Buffer.from("own") };
      return new StreamParameters(rewritten, [{ conn: second.conn }]);
    });
    const primary = await connectTo(first);
    const client = await ScriptedClient.connect(address);
    sendCall(client);
    const { streamId } = await primary.expectRequest(PATH);
    primary.send(frames.headers(streamId, response()));
    await client.expectHeaders(1);
    await primary.expectQuiet(streamId);
    const secondary = await second.peer();
    secondary.send(frames.settings(), frames.settingsAck());
    const { streamId: secondaryId } = await secondary.expectRequest(PATH);
    expect(await primary.expectBody(streamId)).toEqual(message("own"));
    expect(await secondary.expectBody(secondaryId)).toEqual(message("abc"));
    primary.send(frames.headers(streamId, trailers(), { endStream: true }));
    secondary.send(frames.headers(secondaryId, trailersOnly(0), { endStream: true }));
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
  });

  it("sends nothing to a primary that refuses once before a secondary is connected, and then all", async () => {
    const first = await scriptedBackend(combo);
    const second = await scriptedBackend(combo, SILENT);
    const { address } = await listenRelay(combo, () => {
      return new StreamParameters({ conn: first.conn }, [{ conn: second.conn }]);
    });
    const primary = await connectTo(first);
    const client = await ScriptedClient.connect(address);
    sendCall(client);
    const refused = await primary.expectRequest(PATH);
    primary.send(frames.rst(refused.streamId, ErrorCode.REFUSED_STREAM));
    const { streamId } = await primary.expectRequest(PATH);
    await primary.expectQuiet(streamId);
    const secondary = await second.peer();
    secondary.send(frames.settings(), frames.settingsAck());
    const { streamId: secondaryId } = await secondary.expectRequest(PATH);
    expect(await primary.expectBody(streamId)).toEqual(message("abc"));
    primary.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
    secondary.send(frames.headers(secondaryId, trailersOnly(0), { endStream: true }));
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
  });

  it("gives a client whose window is used up credit for bytes that only another attempt took", async () => {
    const backend = await scriptedBackend(combo, SILENT);
    const { address } = await listenRelay(
      combo,
      () => new StreamParameters({ conn: backend.conn }),
    );
    const client = await ScriptedClient.connect(address);
    client.send(frames.headers(1, request(PATH)));
    const first = await backend.peer();
    first.send(frames.settings(), frames.settingsAck());
    await first.expectRequest(PATH);
    first.send(frames.goaway(0, ErrorCode.NO_ERROR));
    const second = await backend.peer();
    const upload = new Upload(client, 1);
    await upload.send(message(Buffer.alloc(upload.creditBytes - 5)));
    expect(upload.creditBytes).toBe(0);
    second.send(
      ...[frames.settings({ INITIAL_WINDOW_SIZE: MiB }), frames.settingsAck()],
      frames.windowUpdate(0, MiB),
    );
    await second.expectRequest(PATH);
    await client.until("credit", () => upload.creditBytes > 0 || undefined);
  });

  it("counts no lag before all are open, however far a replaced message puts the primary ahead", async () => {
    const first = await scriptedBackend(combo);
    const second = await scriptedBackend(combo);
    const { address } = await listenRelay(combo, async (_ctx, _method, peeker) => {
      await peeker.peek();
      return new StreamParameters({ conn: first.conn, message: Buffer.from("short") }, [
        { conn: second.conn, maxLagBytes: 10 },
      ]);
    });
    const client = await ScriptedClient.connect(address);
    client.send(frames.headers(1, request(PATH)));
    client.send(frames.data(1, message(Buffer.alloc(1_000))).end());
    for (const [backend, length] of [
      [first, 10],
      [second, 1_005],
    ] as const) {
      const peer = await backend.peer();
      const { streamId } = await peer.expectRequest(PATH);
      expect(await peer.expectBody(streamId)).toHaveLength(length);
      peer.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
    }
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
  });

  type Cut = (ctx: CallContext, clock: FakeClock) => CallContext;
  const cuts: readonly (readonly [title: string, cut: Cut, status: number])[] = [
    [
      "is cancelled already",
      (ctx) => {
        const own = ctx.withCancel();
        own.cancel("not this one");
        return own.ctx;
      },
      Status.CANCELLED,
    ],
    ["has expired already", (ctx) => ctx.withTimeout(0), Status.DEADLINE_EXCEEDED],
    ["expires while it connects", (ctx) => ctx.withTimeout(40), Status.DEADLINE_EXCEEDED],
  ];

  it("tells all why the first could not be opened, also one whose context its onError cancels", async () => {
    const clock = new FakeClock();
    const never = await scriptedBackend(combo, SILENT, { clock });
    const told: string[] = [];
    const { address, server } = await listenRelay(
      combo,
      (ctx) => {
        const own = ctx.withCancel();
        const onError = (error: GrpcError) => {
          told.push(`primary ${error.reason}`);
          own.cancel();
        };
        return new StreamParameters({ conn: never.conn, ctx: ctx.withTimeout(40), onError }, [
          {
            conn: never.conn,
            ctx: own.ctx,
            onError: (error) => void told.push(`secondary ${error.reason}`),
          },
        ]);
      },
      { clock },
    );
    const client = await ScriptedClient.connect(address);
    sendCall(client);
    await eventually("it is at work", () => server.openCallCount > 0);
    clock.advance(44);
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.DEADLINE_EXCEEDED);
    expect(told).toEqual(["primary DEADLINE", "secondary DEADLINE"]);
  });

  for (const role of ["primary", "secondary"] as const) {
    it.each(cuts)(
      `fails the call when the context of its ${role} %s`,
      async (_title, cut, status) => {
        const clock = new FakeClock();
        const first = await scriptedBackend(combo, {}, { clock });
        const never = await scriptedBackend(combo, SILENT, { clock });
        const told: string[] = [];
        let runs = 0;
        const note = (who: string) => (error: GrpcError) =>
          void told.push(`${who} ${error.status}`);
        const { address, server } = await listenRelay(
          combo,
          (ctx) => {
            const good = { conn: first.conn, onError: note("good") };
            const bad = { conn: never.conn, ctx: cut(ctx, clock), onError: note("bad") };
            const finalizer = () => void runs++;
            return role === "primary"
              ? new StreamParameters(bad, [good], finalizer)
              : new StreamParameters(good, [bad], finalizer);
          },
          { clock },
        );
        await connectTo(first);
        const client = await ScriptedClient.connect(address);
        sendCall(client);
        await eventually("it is at work", () => server.openCallCount > 0 || runs > 0);
        clock.advance(44);
        expect(statusOf(await client.expectTrailers(1))).toBe(status);
        expect(told.sort()).toEqual([`bad ${status}`, `good ${status}`]);
        expect(runs).toBe(1);
        await eventually("no stream is left", () => first.conn.openStreamCount === 0);
        expect(never.conn.waitingCount).toBe(0);
      },
    );
  }

  it("fails the call with UNAVAILABLE and tells all when a secondary cannot be reached", async () => {
    const first = await scriptedBackend(combo);
    const conn = dialTo(combo, await refusingAddress());
    const told: string[] = [];
    const note = (who: string) => (error: GrpcError) => void told.push(`${who} ${error.reason}`);
    const { address } = await listenRelay(combo, () => {
      return new StreamParameters({ conn: first.conn, onError: note("primary") }, [
        { conn, onError: note("secondary") },
      ]);
    });
    const primary = await connectTo(first);
    const client = await ScriptedClient.connect(address);
    sendCall(client);
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.UNAVAILABLE);
    expect(told.sort()).toEqual(["primary UPSTREAM_CONNECT", "secondary UPSTREAM_CONNECT"]);
    const { streamId } = await primary.expectRequest(PATH);
    await primary.expectReset(streamId, ErrorCode.CANCEL);
    primary.expectNoEndStream(streamId);
  });
});
