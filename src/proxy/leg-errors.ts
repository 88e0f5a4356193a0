// The errors of a destination that is ended here, not by its backend. Operators read an address in
// them; clients do not.

import { ErrorReason, failure, type GrpcError } from "../grpc/error.ts";
import { headerErrorDetails } from "../grpc/header-error.ts";
import { Status, statusName } from "../grpc/status.ts";
import { MAX_LEFTOVER_BYTES } from "../server/leftovers.ts";
import type { HeaderError } from "../transport/transport.ts";

export function tooFarBehind(target: string, bytes: number): GrpcError {
  const text = `is ${bytes} bytes behind the primary`;
  return failure(Status.RESOURCE_EXHAUSTED, `a secondary ${text}`, {
    reason: ErrorReason.SECONDARY_LAG,
    source: "upstream",
    message: `upstream ${target} ${text}`,
  });
}

export function primaryFailed(cause: GrpcError): GrpcError {
  return failure(Status.CANCELLED, "the primary failed", {
    reason: ErrorReason.CALL_ENDED,
    message: `the primary failed with status ${statusName(cause.status)}`,
    cause,
  });
}

/** Its response headers cannot be sent to the client. */
export function unsendableHeaders(target: string, cause: HeaderError): GrpcError {
  return failure(Status.INTERNAL, headerErrorDetails("the response headers", cause), {
    reason: ErrorReason.UPSTREAM_PROTOCOL,
    source: "upstream",
    message: `response headers of upstream ${target} cannot be sent: ${cause.message}`,
    cause,
  });
}

/** It is detached, and its call is over. */
export function incompleteRequest(): GrpcError {
  return failure(Status.CANCELLED, "the call ended before its request was complete", {
    reason: ErrorReason.CALL_ENDED,
  });
}

/** It is detached, its call is over, and there is no room for the bytes that it is still to get. */
export function tooMuchLeft(): GrpcError {
  return failure(
    Status.RESOURCE_EXHAUSTED,
    `detached secondaries keep ${MAX_LEFTOVER_BYTES} bytes of calls that are over already`,
    { reason: ErrorReason.SECONDARY_LAG },
  );
}

/** It is detached, and its call has been over for long. */
export function detachedTooLong(target: string, maxDetachedMs: number): GrpcError {
  const text = `not done ${maxDetachedMs} ms after the call`;
  return failure(Status.DEADLINE_EXCEEDED, `a secondary was ${text}`, {
    reason: ErrorReason.DEADLINE,
    message: `upstream ${target} was ${text}`,
  });
}
