// The wait after sessions that the server ends before it has answered a call, by GOAWAY or before
// there was one: connecting to such a server in a loop would help nobody. A session that is lost
// with its calls has no such wait: the calls that end it bound the loop.

import type { Clock } from "../../time/clock.ts";
import type { SessionAttempt } from "./attempts.ts";
import type { ConnectionBackoff } from "./connection-backoff.ts";

/**
 * A session that has taken this many calls did work, even if it goes away before it has answered
 * one. Some servers send GOAWAY to the hundredth request of each connection, and need their time.
 */
const WORKING_CALLS = 16;

/**
 * Decides how long to wait before the next connection to an address, by the end of the latest
 * session.
 */
export class EarlyEndBackoff {
  readonly #clock: Clock;
  readonly #backoff: ConnectionBackoff;
  /** The latest session that the server ended. It is judged when the next session is made. */
  #latest: SessionAttempt | undefined;
  /** How many sessions in a row were gone before they had answered a call. */
  #unanswered = 0;

  constructor(clock: Clock, backoff: ConnectionBackoff) {
    this.#clock = clock;
    this.#backoff = backoff;
  }

  /** The latest session that the server ended had worked. */
  get isHealthy(): boolean {
    return this.#unanswered === 0;
  }

  /** The server said GOAWAY to `attempt`, or its session was lost before there was a call. */
  add(attempt: SessionAttempt): void {
    attempt.goneMs = this.#clock.nowMs();
    // Our stream ids are the odd ones (RFC 9113 §5.1.1).
    const idsTaken = (attempt.lastStreamId + 1) >>> 1;
    attempt.takenCount = Math.min(attempt.openStreamCount, idsTaken);
    this.#latest = attempt;
  }

  /** A session that had calls was lost. That ends the row. */
  forgive(): void {
    this.#latest = undefined;
    this.#unanswered = 0;
  }

  /** Judges the latest session now, and keeps it no longer. */
  settle(): void {
    this.#judge();
  }

  /** @returns the latest session, if it has not been judged before */
  #judge(): SessionAttempt | undefined {
    const gone = this.#latest;
    this.#latest = undefined;
    if (gone === undefined) return undefined;
    if (gone.session.answered || gone.takenCount >= WORKING_CALLS) this.#worked();
    else this.#unanswered++;
    return gone;
  }

  #worked(): void {
    this.#unanswered = 0;
    this.#backoff.reset();
  }

  /**
   * A session that is gone before it has answered anything is a failure to connect: the wait counts
   * from when it was begun. The first of a row is none, for a server may be about to go at any
   * time, and calls that it did not begin are sent once more. Nor is one that stood for as long as
   * the wait, or has taken `WORKING_CALLS`.
   * @returns milliseconds; 0 to connect now
   */
  takeWaitMs(): number {
    const gone = this.#judge();
    if (gone === undefined || this.#unanswered < 2) return 0;
    const waitMs = this.#backoff.nextMs();
    const { startedMs, goneMs } = gone;
    if (goneMs - startedMs < waitMs) return Math.max(0, startedMs + waitMs - this.#clock.nowMs());
    this.#worked();
    return 0;
  }
}
