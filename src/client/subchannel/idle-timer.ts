// Notices that something has not been used for a while, without a note of the time at each use.

import type { Clock } from "../../time/clock.ts";
import { Timer, type TimerOwner } from "../../time/timer-wheel.ts";

/** A session or a connection. */
export interface IdleOwner {
  /** After this many milliseconds without use it is idle. It may change. Infinity: never. */
  readonly idleLimitMs: number;
  /** When it was last seen in use: `nowMs` if it is, or was since somebody last asked. */
  lookBusyMs(nowMs: number): number;
  /** It has not been used for `idleLimitMs`. */
  onIdle(): void;
}

/**
 * The number of looks per idle limit. Uses leave no time behind, so it is found idle up to one look
 * late, and never early.
 */
const IDLE_LOOKS = 4;

/** Looks from time to time whether its owner is in use. */
export class IdleTimer implements TimerOwner {
  private readonly owner: IdleOwner;
  private readonly clock: Clock;
  private readonly timer: Timer;
  private startedMs = 0;

  constructor(owner: IdleOwner, clock: Clock) {
    this.owner = owner;
    this.clock = clock;
    this.timer = new Timer(this);
  }

  /** It counts as used now. */
  start(): void {
    this.startedMs = this.clock.nowMs();
    this.lookAgain();
  }

  stop(): void {
    this.clock.cancel(this.timer);
  }

  onTimer(): void {
    const nowMs = this.clock.nowMs();
    const busyMs = Math.max(this.startedMs, this.owner.lookBusyMs(nowMs));
    if (nowMs - busyMs >= this.owner.idleLimitMs) this.owner.onIdle();
    else this.lookAgain();
  }

  lookAgain(): void {
    const { idleLimitMs } = this.owner;
    if (idleLimitMs === Number.POSITIVE_INFINITY) return;
    this.clock.schedule(this.timer, idleLimitMs / IDLE_LOOKS);
  }
}
