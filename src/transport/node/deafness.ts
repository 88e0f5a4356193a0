// What node:http2 on Node 20 does not tell: after most breaches of the protocol nghttp2 sends
// GOAWAY and reads nothing more, not even the end of the socket. Newer Node ends such a session
// itself.

import type { Http2Session, Http2Stream } from "node:http2";
import { nativeSession } from "./native-session.ts";

/** Sessions can go deaf without a word. */
export const SESSIONS_GO_DEAF: boolean = process.versions.node.startsWith("20.");

/** Of `Http2Stream.state`: nghttp2 does not have such a stream (any more). */
const IDLE = 1;

/**
 * nghttp2 wants neither to read nor to write any more. It is so after GOAWAY for a breach, and when
 * the streams are over on a session that takes no new ones. What knows this is not documented,
 * but Node 20 does not change any more.
 */
export function isGivenUp(node: Http2Session): boolean {
  const native = nativeSession(node);
  if (native === undefined || !("hasPendingData" in native)) return false;
  return typeof native.hasPendingData === "function" && native.hasPendingData() === false;
}

/** nghttp2 has the stream, so that it would read on for it. */
export function isOpenOnWire(node: Http2Stream): boolean {
  return (node.state.state ?? IDLE) !== IDLE;
}
