// A clock that moves only when a test says so, on the timer wheel that the process clock uses.

import type { Clock } from "../../src/time/clock.ts";
import { type Timer, TimerWheel } from "../../src/time/timer-wheel.ts";

/**
 * As the real clock it never fires early and up to a tick of 4 ms late, so tests advance by
 * multiples of that.
 */
export class FakeClock implements Clock {
  #nowMs: number;
  readonly #wheel: TimerWheel;

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
  }

  cancel(timer: Timer): void {
    this.#wheel.cancel(timer);
  }

  /**
   * Moves time on by `ms`. Timers fire in the order in which they are due, each at its own time.
   */
  advance(ms: number): void {
    const targetMs = this.#nowMs + ms;
    for (;;) {
      const wakeMs = this.#wheel.nextWakeMs();
      if (wakeMs === undefined || wakeMs > targetMs) break;
      this.#nowMs = Math.max(this.#nowMs, wakeMs);
      this.#wheel.advance(this.#nowMs);
    }
    this.#nowMs = targetMs;
    this.#wheel.advance(targetMs);
  }
}
