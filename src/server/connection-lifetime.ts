// Bounds the life of one connection (gRFC A9): a connection that is too old, or idle for too long,
// is drained.

import { ErrorReason, failure } from "../grpc/error.ts";
import { Status } from "../grpc/status.ts";
import { Timer, type TimerOwner } from "../time/timer-wheel.ts";
import type { Session } from "../transport/transport.ts";
import { ErrorCode } from "../wire/error-code.ts";
import type { ResolvedConnectionOptions } from "./connection-options.ts";
import { LAST_STATUSES_MS, type OpenCalls } from "./open-calls.ts";

/** Age is spread by this much to both sides. */
const AGE_JITTER = 0.1;

/** How many times per idle time idleness is checked. Nothing is done for each call. */
const IDLE_LOOKS = 8;

const TOO_OLD = "the connection has reached its maximum age";

/** How far a connection is that may be too old: its calls have a grace, and then are cut off. */
type Age = "young" | "old" | "cutOff";

/** Without a bound no object is made. */
export function isBounded(options: ResolvedConnectionOptions): boolean {
  const { maxConnectionAgeMs, maxConnectionIdleMs } = options;
  return Math.min(maxConnectionAgeMs, maxConnectionIdleMs) < Number.POSITIVE_INFINITY;
}

export class ConnectionLifetime implements TimerOwner {
  /** Streams that have come; the listener of the connection counts them. */
  streamCount = 0;
  private readonly session: Session;
  private readonly calls: OpenCalls;
  private readonly options: ResolvedConnectionOptions;
  private readonly ageTimer: Timer;
  private readonly idleTimer: Timer;
  private age: Age = "young";
  /** When the connection was first seen without a stream. */
  private idleSinceMs: number;
  private seenStreamCount = 0;

  constructor(session: Session, calls: OpenCalls, options: ResolvedConnectionOptions) {
    this.session = session;
    this.calls = calls;
    this.options = options;
    this.ageTimer = new Timer(this);
    this.idleTimer = new Timer(this);
    const { clock } = calls;
    this.idleSinceMs = clock.nowMs();
    const { maxConnectionAgeMs, maxConnectionIdleMs, random } = options;
    if (maxConnectionAgeMs < Number.POSITIVE_INFINITY) {
      const spread = 1 + AGE_JITTER * (2 * random() - 1);
      clock.schedule(this.ageTimer, maxConnectionAgeMs * spread);
    }
    if (maxConnectionIdleMs < Number.POSITIVE_INFINITY) {
      clock.schedule(this.idleTimer, maxConnectionIdleMs / IDLE_LOOKS);
    }
  }

  /** The connection is gone. */
  end(): void {
    this.calls.clock.cancel(this.ageTimer);
    this.calls.clock.cancel(this.idleTimer);
  }

  onTimer(timer: Timer): void {
    if (timer === this.idleTimer) this.lookForCalls();
    else this.grow();
  }

  private lookForCalls(): void {
    const { session, streamCount, calls } = this;
    if (!session.accepting) return;
    const nowMs = calls.clock.nowMs();
    if (session.openStreamCount > 0 || streamCount !== this.seenStreamCount) {
      this.idleSinceMs = nowMs;
    }
    this.seenStreamCount = streamCount;
    const { maxConnectionIdleMs } = this.options;
    const leftMs = this.idleSinceMs + maxConnectionIdleMs - nowMs;
    if (leftMs <= 0) session.drain();
    else calls.clock.schedule(this.idleTimer, Math.min(leftMs, maxConnectionIdleMs / IDLE_LOOKS));
  }

  private grow(): void {
    const { session, calls } = this;
    const { maxConnectionAgeGraceMs } = this.options;
    if (this.age === "young") {
      this.age = "old";
      session.drain();
      if (maxConnectionAgeGraceMs < Number.POSITIVE_INFINITY) {
        calls.clock.schedule(this.ageTimer, maxConnectionAgeGraceMs);
      }
    } else if (this.age === "old") {
      this.age = "cutOff";
      const reason = failure(Status.UNAVAILABLE, TOO_OLD, { reason: ErrorReason.SHUTDOWN });
      calls.cancelOn(session, reason);
      calls.clock.schedule(this.ageTimer, LAST_STATUSES_MS);
    } else {
      session.destroy(ErrorCode.NO_ERROR, TOO_OLD);
    }
  }
}
