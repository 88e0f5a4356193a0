// The one error class of the public API, and the table of reasons. The class knows no wire form;
// trailers.ts does.

import { checkOneOf } from "../check/check.ts";
import { anything, type OptionTable, optionTable } from "../check/options.ts";
import type { HeaderList } from "../wire/field.ts";
import { Metadata } from "./metadata.ts";
import { ReceivedStatus } from "./received-status.ts";
import { isStatus, Status, statusName } from "./status.ts";

/**
 * Why a call failed, as a stable string: programs match on `status` and `reason`, never on
 * `message`. Every entry says what happened, the status that goes with it, and what to do.
 */
export const ErrorReason = {
  /**
   * User code (handler, interceptor, hook) threw. Status: the thrown GrpcError's, UNKNOWN for any
   * other error. Look at `cause`.
   */
  HANDLER: "HANDLER",
  /**
   * The director threw or returned something that is no `StreamParameters`. Status: as HANDLER.
   * Look at `cause`.
   */
  DIRECTOR: "DIRECTOR",
  /**
   * Nothing is registered for the method. UNIMPLEMENTED. Register it, or set an unknown-service
   * handler.
   */
  UNIMPLEMENTED: "UNIMPLEMENTED",
  /** `:path` is not `/service/method`. UNIMPLEMENTED. The client is broken. */
  INVALID_PATH: "INVALID_PATH",
  /** `grpc-timeout` is not 1 to 8 digits and a unit. INTERNAL. The client is broken. */
  INVALID_TIMEOUT: "INVALID_TIMEOUT",
  /** Metadata that cannot go on the wire was given. INTERNAL. Look at `cause` for the name. */
  INVALID_METADATA: "INVALID_METADATA",
  /**
   * The deadline passed. DEADLINE_EXCEEDED. Allow more time, or find out which upstream was slow.
   */
  DEADLINE: "DEADLINE",
  /**
   * The client reset the stream, its connection died, or the call's signal or context was
   * cancelled. CANCELLED. Nothing to do.
   */
  CLIENT_CANCELLED: "CLIENT_CANCELLED",
  /**
   * The client broke HTTP/2 or gRPC on this stream. CANCELLED for the former, INTERNAL for the
   * latter. The client is broken.
   */
  CLIENT_PROTOCOL: "CLIENT_PROTOCOL",
  /**
   * The client gave no window to the response for `streamStallTimeoutMs`, and the stream was reset.
   * RESOURCE_EXHAUSTED. The client has to read, or the limit to be raised.
   */
  CLIENT_STALLED: "CLIENT_STALLED",
  /**
   * The upstream answered with a status other than OK. The call ends with that status. The cause is
   * between client and upstream.
   */
  UPSTREAM_STATUS: "UPSTREAM_STATUS",
  /**
   * The upstream reset the stream. The status follows from the error code (`statusFromErrorCode`).
   * Look at the upstream; `retry` says whether it started.
   */
  UPSTREAM_RESET: "UPSTREAM_RESET",
  /**
   * No connection could be made: refused, timed out, name not found, TLS handshake failed.
   * UNAVAILABLE. Look at `cause`; safe to retry.
   */
  UPSTREAM_CONNECT: "UPSTREAM_CONNECT",
  /**
   * The upstream is connected, but its health check (`healthCheck`) does not say SERVING.
   * UNAVAILABLE. Safe to retry.
   */
  UPSTREAM_UNHEALTHY: "UPSTREAM_UNHEALTHY",
  /** The connection died under the call. UNAVAILABLE. The upstream may have processed it. */
  UPSTREAM_SESSION: "UPSTREAM_SESSION",
  /** The upstream is going away and did not take the stream. UNAVAILABLE. Safe to retry. */
  UPSTREAM_GOAWAY: "UPSTREAM_GOAWAY",
  /**
   * The upstream ended the response without `grpc-status`. UNKNOWN. Something between here and
   * there drops trailers.
   */
  UPSTREAM_MISSING_STATUS: "UPSTREAM_MISSING_STATUS",
  /**
   * The upstream answered with an HTTP error, or with a content type that is not gRPC. The status
   * follows from the HTTP status (`statusFromHttpStatus`). Check the target.
   */
  UPSTREAM_NOT_GRPC: "UPSTREAM_NOT_GRPC",
  /**
   * The upstream gave no window to the request for `streamStallTimeoutMs`, and the stream was
   * reset. RESOURCE_EXHAUSTED. Look at the upstream, or raise the limit.
   */
  UPSTREAM_STALLED: "UPSTREAM_STALLED",
  /** The upstream broke HTTP/2 or gRPC on this stream. INTERNAL. The upstream is broken. */
  UPSTREAM_PROTOCOL: "UPSTREAM_PROTOCOL",
  /**
   * A message is larger than the configured limit. RESOURCE_EXHAUSTED. Raise the limit, or send
   * less.
   */
  MESSAGE_TOO_LARGE: "MESSAGE_TOO_LARGE",
  /**
   * The message that is peeked at has not come in time. DEADLINE_EXCEEDED. Raise the limit, or do
   * not peek at this method.
   */
  PEEK_TIMEOUT: "PEEK_TIMEOUT",
  /**
   * The peeked messages are larger than the peek limit. RESOURCE_EXHAUSTED. Raise the limit, or do
   * not peek at this method.
   */
  PEEK_TOO_LARGE: "PEEK_TOO_LARGE",
  /**
   * The client ended its stream before the message that was to be peeked at. INVALID_ARGUMENT. The
   * client must send one.
   */
  NO_MESSAGE: "NO_MESSAGE",
  /**
   * Too many calls wait for an upstream stream (gRFC A32). UNAVAILABLE. Safe to retry after a
   * while; add capacity.
   */
  QUEUE_FULL: "QUEUE_FULL",
  /**
   * The `ClientConn` was closed. UNAVAILABLE. A program error, or a shutdown under way; safe to
   * retry elsewhere.
   */
  CONN_CLOSED: "CONN_CLOSED",
  /**
   * A secondary fell further behind than allowed, or too much memory is kept for detached ones.
   * RESOURCE_EXHAUSTED. Raise `maxLagBytes`, or swallow the error.
   */
  SECONDARY_LAG: "SECONDARY_LAG",
  /**
   * A secondary was ended with its call: the primary failed, or the call ended before its request
   * was complete. CANCELLED. Nothing to do. Or a message was given to a call of our own that the
   * server has answered. INTERNAL. Send less, or wait for the answer.
   */
  CALL_ENDED: "CALL_ENDED",
  /**
   * The request finalizer failed after all else had succeeded. Status: as HANDLER. Look at `cause`.
   */
  FINALIZER: "FINALIZER",
  /** The server is stopping and the time for its calls is over. UNAVAILABLE. Retry elsewhere. */
  SHUTDOWN: "SHUTDOWN",
  /**
   * A message that is read here is compressed, and it cannot be decompressed: unknown encoding
   * (UNIMPLEMENTED), no encoding or damaged data (INTERNAL). Send it uncompressed, or take raw
   * frames.
   */
  COMPRESSED_MESSAGE: "COMPRESSED_MESSAGE",
  /** A stream ended in the middle of a message. INTERNAL. The sender is broken. */
  TRUNCATED_MESSAGE: "TRUNCATED_MESSAGE",
  /** A codec failed on a message. INTERNAL. Look at `cause`. */
  CODEC: "CODEC",
} as const;

