// What the decision table allows for a call: from its plan, and from what went wrong under it.

import { isStatus, Status } from "../../src/grpc/status.ts";
import type { Ended } from "./caller.ts";
import { type BackendName, type CallPlan, type Outcome, RETRY_POLICY } from "./plan.ts";

const NO_ERROR = 0;
const INTERNAL_ERROR = 2;
const REFUSED_STREAM = 7;
const CANCEL = 8;
const ENHANCE_YOUR_CALM = 11;
const INADEQUATE_SECURITY = 12;

// The table of gRPC PROTOCOL-HTTP2 "Errors", in both directions. Not the relay's own: then the
// judge would believe whatever that says.

const STATUS_OF_RESET: Readonly<Record<number, Status>> = {
  [NO_ERROR]: Status.INTERNAL,
  [INTERNAL_ERROR]: Status.INTERNAL,
  [REFUSED_STREAM]: Status.UNAVAILABLE,
  [CANCEL]: Status.CANCELLED,
  [ENHANCE_YOUR_CALM]: Status.RESOURCE_EXHAUSTED,
};

/** Any other status is INTERNAL_ERROR. */
const RESET_OF_STATUS: Readonly<Record<number, number>> = {
  [Status.CANCELLED]: CANCEL,
  [Status.DEADLINE_EXCEEDED]: CANCEL,
  [Status.RESOURCE_EXHAUSTED]: ENHANCE_YOUR_CALM,
  [Status.PERMISSION_DENIED]: INADEQUATE_SECURITY,
};

/** `grpc-timeout` has whole milliseconds, and timers of clients and servers their own ticks. */
const TICK_MS = 2;
const DEFAULT_WINDOW_BYTES = 65_535;
/** A request of which more has gone out is not sent again. */
const MAX_REPLAY_BYTES = 65_536;
/** How long a client may leave the rest of a response unread whose deadline has passed. */
const UNREAD_MS = 1_000;
/** No call is longer than this past its deadline, on a machine that does much else. */
const HANG_MS = 10_000;
/** The longest wait for a retry: 20 % above `maxBackoffMs` (gRFC A6). */
const LONGEST_BACKOFF_MS = 1.2 * RETRY_POLICY.maxBackoffMs + TICK_MS;

/** What is known when a call has ended. */
export interface Circumstances {
  /** A connection to the backend was lost, or refused, or went away, before the call ended. */
  troubled(backend: BackendName): boolean;
  /** A connection of the client was lost before the call ended. */
  readonly clientTroubled: boolean;
  /** How often the call has come to the backend. */
  arrivals(backend: BackendName): number;
}

function statusOf(outcome: Outcome): Status | undefined {
  switch (outcome.kind) {
    case "trailers":
    case "trailersOnly":
      return outcome.status;
    case "reset":
      return STATUS_OF_RESET[outcome.code];
    case "noStatus":
      return Status.UNKNOWN;
    case "silent":
      return undefined;
  }
}

function refuses(outcome: Outcome): boolean {
  return outcome.kind === "reset" && outcome.code === REFUSED_STREAM;
}

/** The statuses that the client may be told. */
export function allowedStatuses(ended: Ended, circumstances: Circumstances): Set<Status> {
  const { call } = ended;
  const allowed = new Set<Status>();
  const add = (outcome: Outcome): void => {
    const status = statusOf(outcome);
    if (status !== undefined) allowed.add(status);
  };
  if (call.peeks && call.request.length === 0) allowed.add(Status.INVALID_ARGUMENT);
  else addPrimary(call, circumstances, add, allowed);
  let fails = false;
  for (const { backend, need, swallows } of call.secondaries) {
    if (need === "detached") continue;
    const troubled = circumstances.troubled(backend);
    // A required one that cannot be opened fails the call whatever its `onError` says.
    if (troubled && (need === "required" || !swallows)) allowed.add(Status.UNAVAILABLE);
    const { outcome } = call.parts[backend];
    if (swallows) continue;
    add(outcome);
    if (statusOf(outcome) !== Status.OK) fails = true;
  }
  if (fails) allowed.delete(Status.OK);
  const timeoutMs = Math.min(
    call.timeoutMs ?? Number.POSITIVE_INFINITY,
    call.optionTimeoutMs ?? Number.POSITIVE_INFINITY,
  );
  const tookMs = ended.endedMs - ended.startedMs;
  if (tookMs >= timeoutMs - TICK_MS) allowed.add(Status.DEADLINE_EXCEEDED);
  // No retry that would come after the deadline is waited for: the call ends as the attempt did.
  // The same holds for a call that was refused, and would go to its fallback.
  const again = call.parts.a.failsFirst > 0 || refuses(call.parts.a.outcome);
  if (again && tookMs >= timeoutMs - LONGEST_BACKOFF_MS) {
    allowed.add(Status.UNAVAILABLE);
  }
  return allowed;
}

