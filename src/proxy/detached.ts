// Detached destinations whose call is over: which of them go on, how long, and how their end is
// reported.

import type { GrpcError } from "../grpc/error.ts";
import { detachedEnd } from "../observe/channels.ts";
import type { ServerCall } from "../server/server-call.ts";
import { incompleteRequest, tooMuchLeft } from "./leg-errors.ts";
import type { UpstreamLeg } from "./upstream-leg.ts";

/**
 * Lets the detached destinations that have the whole request go on without the call.
 * @param legs all legs of the call; those that have not ended are detached
 * @param reason why the call ended for all of its destinations, if there is such a reason
 */
export function leaveDetached(
  legs: readonly UpstreamLeg[],
  call: ServerCall,
  reason: GrpcError | undefined,
): void {
  for (const leg of legs) {
    if (leg.ended) continue;
    if (reason !== undefined) leg.cancel(reason);
    else if (!leg.requestGiven) leg.cancel(incompleteRequest());
    else if (call.owner.leftovers.add(leg, leg.keptBytes)) leg.detach();
    else leg.cancel(tooMuchLeft());
  }
}

/** This end may be the first that anybody hears of the destination. */
export function publishDetachedEnd(leg: UpstreamLeg, method: string, call: ServerCall): void {
  if (!detachedEnd.hasSubscribers) return;
  const { index, status, details, error, requestBytes, responseBytes } = leg;
  detachedEnd.publish({
    method,
    target: leg.conn.target,
    index,
    status,
    details,
    error,
    durationMs: call.clock.nowMs() - call.startedMs,
    requestBytes,
    responseBytes,
  });
}
