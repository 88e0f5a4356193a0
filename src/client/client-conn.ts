// A connection to one backend that comes and goes: connects when the first call wants it, again after a loss, with backoff
// after a failure. Calls wait here for a session and for room under the backend's MAX_CONCURRENT_STREAMS.

import { checkNumber, tell } from "../check/check.ts";
import { GrpcError, thrownText } from "../grpc/error.ts";
import { headerErrorDetails } from "../grpc/header-error.ts";
import { Status } from "../grpc/status.ts";
import { type ConnState, connState } from "../observe/channels.ts";
import { currentScope, type Scope } from "../observe/scope.ts";
import { Timer, type TimerOwner } from "../time/timer-wheel.ts";
import { errorText } from "../transport/error-text.ts";
import {
  checkClientSession,
  type HandedOverClientSession,
  wrapSession,
} from "../transport/node/index.ts";
import type {
  ClientSession,
  ClientSessionListener,
  SessionEnd,
  Stream,
  StreamListener,
} from "../transport/transport.ts";
import { ErrorCode } from "../wire/error-code.ts";
import { HeaderField, type HeaderList } from "../wire/field.ts";
import { Attempt, type AttemptOwner, Attempts } from "./attempts.ts";
import { ClientStream, type ClientStreamOptions } from "./client-stream.ts";
import { ConnectionBackoff } from "./connection-backoff.ts";
import { type DialOptions, type ResolvedDialOptions, resolveDialOptions } from "./dial-options.ts";
import { connectError, goingAwayError, lostError, upstreamError } from "./upstream-error.ts";
import { type Waiting, WaitingQueue } from "./waiting-queue.ts";

export type { ConnState };

/** Who wants a stream to the backend. */
export interface StreamRequest extends StreamListener, Waiting {
  /** Wait through failures to connect instead of failing with them (gRPC "wait for ready"). */
  readonly waitForReady: boolean;
  /** The request headers, asked for at the moment they are sent, because `grpc-timeout` is what remains then. */
  requestHeaders(): HeaderList;
  /** The stream is open and its headers are sent. From now on the stream's own events follow. */
  onOpened(stream: Stream): void;
  /** There will be no stream. */
  onOpenFailed(error: GrpcError): void;
}

type State =
  | { readonly kind: "idle" }
  | { readonly kind: "connecting"; readonly attempt: Attempt }
  | { readonly kind: "ready"; readonly attempt: Attempt; readonly session: ClientSession }
  | { readonly kind: "transientFailure"; readonly error: GrpcError }
  | { readonly kind: "shutdown" };

const CLOSED = "closed by its owner";
const CALLS_WAIT = "calls wait for it";

/** Where a conn's sessions come from. */
export interface SessionSource {
  connect(listener: ClientSessionListener): ClientSession;
  /** It can be asked again. */
  readonly reconnects: boolean;
}

/** What a conn is called. */
export interface ConnName {
  /** For messages. */
  readonly name: string;
  /** Default `:authority`. */
  readonly authority: string;
}

export class ClientConn implements TimerOwner, AttemptOwner {
  /** The address as text, for messages and `:authority`. */
  readonly target: string;
  readonly authority: string;
  scheme: "http" | "https";
  /** `:authority` as it is sent, one object for all calls. */
  readonly authorityField: HeaderField;
  readonly options: ResolvedDialOptions;
  /**
   * Response headers that were found to be gRPC with nothing to leave out: the next response that comes with the very same list, as
   * HPACK gives it for a block that comes again, need not be looked at.
   * @internal
   */
  knownResponse: HeaderList | undefined = undefined;

  #state: State = { kind: "idle" };
  readonly #source: SessionSource;
  /** Where it was made: what happens to its connections has to do with no single call. */
  readonly #scope: Scope = currentScope();
  readonly #backoff: ConnectionBackoff;
  readonly #backoffTimer: Timer;
  /** Calls that wait for a session or for room on it, in order of arrival. */
  readonly #waiting = new WaitingQueue<StreamRequest>();
  readonly #attempts = new Attempts();
  /** The latest to which the backend said GOAWAY; what became of it is looked at when the next is made. */
  #goneAway: Attempt | undefined;
  /** How many in a row were gone before they had answered a call. */
  #goneUnanswered = 0;
  /** Keeps the process while calls wait for the backoff, which is all that is under way then. */
  #holding: NodeJS.Timeout | undefined;
  #closed: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined;

