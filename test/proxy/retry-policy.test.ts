// Retries of relayed calls by a policy (gRFC A6): what is sent again, when, and with what, and what
// is not.

import { describe, expect, it } from "vitest";
import type { CallOptions } from "../../src/client/call-options.ts";
import type { ClientConn } from "../../src/client/client-conn.ts";
import type { DialOptions } from "../../src/client/dial-options.ts";
import type { RetryPolicy } from "../../src/client/retry-policy.ts";
import { Metadata } from "../../src/grpc/metadata.ts";
import { Status } from "../../src/grpc/status.ts";
import { StreamParameters } from "../../src/proxy/director.ts";
import type { CallResult } from "../../src/proxy/results.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { FakeClock } from "../support/clock.ts";
import { transportCombos } from "../support/combos.ts";
import {
  frames,
  message,
  pairsOf,
  request,
  response,
  trailers,
  trailersOnly,
} from "../support/frames.ts";
import { refusingAddress } from "../support/refusing.ts";
import {
  dialTo,
  eventually,
  listenRelay,
  PATH,
  scriptedBackend,
  statusOf,
} from "../support/relay-fixture.ts";
import { ScriptedClient, type ScriptedServer } from "../support/scripted-endpoints.ts";
import type { ScriptedPeer } from "../support/scripted-peer.ts";

const POLICY: RetryPolicy = {
  maxAttempts: 3,
  initialBackoffMs: 100,
  maxBackoffMs: 1_000,
  backoffMultiplier: 3,
  retryableStatuses: [Status.UNAVAILABLE, Status.ABORTED],
};

