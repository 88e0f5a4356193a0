// What the program's own code threw, as the error that its call ends with: clients do not read it,
// operators are warned of it.

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
 * A GrpcError is what the program means to say. Anything else is UNKNOWN, as in Go, with the reason
 * of what was called.
 */
export function fromUserCode(calledAs: CalledAs, thrown: unknown): GrpcError {
  const error = GrpcError.from(thrown);
  // Passed, or the reason of the abort that was thrown.
  if (error.cause !== thrown || error === thrown) return error;
  if (error.status !== Status.UNKNOWN) return error;
  warnOnce(calledAs, `${calledAs} threw ${thrownText(thrown)}`, thrown);
  return failure(Status.UNKNOWN, INTERNAL_DETAILS, {
    reason: REASONS[calledAs],
    message: thrownText(thrown),
    cause: thrown,
  });
}
