// One call to a primary and several secondaries: who gets what, whose failure counts, and what the
// caller is told of each.

import { describe, expect, it } from "vitest";
import { ErrorReason, GrpcError } from "../../src/grpc/error.ts";
import { Status } from "../../src/grpc/status.ts";
import {
  type Destination,
  type RequestFinalizer,
  StreamParameters,
} from "../../src/proxy/director.ts";
import type { CallResult } from "../../src/proxy/results.ts";
import { incomingToOutgoing } from "../../src/server/call-context.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { fieldValue } from "../../src/wire/field.ts";
import { transportCombos } from "../support/combos.ts";
import { frames, message, pairsOf, request, response, trailers } from "../support/frames.ts";
import {
  answerCall,
  connectTo,
  eventually,
  type FanOut,
  fanOutRelay,
  listenRelay,
  PATH,
  type ScriptedBackend,
  scriptedBackend,
  sendCall,
  statusOf,
} from "../support/relay-fixture.ts";
import { ScriptedClient } from "../support/scripted-endpoints.ts";

type Extra = Omit<Destination, "conn">;

describe.each(transportCombos)("fan-out, server on $server, client on $client", (combo) => {
  /** The first of `destinations` is the primary. All are connected before the test goes on. */
  async function fanOut(
    destinations: readonly Extra[],
    options: { readonly finalizer?: RequestFinalizer; readonly peeks?: boolean } = {},
  ): Promise<FanOut & { readonly results: CallResult[] }> {
    const results: CallResult[] = [];
    const relay = await fanOutRelay(combo, {
      backends: destinations.map(() => ({})),
      params: async (conns, peeker) => {
        if (options.peeks) await peeker.peek();
        const [primary, ...secondaries] = destinations.map((extra, i) => ({
          ...extra,
          conn: conns[i]!,
        }));
        return new StreamParameters(primary!, secondaries, async (result) => {
          results.push(result);
          await options.finalizer?.(result);
        });
      },
    });
    return { ...relay, results };
  }

  /**
   * Sends a whole request of one message; returns the backends' stream ids when all have got it.
   */
  async function unary({ client, peers }: FanOut): Promise<number[]> {
    sendCall(client);
    const ids: number[] = [];
    for (const peer of peers) {
      const { streamId } = await peer.expectRequest(PATH);
      await peer.expectBody(streamId);
      ids.push(streamId);
    }
    return ids;
  }

  it("gives a primary and three secondaries their own first messages and metadata, and the rest alike", async () => {
    const backends: ScriptedBackend[] = [];
    for (let i = 0; i < 4; i++) backends.push(await scriptedBackend(combo));
    const { address } = await listenRelay(combo, async (ctx, _method, peeker) => {
      const first = await peeker.peek();
      const [primary, ...secondaries] = backends.map(({ conn }, i) => {
        const own = incomingToOutgoing(ctx);
        own.metadata.set("x-node", `${i}`);
        return { conn, ctx: own, message: Buffer.from(`${first} for ${"n".repeat(i)}`) };
      });
      return new StreamParameters(primary!, secondaries);
    });
    const client = await ScriptedClient.connect(address);
    client.send(frames.headers(1, request(PATH, ["x-own", "1"])));
    client.send(frames.data(1, Buffer.concat([message("first"), message("second")])));
    client.send(frames.data(1, message("third")).end());
    for (const [i, backend] of backends.entries()) {
      const peer = await backend.peer();
      const { streamId, fields } = await peer.expectRequest(PATH);
      expect(fieldValue(fields, "x-node")).toBe(`${i}`);
      expect(fieldValue(fields, "x-own")).toBe("1");
      expect(await peer.expectBody(streamId)).toEqual(
        Buffer.concat([message(`first for ${"n".repeat(i)}`), message("second"), message("third")]),
      );
      answerCall(peer, streamId, 0);
    }
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
  });

  it("gives the client the primary's response as it comes, its status when all have ended", async () => {
    const call = await fanOut([{}, {}]);
    const { client, peers, results } = call;
    const [first, second] = await unary(call);
    peers[1]!.send(frames.headers(second!, response(["x-from", "secondary"])));
    peers[1]!.send(frames.data(second!, message("dropped")));
    peers[0]!.send(frames.headers(first!, response(["x-from", "primary"])));
    expect(fieldValue(await client.expectHeaders(1), "x-from")).toBe("primary");
    peers[0]!.send(frames.data(first!, message("shown")));
    expect(await client.expectData(1)).toEqual(message("shown"));
    peers[0]!.send(
      frames.headers(first!, trailers(0, undefined, ["x-t", "1"]), { endStream: true }),
    );
    await client.expectQuiet(1);
    expect(results).toHaveLength(0);
    peers[1]!.send(frames.headers(second!, trailers(), { endStream: true }));
    expect(pairsOf(await client.expectTrailers(1))).toEqual([
      ["grpc-status", "0"],
      ["x-t", "1"],
    ]);
  });

  it("tells the finalizer of each destination: status, details, trailers, bytes, messages", async () => {
    const call = await fanOut([{}, { onError: () => {} }, { message: Buffer.from("other") }]);
    const { client, peers, results } = call;
    sendCall(client, false);
    client.send(frames.data(1, message("de")).end());
    const ids: number[] = [];
    for (const peer of peers) {
      const { streamId } = await peer.expectRequest();
      await peer.expectBody(streamId);
      ids.push(streamId);
    }
    peers[0]!.send(frames.headers(ids[0]!, response()));
    peers[0]!.send(frames.data(ids[0]!, Buffer.concat([message("1"), message("22")])));
    peers[0]!.send(
      frames.headers(ids[0]!, trailers(0, "fine", ["x-p", "1"], ["x-b-bin", "AAE"]), {
        endStream: true,
      }),
    );
    answerCall(peers[1]!, ids[1]!, 10, "lost%20the%20vote");
    peers[2]!.send(frames.headers(ids[2]!, response()), frames.data(ids[2]!, message("333")));
    peers[2]!.send(frames.headers(ids[2]!, trailers(), { endStream: true }));
    await client.expectHeaders(1);
    expect(
      statusOf(await client.recv("HEADERS", { stream: 1, skip: ["DATA"] }).then((e) => e.fields!)),
    ).toBe(0);
    const [result] = results;
    expect(results).toHaveLength(1);
    expect(result).toMatchObject({ method: PATH, status: Status.OK, clientGone: false });
    expect(result!.primary).toMatchObject({
      role: "primary",
      index: 0,
      status: 0,
      details: "fine",
      error: undefined,
      requestBytes: 15,
      requestMessages: 2,
      responseBytes: 13,
      responseMessages: 2,
    });
    expect([...result!.primary.trailers]).toEqual([
      ["x-p", "1"],
      ["x-b-bin", Buffer.from([0, 1])],
    ]);
    const [failed, rewritten] = result!.secondaries;
    expect(failed).toMatchObject({
      role: "secondary",
      index: 0,
      status: Status.ABORTED,
      details: "lost the vote",
      swallowed: true,
      error: { reason: ErrorReason.UPSTREAM_STATUS },
      requestBytes: 15,
    });
    expect(rewritten).toMatchObject({
      role: "secondary",
      index: 1,
      status: 0,
      requestBytes: 17,
      requestMessages: 2,
      responseBytes: 8,
      responseMessages: 1,
    });
  });

  it("counts a replaced first message once", async () => {
    const call = await fanOut([{ message: Buffer.from("longer") }], { peeks: true });
    const [id] = await unary(call);
    answerCall(call.peers[0]!, id!, 0);
    await call.client.expectTrailers(1);
    expect(call.results[0]?.primary).toMatchObject({ requestMessages: 1, requestBytes: 11 });
  });

  it("counts a request that had to be sent twice once", async () => {
    const call = await fanOut([{}]);
    const [id] = await unary(call);
    const [peer] = call.peers;
    peer!.send(frames.rst(id!, ErrorCode.REFUSED_STREAM));
    const again = await peer!.expectRequest(PATH);
    answerCall(peer!, again.streamId, 0);
    await call.client.expectTrailers(1);
    expect(call.results[0]?.primary).toMatchObject({ requestMessages: 1, requestBytes: 8 });
  });

  describe("a secondary's error", () => {
    it("is swallowed by its onError, and the call is what the primary says", async () => {
      const told: GrpcError[] = [];
      const call = await fanOut([{}, { onError: (error) => void told.push(error) }]);
      const [first, second] = await unary(call);
      answerCall(call.peers[1]!, second!, 7, "denied");
      answerCall(call.peers[0]!, first!, 0);
      expect(statusOf(await call.client.expectTrailers(1))).toBe(Status.OK);
      expect(told).toMatchObject([{ status: Status.PERMISSION_DENIED, details: "denied" }]);
      expect(call.results[0]).toMatchObject({
        status: Status.OK,
        secondaries: [{ swallowed: true }],
      });
    });

    it("without onError fails the call, with its status", async () => {
      const call = await fanOut([{}, {}]);
      const [first, second] = await unary(call);
      answerCall(call.peers[1]!, second!, 7, "denied");
      answerCall(call.peers[0]!, first!, 0);
      const fields = await call.client.expectTrailers(1);
      expect([statusOf(fields), fieldValue(fields, "grpc-message")]).toEqual([7, "denied"]);
    });

    it.each([
      ["returns another error", () => new GrpcError(Status.ABORTED, "changed")],
      [
        "throws",
        () => {
          throw new GrpcError(Status.ABORTED, "changed");
        },
      ],
    ])("is what its onError makes of it when that %s", async (_how, onError) => {
      const call = await fanOut([{}, { onError }]);
      const [first, second] = await unary(call);
      answerCall(call.peers[1]!, second!, 7, "denied");
      answerCall(call.peers[0]!, first!, 0);
      expect(statusOf(await call.client.expectTrailers(1))).toBe(Status.ABORTED);
    });

    it("does not keep the request from the others", async () => {
      const call = await fanOut([{}, { onError: () => {} }]);
      const { client, peers } = call;
      client.send(frames.headers(1, request(PATH)), frames.data(1, message("one")));
      const [first, second] = [await peers[0]!.expectRequest(), await peers[1]!.expectRequest()];
      await peers[1]!.expectData(second.streamId);
      peers[1]!.send(frames.rst(second.streamId, ErrorCode.INTERNAL_ERROR));
      await peers[1]!.sync();
      client.send(frames.data(1, message("two")).end());
      expect(await peers[0]!.expectBody(first.streamId)).toEqual(
        Buffer.concat([message("one"), message("two")]),
      );
      answerCall(peers[0]!, first.streamId, 0);
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
      expect(call.results[0]!.secondaries[0]).toMatchObject({ requestMessages: 1, status: 13 });
    });
  });

  describe("a primary that fails", () => {
    it("by reset ends the secondaries with RST_STREAM(CANCEL)", async () => {
      const call = await fanOut([{}, {}]);
      const [first, second] = await unary(call);
      call.peers[0]!.send(frames.rst(first!, ErrorCode.INTERNAL_ERROR));
      await call.peers[1]!.expectReset(second!, ErrorCode.CANCEL);
      expect(statusOf(await call.client.expectTrailers(1))).toBe(Status.INTERNAL);
      expect(call.results[0]!.secondaries[0]).toMatchObject({ status: Status.CANCELLED });
    });

    it("by its status while the request is under way ends them, too", async () => {
      const call = await fanOut([{}, {}]);
      const { client, peers } = call;
      sendCall(client, false);
      const [first, second] = [await peers[0]!.expectRequest(), await peers[1]!.expectRequest()];
      answerCall(peers[0]!, first.streamId, 9, "no");
      await peers[1]!.expectReset(second.streamId, ErrorCode.CANCEL, { skip: ["DATA"] });
      expect(statusOf(await client.expectTrailers(1))).toBe(9);
    });

    it("by its status lets secondaries that have the whole request say what they think", async () => {
      const call = await fanOut([{}, {}]);
      const [first, second] = await unary(call);
      answerCall(call.peers[0]!, first!, 9, "no");
      await call.peers[1]!.expectQuiet(second!);
      answerCall(call.peers[1]!, second!, 9, "no");
      expect(statusOf(await call.client.expectTrailers(1))).toBe(9);
      expect(call.results[0]!.secondaries[0]).toMatchObject({ status: 9, details: "no" });
    });

    it("and is swallowed leaves the secondaries alone, and the call OK", async () => {
      const call = await fanOut([{ onError: () => {} }, {}]);
      const [first, second] = await unary(call);
      call.peers[0]!.send(frames.rst(first!, ErrorCode.INTERNAL_ERROR));
      await call.peers[1]!.expectQuiet(second!);
      answerCall(call.peers[1]!, second!, 0);
      expect(statusOf(await call.client.expectTrailers(1))).toBe(Status.OK);
    });
  });

  describe("precedence: client, primary, secondary, finalizer, OK", () => {
    const rows = [
      { primary: 9, secondary: 7, finalizer: true, expected: 9 },
      { primary: 0, secondary: 7, finalizer: true, expected: 7 },
      { primary: 0, secondary: 0, finalizer: true, expected: Status.INTERNAL },
      { primary: 0, secondary: 0, finalizer: false, expected: Status.OK },
    ];

    it.each(rows)(
      "primary $primary, secondary $secondary, finalizer $finalizer: $expected",
      async (row) => {
        const call = await fanOut([{}, {}], {
          finalizer: () => {
            if (row.finalizer) throw new GrpcError(Status.INTERNAL, "finalizer");
          },
        });
        const [first, second] = await unary(call);
        // The secondary first: it is not the order of arrival that counts.
        answerCall(call.peers[1]!, second!, row.secondary);
        answerCall(call.peers[0]!, first!, row.primary);
        expect(statusOf(await call.client.expectTrailers(1))).toBe(row.expected);
      },
    );

    it("the client's cancel stands before the primary's error, whose secondary is still at work", async () => {
      const call = await fanOut([{}, {}]);
      const [first, second] = await unary(call);
      answerCall(call.peers[0]!, first!, 9);
      await call.peers[1]!.expectQuiet(second!);
      call.client.send(frames.rst(1, ErrorCode.CANCEL));
      await call.peers[1]!.expectReset(second!, ErrorCode.CANCEL);
      await eventually("the finalizer has run", () => call.results.length === 1);
      expect(call.results[0]).toMatchObject({ status: Status.CANCELLED, clientGone: true });
    });

    it("the client's cancel is why each destination ends, and contexts hear of it after them", async () => {
      const backend = await scriptedBackend(combo);
      const heard: string[] = [];
      const { address, server } = await listenRelay(combo, (ctx) => {
        const note = (who: string) => (error: GrpcError) =>
          void heard.push(`${who} ${error.reason}`);
        const own = ctx.withCancel().ctx;
        own.signal.addEventListener("abort", () => heard.push("its own signal"));
        ctx.signal.addEventListener("abort", () => heard.push("the call's signal"));
        return new StreamParameters(
          { conn: backend.conn, ctx: own, onError: note("primary") },
          [{ conn: backend.conn, ctx: own.withTimeout(60_000), onError: note("secondary") }],
          ({ error }) => void heard.push(`finalizer ${error?.reason}`),
        );
      });
      const peer = await connectTo(backend);
      const client = await ScriptedClient.connect(address);
      client.send(frames.headers(1, request(PATH)), frames.data(1));
      await peer.expectRequest();
      await peer.expectRequest();
      client.send(frames.rst(1, ErrorCode.CANCEL));
      await eventually("the call is over", () => server.openCallCount === 0);
      expect(heard).toEqual([
        "primary CLIENT_CANCELLED",
        "secondary CLIENT_CANCELLED",
        "finalizer CLIENT_CANCELLED",
        "the call's signal",
        "its own signal",
      ]);
    });

    it("a context that two destinations share is why both end, and each is told once", async () => {
      const backend = await scriptedBackend(combo);
      const heard: string[] = [];
      let cancel: () => void = () => {};
      const { address, server } = await listenRelay(combo, (ctx) => {
        // One that is swallowed does not end the others.
        const note = (who: string) => (error: GrpcError) => {
          heard.push(`${who} ${error.reason}`);
          return error;
        };
        const own = ctx.withCancel();
        cancel = own.cancel;
        return new StreamParameters(
          { conn: backend.conn, ctx: own.ctx, onError: note("primary") },
          [{ conn: backend.conn, ctx: own.ctx, onError: note("secondary") }],
        );
      });
      const peer = await connectTo(backend);
      const client = await ScriptedClient.connect(address);
      client.send(frames.headers(1, request(PATH)), frames.data(1));
      await peer.expectRequest();
      await peer.expectRequest();
      cancel();
      await eventually("the call is over", () => server.openCallCount === 0);
      expect(heard).toEqual(["primary CLIENT_CANCELLED", "secondary CLIENT_CANCELLED"]);
    });

    it("the client's cancel is what the finalizer hears also when every onError swallows it", async () => {
      const backend = await scriptedBackend(combo);
      const results: unknown[] = [];
      const { address, server } = await listenRelay(combo, (ctx) => {
        const own = incomingToOutgoing(ctx);
        const swallowed = { conn: backend.conn, ctx: own, onError: () => {} };
        return new StreamParameters(swallowed, [swallowed], (result) => {
          results.push(result.status, ...result.secondaries.map(({ error }) => error?.reason));
        });
      });
      const peer = await connectTo(backend);
      const client = await ScriptedClient.connect(address);
      client.send(frames.headers(1, request(PATH)), frames.data(1));
      await peer.expectRequest();
      await peer.expectRequest();
      client.send(frames.rst(1, ErrorCode.CANCEL));
      await eventually("the call is over", () => server.openCallCount === 0);
      expect(results).toEqual([Status.CANCELLED, ErrorReason.CLIENT_CANCELLED]);
    });
  });
});
