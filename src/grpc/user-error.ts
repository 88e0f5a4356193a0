// Makes a call's error of whatever the program's own code threw. Clients do not read the text of
// others than GrpcErrors; operators are warned of it.

import { type CalledAs, warnOnce } from "../check/warn.ts";
import { ErrorReason, failure, GrpcError, INTERNAL_DETAILS, thrownText } from "./error.ts";
import { Status } from "./status.ts";

const REASONS: Readonly<Record<CalledAs, ErrorReason>> = {
  handler: ErrorReason.HANDLER,
  director: ErrorReason.DIRECTOR,
  onError: ErrorReason.HANDLER,
  finalizer: ErrorReason.FINALIZER,
  codec: ErrorReason.CODEC,
  callback: ErrorReason.HANDLER,
};

/**
 * A GrpcError is meant for the client. Anything else is UNKNOWN, as in Go; its reason tells which
 * code was called.
 */
export function fromUserCode(calledAs: CalledAs, thrown: unknown): GrpcError {
  const error = GrpcError.from(thrown);
  // Passed, or the reason of the abort that was thrown.
  if (error.cause !== thrown || error === thrown) return error;
  if (error.status !== Status.UNKNOWN) return error;
  warnOnce(calledAs, calledAs, `${calledAs} threw ${thrownText(thrown)}`, thrown);
  return failure(Status.UNKNOWN, INTERNAL_DETAILS, {
    reason: REASONS[calledAs],
    message: thrownText(thrown),
    cause: thrown,
  });
}
