// The clock of the model: exact, without a wheel to make for each run, and open to a look at the
// timers that are scheduled.

import type { Clock } from "../../src/time/clock.ts";
import type { Timer } from "../../src/time/timer-wheel.ts";

export class ModelClock implements Clock {
  #nowMs = 1_000_000;
  /** The timers that are scheduled, in the order in which they were. */
  #timers: Timer[] = [];

  get timerCount(): number {
    return this.#timers.length;
  }

  /** When the next timer is due; Infinity without one. */
  get nextDueMs(): number {
    let dueMs = Number.POSITIVE_INFINITY;
    for (const timer of this.#timers) dueMs = Math.min(dueMs, timer.dueMs);
    return dueMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  schedule(timer: Timer, delayMs: number): void {
    this.cancel(timer);
    timer.dueMs = this.#nowMs + delayMs;
    timer.slot = 0;
    this.#timers.push(timer);
  }

  cancel(timer: Timer): void {
    if (timer.slot === -1) return;
    timer.slot = -1;
    this.#timers.splice(this.#timers.indexOf(timer), 1);
  }

  /** Moves time on to `targetMs`. Timers fire in the order in which they are due. */
  advanceTo(targetMs: number): void {
    for (;;) {
      const dueMs = this.nextDueMs;
      if (dueMs > targetMs) break;
      const timer = this.#timers.find((due) => due.dueMs === dueMs)!;
      this.#nowMs = Math.max(this.#nowMs, dueMs);
      this.cancel(timer);
      timer.owner.onTimer(timer);
    }
    this.#nowMs = Math.max(this.#nowMs, targetMs);
  }

  /** Whose timers are scheduled, by class, and how far off they are. */
  outline(): string {
    return this.#timers
      .map((timer) => `${timer.owner.constructor.name}+${timer.dueMs - this.#nowMs}`)
      .sort()
      .join();
  }

  /** How many timers belong to objects of these classes. */
  countOf(owners: ReadonlySet<string>): number {
    let count = 0;
    for (const { owner } of this.#timers) if (owners.has(owner.constructor.name)) count++;
    return count;
  }

  /** Forgets all timers, after a run that has failed. */
  clear(): void {
    for (const timer of [...this.#timers]) this.cancel(timer);
  }
}