function addPrimary(
  call: CallPlan,
  circumstances: Circumstances,
  add: (outcome: Outcome) => void,
  allowed: Set<Status>,
): void {
  const { a, b } = call.parts;
  const { outcome } = a;
  const refused = refuses(outcome);
  const troubled = circumstances.troubled("a");
  const goesOn = call.fallback && refused && a.share === 0;
  if (!goesOn || troubled || call.requestBytes.length > MAX_REPLAY_BYTES) add(outcome);
  if (a.failsFirst > 0 && !call.retries) allowed.add(Status.UNAVAILABLE);
  if (troubled) allowed.add(Status.UNAVAILABLE);
  if (call.fallback && (troubled || refused)) {
    add(b.outcome);
    if (circumstances.troubled("b")) allowed.add(Status.UNAVAILABLE);
  }
}

/** What is wrong with the end of a call; empty when nothing is. */
export function judge(ended: Ended, circumstances: Circumstances): string[] {
  const { call, end } = ended;
  const problems: string[] = [];
  const tookMs = ended.endedMs - ended.startedMs;
  const deadlineMs = Math.min(call.timeoutMs ?? HANG_MS, call.optionTimeoutMs ?? HANG_MS);
  if (tookMs > deadlineMs + HANG_MS) problems.push(`took ${Math.round(tookMs)} ms`);
  const allowed = allowedStatuses(ended, circumstances);
  const shown = `allowed: ${[...allowed].sort((one, other) => one - other).join(", ")}`;
  switch (end.kind) {
    case "status":
      if (!isStatus(end.status) || !allowed.has(end.status))
        problems.push(`ended with status ${end.status}, ${shown}`);
      problems.push(...judgeLength(ended, end.status));
      break;
    case "reset":
      if (!brokeOff(ended) && !leftUnread(ended)) {
        problems.push(`RST_STREAM(${end.code}) after ${ended.receivedBytes} bytes`);
      }
      if (
        ![...allowed].some((status) => (RESET_OF_STATUS[status] ?? INTERNAL_ERROR) === end.code)
      ) {
        problems.push(`RST_STREAM(${end.code}), ${shown}`);
      }
      break;
    case "lost":
      if (!circumstances.clientTroubled) problems.push("its connection was lost without a fault");
      break;
    case "cancelled":
  }
  problems.push(...judgeArrivals(call, circumstances));
  return problems;
}

/** A call that ends well is complete. */
function judgeLength({ call, receivedBytes }: Ended, status: number): string[] {
  if (status !== Status.OK) return [];
  const outcomes = [call.parts.a.outcome, ...(call.fallback ? [call.parts.b.outcome] : [])];
  const lengths = outcomes
    .filter((outcome) => statusOf(outcome) === Status.OK)
    .map(({ kind }) => (kind === "trailersOnly" ? 0 : call.responseBytes.length));
  if (lengths.includes(receivedBytes)) return [];
  return [`OK after ${receivedBytes} bytes of the response, expected ${lengths.join(" or ")}`];
}

/**
 * The deadline passed, and for a second after that the client did not take what came before the
 * status: the relay keeps it no longer.
 */
function leftUnread({ call, end, startedMs, endedMs }: Ended): boolean {
  const deadlineMs = Math.min(call.timeoutMs ?? HANG_MS, call.optionTimeoutMs ?? HANG_MS);
  return (
    end.kind === "reset" &&
    end.code === CANCEL &&
    call.responseBytes.length > DEFAULT_WINDOW_BYTES &&
    endedMs - startedMs >= deadlineMs + UNREAD_MS - TICK_MS
  );
}

/** Within the second message of the answer to a complete request of at most one message. */
function brokeOff({ call, receivedBytes, requestComplete }: Ended): boolean {
  const [first, second] = call.response;
  if (!requestComplete || call.request.length > 1) return false;
  if (first === undefined || second === undefined) return false;
  // What fills the window of the stream, the relay may have more of than the client.
  const begun = receivedBytes > first.length || first.length >= DEFAULT_WINDOW_BYTES;
  return begun && receivedBytes < first.length + second.length;
}

/** No backend is given a call twice unless that is known to be harmless, or was asked for. */
function judgeArrivals(call: CallPlan, circumstances: Circumstances): string[] {
  const refused = refuses(call.parts.a.outcome);
  const most = (call.retries ? RETRY_POLICY.maxAttempts : 1) + (refused ? 1 : 0);
  const problems: string[] = [];
  const here = circumstances.arrivals("a");
  if (here > most) problems.push(`came to a ${here} times, expected at most ${most}`);
  for (const backend of ["b", "c"] as const) {
    const count = circumstances.arrivals(backend);
    const again = refuses(call.parts[backend].outcome) ? 1 : 0;
    const asked = call.secondaries.some((secondary) => secondary.backend === backend);
    const spare = backend === "b" && call.fallback && (here === 0 || refused);
    const attempts = call.retries ? RETRY_POLICY.maxAttempts : 1;
    const limit = asked || spare ? attempts + again : 0;
    if (count > limit) problems.push(`came to ${backend} ${count} times, expected ${limit}`);
  }
  return problems;
}
