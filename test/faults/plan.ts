// What happens in one round, drawn from its seed: calls of all kinds, and faults under them.

import type { RetryPolicy } from "../../src/client/retry-policy.ts";
import { Status } from "../../src/grpc/status.ts";
import { message } from "../support/frames.ts";
import { type Fault, type FaultKind, LETHAL } from "./fault-proxy.ts";
import { Random } from "./random.ts";

/** The backends. `"a"` is everybody's primary. */
export const BACKENDS = ["a", "b", "c"] as const;
export type BackendName = (typeof BACKENDS)[number];

/** Where a fault can be: at the client's connection, or at that of a backend. */
export type LegName = "client" | BackendName;

/** The last word of a backend. */
export type Outcome =
  | { readonly kind: "trailers" | "trailersOnly"; readonly status: Status }
  | { readonly kind: "reset"; readonly code: number }
  /** END_STREAM without a status. */
  | { readonly kind: "noStatus" }
  /** Nothing, ever. */
  | { readonly kind: "silent" };

/** The part of a backend in one call. */
export interface Part {
  readonly outcome: Outcome;
  /** Answers before the request is there. */
  readonly early: boolean;
  /** Attempts that are answered with UNAVAILABLE first. */
  readonly failsFirst: number;
  /** Credit for the request comes so much later. */
  readonly grantDelayMs: number;
  /** How much of the response is sent before an outcome that is no status: from 0 to 1. */
  readonly share: number;
}

export interface SecondaryPlan {
  readonly backend: BackendName;
  readonly need: "required" | "optional" | "detached";
  /** Its `onError` swallows. */
  readonly swallows: boolean;
}

export interface CallPlan {
  readonly id: number;
  readonly kind: "unary" | "clientStreaming" | "serverStreaming" | "bidi";
  readonly path: string;
  readonly request: readonly Buffer[];
  readonly response: readonly Buffer[];
  /** What the client sends, and what backends answer with. */
  readonly requestBytes: Buffer;
  readonly responseBytes: Buffer;
  /** Longest DATA frame that both sides send. */
  readonly frameBytes: number;
  readonly peeks: boolean;
  /** Of "a", when it cannot be reached: "b". */
  readonly fallback: boolean;
  readonly retries: boolean;
  readonly waitForReady: boolean;
  readonly secondaries: readonly SecondaryPlan[];
  readonly parts: Readonly<Record<BackendName, Part>>;
  /** `grpc-timeout`. */
  readonly timeoutMs: number | undefined;
  /** The deadline that the director gives to the destinations. */
  readonly optionTimeoutMs: number | undefined;
  /** When the client takes the call back. */
  readonly cancel: { readonly afterMs: number } | { readonly atBytes: number } | undefined;
  /** The client reads so much later. */
  readonly grantDelayMs: number;
  /** Which of the client's connections it is made on. */
  readonly lane: number;
}

export interface FaultPlan extends Fault {
  readonly leg: LegName;
}

/** A backend goes away (GOAWAY) when it has got so many calls; later ones are not processed. */
export interface GoAwayPlan {
  readonly backend: BackendName;
  readonly afterCalls: number;
}

export interface RoundPlan {
  readonly calls: readonly CallPlan[];
  readonly callsAtOnce: number;
  readonly faults: readonly FaultPlan[];
  readonly goAways: readonly GoAwayPlan[];
  /** What the relay may be sent on one connection before it gives credit. */
  readonly connectionWindowBytes: number;
}

export const RETRY_POLICY: RetryPolicy = {
  maxAttempts: 4,
  initialBackoffMs: 1,
  maxBackoffMs: 10,
  backoffMultiplier: 2,
  retryableStatuses: [Status.UNAVAILABLE],
};
const LANES = 2;

const OK: Outcome = { kind: "trailers", status: 0 };
const RESETS = [0, 2, 7, 8, 11];

/** @param name of the service; rounds at the same time need names of their own */
export function planRound(seed: number, name: string): RoundPlan {
  const random = new Random(seed);
  const calls: CallPlan[] = [];
  const callCount = random.between(20, 60);
  for (let id = 0; id < callCount; id++) calls.push(planCall(random, name, id));
  return {
    calls,
    callsAtOnce: random.between(2, 24),
    faults: planFaults(random),
    goAways: random.chance(0.2)
      ? [{ backend: random.pick(BACKENDS), afterCalls: random.between(1, 15) }]
      : [],
    // With the smaller one, which is the least that HTTP/2 has, lost credit is soon missed.
    connectionWindowBytes: random.pick([4_194_304, 65_535]),
  };
}

/** A call of two backends that must end well. */
export function planProbe(seed: number, name: string, id: number): CallPlan {
  const part: Part = { outcome: OK, early: false, failsFirst: 0, grantDelayMs: 0, share: 1 };
  return {
    ...planCall(new Random(seed), name, id),
    ...{ peeks: false, fallback: false, retries: false, waitForReady: true, cancel: undefined },
    ...{ timeoutMs: undefined, optionTimeoutMs: undefined, grantDelayMs: 0, lane: 0 },
    secondaries: [
      { backend: "b", need: "required", swallows: false },
      { backend: "c", need: "required", swallows: false },
    ],
    parts: { a: part, b: part, c: part },
  };
}

