// The send windows: how much DATA the peer lets us send, on the connection and on each stream (RFC
// 9113 §5.2, §6.9). The numbers are fields of the connection and of the stream. DATA waits for
// both; headers, trailers and a lone END_STREAM wait for neither.
//
// A window becomes negative when the peer lowers SETTINGS_INITIAL_WINDOW_SIZE after we have used
// more (§6.9.2). An example, from 65,535 to 16,384:
//
//                                   sendWindow
//   we open a stream                    65,535
//   60,000 bytes of DATA go out          5,535
//   the peer's SETTINGS come           -43,616   49,151 less for each open stream
//   WINDOW_UPDATE of 20,000            -23,616   no DATA yet
//   WINDOW_UPDATE of 40,000             16,384   all of the new window, for the DATA is all read

import { ErrorCode } from "../wire/error-code.ts";
import { connectionError, streamError } from "./error.ts";
import { MAX_WINDOW_BYTES } from "./frame.ts";

export interface ConnectionSendWindow {
  /** Bytes that may go out on all streams together. */
  windowBytes: number;
}

export interface StreamSendWindow {
  readonly id: number;
  /**
   * Bytes that may go out; negative when the peer has lowered its SETTINGS_INITIAL_WINDOW_SIZE
   * (§6.9.2).
   */
  sendWindow: number;
}

/** WINDOW_UPDATE on the connection. @throws {H2Error} beyond 2^31 - 1 (§6.9.1) */
export function growConnectionWindow(connection: ConnectionSendWindow, increment: number): void {
  if (connection.windowBytes + increment > MAX_WINDOW_BYTES) {
    throw connectionError(ErrorCode.FLOW_CONTROL_ERROR, "connection window overflow");
  }
  connection.windowBytes += increment;
}

/** WINDOW_UPDATE on a stream. @throws {H2Error} beyond 2^31 - 1 (§6.9.1) */
export function growStreamWindow(stream: StreamSendWindow, increment: number): void {
  if (stream.sendWindow + increment > MAX_WINDOW_BYTES) {
    throw streamError(stream.id, ErrorCode.FLOW_CONTROL_ERROR, "stream window overflow");
  }
  stream.sendWindow += increment;
}

/**
 * The peer has changed SETTINGS_INITIAL_WINDOW_SIZE by `delta`, for each open stream (§6.9.2).
 * @throws {H2Error} beyond 2^31 - 1
 */
export function shiftStreamWindow(stream: StreamSendWindow, delta: number): void {
  if (stream.sendWindow + delta > MAX_WINDOW_BYTES) {
    throw connectionError(ErrorCode.FLOW_CONTROL_ERROR, "stream window overflow by SETTINGS");
  }
  stream.sendWindow += delta;
}

/** Bytes of DATA that both windows allow; none when the result is not above 0. */
export function sendableBytes(stream: StreamSendWindow, connection: ConnectionSendWindow): number {
  return Math.min(stream.sendWindow, connection.windowBytes);
}

/** `bytes` of DATA go out, padding there is none. */
export function chargeSend(
  stream: StreamSendWindow,
  connection: ConnectionSendWindow,
  bytes: number,
): void {
  stream.sendWindow -= bytes;
  connection.windowBytes -= bytes;
}
