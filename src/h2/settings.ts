// SETTINGS of both sides (RFC 9113 §6.5): those that we announce, and those that the peer has sent.

import { ErrorCode } from "../wire/error-code.ts";
import { UNANNOUNCED_MAX_LIST_BYTES } from "../wire/field.ts";
import { connectionError } from "./error.ts";
import {
  DEFAULT_MAX_FRAME_BYTES,
  DEFAULT_WINDOW_BYTES,
  LARGEST_MAX_FRAME_BYTES,
  MAX_WINDOW_BYTES,
  SETTING_ENABLE_PUSH,
  SETTING_HEADER_TABLE_SIZE,
  SETTING_INITIAL_WINDOW_SIZE,
  SETTING_MAX_CONCURRENT_STREAMS,
  SETTING_MAX_FRAME_SIZE,
  SETTING_MAX_HEADER_LIST_SIZE,
} from "./frame.ts";

export type Role = "client" | "server";

/** The settings that a connection announces. */
export interface LocalSettings {
  /** Streams that the peer may have open; only a server announces it. */
  readonly maxConcurrentStreams: number;
  /** Receive window of each stream. */
  readonly streamWindowBytes: number;
  readonly maxHeaderListBytes: number;
  readonly headerTableBytes: number;
}

const DEFAULT_HEADER_TABLE_BYTES = 4_096;

/**
 * The pairs of our one SETTINGS frame. MAX_FRAME_SIZE stays at its default: larger frames only make
 * peers wait for each other.
 */
export function localSettingPairs(role: Role, local: LocalSettings): [id: number, value: number][] {
  const pairs: [number, number][] =
    role === "client"
      ? [[SETTING_ENABLE_PUSH, 0]]
      : [[SETTING_MAX_CONCURRENT_STREAMS, local.maxConcurrentStreams]];
  if (local.headerTableBytes !== DEFAULT_HEADER_TABLE_BYTES) {
    pairs.push([SETTING_HEADER_TABLE_SIZE, local.headerTableBytes]);
  }
  pairs.push([SETTING_INITIAL_WINDOW_SIZE, local.streamWindowBytes]);
  pairs.push([SETTING_MAX_HEADER_LIST_SIZE, local.maxHeaderListBytes]);
  return pairs;
}

/**
 * The peer's settings that bound what we send. MAX_FRAME_SIZE is only checked: we never send more
 * than every peer takes.
 */
export class PeerSettings {
  headerTableBytes: number = DEFAULT_HEADER_TABLE_BYTES;
  /**
   * The lowest HEADER_TABLE_SIZE within the last SETTINGS frame: each of its values was in force
   * for a moment (§6.5.3).
   */
  lowestHeaderTableBytes: number = DEFAULT_HEADER_TABLE_BYTES;
  /** No limit until the peer names one (§6.5.2). */
  maxConcurrentStreams = 0xffffffff;
  initialWindowBytes: number = DEFAULT_WINDOW_BYTES;
  /** Only advice (§6.5.2), but some peers end the connection over a larger list. */
  maxHeaderListBytes: number = UNANNOUNCED_MAX_LIST_BYTES;

  /**
   * Takes over the pairs of one SETTINGS frame, in order.
   * @throws {H2Error} for a value that is not allowed
   */
  apply(peer: Role, payload: Buffer, start: number, end: number): void {
    this.lowestHeaderTableBytes = this.headerTableBytes;
    for (let at = start; at < end; at += 6) {
      const value = payload.readUInt32BE(at + 2);
      switch (payload.readUInt16BE(at)) {
        case SETTING_HEADER_TABLE_SIZE:
          this.headerTableBytes = value;
          this.lowestHeaderTableBytes = Math.min(this.lowestHeaderTableBytes, value);
          break;
        case SETTING_ENABLE_PUSH:
          // "A client MUST treat receipt of a SETTINGS frame with SETTINGS_ENABLE_PUSH set to 1 as
          // a connection error" (§6.5.2).
          if (value > 1 || (value === 1 && peer === "server")) {
            throw connectionError(ErrorCode.PROTOCOL_ERROR, `SETTINGS_ENABLE_PUSH is ${value}`);
          }
          break;
        case SETTING_MAX_CONCURRENT_STREAMS:
          this.maxConcurrentStreams = value;
          break;
        case SETTING_INITIAL_WINDOW_SIZE:
          if (value > MAX_WINDOW_BYTES) {
            throw connectionError(
              ErrorCode.FLOW_CONTROL_ERROR,
              `SETTINGS_INITIAL_WINDOW_SIZE is ${value}`,
            );
          }
          this.initialWindowBytes = value;
          break;
        case SETTING_MAX_FRAME_SIZE:
          if (value < DEFAULT_MAX_FRAME_BYTES || value > LARGEST_MAX_FRAME_BYTES) {
            throw connectionError(ErrorCode.PROTOCOL_ERROR, `SETTINGS_MAX_FRAME_SIZE is ${value}`);
          }
          break;
        case SETTING_MAX_HEADER_LIST_SIZE:
          this.maxHeaderListBytes = value;
          break;
        // Unknown settings are ignored (§6.5.2).
      }
    }
  }
}
