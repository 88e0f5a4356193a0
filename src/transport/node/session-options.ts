// Our limits and windows as options of node:http2.

import type { SessionOptions as NodeSessionOptions, Settings } from "node:http2";
import type { ResolvedSessionOptions } from "../defaults.ts";

/**
 * Options that the declared types of the oldest Node do not have. Older Node ignores the options of
 * newer Node.
 */
interface NewerSessionOptions {
  /** How many frames node:http2 takes for invalid before it ends a session. */
  readonly maxSessionInvalidFrames: number;
  /**
   * Node 22.10: RST_STREAM frames that a client may send at once, and per second (CVE-2023-44487).
   */
  readonly streamResetBurst: number;
  readonly streamResetRate: number;
  /**
   * Node 22.17 and 24.2: fields with blanks around their values are not dropped; we strip the
   * blanks.
   */
  readonly strictFieldWhitespaceValidation: boolean;
  /** Node 24.15: repeated `authorization`, `user-agent`, ... may be sent as they are. */
  readonly strictSingleValueFields: boolean;
}

/**
 * A client that hedges or has short deadlines cancels thousands of calls. Node's own limit of 33 a
 * second would end its connection. This limit still bounds a flood.
 */
const STREAM_RESETS_PER_SECOND = 10_000;

/**
 * In megabytes. node:http2 answers streams beyond it with ENHANCE_YOUR_CALM; here windows bound the
 * memory instead.
 */
const UNBOUNDED_SESSION_MEMORY = 0xffffffff;

/**
 * node:http2 counts empty DATA frames, which any peer may send, and other frames over the life of a
 * session, and would end the session at 1,000. Connections live for months.
 */
const UNBOUNDED_INVALID_FRAMES = 0xffffffff;

export function nodeSessionOptions(
  options: ResolvedSessionOptions,
): NodeSessionOptions & NewerSessionOptions {
  return {
    settings: nodeSettings(options),
    maxSessionMemory: UNBOUNDED_SESSION_MEMORY,
    maxSessionInvalidFrames: UNBOUNDED_INVALID_FRAMES,
    // The peer announces its limit. A list over node:http2's own limit would end the whole session.
    maxSendHeaderBlockLength: 0xffffffff,
    // With 32 bytes of overhead per field, `maxHeaderListBytes` allows no more fields than this.
    maxHeaderListPairs: Math.ceil(options.maxHeaderListBytes / 32) + 1,
    streamResetBurst: STREAM_RESETS_PER_SECOND,
    streamResetRate: STREAM_RESETS_PER_SECOND,
    strictFieldWhitespaceValidation: false,
    strictSingleValueFields: false,
  };
}

export function nodeSettings(options: ResolvedSessionOptions): Settings {
  return {
    enablePush: false,
    initialWindowSize: options.streamWindowBytes,
    headerTableSize: options.headerTableBytes,
    maxHeaderListSize: options.maxHeaderListBytes,
    maxConcurrentStreams: options.maxConcurrentStreams,
  };
}
