// Every bound that a peer can exceed on one connection, with its unit, default and reason.

import { checkInteger } from "../check/check.ts";

/**
 * Bounds against peers that lie, flood or do not read. A rate is a token bucket. The bucket begins
 * with `burst` tokens, holds no more, and is refilled by `PerSecond`. A peer without tokens loses
 * its connection, with GOAWAY(ENHANCE_YOUR_CALM).
 */
export interface EngineLimits {
  /**
   * CONTINUATION frames of one header block. Each may be empty, so a bound of bytes is not enough.
   * A sender that fills its frames needs 64 for the largest default block. As many as a list of
   * `maxHeaderListBytes` needs are taken in any case.
   * @default 128
   */
  readonly maxContinuationFrames: number;
  /**
   * Encoded bytes of one header block that spans frames; more end the connection. A block whose
   * list is over `maxHeaderListBytes` is still read to its end. Otherwise the HPACK table would be
   * out of step, and every call of the connection would be lost. The fields of such a list are not
   * kept, and only its stream is reset. Until the block is complete, the peer makes us hold less
   * than a connection window. Blocks of up to `maxHeaderListBytes` are taken in any case.
   * @default 1_048_576
   */
  readonly maxHeaderBlockBytes: number;
  /**
   * RST_STREAM frames on open streams, server side: rapid reset (CVE-2023-44487). A gRPC client
   * with hedging or short deadlines may cancel 1,000 calls a second for a long time, and all of its
   * 1,000 streams at once. An attack needs tens of thousands a second to be worth it. The resets
   * that stay possible cost no more than the same number of ordinary calls.
   * @default 2_000
   */
  readonly resetsPerSecond: number;
  /** @default 6_000 */
  readonly resetBurst: number;
  /**
   * Stream errors that the peer provoked us to answer with RST_STREAM, REFUSED_STREAM included:
   * MadeYouReset (CVE-2025-8671). A correct peer provokes them only by racing our first SETTINGS.
   * @default 100
   */
  readonly provokedResetsPerSecond: number;
  /** @default 2_000 */
  readonly provokedResetBurst: number;
  /**
   * SETTINGS frames. Each costs an acknowledgement and may touch every open stream; real peers send
   * one to three.
   * @default 10
   */
  readonly settingsPerSecond: number;
  /** @default 100 */
  readonly settingsBurst: number;
  /**
   * PING frames, each of which costs an answer. Bandwidth probes send one per round trip while data
   * flows. So every frame that did work adds one token.
   * @default 100
   */
  readonly pingsPerSecond: number;
  /** @default 1_000 */
  readonly pingBurst: number;
  /**
   * Frames that move nothing: PRIORITY, WINDOW_UPDATE, empty DATA, RST_STREAM on ended streams,
   * unknown types. Every frame that did work adds four tokens: some peers update both windows for
   * each DATA frame, or reset after our early answer.
   * @default 2_000
   */
  readonly idleFramesPerSecond: number;
  /** @default 10_000 */
  readonly idleFrameBurst: number;
  /**
   * Bytes, other than DATA, that wait for a peer that does not read: headers, acknowledgements,
   * resets. Backpressure bounds DATA. Headers and trailers of 1,000 calls that end at once, with 2
   * KiB of metadata each, must fit; ordinary ones take 200 KiB.
   * @default 4_194_304
   */
  readonly maxQueuedControlBytes: number;
}

export const DEFAULT_LIMITS: EngineLimits = {
  maxContinuationFrames: 128,
  maxHeaderBlockBytes: 1_048_576,
  resetsPerSecond: 2_000,
  resetBurst: 6_000,
  provokedResetsPerSecond: 100,
  provokedResetBurst: 2_000,
  settingsPerSecond: 10,
  settingsBurst: 100,
  pingsPerSecond: 100,
  pingBurst: 1_000,
  idleFramesPerSecond: 2_000,
  idleFrameBurst: 10_000,
  maxQueuedControlBytes: 4_194_304,
};

/** Tokens that one frame of work adds: for PINGs, and for idle frames. */
export const PINGS_PER_WORK_FRAME = 1;
export const IDLE_FRAMES_PER_WORK_FRAME = 4;

/**
 * Frames that may still come on a stream that we reset, before the peer knows: WINDOW_UPDATE,
 * headers, trailers, RST_STREAM. They are no flood. Tokens are kept for 100,000 calls that are
 * cancelled at once, so that nobody can save up more.
 */
export const LATE_FRAMES_PER_RESET = 4;
export const MAX_LATE_FRAMES = 400_000;

/**
 * The defaults, with `changes` in their place where it has values.
 * @throws {RangeError} naming the limit, what was expected and what came
 */
export function resolveLimits(changes: Partial<EngineLimits>): EngineLimits {
  for (const [name, value] of Object.entries(changes)) {
    if (!Object.hasOwn(DEFAULT_LIMITS, name)) {
      const known = Object.keys(DEFAULT_LIMITS).join(", ");
      throw new RangeError(`limits: expected one of ${known}, got ${JSON.stringify(name)}`);
    }
    checkInteger(name, value, 1);
  }
  return { ...DEFAULT_LIMITS, ...changes };
}
