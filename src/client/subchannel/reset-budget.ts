// How many streams of one session may be reset before another session takes its place.

/**
 * Backends count resets, for they cannot tell a proxy whose clients cancel from an attack
 * (CVE-2023-44487), and end the connection with everybody's calls on it. node:http2 ends it beyond
 * 1,000 at once and 33 a second; this stays below.
 */
const RESET_BURST = 500;
const RESETS_PER_SECOND = 25;

export class ResetBudget {
  private left = RESET_BURST;
  private refilledMs: number;

  constructor(nowMs: number) {
    this.refilledMs = nowMs;
  }

  /** Counts one reset; false when it was the last that the session can stand. */
  take(nowMs: number): boolean {
    const earned = ((nowMs - this.refilledMs) * RESETS_PER_SECOND) / 1_000;
    this.left = Math.min(RESET_BURST, this.left + earned) - 1;
    this.refilledMs = nowMs;
    return this.left >= 1;
  }
}
