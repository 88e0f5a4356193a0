// A clock that moves only when a test says so, on the timer wheel that the process clock uses.

import type { Clock } from "../../src/time/clock.ts";
import { type Timer, TimerWheel } from "../../src/time/timer-wheel.ts";

/**
 * Like the real clock it never fires early, and fires up to a tick of 4 ms late. So tests advance
 * by multiples of that.
 */
export class FakeClock implements Clock {
  #nowMs: number;
  readonly #wheel: TimerWheel;
  /** The timers on the wheel. Timers that fired stay here until they are looked at. */
  readonly #timers = new Set<Timer>();

  constructor(startMs = 1_000_000) {
    this.#nowMs = startMs;
    this.#wheel = new TimerWheel(startMs);
  }

  /** Timers that are scheduled now; 0 at the end of a test that leaked none. */
  get timerCount(): number {
    return this.#wheel.size;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  schedule(timer: Timer, delayMs: number): void {
    this.#wheel.schedule(timer, this.#nowMs + delayMs);
    this.#timers.add(timer);
  }

  cancel(timer: Timer): void {
    this.#wheel.cancel(timer);
    this.#timers.delete(timer);
  }

  /**
   * Moves time on by `ms`. Timers fire in the order in which they are due, each at its own time.
   */
  advance(ms: number): void {
    const targetMs = this.#nowMs + ms;
    for (;;) {
      const dueMs = this.#nextDueMs();
      if (dueMs > targetMs) break;
      this.#nowMs = Math.max(this.#nowMs, dueMs);
      this.#wheel.advance(this.#nowMs);
    }
    this.#nowMs = targetMs;
    this.#wheel.advance(targetMs);
  }

  /** `nextWakeMs` of the wheel would stop at each of its turns: 262,144 in a month. */
  #nextDueMs(): number {
    let nextMs = Number.POSITIVE_INFINITY;
    for (const timer of this.#timers) {
      if (!timer.scheduled) this.#timers.delete(timer);
      else if (timer.dueMs < nextMs) nextMs = timer.dueMs;
    }
    return nextMs;
  }
}
