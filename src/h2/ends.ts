// The texts of ends. Logs get one with the peer's address; readers who should not know the address
// get one without it.

import { ErrorCode, errorCodeName } from "../wire/error-code.ts";
import type { H2Error } from "./error.ts";
import type { ConnectionEnd } from "./events.ts";
import type { StreamEndInfo } from "./stream.ts";

interface Told {
  readonly message: string;
  readonly reason: string;
}

/** @param reason continues the sentence after the peer's name */
export function told(peer: string, reason: string): Told {
  return { message: `${peer} ${reason}`, reason };
}

/** The peer's breach as text; the error's message continues it. */
export function breach(error: H2Error): string {
  return error.limit === undefined ? "broke the protocol" : "went over a limit";
}

/** @param code of the peer's RST_STREAM */
export function resetByPeer(peer: string, streamId: number, code: number): StreamEndInfo {
  const unprocessed = code === ErrorCode.REFUSED_STREAM;
  const reason = `reset stream ${streamId}: ${errorCodeName(code)}`;
  return { kind: "reset", code, unprocessed, ...told(peer, reason) };
}

/**
 * The end of a stream above the last one that the peer takes.
 * @param code of the peer's GOAWAY
 */
export function goneBefore(peer: string, streamId: number, code: number): StreamEndInfo {
  const reason = `went away before stream ${streamId}: ${errorCodeName(code)}`;
  return { kind: "goaway", code, unprocessed: true, ...told(peer, reason) };
}

/** @param code of the peer's GOAWAY */
export function orderlyEnd(peer: string, code: number = ErrorCode.NO_ERROR): ConnectionEnd {
  if (code !== ErrorCode.NO_ERROR) {
    return { kind: "goaway", code, ...told(peer, `went away: ${errorCodeName(code)}`) };
  }
  const message = `connection with ${peer} was closed in order`;
  return { kind: "closed", code, message, reason: "the connection was closed in order" };
}
