// Answers the client of a relayed call when all destinations have ended: by the backend's trailers
// as they came, by the trailers of an error, or by a reset (README.md, "A response that breaks
// off").

import type { GrpcError } from "../grpc/error.ts";
import { Status } from "../grpc/status.ts";
import type { ServerCall } from "../server/server-call.ts";
import type { UpstreamLeg } from "./upstream-leg.ts";

/**
 * @param requestMessages complete messages that the client has sent
 * @param error the error that the call ends with; `undefined` when all is well
 */
export function answerClient(
  call: ServerCall,
  primary: UpstreamLeg,
  requestMessages: number,
  error: GrpcError | undefined,
): void {
  const trailers = primary.wireTrailers;
  if (call.gone) call.abandon(error);
  else if (error === undefined && primary.error === undefined && trailers !== undefined) {
    // Without headers before them, these trailers are the header section of a Trailers-Only
    // response.
    call.finishWith(Status.OK, trailers, trailers);
  } else {
    const reported = error ?? primary.error;
    if (reported !== undefined && strandsClient(call, primary, requestMessages)) {
      call.finishByReset(reported);
    } else if (error !== undefined) call.finishError(error);
    // The primary failed and `onError` swallowed it.
    else call.finishOk(primary.trailers);
  }
}

/**
 * Whether trailers would leave the client waiting. A C-core client of a unary call that has got one
 * message waits for the rest of a second message, although it wants only one. Only a reset ends
 * this wait. Calls that are not unary, and responses that break off elsewhere, end by trailers,
 * which say more.
 */
function strandsClient(call: ServerCall, primary: UpstreamLeg, requestMessages: number): boolean {
  return primary.cutInSecondMessage && call.requestEnded && requestMessages <= 1;
}
