// The diagnostics events of a call: one when it has come, one when it has ended.

import { callEnd, callStart } from "../observe/channels.ts";
import type { ServerCall } from "./server-call.ts";

/** The events have a subscriber. */
export function isTold(): boolean {
  return callStart.hasSubscribers || callEnd.hasSubscribers;
}

export function publishStart({ method, authority, peer }: ServerCall): void {
  if (!callStart.hasSubscribers) return;
  callStart.publish({ method, authority, remoteAddress: peer.remoteAddress });
}

/** Publishes in the scope of the call, if it has one. */
export function publishEnd(call: ServerCall): void {
  if (!callEnd.hasSubscribers) return;
  if (call.scope === undefined) publish(call);
  else call.scope.runInAsyncScope(publish, undefined, call);
}

function publish(call: ServerCall): void {
  callEnd.publish({
    method: call.method,
    authority: call.authority,
    remoteAddress: call.peer.remoteAddress,
    status: call.status,
    error: call.error,
    clientGone: call.gone,
    durationMs: call.clock.nowMs() - call.startedMs,
    requestBytes: call.requestBytes,
    responseBytes: call.responseBytes,
  });
}