export type ErrorReason = (typeof ErrorReason)[keyof typeof ErrorReason];

/** Who caused the failure: the client, a backend, or this process. */
export type ErrorSource = "downstream" | "upstream" | "proxy";

export interface GrpcErrorOptions {
  /** @default "HANDLER" */
  readonly reason?: ErrorReason;
  /** @default "proxy" */
  readonly source?: ErrorSource;
  /** `"safe"` when no upstream can have processed the call. @default "never" */
  readonly retry?: "never" | "safe";
  /** Custom metadata for the trailers; not copied. @default none */
  readonly metadata?: Metadata;
  /**
   * The text of `message`, in the place of the details: addresses, paths and foreign texts, which
   * clients should not read.
   */
  readonly message?: string;
  readonly cause?: unknown;
}

/** Options of an error that is made here. It says why it is; HANDLER is what user code throws. */
export interface FailureOptions extends GrpcErrorOptions {
  readonly reason: ErrorReason;
}

const ERROR_OPTIONS: OptionTable = optionTable<GrpcErrorOptions>("options of GrpcError", {
  reason: (name, value) => checkOneOf(name, value, Object.values(ErrorReason)),
  source: (name, value) => checkOneOf(name, value, ["downstream", "upstream", "proxy"]),
  retry: (name, value) => checkOneOf(name, value, ["never", "safe"]),
  metadata: (name, value) => {
    if (value instanceof Metadata) return;
    throw new TypeError(`${name}: expected a Metadata, got ${typeof value}`);
  },
  message: (name, value) => {
    if (typeof value === "string") return;
    throw new TypeError(`${name}: expected a string, got ${typeof value}`);
  },
  cause: anything,
});

/**
 * The text that clients read for an error that was not meant for them: for anything thrown that is
 * no GrpcError.
 */
export const INTERNAL_DETAILS = "internal error in the proxy";

/**
 * A call that failed. The client is sent `status`, `details` and `metadata`, and nothing else;
 * `message`, `cause`, `reason` and `source` are for operators. In errors made here `details` names
 * no address, path or host, and quotes neither the system, TLS nor a plain Error; `message` does. A
 * GrpcError that user code throws is sent as it is. Match on `status` and `reason`; the texts may
 * change in any release.
 */
