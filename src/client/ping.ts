// A PING of the user: measures the time until a backend answers, or says why there is no answer.

import { shown } from "../check/check.ts";
import { optionTable } from "../check/options.ts";
import type { GrpcError } from "../grpc/error.ts";
import { Status } from "../grpc/status.ts";
import type { ConnState } from "../observe/channels.ts";
import type { Clock } from "../time/clock.ts";
import { Timer, type TimerOwner } from "../time/timer-wheel.ts";
import { upstreamError } from "./errors/upstream-error.ts";

/** Options of `ClientConn.ping`. */
export interface PingOptions {
  /** Aborting it ends the wait; the promise is rejected with its reason. */
  readonly signal?: AbortSignal;
}

const PING_OPTIONS = optionTable<PingOptions>("options of ping", {
  signal: (name, value) => {
    if (value instanceof AbortSignal) return;
    throw new TypeError(`${name}: expected an AbortSignal, got ${shown(value)}`);
  },
});

/** @param error why the connection was lost */
export type PingListener = (state: ConnState, error: GrpcError | undefined) => void;

/** A connection as a PING sees it. */
interface Pinged {
  readonly target: string;
  readonly clock: Clock;
  /** With `error` the connection cannot be made. */
  state(): { readonly kind: ConnState; readonly error?: GrpcError };
  connect(): void;
  onState(listener: PingListener): () => void;
  /** Sends PING. Only called while the connection is ready. */
  sendPing(onAcknowledged: () => void): void;
}

/** One PING, from the wait for a connection to the answer. */
class PingRun implements TimerOwner {
  readonly #conn: Pinged;
  readonly #timeoutMs: number;
  readonly #signal: AbortSignal | undefined;
  readonly #resolve: (roundTripMs: number) => void;
  readonly #reject: (reason: unknown) => void;
  readonly #timer = new Timer(this);
  readonly #stopListening: () => void;
  #isSent = false;

  constructor(
    conn: Pinged,
    timeoutMs: number,
    signal: AbortSignal | undefined,
    resolve: (roundTripMs: number) => void,
    reject: (reason: unknown) => void,
  ) {
    this.#conn = conn;
    this.#timeoutMs = timeoutMs;
    this.#signal = signal;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#stopListening = conn.onState((_, error) => this.#onState(error));
    signal?.addEventListener("abort", this.#onAbort);
    conn.connect();
    this.#onState(undefined);
  }

  #onState(error: GrpcError | undefined): void {
    const { kind, error: failure } = this.#conn.state();
    if (failure !== undefined) this.#fail(failure);
    else if (!this.#isSent) {
      if (kind === "ready") this.#send();
      // The server went away before it got the PING.
      else if (kind === "idle") this.#conn.connect();
      // After GOAWAY the connection on which the PING was sent may go on.
    } else if (error?.reason === "UPSTREAM_SESSION") this.#fail(error);
  }

  #send(): void {
    const { clock } = this.#conn;
    const sentMs = clock.nowMs();
    this.#isSent = true;
    if (Number.isFinite(this.#timeoutMs)) clock.schedule(this.#timer, this.#timeoutMs);
    this.#conn.sendPing(() => {
      this.#end();
      this.#resolve(clock.nowMs() - sentMs);
    });
  }

  onTimer(): void {
    const details = `is lost: it did not answer PING within ${this.#timeoutMs} ms`;
    const options = { reason: "UPSTREAM_SESSION", retry: "safe" } as const;
    this.#fail(upstreamError(this.#conn.target, Status.UNAVAILABLE, details, options));
  }

  readonly #onAbort = (): void => this.#fail(this.#signal?.reason);

  #fail(reason: unknown): void {
    this.#end();
    this.#reject(reason);
  }

  #end(): void {
    this.#stopListening();
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#conn.clock.cancel(this.#timer);
  }
}

/**
 * @param timeoutMs for the answer
 * @throws {TypeError} naming the option, what was expected and what came
 */
export function ping(conn: Pinged, timeoutMs: number, options: PingOptions): Promise<number> {
  PING_OPTIONS.check(options);
  const { signal } = options;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) reject(signal.reason);
    else new PingRun(conn, timeoutMs, signal, resolve, reject);
  });
}
