// Connectivity to one address (gRPC's "subchannel"): which session takes calls, when to connect,
// and how long to wait before connecting again. Knows no calls but the one that it opens a stream
// for.

import type { GrpcError } from "../../grpc/error.ts";
import type { ConnState } from "../../observe/channels.ts";
import { currentScope, type Scope } from "../../observe/scope.ts";
import type { Clock } from "../../time/clock.ts";
import { Timer, type TimerOwner } from "../../time/timer-wheel.ts";
import { errorText } from "../../transport/error-text.ts";
import type {
  ClientSession,
  ClientSessionListener,
  PeerInfo,
  Session,
  SessionEnd,
  Stream,
  StreamListener,
} from "../../transport/transport.ts";
import { ErrorCode } from "../../wire/error-code.ts";
import type { HeaderList } from "../../wire/field.ts";
import {
  closedError,
  connectError,
  goingAwayError,
  lostError,
  unsendableHeadersError,
} from "../errors/upstream-error.ts";
import { Attempt, type AttemptOwner, Attempts } from "./attempts.ts";
import type { ConnectionBackoff } from "./connection-backoff.ts";

/** Where sessions come from. */
export interface SessionSource {
  connect(listener: ClientSessionListener): ClientSession;
  /** It can be asked again. */
  readonly reconnects: boolean;
}

/** What is known of the address (gRPC's connectivity states). */
export type SubchannelState =
  /** Nobody is connecting, and nobody waits for a backoff. */
  | { readonly kind: "idle" }
  /** Its first session is being made. */
  | { readonly kind: "connecting" }
  /** A session takes calls; whether there is room on it says `Subchannel.hasRoom`. */
  | { readonly kind: "ready" }
  /** It could not be reached, and is tried again after the backoff. `error` says why. */
  | { readonly kind: "transientFailure"; readonly error: GrpcError }
  /** For good. Calls that waited for it fail with `error`. */
  | { readonly kind: "shutdown"; readonly error: GrpcError };

/** A call that gets its stream from a subchannel. */
export interface StreamOpener extends StreamListener {
  /**
   * The request headers, asked for at the moment they are sent, because `grpc-timeout` is what
   * remains then.
   */
  requestHeaders(): HeaderList;
  /** The stream is open and its headers are sent. From now on the stream's own events follow. */
  onOpened(stream: Stream): void;
  /** There will be no stream. */
  onOpenFailed(error: GrpcError): void;
}

/**
 * Who wants to reach the address. One owner may have many subchannels: each says which it is. All
 * are called synchronously, and may call the subchannel again: it looks at its state anew then.
 */
interface SubchannelOwner {
  /** Calls wait that may go to `subchannel`: it is to connect without being asked. */
  isWanted(subchannel: Subchannel): boolean;
  /**
   * `subchannel` has another state. Told before a session that it begins is begun, and before
   * `onRoom` of a session that it has got.
   * @param state its state now, also `subchannel.state`
   * @param reason for people, one line
   * @param error when it failed or was lost
   */
  onChange(
    subchannel: Subchannel,
    state: SubchannelState,
    reason: string,
    error: GrpcError | undefined,
  ): void;
  /**
   * `subchannel.hasRoom` may have become true: a session is new, or a stream on one ended. Whoever
   * opens streams now has to look at `hasRoom` before each.
   */
  onRoom(subchannel: Subchannel): void;
  /**
   * The last session of `subchannel` is gone: `sessionCount` is 0. A subchannel that was shut down
   * is over then.
   */
  onEmpty(subchannel: Subchannel): void;
}

const IDLE: SubchannelState = { kind: "idle" };
const CONNECTING: SubchannelState = { kind: "connecting" };
const READY: SubchannelState = { kind: "ready" };

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
 *
 * Its owner makes it idle, calls `connect` or `wantRoom` to have it connect, opens streams while
 * `hasRoom`, and ends it with `shutDown`, which drains, and `destroy`, which cuts.
 */
export class Subchannel implements TimerOwner, AttemptOwner {
  static readonly #ofSession = new WeakMap<Session, Subchannel>();

