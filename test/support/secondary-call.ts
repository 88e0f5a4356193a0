// A call to a primary and one secondary whose need and onError are the subject of a test, and the
// conditions that must hold when the call is over.

import { expect } from "vitest";
import type { ClientConn } from "../../src/client/client-conn.ts";
import type { ErrorReason, GrpcError } from "../../src/grpc/error.ts";
import { Status } from "../../src/grpc/status.ts";
import {
  type Destination,
  type DestinationNeed,
  StreamParameters,
} from "../../src/proxy/director.ts";
import type { CallResult } from "../../src/proxy/results.ts";
import type { CallContext } from "../../src/server/call-context.ts";
import type { Server } from "../../src/server/server.ts";
import { closeAtEnd } from "./cleanup.ts";
import { FakeClock } from "./clock.ts";
import type { TransportCombo } from "./combos.ts";
import { detachedEnds } from "./events.ts";
import { frames, request } from "./frames.ts";
import {
  ABC,
  answerCall,
  connectTo,
  dialTo,
  eventually,
  listenRelay,
  PATH,
  scriptedBackend,
  statusOf,
} from "./relay-fixture.ts";
import { ScriptedClient } from "./scripted-endpoints.ts";
import type { ScriptedPeer } from "./scripted-peer.ts";

const HOLDER = "/test.Service/Holder";
export type Verdict =
  | "without onError"
  | "whose onError keeps the error"
  | "whose onError swallows";
/** The state of the secondary when the call comes. `full`: it is at its stream limit. */
export type Way = "ready" | "connecting" | "full" | "unreachable";

/** For `it.each`, whose title says `$need, $verdict`. */
export interface Subject {
  readonly need: DestinationNeed;
  readonly verdict: Verdict;
}

const needs = ["required", "optional", "detached"] as const;
const verdicts: readonly Verdict[] = [
  "without onError",
  "whose onError keeps the error",
  "whose onError swallows",
];
export const subjects: readonly Subject[] = needs.flatMap((need) =>
  verdicts.map((verdict) => ({ need, verdict })),
);
export const detachedOnly: readonly Subject[] = subjects.filter(({ need }) => need === "detached");
export const others: readonly Subject[] = subjects.filter(({ need }) => need !== "detached");

/**
 * The client's status when the primary is well and the secondary fails with `status` after it was
 * opened.
 */
export function outcomeOf({ need, verdict }: Subject, status: number): number {
  return need === "detached" || verdict === "whose onError swallows" ? Status.OK : status;
}

export interface SecondaryCallOptions extends Subject {
  /** @default "ready" */
  readonly way?: Way;
  readonly destination?: Omit<Destination, "conn" | "onError" | "need">;
  readonly context?: (ctx: CallContext) => CallContext;
  /** The timeout of the client. @default none */
  readonly timeout?: string;
  /** The client has sent all. @default true */
  readonly complete?: boolean;
  /** The secondary gives credit back. @default true */
  readonly refillWindows?: boolean;
  readonly finalizer?: () => Promise<void>;
}

export interface SecondaryCall {
  readonly clock: FakeClock;
  readonly server: Server;
  readonly client: ScriptedPeer;
  /** The connection to the secondary. */
  readonly conn: ClientConn;
  readonly primary: ScriptedPeer;
  readonly primaryId: number;
  /**
   * The errors that the onError of the secondary got, and that of the primary, which keeps them.
   */
  readonly told: readonly GrpcError[];
  readonly primaryTold: readonly GrpcError[];
  /** The results that the finalizer got. */
  readonly results: readonly CallResult[];
  /** Lets the relay open the secondary. */
  release(): void;
  /** The secondary's end of the call. */
  secondary(): Promise<{ readonly peer: ScriptedPeer; readonly id: number }>;
  answerPrimary(status?: number): void;
  /** The status that the client gets. */
  status(): Promise<number>;
  /** Checks that everything has ended, once, and that the secondary ended with `error`. */
  over(
    error: { readonly reason?: ErrorReason; readonly status: number } | undefined,
  ): Promise<void>;
}

/**
 * A call of one message to a primary that is ready and a secondary that is `way`; the primary has
 * its headers.
 */
