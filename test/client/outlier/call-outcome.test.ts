// Which ends of calls speak against an address.

import { expect, it } from "vitest";
import { outcomeOf } from "../../../src/client/outlier/call-outcome.ts";
import type { CallEnd } from "../../../src/client/subchannel/watched-calls.ts";
import { Status } from "../../../src/grpc/status.ts";
import type { StreamEnd } from "../../../src/transport/transport.ts";
import { ErrorCode } from "../../../src/wire/error-code.ts";
import { fieldsOf, response, trailers, trailersOnly } from "../../support/frames.ts";

const headers = fieldsOf(response());

function end(parts: Partial<CallEnd>): ReturnType<typeof outcomeOf> {
  const none = { headers: undefined, trailers: undefined, isComplete: false };
  return outcomeOf({ ...none, streamEnd: undefined, ...parts });
}

function ended(parts: Partial<StreamEnd>): ReturnType<typeof outcomeOf> {
  const streamEnd: StreamEnd = {
    ...{ kind: "reset", code: ErrorCode.INTERNAL_ERROR, unprocessed: false },
    ...{ message: "", reason: "", ...parts },
  };
  return end({ headers, streamEnd });
}

const FAILURES: readonly number[] = [
  ...[Status.UNKNOWN, Status.INTERNAL, Status.UNAVAILABLE, Status.DATA_LOSS],
];
const OF_THE_CALLER: readonly number[] = [Status.CANCELLED, Status.DEADLINE_EXCEEDED];

it.each(Object.entries(Status))("%s", (_, status) => {
  const outcome = FAILURES.includes(status)
    ? "failure"
    : OF_THE_CALLER.includes(status)
      ? undefined
      : "success";
  expect(end({ headers, trailers: fieldsOf(trailers(status)), isComplete: true })).toBe(outcome);
  expect(end({ headers: fieldsOf(trailersOnly(status)) })).toBe(outcome);
});

it("takes a response without a status for a failure, but not one that this side has ended", () => {
  expect(end({ headers, isComplete: true })).toBe("failure");
  expect(end({ headers })).toBeUndefined();
  expect(end({})).toBeUndefined();
});

it("takes the HTTP status of an answer that is not gRPC", () => {
  expect(end({ headers: fieldsOf([[":status", "503"]]) })).toBe("failure");
  expect(end({ headers: fieldsOf([[":status", "401"]]) })).toBe("success");
});

it("takes resets and lost connections for failures, but not what was not begun or cancelled", () => {
  expect(ended({})).toBe("failure");
  expect(ended({ kind: "session", code: ErrorCode.CANCEL })).toBe("failure");
  expect(ended({ code: ErrorCode.CANCEL })).toBeUndefined();
  expect(ended({ unprocessed: true, code: ErrorCode.REFUSED_STREAM })).toBeUndefined();
});