  /** Made by `dial` and `ClientConn.fromSession`. */
  constructor(target: ConnName, options: ResolvedDialOptions, source: SessionSource) {
    this.target = target.name;
    this.authority = options.authority ?? target.authority;
    this.authorityField = new HeaderField(":authority", this.authority);
    this.scheme = options.tls === undefined ? "http" : "https";
    this.options = options;
    this.#source = source;
    this.#backoff = new ConnectionBackoff(options.backoff, options.random);
    this.#backoffTimer = new Timer(this);
  }

  /**
   * A connection over a session that `http2.connect` made, connected or not. It does not reconnect: when the session ends, so
   * does the connection. `close` closes the session.
   */
  static fromSession(session: HandedOverClientSession, options: DialOptions = {}): ClientConn {
    checkClientSession(session);
    return new ClientConn(
      { name: "(session)", authority: "localhost" },
      resolveDialOptions(options),
      { connect: (listener) => wrapSession(session, options, listener), reconnects: false },
    );
  }

  get state(): ConnState {
    return this.#state.kind;
  }

  /** Calls that wait for a connection or for room on it. */
  get waitingCount(): number {
    return this.#waiting.size;
  }

  /** Streams open on all of its sessions. */
  get openStreamCount(): number {
    return this.#attempts.openStreamCount;
  }

