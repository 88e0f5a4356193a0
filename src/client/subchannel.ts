// Connectivity to one address (gRPC's "subchannel"): which session takes calls, when to connect,
// and how long to wait before connecting again. Knows no calls.

import type { GrpcError } from "../grpc/error.ts";
import type { ConnState } from "../observe/channels.ts";
import { currentScope, type Scope } from "../observe/scope.ts";
import type { Clock } from "../time/clock.ts";
import { Timer, type TimerOwner } from "../time/timer-wheel.ts";
import { errorText } from "../transport/error-text.ts";
import type {
  ClientSession,
  ClientSessionListener,
  Session,
  SessionEnd,
} from "../transport/transport.ts";
import { ErrorCode } from "../wire/error-code.ts";
import { Attempt, type AttemptOwner, Attempts } from "./attempts.ts";
import type { ConnectionBackoff } from "./connection-backoff.ts";
import { closedError, connectError, goingAwayError, lostError } from "./upstream-error.ts";

/** Where sessions come from. */
export interface SessionSource {
  connect(listener: ClientSessionListener): ClientSession;
  /** It can be asked again. */
  readonly reconnects: boolean;
}

export type SubchannelState =
  | { readonly kind: "idle" }
  | { readonly kind: "connecting"; readonly attempt: Attempt }
  | ReadyState
  | { readonly kind: "transientFailure"; readonly error: GrpcError }
  /** For good. Calls that waited for it fail with `error`. */
  | { readonly kind: "shutdown"; readonly error: GrpcError };

/** `session` takes calls. */
export interface ReadyState {
  readonly kind: "ready";
  readonly attempt: Attempt;
  readonly session: ClientSession;
}

/** Who wants to reach the address. */
interface SubchannelOwner {
  /** Calls wait: it is to connect without being asked. */
  isWanted(): boolean;
  /**
   * It has another state.
   * @param reason for people
   * @param error when it failed or was lost
   */
  onChange(state: SubchannelState, reason: string, error: GrpcError | undefined): void;
  /** The session that takes calls has room for one more. */
  onRoom(): void;
  /** The last session is gone. */
  onEmpty(): void;
}

const CALLS_WAIT = "calls wait for it";

/**
 * A session that has taken this many calls did work, though it goes away before it has answered
 * one: there are servers that say GOAWAY to the hundredth request of each connection, and need
 * their time.
 */
const WORKING_CALLS = 16;

/**
 * Keeps one address within reach: a session that takes calls, made when it is wanted, and others
 * that drain.
 */
export class Subchannel implements TimerOwner, AttemptOwner {
  /** The address as text, for messages. */
  readonly target: string;
  readonly #clock: Clock;
  readonly #source: SessionSource;
  readonly #owner: SubchannelOwner;
  #state: SubchannelState = { kind: "idle" };
  /** Where it was made: what happens to its sessions has to do with no single call. */
  readonly #scope: Scope = currentScope();
  readonly #backoff: ConnectionBackoff;
  readonly #backoffTimer: Timer;
  readonly #attempts = new Attempts();
  /** A session was asked for. */
  #hasConnected = false;
  /**
   * The latest to which the backend said GOAWAY. What became of it is looked at when the next is
   * made.
   */
  #goneAway: ReadyState | undefined;
  /** How many in a row were gone before they had answered a call. */
  #goneUnanswered = 0;

  constructor(
    target: string,
    source: SessionSource,
    clock: Clock,
    backoff: ConnectionBackoff,
    owner: SubchannelOwner,
  ) {
    this.target = target;
    this.#source = source;
    this.#clock = clock;
    this.#owner = owner;
    this.#backoff = backoff;
    this.#backoffTimer = new Timer(this);
  }

  get state(): SubchannelState {
    return this.#state;
  }

  get kind(): ConnState {
    return this.#state.kind;
  }

  /** Sessions that stand or are being made, those that drain included. */
  get sessionCount(): number {
    return this.#attempts.size;
  }

