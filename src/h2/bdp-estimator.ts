// Estimates a bandwidth-delay product: the bytes under way on a path when the path alone limits
// them. Pure: it is told of bytes, of the acknowledgements of its PINGs, and of the time.

/** Paths of shorter round trips are served well by the windows that connections begin with. */
const SHORT_PATH_MS = 1;
/**
 * A sample that has this much of the estimate is of a sender that waits for credit. It has no more
 * than the whole where all that may be out comes at once.
 */
const SATURATED = 0.8;
/** Growth was of use, and more may be, if the bandwidth is this many times what it was before. */
const USEFUL = 1.2;
/** The path may hold twice the bytes of one round trip: the window had limited them. */
const GROWTH = 2;
/** No estimate is higher; 16 MiB is 160 MB/s over 100 ms. */
const MAX_BYTES = 16_777_216;
/**
 * After a sample without growth the next one waits, each time twice as long, up to the second: a
 * connection in a steady state costs a PING a second while it moves much, and none otherwise.
 */
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1_000;

/**
 * One sample is the bytes between a PING and its acknowledgement: the sender had them out in one
 * round trip. When they are most of its window, the estimate doubles, as long as that brings
 * bandwidth. It never shrinks. Byte counts may wrap around at 2^32.
 */
export class BdpEstimator {
  /** The windows have to be at least this large. */
  bytes: number;

  private isSampling = false;
  private beganAtBytes = 0;
  private beganMs = 0;
  private shortestMs = Number.POSITIVE_INFINITY;
  /** In bytes per millisecond, when the estimate grew last. */
  private bandwidth = 0;
  private pauseMs = 0;
  private nextMs = 0;

  /** @param bytes the window that a sender has to begin with */
  constructor(bytes: number) {
    this.bytes = bytes;
  }

  /**
   * Credit goes back to the sender.
   * @param receivedBytes DATA that had come before what the credit is for
   * @returns whether a PING is to be sent now, whose acknowledgement ends the sample
   */
  begin(receivedBytes: number, nowMs: number): boolean {
    if (this.isSampling || nowMs < this.nextMs || this.bytes >= MAX_BYTES) return false;
    this.isSampling = true;
    this.beganAtBytes = receivedBytes;
    this.beganMs = nowMs;
    return true;
  }

  /** The PING is acknowledged. @returns whether that ended a sample and the estimate has grown */
  acknowledged(receivedBytes: number, nowMs: number): boolean {
    if (!this.isSampling) return false;
    this.isSampling = false;
    const sampleBytes = (receivedBytes - this.beganAtBytes) >>> 0;
    const roundTripMs = nowMs - this.beganMs;
    this.shortestMs = Math.min(this.shortestMs, roundTripMs);
    const bandwidth = sampleBytes / roundTripMs;
    if (
      this.shortestMs < SHORT_PATH_MS ||
      sampleBytes < SATURATED * this.bytes ||
      bandwidth < USEFUL * this.bandwidth
    ) {
      this.pauseMs = Math.min(LONGEST_PAUSE_MS, Math.max(FIRST_PAUSE_MS, 2 * this.pauseMs));
      this.nextMs = nowMs + this.pauseMs;
      return false;
    }
    this.pauseMs = 0;
    this.bandwidth = bandwidth;
    this.bytes = Math.max(this.bytes, Math.min(MAX_BYTES, GROWTH * sampleBytes));
    return true;
  }
}
