// The gRPC status codes (grpc/grpc `doc/statuscodes.md`): the vocabulary of `grpc-status`. A leaf.

/**
 * How a call ended. "Made here" says when this library produces the code itself; any other code
 * only passes through it.
 */
export const Status = {
  /**
   * Success. Made here when a local handler returns and when every leg of a proxied call succeeded.
   */
  OK: 0,
  /**
   * The caller gave up. Made here for RST_STREAM(CANCEL) from either side, an aborted signal, and
   * calls of a client whose connection died.
   */
  CANCELLED: 1,
  /**
   * Nothing better is known. Made here when user code throws a plain error, and for an upstream
   * response without a usable status.
   */
  UNKNOWN: 2,
  /**
   * The request is wrong whatever the state of the system. Made here only for a director that peeks
   * at a stream without messages.
   */
  INVALID_ARGUMENT: 3,
  /**
   * The deadline passed before the call was complete; it may have succeeded all the same. Made here
   * when the timer of a call fires.
   */
  DEADLINE_EXCEEDED: 4,
  /** The wanted thing does not exist. Never made here. */
  NOT_FOUND: 5,
  /** The thing to be created exists. Never made here. */
  ALREADY_EXISTS: 6,
  /**
   * The caller is known and may not. Made here for RST_STREAM(INADEQUATE_SECURITY) and HTTP 403
   * from upstream.
   */
  PERMISSION_DENIED: 7,
  /**
   * A quota or limit is used up. Made here for messages above a configured limit, for lagging
   * secondaries, and for RST_STREAM(ENHANCE_YOUR_CALM).
   */
  RESOURCE_EXHAUSTED: 8,
  /** The system is not in the state that the call needs. Never made here. */
  FAILED_PRECONDITION: 9,
  /** A concurrency conflict ended the call; retry at a higher level. Never made here. */
  ABORTED: 10,
  /** Past the valid range. Never made here. */
  OUT_OF_RANGE: 11,
  /**
   * No such method. Made here for unknown services and methods, for HTTP 404 from upstream, and for
   * compression we cannot undo.
   */
  UNIMPLEMENTED: 12,
  /**
   * An invariant is broken. Made here for protocol errors of a peer and for control-plane statuses
   * that gRFC A54 keeps from callers.
   */
  INTERNAL: 13,
  /**
   * Cannot be served now; retrying with a backoff may help. Made here when an upstream cannot be
   * reached, died, or refused the stream.
   */
  UNAVAILABLE: 14,
  /** Data is lost for good. Never made here. */
  DATA_LOSS: 15,
  /** The caller has not proved who it is. Made here for HTTP 401 from upstream. */
  UNAUTHENTICATED: 16,
} as const;

export type Status = (typeof Status)[keyof typeof Status];

const NAMES: readonly string[] = Object.keys(Status);

/** `UNAVAILABLE` for 14; `CODE_42` for a number that is no status. */
export function statusName(code: number): string {
  return NAMES[code] ?? `CODE_${code}`;
}

export function isStatus(code: number): code is Status {
  return Number.isInteger(code) && code >= Status.OK && code <= Status.UNAUTHENTICATED;
}
