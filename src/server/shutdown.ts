// Ends a server: it stops listening, lets calls finish, cuts off the rest, and closes.

import { ErrorReason, failure, type GrpcError } from "../grpc/error.ts";
import { Status } from "../grpc/status.ts";
import type { Clock } from "../time/clock.ts";
import { Timer, type TimerOwner } from "../time/timer-wheel.ts";
import type { Session } from "../transport/transport.ts";
import { ErrorCode } from "../wire/error-code.ts";
import { Abort } from "./abort.ts";
import type { Connections } from "./connections.ts";
import { LAST_STATUSES_MS, type OpenCalls } from "./open-calls.ts";

const SHUTTING_DOWN = "the server is shutting down";

/**
 * The stage of the end. `done` settles when no connection is left.
 *
 * - `"open"`: connections and calls are welcome.
 * - `"draining"`: nobody listens, and every connection has announced GOAWAY. Calls may finish until
 *   the grace is over. The timer runs for the grace, unless that is infinite.
 * - `"cutOff"`: every call was ended with UNAVAILABLE. The timer runs for the last statuses; then
 *   connections that still stand are destroyed. No grace can be given any more.
 * - `"closed"`: no connection is left, and the timer does not run.
 */
type State =
  | { readonly kind: "open" }
  | { readonly kind: "draining"; readonly done: Promise<void> }
  | { readonly kind: "cutOff"; readonly done: Promise<void> }
  | { readonly kind: "closed"; readonly done: Promise<void> };

export class Shutdown implements TimerOwner {
  readonly #connections: Connections;
  readonly #calls: OpenCalls;
  readonly #clock: Clock;
  readonly #timer = new Timer(this);
  #state: State = { kind: "open" };
  /** Made when somebody asks. */
  #draining: Abort | undefined;

  constructor(connections: Connections, calls: OpenCalls) {
    this.#connections = connections;
    this.#calls = calls;
    this.#clock = calls.clock;
  }

  /** Aborted when the end begins. */
  get draining(): AbortSignal {
    if (this.#draining === undefined) {
      this.#draining = new Abort();
      if (this.hasBegun) this.#draining.now(shuttingDown());
    }
    return this.#draining.signal;
  }

  /** The server takes nothing new. */
  get hasBegun(): boolean {
    return this.#state.kind !== "open";
  }

  /** A connection has come. It may have been on its way when the server was closed. */
  onSession(session: Session): void {
    switch (this.#state.kind) {
      case "open":
        return;
      case "draining":
        session.drain();
        return;
      case "cutOff":
      case "closed":
        session.destroy(ErrorCode.NO_ERROR, SHUTTING_DOWN);
    }
  }

  /**
   * Begins the end, or makes it come sooner.
   * @param graceMs the time for calls to finish; Infinity for no limit
   */
  close(graceMs: number): Promise<void> {
    const state = this.#state.kind === "open" ? this.#begin() : this.#state;
    if (state.kind === "draining") {
      if (graceMs === 0) this.#cutOff(state.done);
      else if (graceMs !== Number.POSITIVE_INFINITY) this.#clock.schedule(this.#timer, graceMs);
    }
    return state.done;
  }

  #begin(): State & { readonly kind: "draining" } {
    const done = this.#connections.end().then(() => {
      this.#state = { kind: "closed", done };
      this.#clock.cancel(this.#timer);
      this.#calls.leftovers.end(shuttingDown());
    });
    const draining = { kind: "draining", done } as const;
    this.#state = draining;
    this.#draining?.now(shuttingDown());
    return draining;
  }

  #cutOff(done: Promise<void>): void {
    this.#state = { kind: "cutOff", done };
    this.#calls.cancelAll(shuttingDown());
    this.#clock.schedule(this.#timer, LAST_STATUSES_MS);
  }

  onTimer(): void {
    if (this.#state.kind === "draining") this.#cutOff(this.#state.done);
    else this.#connections.destroyAll(SHUTTING_DOWN);
  }
}

function shuttingDown(): GrpcError {
  return failure(Status.UNAVAILABLE, SHUTTING_DOWN, { reason: ErrorReason.SHUTDOWN });
}