export class GrpcError extends Error {
  override readonly name = "GrpcError";
  /** Never OK. */
  readonly status: Exclude<Status, 0>;
  /** Custom metadata of the trailers. */
  readonly metadata: Metadata;
  readonly reason: ErrorReason;
  readonly source: ErrorSource;
  /** `"safe"`: no upstream can have processed the call, so sending it again does no harm. */
  readonly retry: "never" | "safe";
  readonly #details: string | ReceivedStatus;
  #wireTrailers: HeaderList | undefined;
  #wireMetadata: HeaderList | undefined;

  /**
   * @throws {RangeError} for OK, because success is not an error, and for a number that is no
   *   status
   * @throws {TypeError} for an unknown option, and for an option with an impossible value
   */
  constructor(status: Status, details: string, options?: GrpcErrorOptions);
  /** @internal An error that an upstream has sent; its text is made when somebody reads it. */
  constructor(status: Status, details: ReceivedStatus, options: FailureOptions);
  constructor(status: Status, details: string | ReceivedStatus, options?: GrpcErrorOptions) {
    super(
      // An error without a message of its own uses the getter below.
      details instanceof ReceivedStatus
        ? undefined
        : `${statusName(status)}: ${textOf(options?.message ?? details ?? "")}`,
      options?.cause === undefined ? undefined : { cause: options.cause },
    );
    if (!isStatus(status) || status === Status.OK) {
      throw new RangeError(`status: expected an integer from 1 to 16, got ${String(status)}`);
    }
    // Each failed call of an upstream makes one such error, and its options are ours.
    if (options !== undefined && !(details instanceof ReceivedStatus)) ERROR_OPTIONS.check(options);
    this.status = status;
    // Foreign errors may have anything as a message. That must not make this constructor fail.
    this.#details =
      typeof details === "string" || details instanceof ReceivedStatus
        ? details
        : textOf(details ?? "");
    this.metadata = options?.metadata ?? new Metadata();
    this.reason = options?.reason ?? ErrorReason.HANDLER;
    this.source = options?.source ?? "proxy";
    this.retry = options?.retry ?? "never";
  }

  /**
   * The message of an error that an upstream has sent. Any other error has its own property
   * `message`, which hides this one.
   */
  override get message(): string {
    return `${statusName(this.status)}: ${this.details}`;
  }

  override set message(value: string) {
    Object.defineProperty(this, "message", { value, writable: true, configurable: true });
  }

  /**
   * The decoded `grpc-message`, which the client reads. The text of an error that is made here is
   * cut to 8,192 octets when it is sent.
   */
  get details(): string {
    return typeof this.#details === "string" ? this.#details : this.#details.details;
  }

  /**
   * @internal The trailing fields exactly as the upstream sent them (for a Trailers-Only response:
   *   its whole header section). So an error that is passed on unchanged goes out byte-exact.
   *   `undefined` for an error made here, and as soon as `metadata` has been changed.
   */
  get wireTrailers(): HeaderList | undefined {
    return this.metadata.toFields() === this.#wireMetadata ? this.#wireTrailers : undefined;
  }

  /** @internal */
  set wireTrailers(trailers: HeaderList | undefined) {
    this.#wireTrailers = trailers;
    this.#wireMetadata = this.metadata.toFields();
  }

  /**
   * Converts anything that was thrown to a GrpcError. A GrpcError stays itself. An AbortError
   * becomes the reason of the abort if that is a GrpcError, and CANCELLED otherwise. The
   * TimeoutError of `AbortSignal.timeout` becomes DEADLINE_EXCEEDED. Anything else becomes UNKNOWN,
   * as grpc-go treats a plain error that a handler returns; its text is only for operators.
   */
  static from(thrown: unknown): GrpcError {
    if (thrown instanceof GrpcError) return thrown;
    const options = { message: thrownText(thrown), cause: thrown };
    if (!(thrown instanceof Error)) {
      return new GrpcError(Status.UNKNOWN, INTERNAL_DETAILS, options);
    }
    if (thrown.name === "AbortError") {
      if (thrown.cause instanceof GrpcError) return thrown.cause;
      return failure(Status.CANCELLED, "the call was aborted", {
        ...options,
        reason: ErrorReason.CLIENT_CANCELLED,
        source: "downstream",
      });
    }
    return thrown.name === "TimeoutError" && thrown instanceof DOMException
      ? new GrpcError(Status.DEADLINE_EXCEEDED, "timed out", options)
      : new GrpcError(Status.UNKNOWN, INTERNAL_DETAILS, options);
  }
}

/**
 * Makes an error of this process. All of them are made here, so that each has a reason and none is
 * blamed on user code.
 */
export function failure(status: Status, details: string, options: FailureOptions): GrpcError {
  return new GrpcError(status, details, options);
}

/** The text of a thrown value, for operators. */
export function thrownText(thrown: unknown): string {
  return textOf(thrown instanceof Error ? thrown.message || thrown.name : thrown);
}

/** The text of a thrown value that is no Error. Some objects cannot be converted to text. */
function textOf(thrown: unknown): string {
  try {
    return String(thrown);
  } catch {
    return "something that is not an Error was thrown";
  }
}
