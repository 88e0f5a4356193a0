// Finds sessions that no longer read on Node 20. After most breaches of the protocol nghttp2 sends
// GOAWAY and reads nothing more, not even the end of the socket, and node:http2 does not report it.
// Newer Node ends such a session itself.

import type { Http2Session, Http2Stream } from "node:http2";
import { nativeSession } from "./native-session.ts";

/** Sessions can go deaf without a word. */
export const SESSIONS_GO_DEAF: boolean = process.versions.node.startsWith("20.");

/** A value of `Http2Stream.state`: nghttp2 does not have the stream (any more). */
const IDLE = 1;

/**
 * nghttp2 wants neither to read nor to write any more. That is so after GOAWAY for a breach, and
 * when the streams are over on a session that takes no new ones. The object that knows this is not
 * documented, but Node 20 does not change any more.
 */
export function isGivenUp(node: Http2Session): boolean {
  const native = nativeSession(node);
  if (native === undefined || !("hasPendingData" in native)) return false;
  return typeof native.hasPendingData === "function" && native.hasPendingData() === false;
}

/** nghttp2 has the stream, so it would read on for the stream. */
export function isOpenOnWire(node: Http2Stream): boolean {
  return (node.state.state ?? IDLE) !== IDLE;
}
