// Our own load generator. In a closed loop each slot begins its next call when the last one ended.
// In an open loop calls begin at a fixed rate whatever the subject does, so that queueing is not
// hidden.

import type { Transport } from "../../src/transport/transport.ts";
import { Histogram, latencyFigures } from "../measure/statistics.ts";
import {
  type CallReporter,
  type CallSlot,
  PingPongCall,
  RequestReplyCall,
  type Script,
  scriptOf,
} from "./calls.ts";
import { type LoadSession, openSessions, requestHeaders } from "./sessions.ts";
import { BULK, type LoadResult, type LoadTarget, type Workload } from "./workload.ts";

export interface LoadPlan {
  readonly workload: Workload;
  readonly target: LoadTarget;
  readonly warmupMs: number;
  readonly durationMs: number;
  /** Calls per second, for an open loop. */
  readonly ratePerSecond?: number | undefined;
}

/**
 * It is called at both ends of the measured time, so that CPU time is read for exactly that time.
 */
export interface LoadObserver {
  onMeasuring(): void;
  onMeasured(): void;
}

const DRAIN_LIMIT_MS = 20_000;
/** An open loop that is this many calls behind shows that the subject cannot carry the rate. */
const BACKLOG_LIMIT = 20_000;
/** Calls that fail at once must not turn the generator into a busy loop. */
const FAILURE_PAUSE_MS = 5;

export async function runLoad(
  transport: Transport,
  plan: LoadPlan,
  observer: LoadObserver,
): Promise<LoadResult> {
  const { connectionCount } = plan.workload;
  const sessions = await openSessions(transport, plan.target, connectionCount);
  try {
    return await new LoadRun(plan, sessions).run(observer);
  } finally {
    for (const session of sessions) session.close();
  }
}

class LoadRun implements CallReporter {
  readonly #plan: LoadPlan;
  readonly #sessions: readonly LoadSession[];
  readonly #script: Script;
  readonly #histogram = new Histogram();
  readonly #lateness = new Histogram();
  readonly #failures: Record<string, number> = {};
  readonly #slots: CallSlot[] = [];
  readonly #sessionOf = new Map<CallSlot, LoadSession>();
  readonly #free: CallSlot[] = [];
  #recording = false;
  #callCount = 0;
  #messageCount = 0;
  #openCount = 0;
  #overloaded = false;
  #drained: (() => void) | undefined;
  stopping = false;

