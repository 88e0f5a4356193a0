// What users hold of a backend. Calls wait here for a session and for room under the backend's
// MAX_CONCURRENT_STREAMS.

import { checkNumber, shown } from "../check/check.ts";
import type { GrpcError } from "../grpc/error.ts";
import { isMethodPath } from "../grpc/method-path.ts";
import { type RequestOrigin, requestOrigin } from "../grpc/request-headers.ts";
import { ResponseJudge } from "../grpc/response-head.ts";
import type { ConnState } from "../observe/channels.ts";
import type { Clock } from "../time/clock.ts";
import { Timer } from "../time/timer-wheel.ts";
import {
  checkClientSession,
  type HandedOverClientSession,
  wrapSession,
} from "../transport/handed-over.ts";
import { resolveKeepalive } from "../transport/keepalive.ts";
import type { Stream } from "../transport/transport.ts";
import { ClientStream, type ClientStreamOptions } from "./client-stream.ts";
import { type DialOptions, type ResolvedDialOptions, resolveDialOptions } from "./dial-options.ts";
import { closedError, queueFullError } from "./errors/upstream-error.ts";
import { type PingListener, type PingOptions, ping } from "./ping.ts";
import { RetryThrottle } from "./retry-policy.ts";
import { StateListeners } from "./state-listeners.ts";
import type { StreamRequest } from "./stream-request.ts";
import type { SessionSource } from "./subchannel/connector.ts";
import { Subchannel, type SubchannelState } from "./subchannel/subchannel.ts";
import { WaitingQueue } from "./waiting-queue.ts";

/** What a conn is called. */
interface ConnName {
  /** For messages. */
  readonly name: string;
  /** Default `:authority`. */
  readonly authority: string;
}

/** The end of a conn that was told to close. */
interface Closed {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
}

/**
 * A connection to one backend that comes and goes: it connects when the first call wants it, and
 * again after a loss.
 */
export class ClientConn {
  /** The address as text, for messages and `:authority`. */
  readonly target: string;
  readonly authority: string;
  /** @internal */
  readonly clock: Clock;
  /** @internal */
  origin: RequestOrigin;
  /** @internal */
  readonly random: () => number;
  /** @internal */
  readonly retryThrottle: RetryThrottle | undefined;
  /** @internal */
  readonly responses: ResponseJudge = new ResponseJudge();

  readonly #subchannel: Subchannel;
  /** Calls that wait for a session or for room on it, in order of arrival. */
  readonly #waiting = new WaitingQueue<StreamRequest>();
  readonly #maxWaitingCalls: number;
  /** How long a PING may take. */
  readonly #answerMs: number;
  readonly #listeners = new StateListeners();
  /** Of `close`: calls under way that last longer are ended. */
  readonly #graceTimer: Timer;
  /** Keeps the process while calls wait for the backoff, which is all that is under way then. */
  #holding: NodeJS.Timeout | undefined;
  #closed: Closed | undefined;