function planCall(random: Random, name: string, id: number): CallPlan {
  const kind = random.pick(["unary", "clientStreaming", "serverStreaming", "bidi"] as const);
  const large = random.chance(0.03);
  const many = random.between(0, large ? 3 : 12);
  const request = messages(
    random,
    kind === "unary" || kind === "serverStreaming" ? 1 : many,
    large,
  );
  const response = messages(
    random,
    kind === "unary" || kind === "clientStreaming" ? 1 : random.between(0, large ? 3 : 12),
    large,
  );
  const retries = random.chance(0.15);
  const fallback = !retries && random.chance(0.2);
  const parts = {
    a: planPart(random, kind, retries && !large),
    b: planPart(random, kind, false),
    c: planPart(random, kind, false),
  };
  const secondaries = fallback || random.chance(0.6) ? [] : planSecondaries(random);
  const waits =
    parts.a.outcome.kind === "silent" ||
    (fallback && parts.b.outcome.kind === "silent") ||
    secondaries.some(
      ({ backend, need }) => need !== "detached" && parts[backend].outcome.kind === "silent",
    );
  const cancels = random.chance(0.12);
  // What a silent backend needs is one of the two deadlines, not always the same.
  const needsDeadline = waits && !cancels;
  const givesOwn = needsDeadline && random.chance(0.5);
  const timeoutMs = planTimeout(random, needsDeadline && !givesOwn);
  return {
    id,
    kind,
    path: `/faults.${name}/Call${id}`,
    request,
    response,
    requestBytes: Buffer.concat(request),
    responseBytes: Buffer.concat(response),
    frameBytes: large ? 16_384 : random.pick([16_384, 16_384, 1_000, 61, 7]),
    peeks: random.chance(0.15),
    fallback,
    retries,
    waitForReady: random.chance(0.2),
    secondaries,
    parts,
    timeoutMs,
    optionTimeoutMs: givesOwn || random.chance(0.1) ? random.between(5, 80) : undefined,
    cancel: cancels
      ? waits || random.chance(0.7)
        ? { afterMs: random.pick([0, 0, 1, 3, 10, 30]) }
        : { atBytes: random.between(1, 400) }
      : undefined,
    grantDelayMs: random.chance(0.05) ? random.between(1, 30) : 0,
    lane: random.between(0, LANES - 1),
  };
}

function planTimeout(random: Random, needed: boolean): number | undefined {
  const short = random.chance(0.15) || needed;
  const long = random.chance(0.4);
  const ms = random.pick([1, 3, 10, 25, 50, 80]);
  if (short) return ms;
  return long ? 3_600_000 : undefined;
}

function planSecondaries(random: Random): SecondaryPlan[] {
  const plans: SecondaryPlan[] = [];
  for (const backend of random.pick([["b"], ["c"], ["b", "c"]] as const)) {
    plans.push({
      backend,
      need: random.pick(["required", "optional", "detached"] as const),
      swallows: random.chance(0.6),
    });
  }
  return plans;
}

function planPart(random: Random, kind: CallPlan["kind"], failsFirst: boolean): Part {
  return {
    outcome: planOutcome(random),
    early: kind !== "unary" && random.chance(0.1),
    failsFirst:
      failsFirst && random.chance(0.5) ? random.between(1, RETRY_POLICY.maxAttempts - 1) : 0,
    grantDelayMs: random.chance(0.05) ? random.between(1, 30) : 0,
    share: random.pick([0, 0, random.next(), 1]),
  };
}

function planOutcome(random: Random): Outcome {
  const drawn = random.next();
  if (drawn < 0.75) return OK;
  if (drawn < 0.82) return { kind: "trailers", status: random.pick([3, 5, 7, 9]) };
  if (drawn < 0.88) return { kind: "trailersOnly", status: random.pick([0, 3, 5, 7, 9]) };
  if (drawn < 0.95) return { kind: "reset", code: random.pick(RESETS) };
  if (drawn < 0.97) return { kind: "noStatus" };
  return { kind: "silent" };
}

function messages(random: Random, count: number, large: boolean): Buffer[] {
  return Array.from({ length: count }, () => {
    const length = large ? random.between(0, 150_000) : random.between(0, 300);
    const payload = Buffer.allocUnsafe(length);
    let state = random.between(1, 0xffff);
    for (let at = 0; at < length; at++) {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      payload[at] = state >>> 16;
    }
    return message(payload);
  });
}

const KINDS: readonly FaultKind[] = Object.entries({
  refuse: 1,
  kill: 2,
  reset: 2,
  truncate: 3,
  stall: 2,
  hang: 1,
  delay: 1,
  split: 2,
} satisfies Record<FaultKind, number>).flatMap(([kind, times]) =>
  Array<FaultKind>(times).fill(kind as FaultKind),
);

/** Where the bytes of handshakes are, and those of calls. */
const REACHES = [40, 200, 1_000, 4_000, 15_000];

function planFaults(random: Random): FaultPlan[] {
  const faults: FaultPlan[] = [];
  for (let left = random.between(0, 5); left > 0; left--) {
    const kind = random.pick(KINDS);
    const leg = random.pick(["client", "a", "a", "b", "c"] as const);
    // Faults of the same connection come at the same time as often as one after the other.
    const connection = random.pick([0, 0, 0, 1, 2]);
    faults.push({
      kind,
      leg,
      connection,
      direction: random.pick(["out", "back"] as const),
      atBytes: random.between(0, random.pick(REACHES)),
      ms: kind === "delay" ? random.between(1, 4) : random.between(2, 120),
      pieceBytes: random.pick([1, 2, 5, 17, 100]),
    });
  }
  return faults;
}

export function isLethal(fault: Fault): boolean {
  return LETHAL.has(fault.kind);
}
