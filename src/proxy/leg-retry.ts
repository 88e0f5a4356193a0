// Retries of one destination by its policy (gRFC A6): whether another attempt follows one that
// failed, and when.

import type { ClientConn } from "../client/client-conn.ts";
import { pushbackOf, type RetryPolicy, retryDelayMs } from "../client/retry-policy.ts";
import type { Status } from "../grpc/status.ts";
import type { Clock } from "../time/clock.ts";
import { Timer, type TimerOwner } from "../time/timer-wheel.ts";
import { HeaderField, type HeaderList } from "../wire/field.ts";

const PREVIOUS_ATTEMPTS = "grpc-previous-rpc-attempts";

/** Counts the attempts of a destination that has a policy, and waits for the next. */
export class LegRetry implements TimerOwner {
  private readonly policy: RetryPolicy;
  private readonly clock: Clock;
  private readonly onTime: () => void;
  private readonly timer: Timer;
  /** Attempts that failed. What is sent again without a policy is the same attempt. */
  private failedCount = 0;
  /** Waits since the backend last said how long. */
  private step = 0;

  /** @param onTime the next attempt is to be made */
  constructor(policy: RetryPolicy, clock: Clock, onTime: () => void) {
    this.policy = policy;
    this.clock = clock;
    this.onTime = onTime;
    this.timer = new Timer(this);
  }

  /**
   * An attempt on `conn` has failed.
   * @param trailers what came with the status, when a backend sent it
   * @param repeatable all of the request is kept, and nothing of the answer has gone on
   * @param deadlineMs when the call has to be over, on the clock
   * @returns another follows: `onTime` says when
   */
  follows(
    conn: ClientConn,
    status: Status,
    trailers: HeaderList,
    repeatable: boolean,
    deadlineMs: number,
  ): boolean {
    this.failedCount++;
    const pushback = pushbackOf(trailers);
    const { retryThrottle } = conn;
    const isRetryable = this.policy.retryableStatuses.includes(status);
    if (isRetryable || pushback === "never") retryThrottle?.onFailure();
    // As grpc-go: a backend that says when to come again does not say that it has done nothing.
    if (!isRetryable || pushback === "never") return false;
    if (!repeatable || this.failedCount >= this.policy.maxAttempts) return false;
    if (retryThrottle?.allows === false) return false;
    const delayMs = pushback ?? retryDelayMs(this.policy, this.step, conn.random);
    // It would not be sent any more, and the status that is here says more than the deadline's.
    if (this.clock.nowMs() + delayMs >= deadlineMs) return false;
    this.step = pushback === undefined ? this.step + 1 : 0;
    this.clock.schedule(this.timer, delayMs);
    return true;
  }

  onSuccess(conn: ClientConn): void {
    conn.retryThrottle?.onSuccess();
  }

  onTimer(): void {
    this.onTime();
  }

  /** The destination has ended. */
  cancel(): void {
    this.clock.cancel(this.timer);
  }

  /** `headers` with how often it was sent before, by whoever sent it here and from here. */
  tagged(headers: HeaderList): HeaderList {
    if (this.failedCount === 0) return headers;
    let count = this.failedCount;
    const tagged: HeaderField[] = [];
    for (const field of headers) {
      if (field.name !== PREVIOUS_ATTEMPTS) tagged.push(field);
      else if (/^\d{1,9}$/.test(field.value)) count += Number(field.value);
    }
    tagged.push(new HeaderField(PREVIOUS_ATTEMPTS, String(count)));
    return tagged;
  }
}
