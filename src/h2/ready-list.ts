// The streams that have queued DATA and window for it, in the order of their turns. The links lie
// in the streams, so linking allocates nothing.

import type { H2Stream } from "./stream.ts";

export class ReadyList<Owner> {
  head: H2Stream<Owner> | undefined = undefined;
  private tail: H2Stream<Owner> | undefined = undefined;

  /** Puts `stream` at the end, unless it is in the list. */
  push(stream: H2Stream<Owner>): void {
    if (stream.isReady) return;
    stream.isReady = true;
    const tail = this.tail;
    stream.readyPrevious = tail;
    if (tail === undefined) this.head = stream;
    else tail.readyNext = stream;
    this.tail = stream;
  }

  /** Takes `stream` out, if it is in the list. */
  remove(stream: H2Stream<Owner>): void {
    if (!stream.isReady) return;
    stream.isReady = false;
    const { readyPrevious: previous, readyNext: next } = stream;
    if (previous === undefined) this.head = next;
    else previous.readyNext = next;
    if (next === undefined) this.tail = previous;
    else next.readyPrevious = previous;
    stream.readyPrevious = undefined;
    stream.readyNext = undefined;
  }
}