  /** Streams open on all of its sessions. */
  get openStreamCount(): number {
    return this.#attempts.openStreamCount;
  }

  /** Connects if it is idle. It may be ready, or have failed, when this returns. */
  connect(why: string): void {
    if (this.#state.kind === "idle") this.#begin(why);
  }

  /** A call was begun on the session that takes calls. */
  onStreamOpened({ attempt, session }: ReadyState): void {
    attempt.isUsed = true;
    if (session.accepting) return;
    // It has used up its stream ids (RFC 9113 §5.1.1): the next call takes another.
    session.drain();
    this.#leave(attempt, "its stream ids are used up");
  }

  /**
   * A stream was reset. A session on which much is reset makes room for another before the backend
   * ends it: calls under way finish on it, and those of other clients do not suffer.
   */
  onStreamReset(session: Session): void {
    const state = this.#state;
    if (state.kind !== "ready" || state.session !== session) return;
    if (state.attempt.resets.take(this.#clock.nowMs()) || !this.#source.reconnects) return;
    state.session.drain();
    this.#leave(state.attempt, "too many of its streams were reset");
  }

  /** Takes no more calls, for good. Its sessions drain. */
  shutDown(reason: string): void {
    this.#clock.cancel(this.#backoffTimer);
    this.#setState({ kind: "shutdown", error: closedError(this.target) }, reason);
    this.#attempts.drain();
    // A session that was handed over and never used is still to be closed.
    if (!this.#source.reconnects && !this.#hasConnected) this.#connect(this.#newAttempt());
  }

  /** Ends all sessions and the calls on them. */
  destroy(message: string): void {
    this.#attempts.destroy(message);
  }

  #begin(why: string): void {
    const waitMs = this.#waitAfterGoAway();
    if (waitMs > 0) {
      const reason = "the server went away before it answered a call";
      this.#connectFailed(connectEnd(this.target, reason), waitMs);
      return;
    }
    const attempt = this.#newAttempt();
    this.#setState({ kind: "connecting", attempt }, why);
    // Whoever was told may have shut it down.
    if (this.#isCurrent(attempt)) this.#connect(attempt);
  }

  #newAttempt(): Attempt {
    return new Attempt(this, this.#clock.nowMs());
  }

  /** It is the one that takes calls, or will. */
  #isCurrent(attempt: Attempt): boolean {
    const state = this.#state;
    return "attempt" in state && state.attempt === attempt;
  }

  #connect(attempt: Attempt): void {
    this.#hasConnected = true;
    this.#attempts.add(attempt);
    try {
      // The session outlives the call that it is made for, and what is stored in the context of
      // that.
      attempt.session = this.#scope.runInAsyncScope(this.#source.connect, this.#source, attempt);
    } catch (cause) {
      const reason = cause instanceof Error ? errorText(cause, this.target) : String(cause);
      this.onSessionClosed(attempt, { ...connectEnd(this.target, reason), cause });
      return;
    }
    // A `lookup` of the user's runs while a socket is made, and may have shut it down.
    if (this.#state.kind === "shutdown") attempt.session.drain();
    // A session that was handed over may be ready already.
    else if (attempt.session.availableStreamCount > 0) this.onSessionAvailable(attempt);
  }

  /**
   * A session that is gone before it has answered anything is a failure to connect: the wait counts
   * from when it was begun. The first of a row is none, for a server may be about to go at any
   * time, and what it did not begin is sent once more. Nor is one that stood for as long as the
   * wait, or has taken `WORKING_CALLS`.
   */
  #waitAfterGoAway(): number {
    const gone = this.#goneAway;
    this.#goneAway = undefined;
    if (gone === undefined) return 0;
    const worked = gone.session.answered || gone.attempt.takenCount >= WORKING_CALLS;
    this.#goneUnanswered = worked ? 0 : this.#goneUnanswered + 1;
    if (this.#goneUnanswered < 2) return 0;
    const waitMs = this.#backoff.nextMs();
    const { startedMs, goneMs } = gone.attempt;
    if (goneMs - startedMs < waitMs) return Math.max(0, startedMs + waitMs - this.#clock.nowMs());
    this.#goneUnanswered = 0;
    return 0;
  }

  #setState(state: SubchannelState, reason: string, error?: GrpcError): void {
    const changed = state.kind !== this.#state.kind;
    this.#state = state;
    if (changed) this.#owner.onChange(state, reason, error);
  }

  /** The session can take streams: it is new, or one of its streams ended. */
  onSessionAvailable(attempt: Attempt): void {
    const { session } = attempt;
    // While `#connect` still runs, it looks again.
    if (session === undefined) return;
    if (this.#state.kind === "connecting" && this.#isCurrent(attempt)) {
      if (this.#goneUnanswered === 0) this.#backoff.reset();
      this.#setState({ kind: "ready", attempt, session }, "the server has sent its SETTINGS");
    }
    this.#owner.onRoom();
  }

  /** GOAWAY: streams under way go on, new ones need another session. */
  onSessionDraining(attempt: Attempt, reason: string): void {
    const state = this.#state;
    if (!this.#isCurrent(attempt)) return;
    if (state.kind === "connecting") {
      // It never took a call. Without backoff a server that goes away at once would be connected to
      // in a loop.
      this.#connectFailed(connectEnd(this.target, reason));
      return;
    }
    // Without a call nothing is left behind.
    if (state.kind === "ready" && attempt.isUsed) {
      attempt.goneMs = this.#clock.nowMs();
      // Our stream ids are the odd ones (RFC 9113 §5.1.1).
      const idsTaken = (attempt.lastStreamId + 1) >>> 1;
      attempt.takenCount = Math.min(state.session.openStreamCount, idsTaken);
      this.#goneAway = state;
    }
    this.#leave(attempt, reason, goingAwayError(this.target, reason));
  }

  onSessionClosed(attempt: Attempt, end: SessionEnd): void {
    this.#attempts.delete(attempt);
    if (this.#isCurrent(attempt)) {
      if (this.#state.kind === "connecting") this.#connectFailed(end);
      else {
        this.#goneUnanswered = 0;
        this.#leave(attempt, end.reason ?? end.message, lostError(this.target, end));
      }
    }
    if (this.#attempts.size === 0) this.#owner.onEmpty();
  }

  /** Its session takes no more calls. @param error when that was not our wish */
  #leave(attempt: Attempt, reason: string, error?: GrpcError): void {
    if (!this.#isCurrent(attempt)) return;
    if (!this.#source.reconnects) {
      this.#setState({ kind: "shutdown", error: closedError(this.target) }, reason, error);
      return;
    }
    // The connection did work, so there is no backoff: the next call, or one that waits, connects
    // at once.
    this.#setState({ kind: "idle" }, reason, error);
    if (this.#owner.isWanted()) this.connect(CALLS_WAIT);
  }

  #connectFailed(end: SessionEnd, waitMs: number = this.#backoff.nextMs()): void {
    const error = connectError(this.target, end);
    const { reason = end.message } = end;
    if (!this.#source.reconnects) {
      this.#setState({ kind: "shutdown", error }, reason, error);
      return;
    }
    this.#clock.schedule(this.#backoffTimer, waitMs);
    this.#setState({ kind: "transientFailure", error }, reason, error);
  }

  /** The backoff is over. */
  onTimer(): void {
    // Nobody waits: stay lazy, the next call connects.
    if (this.#owner.isWanted()) this.#begin(CALLS_WAIT);
    else this.#setState({ kind: "idle" }, "the backoff is over, and nobody waits");
  }
}

/** @param reason without the address */
function connectEnd(target: string, reason: string): SessionEnd {
  const message = `${target} not connected: ${reason}`;
  return { kind: "connect", code: ErrorCode.NO_ERROR, message, reason };
}
