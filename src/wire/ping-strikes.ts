// Whether a client sends PING more often than it may (gRFC A8, "Server Enforcement"). Pure: it is
// told the time.

/** The debug data of GOAWAY(ENHANCE_YOUR_CALM) to a client that sends too many PINGs. */
export const TOO_MANY_PINGS = "too_many_pings";

/** PINGs that may come too soon, since the last HEADERS or DATA that was sent. */
const MAX_STRIKES = 2;

/** The PINGs of one client. */
export class PingStrikes {
  private readonly minIntervalMs: number;
  private strikes = 0;
  private lastValidMs: number = Number.NEGATIVE_INFINITY;
  private sentFrames = 0;

  constructor(minIntervalMs: number) {
    this.minIntervalMs = minIntervalMs;
  }

  /**
   * A PING came.
   * @param sentFrames HEADERS and DATA that were sent so far: each lets the client ask at once
   * @returns whether that is one too many
   */
  take(nowMs: number, sentFrames: number): boolean {
    if (sentFrames !== this.sentFrames) {
      this.sentFrames = sentFrames;
      this.strikes = 0;
      this.lastValidMs = Number.NEGATIVE_INFINITY;
    }
    if (this.lastValidMs + this.minIntervalMs <= nowMs) {
      this.lastValidMs = nowMs;
      return false;
    }
    this.strikes++;
    return this.strikes > MAX_STRIKES;
  }
}
