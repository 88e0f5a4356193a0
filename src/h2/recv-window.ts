// The receive windows of a connection and of its streams: how much DATA the peer may send (RFC 9113
// §5.2, §6.9). The numbers are fields of the connection and of the stream. A function that returns
// credit has counted it already; the caller announces it by WINDOW_UPDATE.
//
// Until the peer has a byte of DATA back, the byte is in one of three numbers of its stream: in
// `unacknowledgedBytes` while its owner has it, then in `creditBytes`, and after WINDOW_UPDATE in
// `recvWindow` again. The three numbers add up to the whole window of the stream.
//
// A window becomes negative when it shrinks below the bytes that have come. We announce 10,000
// bytes, but until the peer has acknowledged our SETTINGS it counts with the default (§6.9.2):
//
//                                 recvWindow  unacknowledged  credit
//   the peer opens a stream           65,535               0       0
//   30,000 bytes of DATA come         35,535          30,000       0
//   our SETTINGS are acknowledged    -20,000          30,000       0   55,535 less
//   the owner acknowledges 4,000     -20,000          26,000   4,000
//   the owner acknowledges 26,000     10,000               0       0   WINDOW_UPDATE of 30,000

import { ErrorCode } from "../wire/error-code.ts";
import { connectionError, streamError } from "./error.ts";
import { DEFAULT_WINDOW_BYTES } from "./frame.ts";

export interface ConnectionRecvWindow {
  /** The window that we announce. */
  connectionWindowBytes: number;
  /** Bytes that the peer may still send on all streams together. */
  windowBytes: number;
  /** Received and not yet announced by WINDOW_UPDATE. */
  creditBytes: number;
  /** DATA that has come, modulo 2^32. */
  receivedBytes: number;
}

export interface StreamRecvWindow {
  readonly id: number;
  /** How much the peer may send before the owner acknowledges any; grows (window-growth.ts). */
  windowBytes: number;
  /**
   * Bytes that the peer may still send; negative when the peer acknowledges our smaller window late
   * (§6.9.2).
   */
  recvWindow: number;
  /** Received and not yet acknowledged by the owner. */
  unacknowledgedBytes: number;
  /** Acknowledged and not yet announced by WINDOW_UPDATE. */
  creditBytes: number;
  /** DATA that has come, modulo 2^32. */
  receivedBytes: number;
}

/**
 * The connection begins to speak. Its window begins with the default, and only WINDOW_UPDATE
 * changes it (§6.9.2).
 * @returns credit to announce, 0 for none
 */
export function openConnectionWindow(connection: ConnectionRecvWindow): number {
  const extra = connection.connectionWindowBytes - DEFAULT_WINDOW_BYTES;
  connection.windowBytes += extra;
  return extra;
}

/**
 * The window of a new stream. The peer may count with the default until it has acknowledged a
 * smaller one (§6.9.2).
 */
export function newStreamWindow(streamWindowBytes: number, settingsAcked: boolean): number {
  return settingsAcked ? streamWindowBytes : Math.max(streamWindowBytes, DEFAULT_WINDOW_BYTES);
}

/**
 * The peer has acknowledged our SETTINGS. A stream that began with more than we announced loses the
 * difference (§6.9.2).
 */
export function settleStreamWindow(stream: StreamRecvWindow, streamWindowBytes: number): void {
  stream.recvWindow -= Math.max(0, DEFAULT_WINDOW_BYTES - streamWindowBytes);
}

/**
 * A DATA frame of `bytes` came, even if it is ignored (§6.9). The connection gets its credit back
 * on receipt. So a stalled stream holds no more than its own window, and takes nothing from other
 * streams.
 * @returns credit to announce, 0 for none
 * @throws {H2Error} beyond the window
 */
export function recvOnConnection(connection: ConnectionRecvWindow, bytes: number): number {
  if (bytes > connection.windowBytes) {
    throw connectionError(ErrorCode.FLOW_CONTROL_ERROR, "DATA beyond the window of the connection");
  }
  connection.windowBytes -= bytes;
  connection.receivedBytes = (connection.receivedBytes + bytes) | 0;
  const credit = connection.creditBytes + bytes;
  if (isTooLittle(credit, connection.connectionWindowBytes)) {
    connection.creditBytes = credit;
    return 0;
  }
  connection.creditBytes = 0;
  connection.windowBytes += credit;
  return credit;
}

/**
 * A DATA frame of `payloadBytes` came. The owner gets `dataBytes` of them; padding counts, too
 * (§6.9).
 * @throws {H2Error} beyond the window
 */
export function recvOnStream(
  stream: StreamRecvWindow,
  payloadBytes: number,
  dataBytes: number,
): void {
  // An empty frame needs no window. The window may be negative (§6.9.1, §6.9.2).
  if (payloadBytes > 0 && payloadBytes > stream.recvWindow) {
    throw streamError(stream.id, ErrorCode.FLOW_CONTROL_ERROR, "DATA beyond the stream window");
  }
  stream.recvWindow -= payloadBytes;
  stream.receivedBytes = (stream.receivedBytes + payloadBytes) | 0;
  stream.unacknowledgedBytes += dataBytes;
}

/** The owner acknowledges `bytes`. @returns how many of them it had not acknowledged before */
export function acknowledgeRecv(stream: StreamRecvWindow, bytes: number): number {
  const returned = Math.max(0, Math.min(bytes, stream.unacknowledgedBytes));
  stream.unacknowledgedBytes -= returned;
  return returned;
}

/**
 * Gives `bytes` back to the peer. Credit is collected until it is half a window.
 * @returns credit to announce, 0 for none
 */
export function returnCredit(stream: StreamRecvWindow, bytes: number): number {
  const credit = stream.creditBytes + bytes;
  if (isTooLittle(credit, stream.windowBytes)) {
    stream.creditBytes = credit;
    return 0;
  }
  return announced(stream, credit);
}

/**
 * Gives a peer that has used up its window all of its credit at once, however little. Otherwise the
 * peer would wait for the rest of the half window.
 * @returns credit to announce, 0 for none
 */
export function relief(stream: StreamRecvWindow): number {
  return stream.recvWindow === 0 ? announced(stream, stream.creditBytes) : 0;
}

function announced(stream: StreamRecvWindow, credit: number): number {
  stream.creditBytes = 0;
  stream.recvWindow += credit;
  return credit;
}

/** The window becomes larger by `bytes`, which are to be announced. */
export function widenStreamWindow(stream: StreamRecvWindow, bytes: number): void {
  stream.windowBytes += bytes;
  stream.recvWindow += bytes;
}

/** The window becomes `bytes`, which are more than it had. @returns credit to announce */
export function widenConnectionWindow(connection: ConnectionRecvWindow, bytes: number): number {
  const extra = bytes - connection.connectionWindowBytes;
  connection.connectionWindowBytes = bytes;
  connection.windowBytes += extra;
  return extra;
}

/** This much credit is worth a WINDOW_UPDATE in any case. */
const WORTH_BYTES = 65_536;

/**
 * Credit is announced from half a window on. Of a large window an eighth is enough: if
 * its second half waits for one more frame, the peer waits for a round trip.
 */
function isTooLittle(credit: number, windowBytes: number): boolean {
  return credit * 2 < windowBytes && (credit < WORTH_BYTES || credit * 8 < windowBytes);
}
