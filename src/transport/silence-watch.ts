// Finds a peer that is silent though its connection stands: when an answer is due and nothing at
// all comes, it is asked once by PING, and when nothing follows that either, it is gone. Pure: it
// is told the time and how much was read, and says what is to be done.

/**
 * How long nothing may be read after HEADERS or DATA was sent before the peer is asked, in
 * milliseconds.
 */
const SILENCE_MS = 5_000;
/** How long nothing may be read after the PING, in milliseconds. */
const ANSWER_MS = 5_000;
/**
 * Between two PINGs without HEADERS or DATA from the peer, in milliseconds: gRPC servers end
 * connections that ask more often (gRFC A8).
 */
const PING_INTERVAL_MS = 300_000;

/** What to do. */
type SilenceVerdict =
  /** No answer is due: look again when something was sent. */
  | "answered"
  /** Look again. */
  | "waiting"
  | "ping"
  | "dead";

export class SilenceWatch {
  /** HEADERS or DATA was sent, and none was read since. */
  isDue = false;
  /** Bytes that had been read when it was last looked, and when that was. */
  private readBytes = 0;
  private readMs = 0;
  /** When the PING was sent that nothing has followed yet. */
  private askedMs: number | undefined;
  private lastPingMs = Number.NEGATIVE_INFINITY;

  /** HEADERS or DATA was sent. While an answer is due already, it is no news. */
  sent(readBytes: number, nowMs: number): void {
    if (this.isDue) return;
    this.isDue = true;
    this.readBytes = readBytes;
    this.readMs = nowMs;
    this.askedMs = undefined;
  }

  /**
   * HEADERS or DATA was read; no news while no answer is due. Servers forget the PINGs that they
   * counted when they send any.
   */
  heard(readBytes: number): void {
    this.lastPingMs = Number.NEGATIVE_INFINITY;
    // It may be told after it was read, and something sent between.
    if (readBytes !== this.readBytes) this.isDue = false;
  }

  /**
   * Who is told "ping" sends one now.
   * @param isAwaited somebody still waits for the answer; where nobody does, any sign of life will
   * do
   */
  check(readBytes: number, isAwaited: boolean, nowMs: number): SilenceVerdict {
    if (!this.isDue) return "answered";
    if (readBytes !== this.readBytes) {
      this.readBytes = readBytes;
      this.readMs = nowMs;
      this.askedMs = undefined;
      this.isDue = isAwaited;
      return isAwaited ? "waiting" : "answered";
    }
    if (this.askedMs !== undefined) {
      return nowMs < this.askedMs + ANSWER_MS ? "waiting" : "dead";
    }
    if (nowMs < this.readMs + SILENCE_MS) return "waiting";
    if (nowMs < this.lastPingMs + PING_INTERVAL_MS) return "waiting";
    this.askedMs = nowMs;
    this.lastPingMs = nowMs;
    return "ping";
  }
}
