// The sessions of one connection: the one that takes calls, and those behind it that drain until
// their last call has ended.

import { publishRefusal } from "../../observe/channels.ts";
import type {
  ClientSession,
  ClientSessionListener,
  Refusal,
  SessionEnd,
} from "../../transport/transport.ts";
import { ErrorCode } from "../../wire/error-code.ts";
import { goAwayReason } from "../errors/upstream-error.ts";
import { ResetBudget } from "./reset-budget.ts";

/**
 * Sessions of one connection that drain at a time. A backend that ends connections by age leaves
 * one per age behind for the calls that outlive it; one that says GOAWAY to each and never ends
 * their calls would take all our sockets.
 */
const MAX_DRAINING_SESSIONS = 100;

/** Who is told about a session. */
export interface AttemptOwner {
  readonly target: string;
  onSessionAvailable(attempt: Attempt): void;
  onSessionDraining(attempt: Attempt, reason: string): void;
  onSessionClosed(attempt: Attempt, end: SessionEnd): void;
}

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
  session: ClientSession | undefined = undefined;
  /** A call was begun on it. */
  isUsed = false;
  /** It was ended to make room. */
  isEnded = false;
  private readonly owner: AttemptOwner;

  constructor(owner: AttemptOwner, nowMs: number) {
    this.owner = owner;
    this.startedMs = nowMs;
    this.resets = new ResetBudget(nowMs);
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

/** The sessions of one address that stand or are being made. */
export class Attempts {
  readonly #all = new Set<Attempt>();

  get size(): number {
    return this.#all.size;
  }

  get openStreamCount(): number {
    let count = 0;
    for (const { session } of this.#all) count += session?.openStreamCount ?? 0;
    return count;
  }

  /** A new one takes the place of all others, which drain. */
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
    const draining = [...this.#all].filter(({ isEnded }) => !isEnded);
    const [oldest] = draining;
    if (oldest === undefined || draining.length < MAX_DRAINING_SESSIONS) return;
    const victim = draining.find(({ session }) => session?.answered !== true) ?? oldest;
    victim.isEnded = true;
    const message = `it was one of ${MAX_DRAINING_SESSIONS} connections that drain, the limit`;
    victim.session?.destroy(ErrorCode.CANCEL, message);
  }
}