  constructor(plan: LoadPlan, sessions: readonly LoadSession[]) {
    this.#plan = plan;
    this.#sessions = sessions;
    const { workload, target } = plan;
    this.#script = scriptOf(workload, (method) =>
      requestHeaders(method, target, workload.metadataCount),
    );
  }

  async run(observer: LoadObserver): Promise<LoadResult> {
    const { warmupMs, durationMs, ratePerSecond } = this.#plan;
    if (ratePerSecond === undefined) this.#startClosedLoop();
    else this.#startOpenLoop(ratePerSecond);
    await sleep(warmupMs);
    observer.onMeasuring();
    const startMs = performance.now();
    this.#recording = true;
    await sleep(durationMs);
    this.#recording = false;
    const elapsedMs = performance.now() - startMs;
    observer.onMeasured();
    await this.#drain();
    return {
      callCount: this.#callCount,
      messageCount: this.#messageCount,
      elapsedMs,
      // Closing the connections ends calls that are still open. Those are no failures.
      failures: { ...this.#failures },
      latency: latencyFigures(this.#histogram),
      overloaded: this.#overloaded,
      latenessP99Us: this.#lateness.count > 0 ? this.#lateness.quantileUs(0.99) : undefined,
    };
  }

  #newSlot(session: LoadSession): CallSlot {
    const slot =
      this.#plan.workload.kind === "bidi"
        ? new PingPongCall(this.#script, this)
        : new RequestReplyCall(this.#script, this);
    this.#slots.push(slot);
    this.#sessionOf.set(slot, session);
    return slot;
  }

  #startClosedLoop(): void {
    this.#startBulk();
    for (const session of this.#sessions) {
      for (let i = 0; i < this.#plan.workload.streamsPerConnection; i++) {
        this.#begin(this.#newSlot(session), performance.now());
      }
    }
  }

  /** Bulk streams are no slots: nobody waits for them, and their bytes are not counted. */
  #startBulk(): void {
    const { workload, target } = this.#plan;
    const { bulkStreams = 0 } = workload;
    if (bulkStreams === 0) return;
    const script = scriptOf(BULK, (method) => requestHeaders(method, target, 0));
    for (const session of this.#sessions) {
      const again = (slot: CallSlot): void => {
        if (!this.stopping && session.end === undefined) slot.start(session, 0);
      };
      const reporter: CallReporter = {
        stopping: false,
        completed: again,
        failed: (slot, reason) => {
          this.#count(`bulk stream: ${reason}`);
          setTimeout(again, FAILURE_PAUSE_MS, slot);
        },
        echoed: () => {},
      };
      for (let i = 0; i < bulkStreams; i++) {
        new RequestReplyCall(script, reporter).start(session, 0);
      }
    }
  }

  #begin(slot: CallSlot, dueMs: number): void {
    this.#openCount++;
    slot.start(this.#sessionOf.get(slot)!, dueMs);
  }

  #startOpenLoop(ratePerSecond: number): void {
    const startMs = performance.now();
    let begunCount = 0;
    const tick = (): void => {
      if (this.stopping) return;
      const nowMs = performance.now();
      const dueCount = Math.floor(((nowMs - startMs) * ratePerSecond) / 1_000);
      while (begunCount < dueCount && !this.stopping) {
        if (this.#openCount >= BACKLOG_LIMIT) {
          this.#overloaded = true;
          this.stopping = true;
          return;
        }
        begunCount++;
        if (this.#recording) {
          this.#lateness.record((nowMs - startMs - (begunCount * 1_000) / ratePerSecond) * 1_000);
        }
        const session = this.#sessions[begunCount % this.#sessions.length]!;
        const slot = this.#free.pop() ?? this.#newSlot(session);
        this.#sessionOf.set(slot, session);
        // The time counts from this wake-up. The coarseness of a timer is the generator's fault;
        // waiting for a stream is not.
        this.#begin(slot, nowMs);
      }
      setTimeout(tick, 1);
    };
    tick();
  }

  completed(slot: CallSlot, startedMs: number, messageCount: number): void {
    const nowMs = performance.now();
    if (this.#recording && !(slot instanceof PingPongCall)) {
      this.#callCount++;
      this.#messageCount += messageCount;
      this.#histogram.record((nowMs - startedMs) * 1_000);
    }
    this.#ended(slot, nowMs);
  }

  echoed(startedMs: number): void {
    if (!this.#recording) return;
    this.#messageCount++;
    this.#histogram.record((performance.now() - startedMs) * 1_000);
  }

  failed(slot: CallSlot, reason: string): void {
    this.#count(reason);
    if (this.stopping || this.#plan.ratePerSecond !== undefined) {
      this.#ended(slot, performance.now());
      return;
    }
    setTimeout(() => this.#ended(slot, performance.now()), FAILURE_PAUSE_MS);
  }

  #count(reason: string): void {
    this.#failures[reason] = (this.#failures[reason] ?? 0) + 1;
  }

  #ended(slot: CallSlot, nowMs: number): void {
    this.#openCount--;
    if (this.stopping) {
      if (this.#openCount === 0) this.#drained?.();
    } else if (this.#plan.ratePerSecond !== undefined) this.#free.push(slot);
    else if (this.#sessionOf.get(slot)!.end === undefined) this.#begin(slot, nowMs);
  }

  async #drain(): Promise<void> {
    this.stopping = true;
    for (const slot of this.#slots) if (slot instanceof PingPongCall) slot.finish();
    // A backlog may be too long for any wait, and it already is the finding.
    if (this.#openCount === 0 || this.#overloaded) return;
    const drained = new Promise<void>((resolve) => {
      this.#drained = resolve;
    });
    await Promise.race([drained, sleep(DRAIN_LIMIT_MS)]);
    // Each of them is a call that got no answer.
    if (this.#openCount > 0) {
      this.#failures[`no answer within ${DRAIN_LIMIT_MS} ms`] = this.#openCount;
    }
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
