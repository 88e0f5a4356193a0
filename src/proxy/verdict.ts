// Asks the `onError` of a destination whether an error counts.

import { shown } from "../check/check.ts";
import { warn } from "../check/warn.ts";
import type { GrpcError } from "../grpc/error.ts";
import { fromUserCode } from "../grpc/user-error.ts";
import type { Destination } from "./director.ts";
import type { DestinationResult } from "./results.ts";

/**
 * The error that counts, or `undefined` when it is swallowed. Only returning nothing swallows. A
 * value that is neither an error nor nothing, such as a promise, leaves the error as it is.
 */
export function verdictOf(
  { onError }: Destination,
  error: GrpcError,
  result: DestinationResult,
): GrpcError | undefined {
  if (onError === undefined) return error;
  let outcome: unknown;
  try {
    outcome = onError(error, result);
  } catch (thrown) {
    return fromUserCode("onError", thrown);
  }
  if (outcome === undefined || outcome === null) return undefined;
  if (outcome instanceof Error) return fromUserCode("onError", outcome);
  const detail = "the error that it was told stands";
  if (isThenable(outcome)) {
    warn("onError", "onError must not return a promise: it cannot be waited for", detail);
    // Nobody waits for the promise, so nobody hears that it rejected.
    Promise.resolve(outcome).catch(ignored);
  } else {
    warn("onError", `onError: expected an error or nothing, got ${shown(outcome)}`, detail);
  }
  return error;
}

function isThenable(value: NonNullable<unknown>): value is PromiseLike<unknown> {
  return typeof (value as Partial<PromiseLike<unknown>>).then === "function";
}

function ignored(): void {}