  /** Connects now instead of with the first call. */
  connect(): void {
    if (this.#state.kind === "idle") this.#startConnecting("asked to connect");
  }

  /**
   * Makes a call of our own. `fullMethodName` is `/package.Service/Method`.
   * @throws {TypeError} when it is not
   */
  newStream<Request = unknown, Response = unknown>(
    fullMethodName: string,
    options: ClientStreamOptions = {},
  ): ClientStream<Request, Response> {
    if (!/^\/[^/\s]+\/[^/\s]+$/.test(fullMethodName)) {
      throw new TypeError(
        `method: expected "/package.Service/Method", got ${JSON.stringify(fullMethodName)}`,
      );
    }
    return new ClientStream(this, fullMethodName, options);
  }

  /** @internal Opens a stream for `request`, now if there is room, otherwise when there is. */
  open(request: StreamRequest): void {
    const state = this.#state;
    switch (state.kind) {
      case "ready":
        if (this.#waiting.size === 0 && state.session.availableStreamCount > 0) {
          this.#openOn(state.attempt, state.session, request);
          return;
        }
        break;
      case "idle":
        this.#startConnecting("a call wants it");
        break;
      case "connecting":
        break;
      case "transientFailure":
        if (!request.waitForReady) {
          request.onOpenFailed(state.error);
          return;
        }
        break;
      case "shutdown":
        request.onOpenFailed(this.#closedError());
        return;
    }
    // Connecting may have failed already, or given the session at once.
    if (this.#state !== state) {
      if (this.#state.kind !== "connecting") {
        this.open(request);
        return;
      }
    }
    if (this.#waiting.size >= this.options.maxWaitingCalls) {
      request.onOpenFailed(
        upstreamError(
          this.target,
          Status.UNAVAILABLE,
          `has ${this.#waiting.size} calls waiting already, the limit`,
          { reason: "QUEUE_FULL", source: "proxy", retry: "safe" },
        ),
      );
      return;
    }
    this.#waiting.push(request);
    this.#hold();
  }

  /** @internal `request` no longer wants a stream. No callback follows. */
  abandon(request: StreamRequest): void {
    this.#waiting.remove(request);
    this.#hold();
  }

  /**
   * @internal Resets `stream`. A session on which much is reset makes room for another before the backend ends it: calls under way
   * finish on it, and those of other clients do not suffer.
   */
  reset(stream: Stream, code: number): void {
    stream.reset(code);
    const state = this.#state;
    if (state.kind !== "ready" || state.session !== stream.session) return;
    if (state.attempt.resets.take(this.options.clock.nowMs()) || !this.#source.reconnects) return;
    state.session.drain();
    this.#leave(state.attempt, "too many of its streams were reset");
  }

  /**
   * Takes no more calls: those that wait fail with UNAVAILABLE. Calls under way may go on for `graceMs` milliseconds, then they are
   * ended as lost. Resolves when every session is closed.
   * @default graceMs 0
   */
  close(graceMs = 0): Promise<void> {
    checkNumber("graceMs", graceMs, 0);
    if (this.#closed === undefined) {
      // A session that was handed over and never used is still to be closed.
      if (!this.#source.reconnects && this.#state.kind === "idle") this.#startConnecting(CLOSED);
      let resolve: () => void = () => {};
      const promise = new Promise<void>((settle) => {
        resolve = settle;
      });
      this.#closed = { promise, resolve };
      this.#setState({ kind: "shutdown" }, CLOSED);
      this.options.clock.cancel(this.#backoffTimer);
      this.#failWaiting(() => true, this.#closedError());
      this.#attempts.drain();
    }
    if (this.#attempts.size === 0) this.#closed.resolve();
    else if (graceMs === 0) this.#destroyAll();
    else if (graceMs !== Number.POSITIVE_INFINITY) {
      this.options.clock.schedule(this.#backoffTimer, graceMs);
    }
    return this.#closed.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #destroyAll(): void {
    this.#attempts.destroy("connection closed by its owner");
  }

  #openOn(attempt: Attempt, session: ClientSession, request: StreamRequest): void {
    let stream: Stream;
    try {
      stream = session.openStream(request.requestHeaders(), false, request);
    } catch (error) {
      // A HeaderError, or what a user has put in the place of metadata: the fault of this call alone.
      request.onOpenFailed(
        new GrpcError(Status.INTERNAL, headerErrorDetails("the request headers", error), {
          reason: "INVALID_METADATA",
          message: `upstream ${this.target} cannot be sent the request headers: ${thrownText(error)}`,
          cause: error,
        }),
      );
      return;
    }
    attempt.isUsed = true;
    if (!session.accepting) {
      // It has used up its stream ids (RFC 9113 §5.1.1): the next call takes another.
      session.drain();
      this.#leave(attempt, "its stream ids are used up");
    }
    request.onOpened(stream);
  }

  #startConnecting(why: string): void {
    const waitMs = this.#waitAfterGoAway();
    if (waitMs > 0) {
      const reason = "the server went away before it answered a call";
      const message = `${this.target} not connected: ${reason}`;
      this.#connectFailed({ kind: "connect", code: ErrorCode.NO_ERROR, message, reason }, waitMs);
      return;
    }
    const attempt = new Attempt(this, this.options.clock.nowMs());
    const state: State = { kind: "connecting", attempt };
    this.#setState(state, why);
    // Whoever was told may have closed us.
    if (this.#state !== state) return;
    this.#attempts.add(attempt);
    try {
      // The connection outlives the call that it is made for, and what is stored in the context of
      // that.
      attempt.session = this.#scope.runInAsyncScope(this.#source.connect, this.#source, attempt);
    } catch (cause) {
      const reason = cause instanceof Error ? errorText(cause, this.target) : String(cause);
      const message = `${this.target} not connected: ${reason}`;
      const end = { kind: "connect", code: ErrorCode.NO_ERROR, message, reason, cause } as const;
      this.onSessionClosed(attempt, end);
      return;
    }
    // A session that was handed over may be ready already.
    if (attempt.session.availableStreamCount > 0) this.onSessionAvailable(attempt);
  }

  /**
   * A session that is gone before it has answered anything is a failure to connect: the wait counts from when it was begun. The first of
   * a row is none, for a server may be about to go at any time, and what it did not begin is sent once more; nor is one that stood
   * for as long as the wait.
   */
  #waitAfterGoAway(): number {
    const gone = this.#goneAway;
    this.#goneAway = undefined;
    if (gone === undefined) return 0;
    this.#goneUnanswered = gone.session?.answered === true ? 0 : this.#goneUnanswered + 1;
    if (this.#goneUnanswered < 2) return 0;
    const waitMs = this.#backoff.nextMs();
    if (gone.goneMs - gone.startedMs < waitMs) {
      return Math.max(0, gone.startedMs + waitMs - this.options.clock.nowMs());
    }
    this.#goneUnanswered = 0;
    return 0;
  }

  #setState(state: State, reason: string, error?: GrpcError): void {
    const changed = state.kind !== this.#state.kind;
    this.#state = state;
    if (!changed) return;
    this.#hold();
    if (connState.hasSubscribers || this.options.onStateChange !== undefined) {
      this.#scope.runInAsyncScope(this.#tellState, this, state.kind, reason, error);
    }
  }

  #tellState(state: ConnState, reason: string, error: GrpcError | undefined): void {
    if (connState.hasSubscribers) connState.publish({ target: this.target, state, reason, error });
    const { onStateChange } = this.options;
    if (onStateChange !== undefined) {
      tell("onStateChange", () => onStateChange(state, error, reason));
    }
  }

  #hold(): void {
    const isNeeded = this.#state.kind === "transientFailure" && this.#waiting.size > 0;
    if (isNeeded === (this.#holding !== undefined)) return;
    if (isNeeded) this.#holding = setInterval(() => {}, 0x7fffffff);
    else {
      clearInterval(this.#holding);
      this.#holding = undefined;
    }
  }

  /** @internal The session can take streams: it is new, or one of its streams ended. */
  onSessionAvailable(attempt: Attempt): void {
    const session = attempt.session;
    // While `connect` still runs, `#startConnecting` looks again.
    if (session === undefined) return;
    const state = this.#state;
    if (state.kind === "connecting" && state.attempt === attempt) {
      if (this.#goneUnanswered === 0) this.#backoff.reset();
      // Of a session that was handed over this is all that is known.
      if (session.peer.tls !== undefined) this.scheme = "https";
      this.#setState({ kind: "ready", attempt, session }, "the server has sent its SETTINGS");
    }
    this.#openWaiting();
  }

  #openWaiting(): void {
    while (this.#waiting.size > 0) {
      const state = this.#state;
      if (state.kind !== "ready" || state.session.availableStreamCount <= 0) return;
      const request = this.#waiting.shift();
      if (request !== undefined) this.#openOn(state.attempt, state.session, request);
    }
  }

  /** @internal GOAWAY: streams under way go on, new ones need another session. */
  onSessionDraining(attempt: Attempt, reason: string): void {
    const state = this.#state;
    if (state.kind === "connecting" && state.attempt === attempt) {
      // It never took a call. Without backoff a server that goes away at once would be connected to in a loop.
      const message = `${this.target} not connected: ${reason}`;
      this.#connectFailed({ kind: "connect", code: ErrorCode.NO_ERROR, message, reason });
      return;
    }
    // Two GOAWAYs are one, and without a call nothing is left behind.
    if (state.kind === "ready" && state.attempt === attempt && attempt.isUsed) {
      attempt.goneMs = this.options.clock.nowMs();
      this.#goneAway = attempt;
    }
    this.#leave(attempt, reason, goingAwayError(this.target, reason));
  }

  /** @internal */
  onSessionClosed(attempt: Attempt, end: SessionEnd): void {
    this.#attempts.delete(attempt);
    const state = this.#state;
    if (state.kind === "connecting" && state.attempt === attempt) this.#connectFailed(end);
    else {
      if (state.kind === "ready" && state.attempt === attempt) this.#goneUnanswered = 0;
      this.#leave(attempt, end.reason ?? end.message, lostError(this.target, end));
    }
    if (this.#closed !== undefined && this.#attempts.size === 0) {
      this.options.clock.cancel(this.#backoffTimer);
      this.#closed.resolve();
    }
  }

  /** Its session takes no more calls. @param error when that was not our wish */
  #leave(attempt: Attempt, reason: string, error?: GrpcError): void {
    const state = this.#state;
    if (!("attempt" in state) || state.attempt !== attempt) return;
    if (!this.#source.reconnects) {
      this.#setState({ kind: "shutdown" }, reason, error);
      this.#failWaiting(() => true, this.#closedError());
      return;
    }
    // The connection did work, so there is no backoff: the next call, or one that waits, connects at once.
    this.#setState({ kind: "idle" }, reason, error);
    if (this.#waiting.size > 0 && this.state === "idle") this.#startConnecting(CALLS_WAIT);
  }

  #connectFailed(end: SessionEnd, waitMs: number = this.#backoff.nextMs()): void {
    const error = connectError(this.target, end);
    const { reason = end.message } = end;
    if (!this.#source.reconnects) {
      this.#setState({ kind: "shutdown" }, reason, error);
      this.#failWaiting(() => true, error);
      return;
    }
    this.options.clock.schedule(this.#backoffTimer, waitMs);
    this.#setState({ kind: "transientFailure", error }, reason, error);
    this.#failWaiting((request) => !request.waitForReady, error);
  }

  #failWaiting(fails: (request: StreamRequest) => boolean, error: GrpcError): void {
    for (const request of this.#waiting.toArray()) {
      // One that is told may take others with it.
      if (fails(request) && this.#waiting.remove(request)) request.onOpenFailed(error);
    }
    this.#hold();
  }

  /** @internal The backoff is over, or the grace of `close` is. */
  onTimer(): void {
    if (this.#closed !== undefined) {
      this.#destroyAll();
      return;
    }
    if (this.#state.kind !== "transientFailure") return;
    // Nobody waits: stay lazy, the next call connects.
    if (this.#waiting.size > 0) this.#startConnecting(CALLS_WAIT);
    else this.#setState({ kind: "idle" }, "the backoff is over, and nobody waits");
  }

  #closedError(): GrpcError {
    const details = "cannot be reached: the connection to it was closed";
    const options = { reason: "CONN_CLOSED", source: "proxy", retry: "safe" } as const;
    return upstreamError(this.target, Status.UNAVAILABLE, details, options);
  }
}
