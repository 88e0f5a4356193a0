// Says how long a session is kept: until it is old, or has had no call for a while.

import type { Clock } from "../../time/clock.ts";
import { Timer, type TimerOwner } from "../../time/timer-wheel.ts";
import { type IdleOwner, IdleTimer } from "./idle-timer.ts";

/** The owner of the session. */
interface LifetimeOwner extends IdleOwner {
  /** The session has reached its greatest age. */
  onOld(): void;
}

/** Watches the age and the idle time of one session, from the moment it takes calls. */
export class Lifetime implements TimerOwner {
  private readonly owner: LifetimeOwner;
  private readonly clock: Clock;
  private readonly idle: IdleTimer;
  private readonly ageTimer: Timer;

  constructor(owner: LifetimeOwner, clock: Clock) {
    this.owner = owner;
    this.clock = clock;
    this.idle = new IdleTimer(owner, clock);
    this.ageTimer = new Timer(this);
  }

  /** @param maxAgeMs Infinity for none */
  start(maxAgeMs: number): void {
    if (maxAgeMs !== Number.POSITIVE_INFINITY) this.clock.schedule(this.ageTimer, maxAgeMs);
    this.idle.start();
  }

  stop(): void {
    this.idle.stop();
    this.clock.cancel(this.ageTimer);
  }

  onTimer(): void {
    this.owner.onOld();
  }
}
