// The streams that each source has open on one connection. They are counted only while room is
// scarce; otherwise a call costs a subtraction.

import type { ClientSession, StreamListener, StreamWatcher } from "../transport/transport.ts";
import { OWN_CALLS, reserveOf, shareOf } from "./fair-share.ts";
import { NO_CALL } from "./subchannel/side-stream.ts";

/** The sessions whose streams are shared. */
interface SharedSessions {
  /** How many streams may be open at a time, with sessions that can still be made. */
  readonly capacity: number;
  /** Those that take calls; a new list. */
  readonly readySessions: readonly ClientSession[];
  /** Calls under way on those. */
  readonly readyStreamCount: number;
}

/**
 * How many calls may begin before the next look, at most. It is a number that needs no object of
 * its own.
 */
const MAX_SPARE = 0x3fffffff;

/** The watch while room is scarce. */
interface Watch {
  readonly sessions: readonly ClientSession[];
  readonly capacity: number;
  readonly reserve: number;
}

/**
 * Says which calls may begin. While more room is left than the reserve, all may. Then only those of
 * sources that hold less than their share.
 *
 * At most times nothing is counted: a look at the sessions tells how many calls may begin before
 * room can be scarce, whatever ends meanwhile. When room is scarce, the sessions are watched: they
 * tell of the streams that are open, and of those that come and go, until there is twice as much
 * room as the reserve.
 */
export class StreamShares implements StreamWatcher {
  readonly #shared: SharedSessions;
  readonly #onFewer: (source: unknown) => void;
  /** So many calls may begin unseen; 0 while room is scarce. */
  #spare = 0;
  #watch: Watch | undefined;
  /** The sessions have changed since the last look. */
  #isStale = false;
  /** For each source how many streams it has open, at least one. Empty while nothing is watched. */
  readonly #held = new Map<unknown, number>();
  /** The sum of `#held`. */
  #total = 0;

  /** @param onFewer told of a source that has a stream less, while room is scarce */
  constructor(shared: SharedSessions, onFewer: (source: unknown) => void) {
    this.#shared = shared;
    this.#onFewer = onFewer;
  }

  /** Whether `call` may begin now. Then it is expected to begin. */
  takes(call: StreamListener): boolean {
    if (this.#spare > 0) {
      this.#spare--;
      return true;
    }
    const watch = this.#scarcity();
    return (
      watch === undefined || this.#heldBy(sourceOf(call)) < shareOf(watch.capacity, this.#held)
    );
  }

  /** No room is left beyond the reserve. */
  get isScarce(): boolean {
    return this.#spare === 0 && this.#scarcity() !== undefined;
  }

  /** Other sessions take calls than before, or their limits are others. */
  onCapacity(): void {
    this.#spare = 0;
    this.#isStale = true;
    // Nothing is kept of sessions that are gone.
    if (this.#watch !== undefined && this.#shared.capacity === 0) this.#unwatch();
  }

  onStreamOpened(listener: StreamListener): void {
    const source = sourceOf(listener);
    if (source === NO_CALL) return;
    this.#total++;
    this.#held.set(source, this.#heldBy(source) + 1);
  }

  onStreamEnded(listener: StreamListener): void {
    const source = sourceOf(listener);
    if (source === NO_CALL) return;
    this.#total--;
    const left = this.#heldBy(source) - 1;
    if (left > 0) this.#held.set(source, left);
    else this.#held.delete(source);
    this.#onFewer(source);
  }

  #heldBy(source: unknown): number {
    return this.#held.get(source) ?? 0;
  }

  /** The watch if no room is left beyond the reserve. Otherwise calls may begin. */
  #scarcity(): Watch | undefined {
    const room = this.#watch === undefined ? 0 : this.#watch.capacity - this.#total;
    if (this.#watch === undefined || this.#isStale || room > 2 * this.#watch.reserve) {
      return this.#look();
    }
    return room > this.#watch.reserve ? undefined : this.#watch;
  }

  #look(): Watch | undefined {
    this.#unwatch();
    this.#isStale = false;
    const { capacity, readySessions: sessions, readyStreamCount } = this.#shared;
    const reserve = reserveOf(capacity);
    const spare = capacity - reserve - readyStreamCount;
    // Where there is no capacity, there is nothing to share. What begins is not part of `spare`.
    if (spare > 0 || capacity === 0) {
      this.#spare = capacity === 0 ? MAX_SPARE : Math.min(spare - 1, MAX_SPARE);
      return undefined;
    }
    this.#watch = { sessions, capacity, reserve };
    for (const session of sessions) session.watchStreams(this);
    return this.#watch;
  }

  #unwatch(): void {
    if (this.#watch === undefined) return;
    for (const session of this.#watch.sessions) session.watchStreams(undefined);
    this.#watch = undefined;
    this.#held.clear();
    this.#total = 0;
  }
}

function sourceOf({ fairnessKey }: StreamListener): unknown {
  return fairnessKey ?? OWN_CALLS;
}