describe.each(transportCombos)("a retry policy, server on $server, client on $client", (combo) => {
  interface Retried {
    readonly clock: FakeClock;
    readonly client: ScriptedPeer;
    readonly backend: ScriptedPeer;
    readonly conn: ClientConn;
    readonly scripted: ScriptedServer;
    readonly results: CallResult[];
    /** The stream of the first attempt. */
    readonly streamId: number;
  }

  interface Options {
    readonly call?: CallOptions;
    readonly dial?: DialOptions;
    readonly metadata?: readonly (readonly [string, string])[];
  }

  /** A unary call whose first attempt is at the backend. */
  async function start(options: Options = {}): Promise<Retried> {
    const clock = new FakeClock();
    const random = (): number => 0.5;
    const { conn, peer, scripted } = await scriptedBackend(
      combo,
      {},
      { clock, random, ...options.dial },
    );
    const results: CallResult[] = [];
    const callOptions = { retryPolicy: POLICY, ...options.call };
    const { address } = await listenRelay(
      combo,
      () => new StreamParameters({ conn }, [], (result) => void results.push(result), callOptions),
      { clock },
    );
    const client = await ScriptedClient.connect(address);
    client.send(
      frames.headers(1, request(PATH, ...(options.metadata ?? []))),
      frames.data(1, message("abc")).end(),
    );
    const backend = await peer();
    return {
      clock,
      client,
      backend,
      conn,
      scripted,
      results,
      streamId: (await next(backend)).streamId,
    };
  }

  /** The next attempt, whole. */
  async function next(backend: ScriptedPeer) {
    const { streamId, fields } = await backend.expectRequest(PATH);
    expect(await backend.expectBody(streamId)).toEqual(message("abc"));
    const attempts = pairsOf(fields).filter(([name]) => name === "grpc-previous-rpc-attempts");
    return { streamId, previous: attempts.map(([, value]) => value) };
  }

  function fail(
    backend: ScriptedPeer,
    id: number,
    status: number,
    ...more: (readonly [string, string])[]
  ): void {
    backend.send(frames.headers(id, [...trailersOnly(status), ...more], { endStream: true }));
  }

  /** The attempt on `streamId` has failed, and so much time passes until the next. */
  async function later(ms: number, { clock, backend, conn }: Retried, streamId: number) {
    await eventually("the attempt is over", () => conn.openStreamCount === 0);
    clock.advance(ms - 4);
    await backend.expectQuiet(streamId + 2);
    clock.advance(8);
    return next(backend);
  }

  /** The call ends with `status`, and nothing more is sent for it. */
  async function ends(
    { clock, client, backend, results }: Retried,
    streamId: number,
    status: number,
    attempts: number,
  ): Promise<void> {
    expect(statusOf(await client.expectTrailers(1))).toBe(status);
    clock.advance(10_000);
    await backend.expectQuiet(streamId + 2);
    expect(results).toMatchObject([{ status, primary: { status, attempts } }]);
  }

  it("sends a call again after its backoff, whole, and says how often it was sent before", async () => {
    const call = await start();
    fail(call.backend, call.streamId, Status.UNAVAILABLE);
    const second = await later(100, call, call.streamId);
    expect(second.previous).toEqual(["1"]);
    fail(call.backend, second.streamId, Status.ABORTED);
    const third = await later(300, call, second.streamId);
    expect(third.previous).toEqual(["2"]);
    fail(call.backend, third.streamId, Status.OK);
    await ends(call, third.streamId, Status.OK, 3);
  });

  it("counts on from the attempts of whoever sent it here", async () => {
    const call = await start({ metadata: [["grpc-previous-rpc-attempts", "2"]] });
    fail(call.backend, call.streamId, Status.UNAVAILABLE);
    const second = await later(100, call, call.streamId);
    expect(second.previous).toEqual(["3"]);
    fail(call.backend, second.streamId, Status.OK);
    await ends(call, second.streamId, Status.OK, 2);
    const odd = await start({ metadata: [["grpc-previous-rpc-attempts", "many"]] });
    fail(odd.backend, odd.streamId, Status.UNAVAILABLE);
    const again = await later(100, odd, odd.streamId);
    expect(again.previous).toEqual(["1"]);
    fail(odd.backend, again.streamId, Status.OK);
    await ends(odd, again.streamId, Status.OK, 2);
  });

  it("ends with the status of the last attempt", async () => {
    const call = await start({ call: { retryPolicy: { ...POLICY, maxAttempts: 2 } } });
    fail(call.backend, call.streamId, Status.UNAVAILABLE);
    const { streamId } = await later(100, call, call.streamId);
    fail(call.backend, streamId, Status.ABORTED);
    await ends(call, streamId, Status.ABORTED, 2);
  });

  describe("sends again, too,", () => {
    type Failure = (call: Retried) => void;
    const failures: readonly (readonly [string, Failure])[] = [
      [
        "what the backend answered with an HTTP error",
        ({ backend, streamId }) => backend.send(frames.headers(streamId, [[":status", "503"]])),
      ],
      [
        "what has a status in the headers and an empty DATA behind them",
        ({ backend, streamId }) =>
          backend.send(
            frames.headers(streamId, trailersOnly(Status.UNAVAILABLE)),
            frames.data(streamId).end(),
          ),
      ],
      [
        "what was reset with a status in the headers",
        ({ backend, streamId }) =>
          backend.send(
            frames.headers(streamId, trailersOnly(Status.OK)),
            frames.rst(streamId, ErrorCode.CANCEL),
          ),
      ],
      [
        "what was reset",
        ({ backend, streamId }) => backend.send(frames.rst(streamId, ErrorCode.CANCEL)),
      ],
    ];

    it.each(failures)("%s", async (_, failure) => {
      const retryableStatuses = [Status.UNAVAILABLE, Status.CANCELLED];
      const call = await start({ call: { retryPolicy: { ...POLICY, retryableStatuses } } });
      failure(call);
      const { streamId } = await later(100, call, call.streamId);
      const { backend } = call;
      backend.send(frames.headers(streamId, response()), frames.data(streamId, message("x")));
      backend.send(frames.headers(streamId, trailers(0), { endStream: true }));
      await call.client.expectHeaders(1);
      expect(await call.client.expectBytes(1, 6)).toEqual(message("x"));
      await ends(call, streamId, Status.OK, 2);
    });

    it("what is lost with its connection", async () => {
      const call = await start();
      const { scripted } = call;
      call.backend.destroy();
      await eventually("the connection is left", () => call.conn.state === "idle");
      call.clock.advance(104);
      const backend = await scripted.connection();
      const { streamId } = await next(backend);
      fail(backend, streamId, Status.OK);
      await ends({ ...call, backend }, streamId, Status.OK, 2);
    });

    it("what was refused, after the one time for which no policy is needed", async () => {
      const call = await start();
      const { backend } = call;
      backend.send(frames.rst(call.streamId, ErrorCode.REFUSED_STREAM));
      const second = await next(backend);
      expect(second.previous).toEqual([]);
      backend.send(frames.rst(second.streamId, ErrorCode.REFUSED_STREAM));
      const third = await later(100, call, second.streamId);
      expect(third.previous).toEqual(["1"]);
      fail(backend, third.streamId, Status.OK);
      await ends(call, third.streamId, Status.OK, 3);
    });
  });

  it("asks again for a connection that cannot be made, before anybody is sent anything", async () => {
    const clock = new FakeClock();
    const conn = dialTo(combo, await refusingAddress(), { clock, random: () => 0.5 });
    const { address } = await listenRelay(
      combo,
      () => new StreamParameters({ conn }, [], undefined, { retryPolicy: POLICY }),
      { clock },
    );
    const client = await ScriptedClient.connect(address);
    client.send(frames.headers(1, request(PATH)), frames.data(1, message("abc")).end());
    await eventually("it has failed", () => conn.state === "transientFailure");
    await client.expectQuiet(1);
    clock.advance(104);
    await client.expectQuiet(1);
    clock.advance(304);
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.UNAVAILABLE);
  });

  it("begins with the destination's own conn again, not where a fallback was", async () => {
    const clock = new FakeClock();
    const random = (): number => 0.5;
    const [own, fallback] = await Promise.all([
      scriptedBackend(combo, {}, { clock, random }),
      scriptedBackend(combo, {}, { clock, random }),
    ]);
    const retryPolicy = POLICY;
    const { address } = await listenRelay(
      combo,
      () =>
        new StreamParameters({
          ...{ conn: own.conn, fallbacks: [fallback.conn], callOptions: { retryPolicy } },
        }),
      { clock },
    );
    const client = await ScriptedClient.connect(address);
    client.send(frames.headers(1, request(PATH)), frames.data(1, message("abc")).end());
    const first = await own.peer();
    for (let i = 0; i < 2; i++) {
      first.send(frames.rst((await next(first)).streamId, ErrorCode.REFUSED_STREAM));
    }
    const second = await fallback.peer();
    fail(second, (await next(second)).streamId, Status.UNAVAILABLE);
    await eventually("the attempt is over", () => fallback.conn.openStreamCount === 0);
    clock.advance(104);
    const { streamId, previous } = await next(first);
    expect(previous).toEqual(["1"]);
    fail(first, streamId, Status.OK);
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
  });

  describe("does not send again", () => {
    it("what failed with another status", async () => {
      const call = await start();
      fail(call.backend, call.streamId, Status.INTERNAL, ["grpc-retry-pushback-ms", "5"]);
      await ends(call, call.streamId, Status.INTERNAL, 1);
    });

    it("what has begun to answer", async () => {
      const call = await start();
      const { backend, client, streamId } = call;
      backend.send(frames.headers(streamId, response()));
      await client.expectHeaders(1);
      backend.send(frames.headers(streamId, trailers(Status.UNAVAILABLE), { endStream: true }));
      await ends(call, streamId, Status.UNAVAILABLE, 1);
    });

    it("what has headers with a status, and messages behind them", async () => {
      const call = await start();
      const { backend, client, streamId } = call;
      backend.send(
        frames.headers(streamId, trailersOnly(Status.UNAVAILABLE)),
        frames.data(streamId, message("x")),
      );
      await client.expectHeaders(1);
      expect(await client.expectBytes(1, 6)).toEqual(message("x"));
      backend.send(frames.headers(streamId, trailers(Status.UNAVAILABLE), { endStream: true }));
      await ends(call, streamId, Status.UNAVAILABLE, 1);
    });

    it("what would be sent behind its deadline: the status is the backend's", async () => {
      const call = await start({ metadata: [["grpc-timeout", "100m"]] });
      fail(call.backend, call.streamId, Status.UNAVAILABLE);
      await ends(call, call.streamId, Status.UNAVAILABLE, 1);
    });

    it("what cannot be sent at all", async () => {
      const retryPolicy = { ...POLICY, retryableStatuses: [Status.INTERNAL] };
      const clock = new FakeClock();
      const { conn, peer } = await scriptedBackend(
        combo,
        { settings: { MAX_HEADER_LIST_SIZE: 300 } },
        { clock },
      );
      conn.connect();
      await peer();
      await eventually("it is ready", () => conn.state === "ready");
      const metadata = Metadata.from({ "x-large": "x".repeat(300) });
      const { address } = await listenRelay(
        combo,
        () => new StreamParameters({ conn }, [], undefined, { retryPolicy, metadata }),
        { clock },
      );
      const client = await ScriptedClient.connect(address);
      client.send(frames.headers(1, request(PATH)), frames.data(1).end());
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.INTERNAL);
    });

    it("what is cancelled while it waits", async () => {
      const call = await start();
      fail(call.backend, call.streamId, Status.UNAVAILABLE);
      await eventually("the attempt is over", () => call.conn.openStreamCount === 0);
      call.client.send(frames.rst(1, ErrorCode.CANCEL));
      await eventually("it is over", () => call.results.length === 1);
      call.clock.advance(1_000);
      await call.backend.expectQuiet(call.streamId + 2);
    });

    it("what is larger than what is kept", async () => {
      const { conn, peer } = await scriptedBackend(combo);
      const { address } = await listenRelay(
        combo,
        () => new StreamParameters({ conn }, [], undefined, { retryPolicy: POLICY }),
      );
      const client = await ScriptedClient.connect(address);
      const big = message(Buffer.alloc(70_000));
      client.send(frames.headers(1, request(PATH)));
      for (let at = 0; at < big.length; at += 16_384) {
        client.send(frames.data(1, big.subarray(at, at + 16_384)));
      }
      const backend = await peer();
      const { streamId } = await backend.expectRequest(PATH);
      await backend.expectBytes(streamId, big.length);
      fail(backend, streamId, Status.UNAVAILABLE);
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.UNAVAILABLE);
      await client.expectReset(1, ErrorCode.NO_ERROR);
    });
  });

  describe("goes by what the backend asks for:", () => {
    it("waits as long as it says, and then from the beginning", async () => {
      const call = await start({ call: { retryPolicy: { ...POLICY, maxAttempts: 4 } } });
      fail(call.backend, call.streamId, Status.UNAVAILABLE);
      const second = await later(100, call, call.streamId);
      fail(call.backend, second.streamId, Status.UNAVAILABLE, ["grpc-retry-pushback-ms", "700"]);
      const third = await later(700, call, second.streamId);
      fail(call.backend, third.streamId, Status.UNAVAILABLE);
      const last = await later(100, call, third.streamId);
      fail(call.backend, last.streamId, Status.UNAVAILABLE, ["grpc-retry-pushback-ms", "1"]);
      await ends(call, last.streamId, Status.UNAVAILABLE, 4);
    });

    it.each(["-1", "soon"])(
      "does not come again for %s, which the client is told",
      async (value) => {
        const call = await start();
        fail(call.backend, call.streamId, Status.UNAVAILABLE, ["grpc-retry-pushback-ms", value]);
        const fields = pairsOf(await call.client.expectTrailers(1));
        expect(fields).toContainEqual(["grpc-retry-pushback-ms", value]);
        call.clock.advance(10_000);
        await call.backend.expectQuiet(call.streamId + 2);
      },
    );
  });

  describe("with throttling", () => {
    const dial = { retryThrottling: { maxTokens: 3, tokenRatio: 1 } };

    it("counts that the backend asks not to come again, whatever the status", async () => {
      const call = await start({ dial });
      const { backend, client } = call;
      fail(backend, call.streamId, Status.INTERNAL, ["grpc-retry-pushback-ms", "-1"]);
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.INTERNAL);
      client.send(frames.headers(3, request(PATH)), frames.data(3, message("abc")).end());
      fail(backend, (await next(backend)).streamId, Status.UNAVAILABLE);
      expect(statusOf(await client.expectTrailers(3))).toBe(Status.UNAVAILABLE);
    });

    it("does not send again when half of the tokens are gone, and does when they are back", async () => {
      const call = await start({ dial });
      const { backend, client } = call;
      fail(backend, call.streamId, Status.UNAVAILABLE);
      const second = await later(100, call, call.streamId);
      fail(backend, second.streamId, Status.UNAVAILABLE);
      await ends(call, second.streamId, Status.UNAVAILABLE, 2);

      // The first success makes it 2 of 3 tokens, a failure 1, which is not enough.
      const ask = async (id: number): Promise<number> => {
        client.send(frames.headers(id, request(PATH)), frames.data(id, message("abc")).end());
        return (await next(backend)).streamId;
      };
      fail(backend, await ask(3), Status.OK);
      expect(statusOf(await client.expectTrailers(3))).toBe(Status.OK);
      fail(backend, await ask(5), Status.UNAVAILABLE, ["grpc-retry-pushback-ms", "-1"]);
      expect(statusOf(await client.expectTrailers(5))).toBe(Status.UNAVAILABLE);
      fail(backend, await ask(7), Status.OK);
      expect(statusOf(await client.expectTrailers(7))).toBe(Status.OK);
      fail(backend, await ask(9), Status.OK);
      expect(statusOf(await client.expectTrailers(9))).toBe(Status.OK);
      const first = await ask(11);
      fail(backend, first, Status.UNAVAILABLE);
      const { streamId } = await later(100, call, first);
      fail(backend, streamId, Status.OK);
      expect(statusOf(await client.expectTrailers(11))).toBe(Status.OK);
    });
  });
});
