// A user's connection to a backend. Calls wait here for a session, and for room under the backend's
// MAX_CONCURRENT_STREAMS.

import { checkNumber, shown } from "../check/check.ts";
import type { GrpcError } from "../grpc/error.ts";
import { isMethodPath } from "../grpc/method-path.ts";
import { type RequestOrigin, requestOrigin } from "../grpc/request-headers.ts";
import { ResponseJudge } from "../grpc/response-head.ts";
import type { ConnState } from "../observe/channels.ts";
import type { Clock } from "../time/clock.ts";
import { Timer } from "../time/timer-wheel.ts";
import type { HandedOverClientSession } from "../transport/handed-over.ts";
import { resolveKeepalive } from "../transport/keepalive.ts";
import type { Stream } from "../transport/transport.ts";
import { type Backend, handedOverBackend } from "./backend.ts";
import type { SubchannelView } from "./balance/balancer.ts";
import { Balancing, type BalancingOwner } from "./balancing.ts";
import { ClientStream, type ClientStreamOptions } from "./client-stream.ts";
import { type DialOptions, type ResolvedDialOptions, resolveDialOptions } from "./dial-options.ts";
import { closedError, queueFullError } from "./errors/upstream-error.ts";
import type { AddressState, Member } from "./member.ts";
import { type PingOptions, ping } from "./ping.ts";
import type { ReadyOptions } from "./ready-waiters.ts";
import type { Address } from "./resolve/address-list.ts";
import { type AddressOwner, AddressWatch } from "./resolve/address-watch.ts";
import { RetryThrottle } from "./retry-policy.ts";
import { StateListeners } from "./state-listeners.ts";
import type { StreamRequest } from "./stream-request.ts";
import type { PingWaiter } from "./subchannel/attempts.ts";
import { type AddressPast, ConnectHistory } from "./subchannel/connect-history.ts";
import { type IdleOwner, IdleTimer } from "./subchannel/idle-timer.ts";
import { Subchannel, type SubchannelOwner } from "./subchannel/subchannel.ts";
import { IDLE, type SubchannelState } from "./subchannel/subchannel-state.ts";
import { type PoolOwner, SubchannelPool } from "./subchannel-pool.ts";
import { Waiters } from "./waiters.ts";
import { WaitingCalls } from "./waiting-calls.ts";

/** The end of a conn that was told to close. */
interface Closed {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
}

/**
 * A connection to one backend, at one address or several. It connects when the first call wants it,
 * and again after a loss.
 */
export class ClientConn {
  /** The backend, for messages: an address, several with commas, or the name of a resolver. */
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

  readonly #backend: Backend;
  readonly #options: ResolvedDialOptions;
  readonly #pool: SubchannelPool;
  readonly #balancing: Balancing;
  readonly #addresses: AddressWatch | undefined;
  /** The state of all addresses together. */
  #state: SubchannelState = IDLE;
  /** The address for all calls, if there is only one. It is asked before anything else. */
  #direct: Subchannel | undefined;
  /**
   * Something wants a connection, or has within the idle timeout. So balancer and resolver are at
   * work.
   */
  #isAwake = false;
  readonly #idleTimer: IdleTimer;
  /** `connect` was called before an address was known. */
  #isConnectWanted = false;
  #whyConnect: string | undefined;
  readonly #waiters: Waiters;
  /** How long a PING may take. */
  readonly #answerMs: number;
  readonly #listeners = new StateListeners();
  /** For `close`: calls that last longer are ended. */
  readonly #graceTimer: Timer;
  #closed: Closed | undefined;

