// The sessions of one address: those that take calls, the one that is being made, and those that
// drain until their last call has ended.

import type { GrpcError } from "../../grpc/error.ts";
import { publishRefusal } from "../../observe/channels.ts";
import type { Clock } from "../../time/clock.ts";
import type {
  ClientSession,
  ClientSessionListener,
  Refusal,
  SessionEnd,
} from "../../transport/transport.ts";
import { ErrorCode } from "../../wire/error-code.ts";
import { goAwayReason, lostError } from "../errors/upstream-error.ts";
import { Lifetime } from "./lifetime.ts";
import { ResetBudget } from "./reset-budget.ts";
import type { SideStream } from "./side-stream.ts";

/**
 * How many sessions of one address may drain at a time. A backend that ends connections by age
 * leaves one per age for the calls that outlive it. A backend that sends GOAWAY to each and never
 * ends their calls would take all our sockets.
 */
const MAX_DRAINING_SESSIONS = 100;

/** Is told about a session. */
export interface AttemptOwner {
  readonly target: string;
  /** How long `attempt`, which takes calls, may be without one, in milliseconds. */
  idleLimitMs(attempt: Attempt): number;
  onSessionAvailable(attempt: Attempt): void;
  onSessionDraining(attempt: Attempt, reason: string): void;
  onSessionIdle(attempt: Attempt): void;
  /** It has stood for as long as it may. */
  onSessionOld(attempt: Attempt): void;
  onSessionClosed(attempt: Attempt, end: SessionEnd): void;
}

/** Is told the outcome of a PING, once. */
export interface PingWaiter {
  onAnswer(): void;
  /** The session is lost, and the answer has not come. */
  onLost(error: GrpcError): void;
}

/**
 * The stage of an attempt.
 *
 * - `"connecting"`: its session is being made.
 * - `"ready"`: the session takes calls.
 * - `"outlived"`: the session takes calls until another is ready in its place.
 * - `"draining"`: the session takes no more calls; its own may finish. It may never have taken any.
 * - `"ended"`: the session was ended to make room for others that drain.
 */
type AttemptLife = "connecting" | "ready" | "outlived" | "draining" | "ended";

/** An attempt whose session exists: its transport has returned it. */
export type SessionAttempt = Attempt & { readonly session: ClientSession };

/** One attempt at a session, from `connect` to its end. */
export class Attempt implements ClientSessionListener {
  readonly startedMs: number;
  /** When the backend sent GOAWAY, or the session was lost. */
  goneMs = 0;
  /** The last stream that the backend takes, by its GOAWAY. */
  lastStreamId = 0;
  /** Calls that were under way at GOAWAY, and that the backend takes. */
  takenCount = 0;
  readonly resets: ResetBudget;
  readonly lifetime: Lifetime;
  session: ClientSession | undefined = undefined;
  life: AttemptLife = "connecting";
  /** A call was begun on it since `lookBusyMs` was last asked. */
  isUsed = false;
  /** The latest stream beside its calls. */
  side: SideStream | undefined = undefined;
  private readonly owner: AttemptOwner;
  private wasBusy = false;
  private busyMs = Number.NEGATIVE_INFINITY;
  private countedLimit: number | undefined = undefined;
  /** PINGs of users that were sent on it, and not answered so far. */
  private readonly pings = new Set<PingWaiter>();

  constructor(owner: AttemptOwner, clock: Clock) {
    this.owner = owner;
    this.startedMs = clock.nowMs();
    this.resets = new ResetBudget(this.startedMs);
    this.lifetime = new Lifetime(this, clock);
  }

  /** Its calls under way. */
  get openStreamCount(): number {
    const count = this.session?.openStreamCount ?? 0;
    // A session that ends may forget its streams before it tells them.
    return this.side === undefined ? count : Math.max(0, count - this.sideCount);
  }

  /** Streams open beside its calls: one or none. */
  get sideCount(): number {
    return this.side?.isOpen === true ? 1 : 0;
  }

  /** A call was begun on it, at any time. */
  get wasUsed(): boolean {
    return this.isUsed || this.busyMs !== Number.NEGATIVE_INFINITY;
  }

  get idleLimitMs(): number {
    return this.owner.idleLimitMs(this);
  }