export async function secondaryCall(
  combo: TransportCombo,
  options: SecondaryCallOptions,
): Promise<SecondaryCall> {
  const { need, verdict, way = "ready", destination = {}, complete = true } = options;
  const clock = new FakeClock();
  const first = await scriptedBackend(combo, {}, { clock });
  const second = await scriptedBackend(
    combo,
    way === "connecting"
      ? { handshake: false, ackSettings: false }
      : way === "full"
        ? { settings: { MAX_CONCURRENT_STREAMS: 1 } }
        : { refillWindows: options.refillWindows ?? true },
    { clock, maxConnectionsPerAddress: 1 },
  );
  const conn =
    way === "unreachable" ? dialTo(combo, "unix:/nowhere/at/all", { clock }) : second.conn;
  const ends = detachedEnds();
  const told: GrpcError[] = [];
  const primaryTold: GrpcError[] = [];
  const results: CallResult[] = [];
  const note = (error: GrpcError): GrpcError | undefined => {
    told.push(error);
    return verdict === "whose onError swallows" ? undefined : error;
  };
  const { server, address } = await listenRelay(
    combo,
    (ctx) =>
      new StreamParameters(
        {
          conn: first.conn,
          onError: (error) => {
            primaryTold.push(error);
            return error;
          },
        },
        [
          {
            ...destination,
            conn,
            need,
            ...(verdict === "without onError" ? {} : { onError: note }),
            ...(options.context === undefined ? {} : { ctx: options.context(ctx) }),
          },
        ],
        (result) => {
          results.push({ ...result });
          return options.finalizer?.();
        },
      ),
    { clock },
  );
  const primary = await connectTo(first);
  let secondary: ScriptedPeer | undefined;
  let release = (): void => {};
  if (way === "ready") secondary = await connectTo(second);
  if (way === "connecting") {
    conn.connect();
    secondary = await second.peer();
    const peer = secondary;
    release = () => peer.send(frames.settings(), frames.settingsAck());
  }
  if (way === "full") {
    secondary = await connectTo(second);
    const holder = conn.newStream(HOLDER);
    holder.closeSend();
    const { streamId } = await secondary.expectRequest(HOLDER);
    const peer = secondary;
    let held = true;
    release = () => {
      if (held) answerCall(peer, streamId);
      held = false;
    };
    closeAtEnd(() =>
      holder.trailer().then(
        () => {},
        () => {},
      ),
    );
    closeAtEnd(release);
  }
  const client = await ScriptedClient.connect(address);
  const timeout: [string, string][] =
    options.timeout === undefined ? [] : [["grpc-timeout", options.timeout]];
  client.send(frames.headers(1, request(PATH, ...timeout)));
  client.send(complete ? frames.data(1, ABC).end() : frames.data(1, ABC));
  const primaryId = (await primary.expectRequest(PATH)).streamId;

  return {
    clock,
    server,
    client,
    conn,
    primary,
    primaryId,
    told,
    primaryTold,
    results,
    /** Lets the relay open the secondary. */
    release: () => release(),
    /** The secondary's end of the call. */
    secondary: async () => {
      if (secondary === undefined) throw new Error("there is none");
      return { peer: secondary, id: (await secondary.expectRequest(PATH)).streamId };
    },
    answerPrimary: (status = 0): void => {
      answerCall(primary, primaryId, status);
    },
    /** The status that the client gets. */
    status: async () => statusOf(await client.expectTrailers(1)),
    /** Checks that everything has ended, once, and that the secondary ended with `error`. */
    over: async (error: { readonly reason?: ErrorReason; readonly status: number } | undefined) => {
      await eventually("no call is left", () => server.openCallCount === 0);
      await eventually("no stream waits", () => conn.waitingCount === 0);
      await eventually("nothing is left over", () => server.leftovers.size === 0);
      const tells = error === undefined || verdict === "without onError" ? [] : [error];
      expect(told).toMatchObject(tells);
      expect(results).toHaveLength(1);
      expect(results[0]?.secondaries[0]).toMatchObject({ ended: true });
      expect(results[0]?.secondaries[0]?.error).toEqual(
        error === undefined ? undefined : expect.objectContaining(error),
      );
      const events = need === "detached" ? [{ status: error?.status ?? 0, index: 0 }] : [];
      expect(ends.filter(({ target }) => target === conn.target)).toMatchObject(events);
    },
  };
}

export interface OpenedCall extends SecondaryCall {
  /** The peer that plays the secondary. */
  readonly peer: ScriptedPeer;
  readonly id: number;
}

/** The same call when the secondary also has the request, or the part of it that was sent. */
export async function openedCall(
  combo: TransportCombo,
  options: SecondaryCallOptions,
): Promise<OpenedCall> {
  const call = await secondaryCall(combo, options);
  const { peer, id } = await call.secondary();
  for (const [at, stream] of [
    [call.primary, call.primaryId],
    [peer, id],
  ] as const) {
    if (options.complete === false) await at.expectBytes(stream, ABC.length);
    else expect(await at.expectBody(stream)).toEqual(ABC);
  }
  return { ...call, peer, id };
}
