// Finds streams on which DATA waits and nothing goes out, because their peer gives them no room.
// The watch must not know HTTP/2. A session makes one only if its option has a bound.

import type { Clock } from "../time/clock.ts";
import { Timer, type TimerOwner } from "../time/timer-wheel.ts";

/**
 * So many looks in a row have to find that nothing went out. They are counted for the reason that
 * `StallWatch` has.
 */
const LOOKS = 8;

/** The rule that the peer broke, for `grpc-relay:refused`. */
export const GAVE_NO_ROOM = "gave no room to what waits for it";

/** The parts of a session that the watch of its streams uses. */
interface StallableStreams<S> {
  /** The streams that wait for their peer, in a list of their own. */
  starved(): readonly S[];
  /** A number that changes whenever something of `stream` goes out. */
  sentMark(stream: S): number;
  /** Nothing of `stream` went out for the whole time. It may have ended meanwhile. */
  onStreamStalled(stream: S): void;
}

interface Seen {
  readonly mark: number;
  readonly looks: number;
}

/** Looks at the streams of one session, from `begin` until `stop`. */
export class StreamStalls<S> implements TimerOwner {
  private readonly lookMs: number;
  private readonly clock: Clock;
  private readonly session: StallableStreams<S>;
  private readonly timer = new Timer(this);
  private seen: ReadonlyMap<S, Seen> = new Map();

  /** @returns `undefined` where nothing is to be watched */
  static of<S>(
    timeoutMs: number,
    clock: Clock,
    session: StallableStreams<S>,
  ): StreamStalls<S> | undefined {
    return timeoutMs === Number.POSITIVE_INFINITY
      ? undefined
      : new StreamStalls(timeoutMs, clock, session);
  }

  private constructor(timeoutMs: number, clock: Clock, session: StallableStreams<S>) {
    this.lookMs = timeoutMs / LOOKS;
    this.clock = clock;
    this.session = session;
  }

  begin(): void {
    this.clock.schedule(this.timer, this.lookMs);
  }

  stop(): void {
    this.clock.cancel(this.timer);
  }

  onTimer(): void {
    const { session } = this;
    // Before the owners are told: one of them may end the session.
    this.begin();
    const seen = new Map<S, Seen>();
    const stalled: S[] = [];
    for (const stream of session.starved()) {
      const mark = session.sentMark(stream);
      const before = this.seen.get(stream);
      const looks = before?.mark === mark ? before.looks + 1 : 0;
      if (looks < LOOKS) seen.set(stream, { mark, looks });
      else stalled.push(stream);
    }
    this.seen = seen;
    for (const stream of stalled) session.onStreamStalled(stream);
  }
}
