// Connectivity to one address (gRPC's "subchannel"): which sessions take calls, when another is
// made (gRFC A105), and how long to wait after a failure. It knows only the call that it opens a
// stream for, and no others.

import type { GrpcError } from "../../grpc/error.ts";
import type { ConnState } from "../../observe/channels.ts";
import type { Clock } from "../../time/clock.ts";
import type {
  ClientSession,
  PeerInfo,
  Session,
  SessionEnd,
  Stream,
} from "../../transport/transport.ts";
import {
  closedError,
  goingAwayError,
  lostError,
  unsendableHeadersError,
} from "../errors/upstream-error.ts";
import {
  Attempt,
  type AttemptOwner,
  Attempts,
  type PingWaiter,
  type SessionAttempt,
} from "./attempts.ts";
import type { AddressPast } from "./connect-history.ts";
import type { ConnectionBackoffOptions } from "./connection-backoff.ts";
import { Connector } from "./connector.ts";
import { ReadySessions } from "./ready-sessions.ts";
import type { SideStream } from "./side-stream.ts";
import type { StreamOpener } from "./stream-opener.ts";
import { IDLE, type SubchannelState, stateOf } from "./subchannel-state.ts";
import { type CallEnd, WatchedCalls } from "./watched-calls.ts";

/** The options of `dial` that concern sessions. */
export interface SubchannelOptions {
  readonly clock: Clock;
  readonly random: () => number;
  readonly backoff: ConnectionBackoffOptions;
  readonly maxConnectionsPerAddress: number;
  /** Infinity for no limit. */
  readonly maxInFlightPerAddress: number;
  /** Infinity for never. */
  readonly idleTimeoutMs: number;
  /** Before jitter; Infinity for none. */
  readonly maxConnectionAgeMs: number;
}

/**
 * Who wants to reach the address. One owner may have many subchannels, so each method gets the
 * subchannel. All methods are called synchronously, and may call the subchannel again: it looks at
 * its state anew then.
 */
export interface SubchannelOwner {
  /**
   * Whether calls wait that may go to `subchannel`. If so, it connects without being asked, and
   * makes another session when all that it has are at the server's MAX_CONCURRENT_STREAMS.
   */
  isWanted(subchannel: Subchannel): boolean;
  /**
   * `subchannel` has another state. This is called before the subchannel begins a session, and
   * before `onRoom` for a session that it has got.
   * @param state its state now, also `subchannel.state`
   * @param reason for people, one line
   * @param error given when a connection failed or was lost
   */
  onChange(
    subchannel: Subchannel,
    state: SubchannelState,
    reason: string,
    error: GrpcError | undefined,
  ): void;
  /**
   * `subchannel.hasRoom` may have become true: a session is new, or a stream on one ended. The
   * owner has to look at `hasRoom` before each stream that it opens now.
   */
  onRoom(subchannel: Subchannel): void;
  /** `subchannel.capacity` or `readySessions` may be others. The owner only takes note. */
  onCapacity(subchannel: Subchannel): void;
  /**
   * The last session of `subchannel` is gone: `sessionCount` is 0. A subchannel that was shut down
   * is over then.
   */
  onEmpty(subchannel: Subchannel): void;
  /** A call on `subchannel` has ended. If this is left out, calls are not watched for it. */
  readonly onCallEnd?: ((subchannel: Subchannel, end: CallEnd) => void) | undefined;
}

const CALLS_WAIT = "calls wait for it";
const IDS_USED_UP = "its stream ids are used up";
const TOO_OLD = "the connection is as old as it may be";

/**
 * After this time without a call a session other than the oldest is closed, in milliseconds. Calls
 * go to the oldest session with room, so a session that gets none is not needed.
 */
const EXTRA_IDLE_MS = 60_000;

/** Jitter of the age (gRFC A9): sessions that were made together do not end together. */
const AGE_JITTER = 0.1;

/**
 * Keeps one address within reach: it has sessions that take calls, made when they are wanted, and
 * others that drain.
 *
 * Its owner makes it idle, calls `connect` or `wantRoom` to have it connect, opens streams with
 * `openStream`, and ends it with `shutDown`, which drains, and `destroy`, which cuts.
 *
 * At most one attempt to connect is under way at a time, whatever it is for. After a failure there
 * is none before the backoff is over. Another session is made while calls wait, all that take calls
 * are at the server's MAX_CONCURRENT_STREAMS, and there are fewer than `maxConnectionsPerAddress`.
 * A session takes no more calls, and drains, on GOAWAY, when many of its streams were reset, when
 * its stream ids are used up, when it is idle and not the oldest, and when it is too old and
 * another is ready in its place.
 */
