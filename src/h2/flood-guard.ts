// Counts, in token buckets, the frames that cost a peer nothing. The guard is told the time and
// never reads a clock.

import { ErrorCode } from "../wire/error-code.ts";
import { PingStrikes, TOO_MANY_PINGS } from "../wire/ping-strikes.ts";
import { connectionError, overLimit } from "./error.ts";
import {
  type EngineLimits,
  IDLE_FRAMES_PER_WORK_FRAME,
  LATE_FRAMES_PER_RESET,
  MAX_LATE_FRAMES,
  PINGS_PER_WORK_FRAME,
} from "./limits.ts";
import { TokenBucket } from "./token-bucket.ts";

/**
 * The buckets of one connection. Every method counts one event. When there are too many, the method
 * throws ENHANCE_YOUR_CALM.
 */
export class FloodGuard {
  /** The time, as it came with the last chunk. */
  nowMs: number;
  /** HEADERS, and DATA that carried something, from the peer. */
  receivedFrames = 0;
  /** DATA to the peer. */
  sentFrames = 0;
  /** HEADERS to the peer. */
  sentHeaders = 0;

  private readonly limits: EngineLimits;
  private lateFrames = 0;
  private readonly resets: TokenBucket;
  private readonly provokedResets: TokenBucket;
  private readonly settings: TokenBucket;
  private readonly pings: TokenBucket;
  private readonly idleFrames: TokenBucket;
  private readonly strikes: PingStrikes | undefined;

  /** @param minPingIntervalMs between two PINGs that the peer asks us with; 0 for no bound */
  constructor(limits: EngineLimits, nowMs: number, minPingIntervalMs: number) {
    this.strikes = minPingIntervalMs > 0 ? new PingStrikes(minPingIntervalMs) : undefined;
    this.limits = limits;
    this.nowMs = nowMs;
    this.resets = new TokenBucket(limits.resetBurst, limits.resetsPerSecond, 0, nowMs);
    this.provokedResets = new TokenBucket(
      limits.provokedResetBurst,
      limits.provokedResetsPerSecond,
      0,
      nowMs,
    );
    this.settings = new TokenBucket(limits.settingsBurst, limits.settingsPerSecond, 0, nowMs);
    this.pings = new TokenBucket(
      limits.pingBurst,
      limits.pingsPerSecond,
      PINGS_PER_WORK_FRAME,
      nowMs,
    );
    this.idleFrames = new TokenBucket(
      limits.idleFrameBurst,
      limits.idleFramesPerSecond,
      IDLE_FRAMES_PER_WORK_FRAME,
      nowMs,
    );
  }

  countReset(): void {
    this.take(this.resets, "RST_STREAM", "resetsPerSecond");
  }

  countProvokedReset(): void {
    this.take(this.provokedResets, "stream errors", "provokedResetsPerSecond");
  }

  countSettings(): void {
    this.take(this.settings, "SETTINGS", "settingsPerSecond");
  }

  /** A PING that asks for an answer, besides `countPing`. */
  countQuestion(): void {
    const sent = this.sentFrames + this.sentHeaders;
    if (this.strikes?.take(this.nowMs, sent) !== true) return;
    throw connectionError(ErrorCode.ENHANCE_YOUR_CALM, TOO_MANY_PINGS);
  }

  countPing(): void {
    this.take(this.pings, "PING", "pingsPerSecond");
  }

  /** We reset a stream at its owner's wish. Frames of that stream may be under way. */
  allowLateFrames(): void {
    this.lateFrames = Math.min(MAX_LATE_FRAMES, this.lateFrames + LATE_FRAMES_PER_RESET);
  }

  /** A frame that moves nothing. */
  countIdleFrame(what: string): void {
    if (this.lateFrames > 0) {
      this.lateFrames--;
      return;
    }
    this.take(this.idleFrames, what, "idleFramesPerSecond");
  }

  private take(bucket: TokenBucket, what: string, name: keyof EngineLimits): void {
    if (bucket.take(this.nowMs, this.receivedFrames + this.sentFrames)) return;
    throw overLimit(0, `too many: ${what}`, { name, value: this.limits[name] }, "a second");
  }
}
