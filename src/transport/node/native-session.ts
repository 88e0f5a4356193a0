// The C++ object behind a session of node:http2. Nothing documented leads to it.
//
// Garbage collection must not free this object before those of its streams, or Node can end the
// process: `~Http2Session: Assertion failed: (current_nghttp2_memory_) == (0)`. A stream that is
// destroyed holds the fields of an incomplete header block. The stream is freed in an immediate, or
// with its JavaScript object if the socket has not taken its data yet. The session can be garbage
// before that. Node 20 to 26 behave alike.

import type { Http2Session } from "node:http2";

/** An object that has a lifeline keeps the C++ object of the session, without a reference to it. */
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
 * The session has its lifeline until an immediate after its `close`, and each of its streams has it
 * for ever. The C++ object of a stream refers to our stream, and so to the lifeline. So the object
 * of the session is freed one collection later than the last of them.
 */
export function lifelineOf(node: Http2Session): Lifeline | undefined {
  const native = nativeSession(node);
  if (native === undefined) return undefined;
  const lifeline: Lifeline = {};
  nativeSessions.register(lifeline, native);
  return lifeline;
}
