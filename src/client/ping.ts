// A PING of the user: measures the time until a backend answers, or says why there is no answer.

import { shown } from "../check/check.ts";
import { optionTable } from "../check/options.ts";
import type { GrpcError } from "../grpc/error.ts";
import { Status } from "../grpc/status.ts";
import type { ConnState } from "../observe/channels.ts";
import type { Clock } from "../time/clock.ts";
import { Timer, type TimerOwner } from "../time/timer-wheel.ts";
import { upstreamError } from "./errors/upstream-error.ts";
import type { PingWaiter } from "./subchannel/attempts.ts";

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

/** A connection as a PING sees it. */
interface Pinged {
  readonly target: string;
  readonly clock: Clock;
  /** With `error` the connection cannot be made. */
  state(): { readonly kind: ConnState; readonly error?: GrpcError };
  connect(): void;
  onState(listener: () => void): () => void;
  /** Sends PING on one session. Only called while the connection is ready. */
  sendPing(waiter: PingWaiter): void;
}

/** One PING, from the wait for a connection to the answer. */
class PingRun implements TimerOwner, PingWaiter {
  readonly #conn: Pinged;
  readonly #timeoutMs: number;
  readonly #signal: AbortSignal | undefined;
  readonly #resolve: (roundTripMs: number) => void;
  readonly #reject: (reason: unknown) => void;
  readonly #timer = new Timer(this);
  readonly #stopListening: () => void;
  #isSent = false;
  #sentMs = 0;

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
    this.#stopListening = conn.onState(() => this.#onState());
    signal?.addEventListener("abort", this.#onAbort);
    conn.connect();
    this.#onState();
  }

  /** Once it was sent, its session decides: that may go on when the connection has left it. */
  #onState(): void {
    const { kind, error } = this.#conn.state();
    if (this.#isSent && kind !== "shutdown") return;
    if (error !== undefined) this.#fail(error);
    else if (kind === "ready") this.#send();
    // The server went away before it got the PING.
    else if (kind === "idle") this.#conn.connect();
  }

  #send(): void {
    const { clock } = this.#conn;
    this.#sentMs = clock.nowMs();
    this.#isSent = true;
    if (Number.isFinite(this.#timeoutMs)) clock.schedule(this.#timer, this.#timeoutMs);
    this.#conn.sendPing(this);
  }

  onAnswer(): void {
    this.#end();
    this.#resolve(this.#conn.clock.nowMs() - this.#sentMs);
  }

  onLost(error: GrpcError): void {
    this.#fail(error);
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
