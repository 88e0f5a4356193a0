// Who waits for a connection: calls for a stream, and users for `ready`.

import type { GrpcError } from "../grpc/error.ts";
import { type ReadyOptions, ReadyWaiters } from "./ready-waiters.ts";
import type { StreamRequest } from "./stream-request.ts";
import type { SubchannelState } from "./subchannel/subchannel-state.ts";
import type { WaitingCalls } from "./waiting-calls.ts";

/**
 * All who wait for one connection. While nothing but a timer can end their wait, they keep the
 * process alive: the timers of a connection alone do not.
 */
export class Waiters {
  readonly #calls: WaitingCalls;
  readonly #ready = new ReadyWaiters(() => this.look());
  readonly #needsTimer: () => boolean;
  /** Keeps the process alive. */
  #holding: NodeJS.Timeout | undefined;

  /** @param needsTimer whether only a timer can end a wait; after each change `look` is called */
  constructor(calls: WaitingCalls, needsTimer: () => boolean) {
    this.#calls = calls;
    this.#needsTimer = needsTimer;
  }

  get callCount(): number {
    return this.#calls.size;
  }

  get readyCount(): number {
    return this.#ready.size;
  }

  get isAny(): boolean {
    return this.callCount + this.readyCount > 0;
  }

  /** No call waits, and `request` may begin now: then it is expected to. */
  letPass(request: StreamRequest): boolean {
    return this.#calls.letsPass(request);
  }

  /** `request`, which came last, still waits, and is one too many. */
  isOver(maxWaiting: number, request: StreamRequest): boolean {
    return request.waitingAt >= 0 && this.#calls.isOver(maxWaiting, request);
  }

  /** The addresses that are ready have another capacity. */
  onCapacity(): void {
    this.#calls.onCapacity();
  }

  addCall(request: StreamRequest): void {
    this.#calls.push(request);
    this.look();
  }

  /** Takes `request` out; `false` when it does not wait here. */
  removeCall(request: StreamRequest): boolean {
    const waited = this.#calls.remove(request);
    this.look();
    return waited;
  }

  /** Opens streams for waiting calls, as long as there are calls and room. */
  serveCalls(): void {
    this.#calls.serve();
  }

  /** @throws {TypeError} saying what was expected and what came */
  addReady(options: ReadyOptions): Promise<void> {
    const ready = this.#ready.add(options);
    this.look();
    return ready;
  }

  resolveReady(): void {
    this.#ready.resolve();
  }

  rejectReady(error: GrpcError): void {
    this.#ready.reject(error);
  }

  /** The connection has another state. Those who have waited for it, or in vain, are told. */
  onState(state: SubchannelState): void {
    if (state.kind === "ready") this.resolveReady();
    else if (state.kind === "shutdown") {
      this.rejectReady(state.error);
      this.#calls.fail(false, state.error);
    } else if (state.kind === "transientFailure") this.#calls.fail(true, state.error);
    this.look();
  }

  /** Holds the process, or lets it go. */
  look(): void {
    const isNeeded = this.isAny && this.#needsTimer();
    if (isNeeded === (this.#holding !== undefined)) return;
    if (isNeeded) this.#holding = setInterval(() => {}, 0x7fffffff);
    else {
      clearInterval(this.#holding);
      this.#holding = undefined;
    }
  }
}
