// A director that answers when the call is over, or never: nobody waits for it longer than there is
// a call.

import { describe, expect, it } from "vitest";
import { ErrorReason, GrpcError } from "../../src/grpc/error.ts";
import { Status } from "../../src/grpc/status.ts";
import { StreamParameters } from "../../src/proxy/director.ts";
import type { CallContext } from "../../src/server/call-context.ts";
import type { Server } from "../../src/server/server.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { FakeClock } from "../support/clock.ts";
import { transportCombos } from "../support/combos.ts";
import { frames, message, request } from "../support/frames.ts";
import {
  connectTo,
  eventually,
  listenRelay,
  PATH,
  scriptedBackend,
  statusOf,
} from "../support/relay-fixture.ts";
import { ScriptedClient } from "../support/scripted-endpoints.ts";
import type { ScriptedPeer } from "../support/scripted-peer.ts";

interface Parties {
  readonly client: ScriptedPeer;
  readonly server: Server;
  readonly clock: FakeClock;
}

interface Ending {
  readonly title: string;
  readonly ends: (parties: Parties) => void;
  readonly reason: ErrorReason;
  /** What the client is told; `undefined` when it is gone. */
  readonly status?: number;
}

const endings: readonly Ending[] = [
  {
    title: "the client has cancelled",
    ends: ({ client }) => client.send(frames.rst(1, ErrorCode.CANCEL)),
    reason: ErrorReason.CLIENT_CANCELLED,
  },
  {
    title: "the client is gone",
    ends: ({ client }) => client.destroy(),
    reason: ErrorReason.CLIENT_CANCELLED,
  },
  {
    title: "the deadline has passed",
    ends: ({ clock }) => clock.advance(5_004),
    reason: ErrorReason.DEADLINE,
    status: Status.DEADLINE_EXCEEDED,
  },
  {
    title: "the deadline that an interceptor has set has passed",
    ends: ({ clock }) => clock.advance(3_004),
    reason: ErrorReason.DEADLINE,
    status: Status.DEADLINE_EXCEEDED,
  },
  {
    title: "the server was closed",
    ends: ({ server }) => void server.close(),
    reason: ErrorReason.SHUTDOWN,
    status: Status.UNAVAILABLE,
  },
];

describe.each(transportCombos)("a late director, server on $server, client on $client", (combo) => {
  /**
   * A call whose director waits until `answer` or `refuse`; `log` has what interceptor, `onError`
   * and finalizer are told.
   */
  async function waiting(interceptorSwallows: boolean, ownDeadline: boolean) {
    const clock = new FakeClock();
    const backend = await scriptedBackend(combo, {}, { clock });
    let answer = (): void => {};
    let refuse = (_error: Error): void => {};
    const answered = new Promise<void>((resolve, reject) => {
      answer = resolve;
      refuse = reject;
    });
    const log: string[] = [];
    let context: CallContext | undefined;
    const { server, address } = await listenRelay(
      combo,
      async (ctx) => {
        context = ctx;
        void ctx.signal;
        await answered;
        const { conn } = backend;
        const note = (who: string) => (error: GrpcError) => void log.push(`${who} ${error.reason}`);
        return new StreamParameters(
          { conn, onError: note("primary") },
          [{ conn, ctx: ctx.withTimeout(60_000), onError: note("secondary") }],
          async (result) => {
            await new Promise((resolve) => setImmediate(resolve));
            log.push(`finalizer ${result.error?.reason}`);
          },
        );
      },
      {
        clock,
        interceptors: [
          async (stream, _info, next) => {
            const { context: own } = stream;
            try {
              await next(ownDeadline ? stream.withContext(own.withTimeout(3_000)) : stream);
            } catch (error) {
              log.push(`interceptor ${(error as GrpcError).reason}`);
              if (!interceptorSwallows) throw error;
            }
          },
        ],
      },
    );
    const peer = await connectTo(backend);
    const client = await ScriptedClient.connect(address);
    client.send(frames.headers(1, request(PATH, ["grpc-timeout", "5S"])));
    client.send(frames.data(1, message("abc")));
    await eventually("the director is at work", () => context !== undefined);
    return { client, server, clock, peer, log, answer, refuse, signal: context!.signal };
  }

  for (const swallows of [false, true]) {
    const interceptor = swallows ? "swallows the error" : "passes the error on";
    it.each(endings)(
      `is told by ctx.signal, and its handler settles, when $title and an interceptor ${interceptor}`,
      async (ending) => {
        const call = await waiting(swallows, ending.title.includes("interceptor"));
        ending.ends(call);
        await eventually("the interceptor is told", () => call.log.length > 0);
        expect(call.log).toEqual([`interceptor ${ending.reason}`]);
        expect(call.signal.reason).toMatchObject({ reason: ending.reason });
        if (ending.status !== undefined) {
          const swallowed = swallows && ending.title.includes("interceptor");
          const expected = swallowed ? Status.OK : ending.status;
          expect(statusOf(await call.client.expectTrailers(1))).toBe(expected);
        }
        await eventually("no call is left", () => call.server.openCallCount === 0);
        // It answers all the same: whom it names is told, and nothing is sent.
        call.answer();
        await eventually("the finalizer has run", () => call.log.length === 4);
        expect(call.log.slice(1)).toEqual([
          `primary ${ending.reason}`,
          `secondary ${ending.reason}`,
          `finalizer ${ending.reason}`,
        ]);
        await call.peer.sync();
        expect(call.peer.trace.some(({ frame }) => frame.name === "HEADERS")).toBe(false);
      },
    );
  }

  it("that throws when the call is over is heard by nobody", async () => {
    const call = await waiting(false, false);
    call.client.send(frames.rst(1, ErrorCode.CANCEL));
    await eventually("no call is left", () => call.server.openCallCount === 0);
    call.refuse(new GrpcError(Status.NOT_FOUND, "too late"));
    await call.client.sync();
    expect(call.log).toEqual([`interceptor ${ErrorReason.CLIENT_CANCELLED}`]);
  });

  it("that is in time lets its handler wait for the finalizer, however the call ends", async () => {
    const call = await waiting(false, true);
    call.answer();
    await call.peer.expectRequest(PATH);
    await call.peer.expectRequest(PATH);
    call.client.send(frames.rst(1, ErrorCode.CANCEL));
    await eventually("the interceptor is told", () => call.log.length === 4);
    expect(call.log).toEqual([
      `primary ${ErrorReason.CLIENT_CANCELLED}`,
      `secondary ${ErrorReason.CLIENT_CANCELLED}`,
      `finalizer ${ErrorReason.CLIENT_CANCELLED}`,
      `interceptor ${ErrorReason.CLIENT_CANCELLED}`,
    ]);
  });
});
