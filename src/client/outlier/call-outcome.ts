// What the end of a call says about the address that it was on.

import { judgeResponse } from "../../grpc/response-head.ts";
import { Status } from "../../grpc/status.ts";
import { statusFromErrorCode, statusFromHttpStatus } from "../../grpc/status-mapping.ts";
import { parseStatus } from "../../grpc/trailers.ts";
import type { CallEnd } from "../subchannel/watched-calls.ts";

/**
 * Whether the address has answered a call (`"success"`) or broken it (`"failure"`). `undefined`:
 * the end was the choice of the caller, or the address never began the call.
 *
 * gRFC A50 counts each status but OK as a failure. A relay cannot: its callers are not its own, and
 * one that asks for things that do not exist would take every address away from all the others. So
 * only statuses that speak of the server are failures.
 */
export function outcomeOf(end: CallEnd): "success" | "failure" | undefined {
  switch (statusOf(end)) {
    // The caller's cancel or deadline, also as the server reports it.
    case undefined:
    case Status.CANCELLED:
    case Status.DEADLINE_EXCEEDED:
      return undefined;
    case Status.UNKNOWN:
    case Status.INTERNAL:
    case Status.UNAVAILABLE:
    case Status.DATA_LOSS:
      return "failure";
    default:
      return "success";
  }
}

function statusOf({ headers, trailers, isComplete, streamEnd }: CallEnd): Status | undefined {
  if (streamEnd !== undefined) {
    if (streamEnd.unprocessed) return undefined;
    const { kind, code } = streamEnd;
    return kind === "reset" ? statusFromErrorCode(code) : Status.UNAVAILABLE;
  }
  if (headers === undefined) return undefined;
  const head = judgeResponse(headers);
  if (typeof head === "object") return statusFromHttpStatus(Number(head.httpStatus));
  const received = parseStatus(trailers ?? headers)?.status;
  // A response that ends without a status is UNKNOWN.
  return received ?? (isComplete ? Status.UNKNOWN : undefined);
}
