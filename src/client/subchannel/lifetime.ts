// Says how long a session is kept: until it is old, or has had no call for a while.

import type { Clock } from "../../time/clock.ts";
import { Timer, type TimerOwner } from "../../time/timer-wheel.ts";

/** The owner of the session. */
interface LifetimeOwner {
  /**
   * After this many milliseconds without a call the session is idle. It may change. Infinity:
   * never.
   */
  readonly idleLimitMs: number;
  /** Whether a call is under way, or one was begun since the last call of this method. */
  takeBusy(): boolean;
  /** The session has had no call for `idleLimitMs`. */
  onIdle(): void;
  /** The session has reached its greatest age. */
  onOld(): void;
}

/**
 * The number of looks per idle limit. Calls leave no time behind, so an idle session is found up to
 * one look late.
 */
const IDLE_LOOKS = 4;

/** Watches the age and the idle time of one session, from the moment it takes calls. */
export class Lifetime implements TimerOwner {
  private readonly owner: LifetimeOwner;
  private readonly clock: Clock;
  private readonly idleTimer: Timer;
  private readonly ageTimer: Timer;
  private busyMs = 0;

  constructor(owner: LifetimeOwner, clock: Clock) {
    this.owner = owner;
    this.clock = clock;
    this.idleTimer = new Timer(this);
    this.ageTimer = new Timer(this);
  }

  /** @param maxAgeMs Infinity for none */
  start(maxAgeMs: number): void {
    this.busyMs = this.clock.nowMs();
    if (maxAgeMs !== Number.POSITIVE_INFINITY) this.clock.schedule(this.ageTimer, maxAgeMs);
    this.lookAgain();
  }

  stop(): void {
    this.clock.cancel(this.idleTimer);
    this.clock.cancel(this.ageTimer);
  }

  onTimer(timer: Timer): void {
    if (timer === this.ageTimer) {
      this.owner.onOld();
      return;
    }
    const nowMs = this.clock.nowMs();
    if (this.owner.takeBusy()) this.busyMs = nowMs;
    if (nowMs - this.busyMs >= this.owner.idleLimitMs) this.owner.onIdle();
    else this.lookAgain();
  }

  private lookAgain(): void {
    const { idleLimitMs } = this.owner;
    if (idleLimitMs === Number.POSITIVE_INFINITY) return;
    this.clock.schedule(this.idleTimer, idleLimitMs / IDLE_LOOKS);
  }
}