  /** The address as text, for messages. */
  readonly target: string;
  readonly #clock: Clock;
  readonly #source: SessionSource;
  readonly #owner: SubchannelOwner;
  #state: SubchannelState = IDLE;
  /** While `connecting` and `ready`: the session that will take calls, or does. */
  #current: Attempt | undefined;
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
  #goneAway: Attempt | undefined;
  /** How many in a row were gone before they had answered a call. */
  #goneUnanswered = 0;

  /**
   * It is idle at first.
   * @param target the address as text, for messages
   * @param backoff its own: no other subchannel has it
   */
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

  /** The subchannel that has made `session`, if one has. */
  static of(session: Session): Subchannel | undefined {
    return Subchannel.#ofSession.get(session);
  }

  get state(): SubchannelState {
    return this.#state;
  }

  get kind(): ConnState {
    return this.#state.kind;
  }

  /** It is ready, and a stream can be opened now. */
  get hasRoom(): boolean {
    return this.room > 0;
  }

  /** How many streams can be opened now; 0 unless it is ready. */
  get room(): number {
    if (this.#state.kind !== "ready") return 0;
    return this.#current?.session?.availableStreamCount ?? 0;
  }

  /** Who is at the other end of the session that takes calls; `undefined` unless it is ready. */
  get peer(): PeerInfo | undefined {
    return this.#state.kind === "ready" ? this.#current?.session?.peer : undefined;
  }

  /** Sessions that stand or are being made, those that drain included. */
  get sessionCount(): number {
    return this.#attempts.size;
  }

  /** Streams open on all of its sessions. */
  get openStreamCount(): number {
    return this.#attempts.openStreamCount;
  }

  /**
   * Connects if it is idle; does nothing otherwise. It may be ready, or have failed, when this
   * returns.
   * @param why for people, one line
   */
  connect(why: string): void {
    if (this.#state.kind === "idle") this.#begin(why);
  }

  /**
   * A call waits that may go here, after `isWanted` has become true: connects if it is idle.
   * `onRoom` follows when there is room, within this call or later; when it cannot be reached,
   * `onChange` with `transientFailure`.
   */
  wantRoom(): void {
    this.connect("a call wants it");
  }

  /**
   * Opens a stream for `opener`: only while `hasRoom`. Tells it before this returns: `onOpened`, or
   * `onOpenFailed` when its headers cannot be sent. That is its fault alone.
   */
  openStream(opener: StreamOpener): void {
    const attempt = this.#current;
    const session = attempt?.session;
    if (attempt === undefined || session === undefined) throw new Error("expected hasRoom");
    let stream: Stream;
    try {
      stream = session.openStream(opener.requestHeaders(), false, opener);
    } catch (error) {
      opener.onOpenFailed(unsendableHeadersError(this.target, error));
      return;
    }
    attempt.isUsed = true;
    if (!session.accepting) {
      // It has used up its stream ids (RFC 9113 §5.1.1): the next call takes another.
      session.drain();
      this.#leave(attempt, "its stream ids are used up");
    }
    opener.onOpened(stream);
  }

  /**
   * A stream of `session`, which this has made, was reset from our side. A session on which much is
   * reset makes room for another before the backend ends it: calls under way finish on it, and
   * those of other clients do not suffer.
   */
  onStreamReset(session: Session): void {
    const attempt = this.#current;
    if (this.#state.kind !== "ready" || attempt?.session !== session) return;
    if (attempt.resets.take(this.#clock.nowMs()) || !this.#source.reconnects) return;
    attempt.session.drain();
    this.#leave(attempt, "too many of its streams were reset");
  }

  /**
   * Takes no more calls, for good. Its sessions drain; `onEmpty` follows with the end of the last,
   * unless `sessionCount` is 0 already.
   * @param reason for people, one line
   */
  shutDown(reason: string): void {
    this.#clock.cancel(this.#backoffTimer);
    this.#setState({ kind: "shutdown", error: closedError(this.target) }, reason);
    this.#attempts.drain();
    // A session that was handed over and never used is still to be closed.
    if (!this.#source.reconnects && !this.#hasConnected) this.#connect(this.#newAttempt());
  }

  /** Ends all sessions and the calls on them. Where it was not shut down it may connect again. */
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
    this.#setState(CONNECTING, why, undefined, attempt);
    // Whoever was told may have shut it down.
    if (this.#isCurrent(attempt)) this.#connect(attempt);
  }

  #newAttempt(): Attempt {
    return new Attempt(this, this.#clock.nowMs());
  }

  /** It is the one that takes calls, or will. */
  #isCurrent(attempt: Attempt): boolean {
    return this.#current === attempt;
  }

  #connect(attempt: Attempt): void {
    this.#hasConnected = true;
    this.#attempts.add(attempt);
    let session: ClientSession;
    try {
      // The session outlives the call that it is made for, and what is stored in the context of
      // that.
      session = this.#scope.runInAsyncScope(this.#source.connect, this.#source, attempt);
    } catch (cause) {
      const reason = cause instanceof Error ? errorText(cause, this.target) : String(cause);
      this.onSessionClosed(attempt, { ...connectEnd(this.target, reason), cause });
      return;
    }
    attempt.session = session;
    Subchannel.#ofSession.set(session, this);
    // A `lookup` of the user's runs while a socket is made, and may have shut it down.
    if (this.#state.kind === "shutdown") session.drain();
    // A session that was handed over may be ready already.
    else if (session.availableStreamCount > 0) this.onSessionAvailable(attempt);
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
    const worked = gone.session?.answered === true || gone.takenCount >= WORKING_CALLS;
    this.#goneUnanswered = worked ? 0 : this.#goneUnanswered + 1;
    if (this.#goneUnanswered < 2) return 0;
    const waitMs = this.#backoff.nextMs();
    const { startedMs, goneMs } = gone;
    if (goneMs - startedMs < waitMs) return Math.max(0, startedMs + waitMs - this.#clock.nowMs());
    this.#goneUnanswered = 0;
    return 0;
  }

  /** @param current the session that takes calls in this state, or will */
  #setState(state: SubchannelState, reason: string, error?: GrpcError, current?: Attempt): void {
    const changed = state.kind !== this.#state.kind;
    this.#state = state;
    this.#current = current;
    if (changed) this.#owner.onChange(this, state, reason, error);
  }

  /** The session can take streams: it is new, or one of its streams ended. */
  onSessionAvailable(attempt: Attempt): void {
    // While `#connect` still runs, it looks again.
    if (attempt.session === undefined) return;
    if (this.#state.kind === "connecting" && this.#isCurrent(attempt)) {
      if (this.#goneUnanswered === 0) this.#backoff.reset();
      this.#setState(READY, "the server has sent its SETTINGS", undefined, attempt);
    }
    this.#owner.onRoom(this);
  }

  /** GOAWAY: streams under way go on, new ones need another session. */
  onSessionDraining(attempt: Attempt, reason: string): void {
    if (!this.#isCurrent(attempt)) return;
    if (this.#state.kind === "connecting") {
      // It never took a call. Without backoff a server that goes away at once would be connected to
      // in a loop.
      this.#connectFailed(connectEnd(this.target, reason));
      return;
    }
    // Without a call nothing is left behind.
    if (attempt.isUsed) {
      attempt.goneMs = this.#clock.nowMs();
      // Our stream ids are the odd ones (RFC 9113 §5.1.1).
      const idsTaken = (attempt.lastStreamId + 1) >>> 1;
      attempt.takenCount = Math.min(attempt.session?.openStreamCount ?? 0, idsTaken);
      this.#goneAway = attempt;
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
    if (this.#attempts.size === 0) this.#owner.onEmpty(this);
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
    this.#setState(IDLE, reason, error);
    if (this.#owner.isWanted(this)) this.connect(CALLS_WAIT);
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
    if (this.#owner.isWanted(this)) this.#begin(CALLS_WAIT);
    else this.#setState(IDLE, "the backoff is over, and nobody waits");
  }
}

/** @param reason without the address */
function connectEnd(target: string, reason: string): SessionEnd {
  const message = `${target} not connected: ${reason}`;
  return { kind: "connect", code: ErrorCode.NO_ERROR, message, reason };
}