  private constructor(backend: Backend, options: ResolvedDialOptions) {
    this.target = backend.name;
    this.authority = options.authority ?? backend.authority;
    this.clock = options.clock;
    this.random = options.random;
    const { retryThrottling } = options;
    this.retryThrottle =
      retryThrottling === undefined ? undefined : new RetryThrottle(retryThrottling);
    this.origin = requestOrigin(options.tls !== undefined, this.authority);
    this.#backend = backend;
    this.#options = options;
    this.#answerMs = resolveKeepalive(options.keepalive).timeoutMs;
    this.#graceTimer = new Timer({ onTimer: () => this.#endCalls() });
    this.#idleTimer = new IdleTimer(this.#idleOwner(), options.clock);
    this.#pool = new SubchannelPool(this.#poolOwner());
    this.#pool.setAddresses(backend.addresses);
    this.#balancing = new Balancing(options.balancing, this.#balancingOwner());
    this.#waiters = new Waiters(
      new WaitingCalls(this.#balancing, this.#pool),
      () => this.#state.kind === "transientFailure" || this.#pool.members.length === 0,
    );
    if (backend.resolver !== undefined) {
      this.#addresses = new AddressWatch(backend.resolver, this.#addressOwner());
    }
  }

  #poolOwner(): PoolOwner {
    const { clock, random, backoff, outlierDetection, healthCheck } = this.#options;
    const conn = this;
    return {
      ...{ target: this.target, clock, random, backoff, outlierDetection, healthCheck },
      get origin(): RequestOrigin {
        return conn.origin;
      },
      makeSubchannel: (address, owner, past) => this.#makeSubchannel(address, owner, past),
      isWanted: () => this.#waiters.isAny,
      whyConnect: () => this.#whyConnect ?? "it is one of those to keep connected",
      onChange: (member, reason, error) => this.#onChange(member, reason, error),
      onRoom: () => this.#waiters.serveCalls(),
      onCapacity: () => this.#waiters.onCapacity(),
      onEmpty: () => this.#onEmpty(),
    };
  }

  /** @param known what is known of the address */
  #makeSubchannel(
    address: Address,
    owner: SubchannelOwner,
    known: AddressPast | undefined,
  ): Subchannel {
    const past = known ?? {
      source: this.#backend.sourceOf(address),
      history: new ConnectHistory(this.#options),
    };
    return new Subchannel(address.text, past, this.#options, owner);
  }

  #idleOwner(): IdleOwner {
    return {
      // A session that was handed over cannot be made again.
      idleLimitMs: this.#backend.reconnects
        ? this.#options.idleTimeoutMs
        : Number.POSITIVE_INFINITY,
      lookBusyMs: (nowMs) => (this.#waiters.isAny ? nowMs : this.#pool.lookBusyMs(nowMs)),
      onIdle: () => this.#onIdle(),
    };
  }

  #balancingOwner(): BalancingOwner {
    const pool = this.#pool;
    return {
      target: this.target,
      clock: this.clock,
      get views(): readonly SubchannelView[] {
        return pool.views;
      },
      random: this.#options.random,
      onRefresh: () => {
        if (pool.views.length > 0) this.#settle("its balancer wants it", undefined);
      },
    };
  }

  #addressOwner(): AddressOwner {
    return {
      target: this.target,
      onAddresses: (addresses) => this.#onAddresses(addresses),
      onNoAddresses: (error, reason) => this.#onNoAddresses(error, reason),
    };
  }

  /** @internal For `dial`. */
  static create(backend: Backend, options: ResolvedDialOptions): ClientConn {
    return new ClientConn(backend, options);
  }

  /**
   * A connection over a session that `http2.connect` made, connected or not. The connection does
   * not reconnect: it ends with the session. `close` closes the session.
   */
  static fromSession(session: HandedOverClientSession, options: DialOptions = {}): ClientConn {
    return new ClientConn(handedOverBackend(session, options), resolveDialOptions(options));
  }

  get state(): ConnState {
    return this.#state.kind;
  }

  /**
   * Calls `listener` on every change of `state` from now on, in the async context in which the
   * connection was made. `reason` is one line for people. `error` is given when the connection
   * failed or was lost. All listeners get all changes in the order of the changes. When a listener
   * throws, the process is warned.
   * @returns a function that removes the listener
   * @throws {TypeError} unless `listener` is a function
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
    return this.#waiters.callCount;
  }

  /** The number of open streams on all sessions. */
  get openStreamCount(): number {
    return this.#pool.openStreamCount;
  }

  /** The state of each address, in the order of the list; none before the addresses are known. */
  get addresses(): readonly AddressState[] {
    return this.#pool.members.map((member) => member.toState());
  }

  /** Connects now instead of with the first call. */
  connect(): void {
    if (this.#state.kind === "shutdown") return;
    this.#whyConnect = "asked to connect";
    this.#wake(this.#whyConnect);
    if (this.#pool.views.length === 0) this.#isConnectWanted = true;
    else if (this.#state.kind === "idle") this.#balancing.connect();
    this.#whyConnect = undefined;
  }

  /**
   * Resolves when the connection is ready, at once if it is ready now. Meanwhile it connects, and
   * again after failures.
   * @throws {GrpcError} UNAVAILABLE when the connection is closed
   * @throws the reason of `signal` when that is aborted
   */
  async ready(options: ReadyOptions = {}): Promise<void> {
    const ready = this.#waiters.addReady(options);
    if (this.#state.kind === "ready") this.#waiters.resolveReady();
    else if (this.#state.kind === "shutdown") this.#waiters.rejectReady(closedError(this.target));
    else if (this.#waiters.readyCount > 0) this.connect();
    await ready;
  }

  /**
   * Sends PING to the backend, and connects first if necessary. Like a call, it fails with
   * UNAVAILABLE when there is no connection. It also fails so, at once, when the connection that it
   * was sent on is lost, and when no answer comes within `keepalive.timeoutMs`. gRPC servers count
   * these PINGs, too:
   * `KeepaliveOptions` says how many they permit.
   * @returns the time until the answer, in milliseconds
   */
  async ping(options: PingOptions = {}): Promise<number> {
    const pinged = {
      target: this.target,
      clock: this.clock,
      state: () => this.#state,
      connect: () => this.connect(),
      onState: (listener: () => void) => this.onState(listener),
      sendPing: (waiter: PingWaiter) => this.#pool.ping(waiter),
    };
    return await ping(pinged, this.#answerMs, options);
  }

  /**
   * Makes a call of our own. `fullMethodName` is `/package.Service/Method`. If the backend cannot
   * have processed the call, no headers have come, and the request has at most 64 KiB so far, it is
   * sent again, once.
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
    const direct = this.#direct;
    if (direct !== undefined && this.#waiters.letPass(request) && direct.openStream(request))
      return;
    this.#openLater(request);
  }

  #openLater(request: StreamRequest): void {
    const state = this.#state;
    if (state.kind === "shutdown") {
      request.onOpenFailed(closedError(this.target));
      return;
    }
    if (state.kind === "transientFailure" && !request.waitForReady) {
      request.onOpenFailed(state.error);
      return;
    }
    this.#waiters.addCall(request);
    // This may settle this call, and all others: a session is ready at once, or cannot be made.
    this.#whyConnect = "a call wants it";
    this.#wake(this.#whyConnect);
    this.#waiters.serveCalls();
    this.#whyConnect = undefined;
    const { maxWaitingCalls } = this.#options;
    if (this.#waiters.isOver(maxWaitingCalls, request)) {
      this.#waiters.removeCall(request);
      request.onOpenFailed(queueFullError(this.target, this.#waiters.callCount));
    }
  }

  /** @internal `request` no longer wants a stream. No callback follows. */
  abandon(request: StreamRequest): void {
    this.#waiters.removeCall(request);
  }

  /** @internal Resets `stream`, which was opened here. */
  reset(stream: Stream, code: number): void {
    stream.reset(code);
    Subchannel.of(stream.session)?.onStreamReset(stream);
  }

  /**
   * Takes no more calls: waiting calls fail with UNAVAILABLE. Calls under way may go on for
   * `graceMs` milliseconds; then they are ended as lost. The promise resolves when every session is
   * closed.
   * @default graceMs 0
   */
  close(graceMs = 0): Promise<void> {
    checkNumber("graceMs", graceMs, 0);
    const closed = this.#closed ?? this.#startClosing();
    if (this.#pool.sessionCount === 0) closed.resolve();
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
    const reason = "closed by its owner";
    this.#idleTimer.stop();
    this.#addresses?.close();
    this.#balancing.close();
    this.#setState({ kind: "shutdown", error: closedError(this.target) }, reason, undefined);
    this.#pool.shutDown(reason);
    return closed;
  }

  #endCalls(): void {
    this.#pool.destroy("connection closed by its owner");
  }

  #onEmpty(): void {
    if (this.#closed === undefined) return;
    this.clock.cancel(this.#graceTimer);
    this.#closed.resolve();
  }

  /** The first request for a connection sets balancer and resolver to work. */
  #wake(reason: string): void {
    if (this.#isAwake) return;
    this.#isAwake = true;
    this.#pool.wake();
    this.#idleTimer.start();
    if (this.#pool.members.length > 0) {
      this.#addresses?.resolveNow();
      this.#settle(reason, undefined);
    } else {
      this.#setState({ kind: "connecting" }, reason, undefined);
      this.#addresses?.start();
    }
  }

  /** Nobody has used the connection for a while. It holds no session until it is wanted again. */
  #onIdle(): void {
    const isResolving = this.#pool.members.length === 0;
    if (isResolving || this.#state.kind === "connecting") {
      this.#idleTimer.lookAgain();
      return;
    }
    const reason = "the connection was idle";
    this.#isAwake = false;
    this.#direct = undefined;
    this.#pool.sleep(reason);
    this.#setState(IDLE, reason, undefined);
  }

  #onAddresses(addresses: readonly Address[]): void {
    this.#pool.setAddresses(addresses);
    if (!this.#isAwake) return;
    this.#waiters.look();
    const { length } = addresses;
    this.#balancing.update();
    const isWanted = this.#isConnectWanted || this.#waiters.readyCount > 0;
    this.#isConnectWanted = false;
    if (isWanted) this.#balancing.connect();
    this.#waiters.serveCalls();
    this.#settle(`the resolver gave ${length} address${length === 1 ? "" : "es"}`, undefined);
  }

  #onNoAddresses(error: GrpcError, reason: string): void {
    if (this.#pool.members.length > 0) return;
    this.#isConnectWanted = false;
    this.#setState({ kind: "transientFailure", error }, reason, error);
  }

  #onChange(member: Member, reason: string, error: GrpcError | undefined): void {
    // For a session that was handed over, nothing else is known.
    if (this.#options.tls === undefined && member.subchannel.peer?.tls !== undefined) {
      this.origin = requestOrigin(true, this.authority);
    }
    if (error !== undefined) this.#addresses?.resolveNow();
    const isAlone = this.#pool.members.length === 1;
    this.#settle(isAlone ? reason : `${member.address}: ${reason}`, error);
  }

  /** Tells the balancer of changes, and acts on its answer. */
  #settle(reason: string, error: GrpcError | undefined): void {
    if (!this.#isAwake || !this.#balancing.update()) return;
    this.#direct = this.#balancing.only?.subchannel;
    const state = this.#pool.connectivity();
    const isFailure = state.kind === "transientFailure" && error !== undefined;
    this.#setState(state, reason, isFailure ? state.error : error);
    this.#waiters.serveCalls();
    // A balancer that tries one address at a time for calls has to try the next one for this, too.
    if (this.#state.kind === "idle" && this.#waiters.readyCount > 0) this.#balancing.connect();
  }

  #setState(state: SubchannelState, reason: string, error: GrpcError | undefined): void {
    const { kind } = state;
    const changed = kind !== this.#state.kind;
    this.#state = state;
    if (!changed) return;
    this.#listeners.tell({ target: this.target, state: kind, reason, error });
    this.#waiters.onState(state);
  }
}