  private constructor(target: ConnName, options: ResolvedDialOptions, source: SessionSource) {
    const { clock } = options;
    this.target = target.name;
    this.authority = options.authority ?? target.authority;
    this.clock = clock;
    this.random = options.random;
    const { retryThrottling } = options;
    this.retryThrottle =
      retryThrottling === undefined ? undefined : new RetryThrottle(retryThrottling);
    this.origin = requestOrigin(options.tls !== undefined, this.authority);
    this.#maxWaitingCalls = options.maxWaitingCalls;
    this.#answerMs = resolveKeepalive(options.keepalive).timeoutMs;
    this.#graceTimer = new Timer({ onTimer: () => this.#endCalls() });
    this.#subchannel = new Subchannel(this.target, source, options, {
      isWanted: () => this.#waiting.size > 0,
      onChange: (_, state, reason, error) => this.#onChange(state, reason, error),
      onRoom: () => this.#openWaiting(),
      onEmpty: () => this.#onEmpty(),
    });
  }

  /** @internal For `dial`. */
  static create(target: ConnName, options: ResolvedDialOptions, source: SessionSource): ClientConn {
    return new ClientConn(target, options, source);
  }

  /**
   * A connection over a session that `http2.connect` made, connected or not. It does not reconnect:
   * when the session ends, so does the connection. `close` closes the session.
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
    return this.#subchannel.kind;
  }

  /**
   * Tells `listener` of every change of `state` from now on, in the async context in which the
   * connection was made. `reason` says why, in one line for people; `error` is there when it failed
   * or was lost. All listeners are told of all changes in the order in which these happened. What
   * one throws is a warning of the process.
   * @returns a function that ends it
   * @throws {TypeError} unless it is a function
   */
  onState(
    listener: (state: ConnState, error: GrpcError | undefined, reason: string) => void,
  ): () => void {
    if (typeof listener !== "function") {
      throw new TypeError(`onState: expected a function, got ${shown(listener)}`);
    }
    return this.#listeners.add(listener);
  }

  /** Calls that wait for a connection or for room on it. */
  get waitingCount(): number {
    return this.#waiting.size;
  }

  /** Streams open on all of its sessions. */
  get openStreamCount(): number {
    return this.#subchannel.openStreamCount;
  }

  /** Connects now instead of with the first call. */
  connect(): void {
    this.#subchannel.connect("asked to connect");
  }

  /**
   * Asks the backend by PING, and connects for it if need be: like a call, it fails with
   * UNAVAILABLE when there is no connection. So it does when the connection is lost, or no answer
   * comes within `keepalive.timeoutMs`. Servers of gRPC count these PINGs, too: see
   * `KeepaliveOptions` for how many they permit.
   * @returns how long the answer took, in milliseconds
   */
  async ping(options: PingOptions = {}): Promise<number> {
    const pinged = {
      target: this.target,
      clock: this.clock,
      state: () => this.#subchannel.state,
      connect: () => this.connect(),
      onState: (listener: PingListener) => this.onState(listener),
      sendPing: (onAcknowledged: () => void) => this.#subchannel.ping(onAcknowledged),
    };
    return await ping(pinged, this.#answerMs, options);
  }

  /**
   * Makes a call of our own. `fullMethodName` is `/package.Service/Method`.
   * @throws {TypeError} when it is not
   */
  newStream<Request = unknown, Response = unknown>(
    fullMethodName: string,
    options: ClientStreamOptions = {},
  ): ClientStream<Request, Response> {
    if (!isMethodPath(fullMethodName)) {
      throw new TypeError(
        `method: expected "/package.Service/Method", got ${JSON.stringify(fullMethodName)}`,
      );
    }
    return ClientStream.create(this, fullMethodName, options);
  }

  /** @internal Opens a stream for `request`, now if there is room, otherwise when there is. */
  open(request: StreamRequest): void {
    const subchannel = this.#subchannel;
    const { state } = subchannel;
    switch (state.kind) {
      case "ready":
        if (this.#waiting.size === 0 && subchannel.openStream(request)) return;
        break;
      case "transientFailure":
        if (request.waitForReady) break;
        request.onOpenFailed(state.error);
        return;
      case "shutdown":
        request.onOpenFailed(closedError(this.target));
        return;
    }
    this.#waiting.push(request);
    this.#hold();
    // This may settle it, and all others: the session is ready at once, or cannot be made.
    subchannel.wantRoom();
    if (this.#waiting.size > this.#maxWaitingCalls && this.#waiting.remove(request)) {
      this.#hold();
      request.onOpenFailed(queueFullError(this.target, this.#waiting.size));
    }
  }

  /** @internal `request` no longer wants a stream. No callback follows. */
  abandon(request: StreamRequest): void {
    this.#waiting.remove(request);
    this.#hold();
  }

  /** @internal Resets `stream`, which was opened here. */
  reset(stream: Stream, code: number): void {
    stream.reset(code);
    Subchannel.of(stream.session)?.onStreamReset(stream.session);
  }

  /**
   * Takes no more calls: those that wait fail with UNAVAILABLE. Calls under way may go on for
   * `graceMs` milliseconds, then they are ended as lost. Resolves when every session is closed.
   * @default graceMs 0
   */
  close(graceMs = 0): Promise<void> {
    checkNumber("graceMs", graceMs, 0);
    const closed = this.#closed ?? this.#startClosing();
    if (this.#subchannel.sessionCount === 0) closed.resolve();
    else if (graceMs === 0) this.#endCalls();
    else if (graceMs !== Number.POSITIVE_INFINITY) this.clock.schedule(this.#graceTimer, graceMs);
    return closed.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #startClosing(): Closed {
    let resolve: () => void = () => {};
    const promise = new Promise<void>((settle) => {
      resolve = settle;
    });
    const closed = { promise, resolve };
    this.#closed = closed;
    this.#subchannel.shutDown("closed by its owner");
    return closed;
  }

  #endCalls(): void {
    this.#subchannel.destroy("connection closed by its owner");
  }

  #onEmpty(): void {
    if (this.#closed === undefined) return;
    this.clock.cancel(this.#graceTimer);
    this.#closed.resolve();
  }

  #openWaiting(): void {
    while (this.#subchannel.hasRoom) {
      const request = this.#waiting.shift();
      if (request === undefined) return;
      this.#subchannel.openStream(request);
    }
  }

  #onChange(state: SubchannelState, reason: string, error: GrpcError | undefined): void {
    // Of a session that was handed over this is all that is known.
    if (this.#subchannel.peer?.tls !== undefined) {
      this.origin = requestOrigin(true, this.authority);
    }
    this.#hold();
    this.#listeners.tell({ target: this.target, state: state.kind, reason, error });
    if (state.kind === "shutdown") this.#failWaiting(() => true, state.error);
    else if (state.kind === "transientFailure") {
      this.#failWaiting((request) => !request.waitForReady, state.error);
    }
  }

  #failWaiting(fails: (request: StreamRequest) => boolean, error: GrpcError): void {
    for (const request of this.#waiting.toArray()) {
      // One that is told may take others with it.
      if (fails(request) && this.#waiting.remove(request)) request.onOpenFailed(error);
    }
    this.#hold();
  }

  #hold(): void {
    const isNeeded = this.state === "transientFailure" && this.#waiting.size > 0;
    if (isNeeded === (this.#holding !== undefined)) return;
    if (isNeeded) this.#holding = setInterval(() => {}, 0x7fffffff);
    else {
      clearInterval(this.#holding);
      this.#holding = undefined;
    }
  }
}
