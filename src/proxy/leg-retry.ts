// Retries of one destination by its policy (gRFC A6): whether another attempt follows a failed one,
// and when.

import type { ClientConn } from "../client/client-conn.ts";
import { pushbackOf, type RetryPolicy, retryDelayMs } from "../client/retry-policy.ts";
import type { Status } from "../grpc/status.ts";
import type { Clock } from "../time/clock.ts";
import { Timer, type TimerOwner } from "../time/timer-wheel.ts";
import { HeaderField, type HeaderList } from "../wire/field.ts";

const PREVIOUS_ATTEMPTS = "grpc-previous-rpc-attempts";

/** Counts the attempts of a destination that has a policy, and waits for the next attempt. */
export class LegRetry implements TimerOwner {
  private readonly policy: RetryPolicy;
  private readonly clock: Clock;
  private readonly onTime: () => void;
  private readonly timer: Timer;
  /** Attempts that failed. A call that is sent again without a policy stays the same attempt. */
  private failedCount = 0;
  /** Waits since the backend last named a time. */
  private step = 0;

  /** @param onTime called when the next attempt is to be made */
  constructor(policy: RetryPolicy, clock: Clock, onTime: () => void) {
    this.policy = policy;
    this.clock = clock;
    this.onTime = onTime;
    this.timer = new Timer(this);
  }

  /**
   * An attempt on `conn` has failed.
   * @param trailers the trailers with the status, if a backend sent it
   * @param repeatable all of the request is kept, and nothing of the answer has gone on
   * @param deadlineMs when the call has to be over, on the clock
   * @returns whether another attempt follows; `onTime` is called when it is due
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
    // As in grpc-go: a backend that names a time to retry does not say that it has done nothing.
    if (!isRetryable || pushback === "never") return false;
    if (!repeatable || this.failedCount >= this.policy.maxAttempts) return false;
    if (retryThrottle?.allows === false) return false;
    const delayMs = pushback ?? retryDelayMs(this.policy, this.step, conn.random);
    // The attempt could not be sent in time, and this status says more than the deadline's.
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

  /**
   * `headers` with the number of previous attempts, those before this relay and those of this
   * relay.
   */
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
