// How much of one thing a peer may do: a burst at once, then a rate.

/** A bucket that is looked at again only when it is empty, so a frame costs one decrement. */
export class TokenBucket {
  private readonly burst: number;
  private readonly perMs: number;
  private readonly perWorkFrame: number;
  private tokens: number;
  private refilledMs: number;
  private workFrames = 0;

  constructor(burst: number, perSecond: number, perWorkFrame: number, nowMs: number) {
    this.burst = burst;
    this.perMs = perSecond / 1_000;
    this.perWorkFrame = perWorkFrame;
    this.tokens = burst;
    this.refilledMs = nowMs;
  }

  /**
   * Takes one token; false when there is none.
   * @param workFrames frames that did work on this connection so far, which refill the bucket as
   *   time does
   */
  take(nowMs: number, workFrames: number): boolean {
    if (this.tokens >= 1) {
      this.tokens -= 1;
      return true;
    }
    const earned =
      (nowMs - this.refilledMs) * this.perMs + (workFrames - this.workFrames) * this.perWorkFrame;
    this.tokens = Math.min(this.burst, this.tokens + earned);
    this.refilledMs = nowMs;
    this.workFrames = workFrames;
    if (this.tokens < 1) return false;
    this.tokens -= 1;
    return true;
  }
}
