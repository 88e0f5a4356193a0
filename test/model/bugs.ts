// Bugs that are planted in the real classes for as long as a search runs. The check is worth
// something only if it finds each of them.

import { LegAttempts } from "../../src/proxy/leg-attempts.ts";
import { LegRequest } from "../../src/proxy/leg-request.ts";
import { Relay } from "../../src/proxy/relay.ts";
import { UpstreamLeg } from "../../src/proxy/upstream-leg.ts";
import { OpenCalls } from "../../src/server/open-calls.ts";
import { ServerCall } from "../../src/server/server-call.ts";
import { keep } from "../../src/wire/lent-bytes.ts";

// biome-ignore lint/suspicious/noExplicitAny: the bugs are in members that are hidden
type Hidden = any;
type Method = (this: Hidden, ...args: Hidden[]) => unknown;

export interface Bug {
  readonly name: string;
  /** The class whose method has the bug. */
  readonly of: { readonly prototype: object };
  readonly method: string;
  readonly broken: (original: Method) => Method;
}

function bug(
  name: string,
  of: { readonly prototype: object },
  method: string,
  broken: (original: Method) => Method,
): Bug {
  return { name, of, method, broken };
}

const nothing = (): Method => () => undefined;

export const BUGS: readonly Bug[] = [
  bug("credit is lost for bytes that a socket takes later", Relay, "onLegProgress", nothing),
  bug(
    "the client gets credit before all required destinations are open",
    Relay,
    "onRequestData",
    (own) =>
      function (chunk, endStream) {
        if (this.leftToOpen > 0) this.call.acknowledge(chunk.length);
        own.call(this, chunk, endStream);
      },
  ),
  bug("the deadline is forgotten", ServerCall, "onTimer", nothing),
  bug(
    "the timer of an answered call stays",
    ServerCall,
    "end",
    (own) =>
      function (status) {
        const timer = this.deadlineTimer;
        this.deadlineTimer = undefined;
        const isFirst = own.call(this, status);
        this.deadlineTimer = timer;
        return isFirst;
      },
  ),
  bug(
    "a call is answered twice",
    Relay,
    "answer",
    (own) =>
      function (error) {
        own.call(this, error);
        this.call.ended = false;
        own.call(this, error);
      },
  ),
  bug("secondaries go on when the primary has failed", Relay, "stopSecondaries", nothing),
  bug(
    "the finalizer runs twice",
    Relay,
    "finalize",
    (own) =>
      function () {
        own.call(this);
        this.params.requestFinalizer()?.(this.result());
      },
  ),
  bug(
    "onError is told twice",
    Relay,
    "judge",
    (own) =>
      function (leg, error) {
        own.call(this, leg, error);
        own.call(this, leg, error);
      },
  ),
  bug(
    "the client waits for a detached destination",
    Relay,
    "onLegEnd",
    (own) =>
      function (leg) {
        if (leg.need !== "detached") this.hasDetached = this.secondaries.some(isLiveDetached);
        if (!(this.hasDetached && leg === this.primary)) own.call(this, leg);
      },
  ),
  bug(
    "END_STREAM is lost when a request is sent again",
    LegRequest,
    "rewind",
    (own) =>
      function () {
        const end = this.requestEnd;
        own.call(this);
        this.requestEnd = end;
      },
  ),
  bug(
    "bytes are doubled when a request is sent again",
    LegAttempts,
    "onOpened",
    (own) =>
      function (stream) {
        own.call(this, stream);
        if (this.attempts > 1 && this.queue !== undefined) {
          this.sentCount = 0;
          this.flush();
        }
      },
  ),
  bug("a request is sent again after response headers", LegRequest, "commit", nothing),
  bug(
    "a client whose window is used up gets no credit from another attempt",
    UpstreamLeg,
    "onOpenedAgain",
    nothing,
  ),
  bug(
    "the stream of a leg that failed stays open",
    UpstreamLeg,
    "fail",
    (own) =>
      function (error) {
        this.stream = undefined;
        own.call(this, error);
      },
  ),
  bug(
    "DATA is held back, and trailers overtake it",
    Relay,
    "onLegData",
    (own) =>
      function (leg, chunk) {
        const kept = Buffer.from(keep(chunk));
        setImmediate(() => own.call(this, leg, kept));
      },
  ),
  bug(
    "response bytes are acknowledged before the client has taken them",
    Relay,
    "onLegData",
    (own) =>
      function (leg, chunk) {
        own.call(this, leg, chunk);
        if (leg === this.primary && this.call.stream.queuedBytes > 0) leg.acknowledge(1);
      },
  ),
  bug(
    "lent bytes are kept",
    LegRequest,
    "enqueue",
    (own) =>
      function (chunk) {
        own.call(this, this.released ? chunk : Buffer.from(chunk).fill(0xdb));
      },
  ),
  bug("the call stays in the list of open calls", OpenCalls, "onCallEnd", nothing),
];

function isLiveDetached(leg: { readonly need: string; readonly ended: boolean }): boolean {
  return leg.need === "detached" && !leg.ended;
}

/** Runs `search` with `bug` in the code. */
export async function withBug<T>(bug: Bug, search: () => Promise<T>): Promise<T> {
  const prototype = bug.of.prototype as Record<string, Method>;
  const isOwn = Object.hasOwn(prototype, bug.method);
  const original = prototype[bug.method]!;
  prototype[bug.method] = bug.broken(original);
  try {
    return await search();
  } finally {
    if (isOwn) prototype[bug.method] = original;
    else delete prototype[bug.method];
  }
}
