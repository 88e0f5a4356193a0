// Time for all layers: a monotonic reading and timers. It is injected everywhere, so that tests
// control it.

import { AsyncResource } from "node:async_hooks";
import { type Timer, TimerWheel } from "./timer-wheel.ts";

export interface Clock {
  /** Monotonic milliseconds with fraction; only differences mean something. */
  nowMs(): number;
  /**
   * Calls `timer.owner.onTimer(timer)` once, at least `delayMs` from now. Replaces an earlier
   * schedule of `timer`.
   */
  schedule(timer: Timer, delayMs: number): void;
  cancel(timer: Timer): void;
}

/** Node's setTimeout takes at most 2^31 - 1 ms. A timer further off is checked again on the way. */
const LONGEST_SLEEP_MS = 86_400_000;

/** The clock of the process: one wheel, one Node timer that never keeps the process alive. */
class SystemClock implements Clock {
  readonly #wheel = new TimerWheel(performance.now());
  /**
   * Without this scope the Node timer would belong to the async context of the first caller, and
   * keep the stores of that context.
   */
  readonly #scope = new AsyncResource("GrpcRelayClock", { requireManualDestroy: true });
  #armed: NodeJS.Timeout | undefined;
  #armedForMs = Number.POSITIVE_INFINITY;

  nowMs(): number {
    return performance.now();
  }

  schedule(timer: Timer, delayMs: number): void {
    const nowMs = performance.now();
    // A wheel that slept without timers catches up before it takes one. Otherwise the timer would
    // be late by the sleep.
    if (this.#wheel.size === 0) this.#wheel.advance(nowMs);
    this.#wheel.schedule(timer, nowMs + delayMs);
    if (timer.dueMs < this.#armedForMs) this.#arm(timer.dueMs, nowMs);
  }

  cancel(timer: Timer): void {
    // The Node timer stays armed: waking once for nothing is cheaper than disarming per call.
    this.#wheel.cancel(timer);
  }

  #arm(dueMs: number, nowMs: number): void {
    if (this.#armed !== undefined) clearTimeout(this.#armed);
    this.#armedForMs = dueMs;
    const delayMs = Math.min(Math.max(1, Math.ceil(dueMs - nowMs)), LONGEST_SLEEP_MS);
    this.#armed = this.#scope.runInAsyncScope(setTimeout, undefined, this.#onWake, delayMs);
    this.#armed.unref();
  }

  readonly #onWake = (): void => {
    this.#armed = undefined;
    this.#armedForMs = Number.POSITIVE_INFINITY;
    const nowMs = performance.now();
    try {
      this.#wheel.advance(nowMs);
    } finally {
      const nextMs = this.#wheel.nextWakeMs();
      if (nextMs !== undefined && nextMs < this.#armedForMs) this.#arm(nextMs, nowMs);
    }
  };
}

/** The clock that everything uses unless it is given another. */
export const systemClock: Clock = new SystemClock();
