// The C++ object behind a session of node:http2. Nothing documented leads to it.
//
// Garbage collection must not free it before those of its streams, or Node can end the process:
// `~Http2Session: Assertion failed: (current_nghttp2_memory_) == (0)`. A stream that is destroyed
// holds the fields of a header block that was not completed. It is freed in an immediate, or, when
// the socket has not taken its data yet, with its JavaScript object. The session can be garbage
// before that. Node 20 to 26 are alike.

import type { Http2Session } from "node:http2";

/** Whatever has it keeps the C++ object of the session, without leading to it. */
export type Lifeline = Readonly<Record<never, never>>;

/** Holds the C++ objects until their lifelines are collected. */
const nativeSessions = new FinalizationRegistry<object>(() => {});

let handleKey: symbol | undefined;

/** `undefined` while the session is connecting and when it is destroyed. */
export function nativeSession(node: Http2Session): object | undefined {
  if (node.connecting || node.destroyed) return undefined;
  handleKey ??= Object.getOwnPropertySymbols(node).find((key) => key.description === "kHandle");
  const native: unknown = handleKey === undefined ? undefined : Reflect.get(node, handleKey);
  return typeof native === "object" && native !== null ? native : undefined;
}

/**
 * The session has it until an immediate after its `close`, and each of its streams for ever. The
 * C++ object of a stream leads to the stream of ours, and so to the lifeline. That of the session
 * is therefore freed a collection later than the last of them.
 */
export function lifelineOf(node: Http2Session): Lifeline | undefined {
  const native = nativeSession(node);
  if (native === undefined) return undefined;
  const lifeline: Lifeline = {};
  nativeSessions.register(lifeline, native);
  return lifeline;
}
