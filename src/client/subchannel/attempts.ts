// The sessions of one address: those that take calls, the one that is being made, and those that
// drain until their last call has ended.

import { publishRefusal } from "../../observe/channels.ts";
import type { Clock } from "../../time/clock.ts";
import type {
  ClientSession,
  ClientSessionListener,
  Refusal,
  SessionEnd,
} from "../../transport/transport.ts";
import { ErrorCode } from "../../wire/error-code.ts";
import { goAwayReason } from "../errors/upstream-error.ts";
import { Lifetime } from "./lifetime.ts";
import { ResetBudget } from "./reset-budget.ts";

/**
 * Sessions of one address that drain at a time. A backend that ends connections by age leaves one
 * per age behind for the calls that outlive it; one that says GOAWAY to each and never ends their
 * calls would take all our sockets.
 */
const MAX_DRAINING_SESSIONS = 100;

/** Who is told about a session. */
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

/**
 * How far an attempt is.
 *
 * - `"connecting"`: its session is being made.
 * - `"ready"`: it takes calls.
 * - `"outlived"`: it takes calls until another is ready in its place.
 * - `"draining"`: it takes no more; those that it has may finish. Also one that never took any.
 * - `"ended"`: it was ended to make room for others that drain.
 */
type AttemptLife = "connecting" | "ready" | "outlived" | "draining" | "ended";

/** An attempt whose session exists: its transport has returned it. */
export type SessionAttempt = Attempt & { readonly session: ClientSession };

/** One attempt at a session, from `connect` to its end. */
export class Attempt implements ClientSessionListener {
  readonly startedMs: number;
  /** When the backend said GOAWAY. */
  goneMs = 0;
  /** The last stream that it takes, by its own word. */
  lastStreamId = 0;
  /** Calls that were under way then, and that it takes. */
  takenCount = 0;
  readonly resets: ResetBudget;
  readonly lifetime: Lifetime;
  session: ClientSession | undefined = undefined;
  life: AttemptLife = "connecting";
  /** A call was begun on it since `takeBusy` was last asked. */
  isUsed = false;
  private readonly owner: AttemptOwner;
  private wasUsed = false;

  constructor(owner: AttemptOwner, clock: Clock) {
    this.owner = owner;
    this.startedMs = clock.nowMs();
    this.resets = new ResetBudget(this.startedMs);
    this.lifetime = new Lifetime(this, clock);
  }

  /** A call was begun on it, at any time. */
  get everUsed(): boolean {
    return this.isUsed || this.wasUsed;
  }

  get openStreamCount(): number {
    return this.session?.openStreamCount ?? 0;
  }

  get idleLimitMs(): number {
    return this.owner.idleLimitMs(this);
  }

  /** It takes no more calls. */
  leave(): void {
    this.life = "draining";
    this.lifetime.stop();
  }

  takeBusy(): boolean {
    const { isUsed } = this;
    this.wasUsed ||= isUsed;
    this.isUsed = false;
    return isUsed || this.openStreamCount > 0;
  }

  hasSession(): this is SessionAttempt {
    return this.session !== undefined;
  }

  /** It takes calls. */
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
    this.owner.onSessionClosed(this, end);
  }
}

/** All attempts of one address whose sessions stand or are being made. */
export class Attempts {
  readonly #all = new Set<Attempt>();

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

  delete(attempt: Attempt): void {
    this.#all.delete(attempt);
  }

  drain(): void {
    for (const { session } of [...this.#all]) session?.drain();
  }

  destroy(message: string): void {
    for (const { session } of [...this.#all]) session?.destroy(ErrorCode.CANCEL, message);
  }

  /** Where too many drain, one ends that has answered nothing, or the oldest. */
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