export class Subchannel implements AttemptOwner {
  static readonly #ofSession = new WeakMap<Session, Subchannel>();

  /** The address as text, for messages. */
  readonly target: string;
  /** For the next subchannel of the address. */
  readonly past: AddressPast;
  readonly #options: SubchannelOptions;
  readonly #owner: SubchannelOwner;
  readonly #reconnects: boolean;
  readonly #connector: Connector;
  readonly #attempts = new Attempts();
  /** For `maxInFlightPerAddress` if that is limited, and `SubchannelOwner.onCallEnd` if given. */
  readonly #watched: WatchedCalls | undefined;
  readonly #ready = new ReadySessions();
  #state: SubchannelState = IDLE;

  /**
   * It is idle at first.
   * @param target the address as text, for messages
   * @param past that of the subchannel before, or a new one
   */
  constructor(
    target: string,
    past: AddressPast,
    options: SubchannelOptions,
    owner: SubchannelOwner,
  ) {
    this.target = target;
    this.#options = options;
    this.#owner = owner;
    this.past = past;
    this.#reconnects = past.source.reconnects;
    const { maxInFlightPerAddress } = options;
    const onEnd = owner.onCallEnd && ((end: CallEnd) => owner.onCallEnd?.(this, end));
    if (maxInFlightPerAddress !== Number.POSITIVE_INFINITY || onEnd !== undefined) {
      this.#watched = new WatchedCalls(maxInFlightPerAddress, () => this.#onRoom(), onEnd);
    }
    this.#connector = new Connector(this, this.#attempts, past, options.clock);
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

  /** Whether a stream can be opened now. */
  get hasRoom(): boolean {
    return this.#withRoom(undefined) !== undefined;
  }

  /** How many streams can be opened now, on all of its sessions; 0 unless it is ready. */
  get room(): number {
    const { room } = this.#ready;
    return this.#watched === undefined ? room : Math.min(room, this.#watched.room);
  }

  /**
   * How many streams may be open at a time, with the sessions that can still be made; 0 unless it
   * is ready.
   */
  get capacity(): number {
    const { maxConnectionsPerAddress, maxInFlightPerAddress } = this.#options;
    const mayGrow = this.#reconnects && this.#connector.failure === undefined;
    const more = mayGrow ? Math.max(0, maxConnectionsPerAddress - this.#ready.size) : 0;
    return Math.min(this.#ready.capacity(more), maxInFlightPerAddress);
  }

  /** Those that take calls; a copy. */
  get readySessions(): ClientSession[] {
    return this.#ready.sessions;
  }

  /** Who is at the other end of the oldest session; `undefined` unless it is ready. */
  get peer(): PeerInfo | undefined {
    return this.#ready.oldest?.session.peer;
  }

  /** Sessions that stand or are being made, those that drain included. */
  get sessionCount(): number {
    return this.#attempts.size;
  }

  /** Calls under way on the sessions that take calls. */
  get readyStreamCount(): number {
    return this.#ready.openStreamCount;
  }

  /** Calls under way on all of its sessions. */
  get openStreamCount(): number {
    return this.#attempts.openStreamCount;
  }

  /** As `Attempt.lookBusyMs`, of all of its sessions. */
  lookBusyMs(nowMs: number): number {
    return this.#attempts.lookBusyMs(nowMs);
  }

  /**
   * Connects if it is idle; does nothing otherwise. It may be ready, or have failed, when this
   * returns.
   * @param why for people, one line
   */
  connect(why: string): void {
    if (this.#state.kind === "idle") this.#connector.begin(why);
  }

  /** Ends the backoff of an address that has failed, unless the one before was cut short, too. */
  cutBackoff(why: string): void {
    if (this.#state.kind === "transientFailure" && this.#connector.cutBackoff()) this.#settle(why);
  }

  /**
   * Asks for room after `isWanted` has become true: connects if it is idle, and makes another
   * session if none has room. `onRoom` follows when there is room, within this call or later. If
   * the address cannot be reached, `onChange` with `transientFailure` follows.
   */
  wantRoom(): void {
    if (this.#state.kind === "idle") this.#connector.begin("a call wants it");
    else this.#grow();
  }

  /**
   * Opens a stream for `opener` on the oldest session with room. The session that has refused it is
   * taken only if no other has room. `onOpened` is called before this returns, or `onOpenFailed` if
   * the headers cannot be sent, which is the fault of the call alone.
   * @returns `false` when no session has room; then nothing has happened
   */
  openStream(opener: StreamOpener): boolean {
    const attempt = this.#withRoom(opener.refusedOn);
    if (attempt === undefined) return false;
    const { session } = attempt;
    let stream: Stream;
    try {
      const headers = opener.requestHeaders();
      if (this.#watched === undefined) stream = session.openStream(headers, false, opener);
      else stream = this.#watched.open(session, headers, opener);
    } catch (error) {
      opener.onOpenFailed(unsendableHeadersError(this.target, error));
      return true;
    }
    attempt.isUsed = true;
    opener.onOpened(stream);
    // RFC 9113 §5.1.1: the next call takes another session. Whoever is told of that may end this
    // call, so the call has its stream before.
    if (!session.accepting) this.#retire(attempt, IDS_USED_UP);
    return true;
  }

  /**
   * Opens `side` beside the calls, on the oldest session with room. A server that allows one stream
   * is left to the calls.
   * @returns `"full"` if no session has room now; `"never"` if all are left to the calls
   * @throws {HeaderError} as `ClientSession.openStream`
   */
  openBeside(side: SideStream): "open" | "full" | "never" {
    const attempt = this.#ready.besideCalls();
    if (typeof attempt === "string") return attempt;
    attempt.side = side;
    side.open(attempt.session);
    this.#owner.onCapacity(this);
    if (!attempt.session.accepting) this.#retire(attempt, IDS_USED_UP);
    return "open";
  }

  #withRoom(refusedOn: Session | undefined): SessionAttempt | undefined {
    if (this.#watched !== undefined && this.#watched.room === 0) return undefined;
    return this.#ready.withRoom(refusedOn);
  }

  /**
   * Sends PING on the oldest session that takes calls, and nothing unless it is ready. `waiter` is
   * told of the answer, or that the session is lost.
   */
  ping(waiter: PingWaiter): void {
    this.#ready.oldest?.ping(waiter);
  }

  /**
   * `stream`, of a session that this has made, was reset from our side. A session with many resets
   * makes room for another before the backend ends it. Calls under way finish on it, and the calls
   * of other clients do not suffer.
   */
  onStreamReset(stream: Stream): void {
    this.#watched?.onStreamReset(stream);
    const attempt = this.#ready.of(stream.session);
    if (attempt === undefined || !this.#reconnects) return;
    if (attempt.resets.take(this.#options.clock.nowMs())) return;
    this.#retire(attempt, "too many of its streams were reset");
  }

  /**
   * Takes no more calls, for good. Its sessions drain. `onEmpty` follows when the last one ends,
   * unless `sessionCount` is 0 already.
   * @param reason for people, one line
   */
  shutDown(reason: string): void {
    this.#end(closedError(this.target), reason);
    this.#attempts.drain();
    // A session that was handed over and never used is still to be closed.
    if (!this.#reconnects && !this.#connector.wasAsked) this.#connector.connect(this.newAttempt());
  }

  /** Ends all sessions and the calls on them. It may connect again unless it was shut down. */
  destroy(message: string): void {
    this.#attempts.destroy(message);
  }

  // Which sessions there are.

  /** If calls wait, makes a session when there is none, or none with room. */
  #supply(): void {
    if (!this.#owner.isWanted(this)) return;
    this.connect(CALLS_WAIT);
    this.#grow();
  }

  /** Makes another session if all are full (gRFC A105). The caller knows that a call waits. */
  #grow(): void {
    if (this.#state.kind !== "ready" || !this.#reconnects || !this.#mayConnect) return;
    if (this.#ready.size >= this.#options.maxConnectionsPerAddress) return;
    if (this.#watched?.room === 0) return;
    if (this.#ready.areFull) this.#connector.begin(CALLS_WAIT);
  }

  get #mayConnect(): boolean {
    return this.#connector.connecting === undefined && this.#connector.failure === undefined;
  }

  newAttempt(): Attempt {
    return new Attempt(this, this.#options.clock);
  }

  onConnecting(why: string): void {
    this.#settle(why);
  }

  onSession(attempt: Attempt, session: ClientSession): void {
    Subchannel.#ofSession.set(session, this);
    // A user's `lookup` runs while a socket is made. It may have shut this subchannel down.
    if (this.#state.kind === "shutdown") session.drain();
    // A session that was handed over may be ready already.
    else if (session.availableStreamCount > 0) this.onSessionAvailable(attempt);
  }

  onConnectFailed(error: GrpcError, reason: string): void {
    if (this.#reconnects) this.#settle(reason, error);
    else this.#end(error, reason, error);
  }

  onBackoffOver(): void {
    if (this.#ready.outlived.length > 0) this.#connector.begin(TOO_OLD);
    else if (this.#state.kind === "ready") {
      this.#owner.onCapacity(this);
      this.#onRoom();
    } else if (this.#owner.isWanted(this)) this.#connector.begin(CALLS_WAIT);
    else this.#settle("the backoff is over, and nobody waits");
  }

  // Events of sessions.

  /** The session can take streams: it is new, or one of its streams ended. */
  onSessionAvailable(attempt: Attempt): void {
    // While the connector still waits for the session object, `onSession` looks again.
    if (this.#connector.connecting === attempt && attempt.hasSession()) this.#becomeReady(attempt);
    if (!attempt.isReady()) return;
    if (attempt.hasNewLimit()) this.#owner.onCapacity(this);
    this.#onRoom();
  }

  #onRoom(): void {
    this.#owner.onRoom(this);
    this.#supply();
  }

  #becomeReady(attempt: SessionAttempt): void {
    this.#connector.succeeded();
    this.#ready.add(attempt);
    const { maxConnectionAgeMs, random } = this.#options;
    if (this.#reconnects) {
      attempt.lifetime.start(maxConnectionAgeMs * (1 + AGE_JITTER * (2 * random() - 1)));
    }
    for (const other of this.#ready.outlived) this.#retire(other, TOO_OLD);
    this.#settle("the server has sent its SETTINGS");
  }

  /** GOAWAY has come: streams under way go on, and new ones need another session. */
  onSessionDraining(attempt: Attempt, reason: string): void {
    if (attempt.isReady()) {
      this.#connector.left(attempt);
      this.#leave(attempt, reason, goingAwayError(this.target, reason));
    } else if (this.#connector.connecting === attempt) {
      attempt.life = "draining";
      this.#connector.goneAway(reason);
    }
  }

  /** The oldest session is kept for calls that may come, until the whole connection is idle. */
  idleLimitMs(attempt: Attempt): number {
    if (attempt === this.#ready.oldest) return Number.POSITIVE_INFINITY;
    return Math.min(this.#options.idleTimeoutMs, EXTRA_IDLE_MS);
  }

  onSessionIdle(attempt: Attempt): void {
    this.#retire(attempt, "the connection was idle");
  }

  /** If the old session is the only one and in use, another is made first. */
  onSessionOld(attempt: Attempt): void {
    const nowMs = this.#options.clock.nowMs();
    const isInUse = attempt.lookBusyMs(nowMs) === nowMs;
    if (this.#ready.hasStandInFor(attempt) || !isInUse) this.#retire(attempt, TOO_OLD);
    else {
      attempt.life = "outlived";
      if (this.#mayConnect) this.#connector.begin(TOO_OLD);
    }
  }

  onSessionClosed(attempt: Attempt, end: SessionEnd): void {
    this.#attempts.delete(attempt, this.#options.clock.nowMs());
    if (attempt.isReady()) {
      this.#connector.lost(attempt);
      this.#leave(attempt, end.reason ?? end.message, lostError(this.target, end));
    } else if (this.#connector.connecting === attempt) this.#connector.failed(end);
    if (this.#attempts.size === 0) this.#owner.onEmpty(this);
  }

  /** Lets the session take no more calls, and drains it. */
  #retire(attempt: Attempt, reason: string): void {
    if (attempt.isReady()) this.#leave(attempt, reason);
    attempt.session?.drain();
  }

  /**
   * The session takes no more calls. It did work, so there is no backoff: if calls wait, the
   * subchannel connects at once.
   * @param error given unless this side wished it
   */
  #leave(attempt: SessionAttempt, reason: string, error?: GrpcError): void {
    this.#ready.remove(attempt);
    if (this.#reconnects) {
      this.#settle(reason, error);
      // Its streams are no longer counted, so other sessions may be used further.
      this.#onRoom();
    } else this.#end(closedError(this.target), reason, error);
  }

  // The state of the address.

  /** Works out the state, and tells the owner if it has changed. */
  #settle(reason: string, error?: GrpcError): void {
    const { connecting, failure } = this.#connector;
    const state = stateOf(this.#ready.size > 0, connecting !== undefined, failure);
    this.#setState(state, reason, error);
  }

  /** @param stateError the error of calls that wait or come later */
  #end(stateError: GrpcError, reason: string, error?: GrpcError): void {
    this.#connector.stop();
    this.#ready.removeAll();
    this.#setState({ kind: "shutdown", error: stateError }, reason, error);
  }

  #setState(state: SubchannelState, reason: string, error: GrpcError | undefined): void {
    const changed = state.kind !== this.#state.kind;
    this.#state = state;
    this.#owner.onCapacity(this);
    if (changed) this.#owner.onChange(this, state, reason, error);
  }
}
