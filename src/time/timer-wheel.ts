// A hashed timer wheel: scheduling and cancelling a timer links or unlinks it, whatever the number
// of timers. Deadlines of calls almost never fire, and a wheel makes them nearly free. Pure: the
// wheel is told the time.

/** Is called when a timer is due. */
export interface TimerOwner {
  onTimer(timer: Timer): void;
}

/**
 * One timer; it is on the wheel at most once. It can be used again after it fired or was cancelled.
 * All fields but `owner` belong to the clock that schedules it. A clock without a wheel sets `slot`
 * to 0 while the timer is scheduled, and back to -1 before it fires.
 */
export class Timer {
  readonly owner: TimerOwner;
  dueMs = 0;
  previous: Timer | undefined;
  next: Timer | undefined;
  /** Index of the timer's slot; -1 when it is not scheduled. */
  slot = -1;

  constructor(owner: TimerOwner) {
    this.owner = owner;
  }

  get scheduled(): boolean {
    return this.slot !== -1;
  }
}

/** Width of one slot. Timers fire up to this much late, never early. */
const TICK_MS = 4;
const SLOT_COUNT = 2048;

export class TimerWheel {
  readonly #slots: (Timer | undefined)[] = new Array(SLOT_COUNT).fill(undefined);
  /** The last tick whose slot was run. */
  #tick: number;
  #size = 0;

  constructor(nowMs: number) {
    this.#tick = Math.floor(nowMs / TICK_MS);
  }

  /** Timers on the wheel. */
  get size(): number {
    return this.#size;
  }

  /** Puts `timer` on the wheel, or moves it. A `dueMs` in the past fires at the next `advance`. */
  schedule(timer: Timer, dueMs: number): void {
    if (timer.slot !== -1) this.cancel(timer);
    // Rounding up keeps the promise that no timer is early.
    const tick = Math.max(Math.ceil(dueMs / TICK_MS), this.#tick + 1);
    const slot = tick % SLOT_COUNT;
    timer.dueMs = tick * TICK_MS;
    timer.slot = slot;
    const head = this.#slots[slot];
    timer.next = head;
    if (head !== undefined) head.previous = timer;
    this.#slots[slot] = timer;
    this.#size++;
  }

  cancel(timer: Timer): void {
    if (timer.slot === -1) return;
    const { previous, next } = timer;
    if (previous === undefined) this.#slots[timer.slot] = next;
    else previous.next = next;
    if (next !== undefined) next.previous = previous;
    timer.previous = undefined;
    timer.next = undefined;
    timer.slot = -1;
    this.#size--;
  }

  /**
   * Fires every timer that is due at `nowMs`. Timers scheduled meanwhile wait for the next call.
   */
  advance(nowMs: number): void {
    const target = Math.floor(nowMs / TICK_MS);
    if (target <= this.#tick) return;
    // After a long sleep one turn of the wheel visits every slot.
    const first = Math.max(this.#tick + 1, target - SLOT_COUNT + 1);
    this.#tick = target;
    const limitMs = target * TICK_MS;
    let tick = first;
    let completed = false;
    try {
      for (; tick <= target && this.#size > 0; tick++) this.#fireDue(tick % SLOT_COUNT, limitMs);
      completed = true;
    } finally {
      // An owner threw. The timers that it kept from firing are due at the next call, not a turn of
      // the wheel later.
      if (!completed) this.#tick = tick - 1;
    }
  }

  #fireDue(slot: number, limitMs: number): void {
    for (let timer = this.#slots[slot]; timer !== undefined; ) {
      const next: Timer | undefined = timer.next;
      if (timer.dueMs > limitMs) {
        timer = next;
        continue;
      }
      this.cancel(timer);
      timer.owner.onTimer(timer);
      // An owner may cancel any other timer while it runs. If the next one is gone, the list is
      // walked again from its beginning.
      timer = next === undefined || next.slot === slot ? next : this.#slots[slot];
    }
  }

  /**
   * When `advance` next has something to do, in the time of the wheel; `undefined` without a timer.
   */
  nextWakeMs(): number | undefined {
    if (this.#size === 0) return undefined;
    for (let ahead = 1; ahead <= SLOT_COUNT; ahead++) {
      const tick = this.#tick + ahead;
      if (this.#slots[tick % SLOT_COUNT] !== undefined) return tick * TICK_MS;
    }
    return undefined;
  }
}