  /** The limit of its session, for whoever counts the capacity. */
  countLimit(this: SessionAttempt): number {
    const { streamLimit } = this.session;
    this.countedLimit = streamLimit;
    return streamLimit;
  }

  /** Its session has another limit than the one that was counted. */
  hasNewLimit(this: SessionAttempt): boolean {
    return this.session.streamLimit !== this.countedLimit;
  }

  /** The session takes no more calls. */
  leave(): void {
    this.life = "draining";
    this.lifetime.stop();
    this.side?.onSessionLeft();
  }

  /**
   * When a call, or a PING without an answer, was last seen on it: `nowMs` if it is there, or was
   * since somebody last asked.
   */
  lookBusyMs(nowMs: number): number {
    const isBusy = this.openStreamCount > 0 || this.pings.size > 0;
    if (isBusy || this.wasBusy || this.isUsed) this.busyMs = nowMs;
    this.isUsed = false;
    this.wasBusy = isBusy;
    return this.busyMs;
  }

  /** Sends PING. */
  ping(this: SessionAttempt, waiter: PingWaiter): void {
    this.pings.add(waiter);
    this.session.ping(() => {
      this.pings.delete(waiter);
      waiter.onAnswer();
    });
  }

  hasSession(): this is SessionAttempt {
    return this.session !== undefined;
  }

  /** The session takes calls. */
  isReady(): this is SessionAttempt {
    return this.life === "ready" || this.life === "outlived";
  }

  onIdle(): void {
    this.owner.onSessionIdle(this);
  }

  onOld(): void {
    this.owner.onSessionOld(this);
  }

  onAvailable(): void {
    this.owner.onSessionAvailable(this);
  }

  onGoAway(lastStreamId: number, code: number, debugData: string): void {
    this.lastStreamId = lastStreamId;
    this.owner.onSessionDraining(this, goAwayReason(code, debugData));
  }

  onRefused(refusal: Refusal): void {
    const peer = this.session?.peer.remoteAddress ?? this.owner.target;
    publishRefusal("upstream", peer, refusal);
  }

  onClosed(end: SessionEnd): void {
    // Before the others are told: the connection may be over then, and have a reason of its own.
    for (const waiter of this.pings) waiter.onLost(lostError(this.owner.target, end));
    this.pings.clear();
    this.owner.onSessionClosed(this, end);
  }
}

/** All attempts of one address whose sessions stand or are being made. */
export class Attempts {
  readonly #all = new Set<Attempt>();
  /** When a call was last seen on those that are gone. */
  #busyMs = Number.NEGATIVE_INFINITY;

  get size(): number {
    return this.#all.size;
  }

  get openStreamCount(): number {
    let count = 0;
    for (const attempt of this.#all) count += attempt.openStreamCount;
    return count;
  }

  add(attempt: Attempt): void {
    this.#makeRoom();
    this.#all.add(attempt);
  }

  delete(attempt: Attempt, nowMs: number): void {
    this.#busyMs = this.lookBusyMs(nowMs);
    this.#all.delete(attempt);
  }

  /** As `Attempt.lookBusyMs`, of all that there are or were. */
  lookBusyMs(nowMs: number): number {
    let busyMs = this.#busyMs;
    for (const attempt of this.#all) busyMs = Math.max(busyMs, attempt.lookBusyMs(nowMs));
    return busyMs;
  }

  drain(): void {
    for (const { session } of [...this.#all]) session?.drain();
  }

  destroy(message: string): void {
    for (const { session } of [...this.#all]) session?.destroy(ErrorCode.CANCEL, message);
  }

  /** When too many sessions drain, ends one that has answered nothing, or the oldest. */
  #makeRoom(): void {
    const draining = [...this.#all].filter(({ life }) => life === "draining");
    const [oldest] = draining;
    if (oldest === undefined || draining.length < MAX_DRAINING_SESSIONS) return;
    const victim = draining.find(({ session }) => session?.answered !== true) ?? oldest;
    victim.life = "ended";
    const message = `it was one of ${MAX_DRAINING_SESSIONS} connections that drain, the limit`;
    victim.session?.destroy(ErrorCode.CANCEL, message);
  }
}
