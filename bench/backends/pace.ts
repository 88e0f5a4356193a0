// The speed of a backend: how many calls it works on at a time, and how long they take it.

import type { ListenerEvents } from "../../src/transport/transport.ts";
import { leanBackend, type ServedCount } from "./lean.ts";

/** Ten backends of one service, from new machines to old: the mean milliseconds of a call. */
const UNEVEN_MS = [2, 2, 3, 3, 4, 5, 6, 8, 12, 20] as const;
/** Calls that a backend works on at a time; others wait their turn. */
const SLOTS = 4;
/** No call takes more than this many times the mean. */
const MAX_TIMES = 6;

/** Calls differ: most are short, and a few are long. An exponential distribution, cut off. */
function timesMean(): number {
  return Math.min(-Math.log(1 - Math.random()), MAX_TIMES);
}

/** Runs pieces of work, `SLOTS` at a time. */
class Pace {
  readonly #workMs: number;
  readonly #waiting: (() => void)[] = [];
  #busyCount = 0;

  constructor(workMs: number) {
    this.#workMs = workMs;
  }

  /** Calls `done` when the work is done, after the work that came before. */
  readonly run = (done: () => void): void => {
    if (this.#busyCount === SLOTS) this.#waiting.push(done);
    else {
      this.#busyCount++;
      this.#begin(done);
    }
  };

  #begin(done: () => void): void {
    setTimeout(() => {
      done();
      const next = this.#waiting.shift();
      if (next === undefined) this.#busyCount--;
      else this.#begin(next);
    }, this.#workMs * timesMean());
  }
}

/** The events of ten listening sockets, one for each backend. */
export function unevenBackends(served: ServedCount): readonly ListenerEvents[] {
  return UNEVEN_MS.map((workMs) => leanBackend(served, new Pace(workMs).run));
}
