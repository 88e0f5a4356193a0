// How a call's outcome is written in trailers and read from them (gRPC PROTOCOL-HTTP2 "Responses").

import { HeaderField, type HeaderList } from "../wire/field.ts";
import { ErrorReason, failure, GrpcError } from "./error.ts";
import { forwardableResponseMetadata } from "./header-filter.ts";
import { Metadata } from "./metadata.ts";
import { type ReceivedStatus, receivedStatus } from "./received-status.ts";
import { Status } from "./status.ts";
import { encodeGrpcMessage } from "./status-message.ts";

// Shared objects: HPACK finds a field that it wrote before by identity.

/** `:status: 200` */
export const HTTP_STATUS_200: HeaderField = new HeaderField(":status", "200");
/** `content-type: application/grpc` */
export const CONTENT_TYPE_GRPC: HeaderField = new HeaderField("content-type", "application/grpc");

const STATUS_FIELDS = {
  [Status.OK]: new HeaderField("grpc-status", "0"),
  [Status.CANCELLED]: new HeaderField("grpc-status", "1"),
  [Status.UNKNOWN]: new HeaderField("grpc-status", "2"),
  [Status.INVALID_ARGUMENT]: new HeaderField("grpc-status", "3"),
  [Status.DEADLINE_EXCEEDED]: new HeaderField("grpc-status", "4"),
  [Status.NOT_FOUND]: new HeaderField("grpc-status", "5"),
  [Status.ALREADY_EXISTS]: new HeaderField("grpc-status", "6"),
  [Status.PERMISSION_DENIED]: new HeaderField("grpc-status", "7"),
  [Status.RESOURCE_EXHAUSTED]: new HeaderField("grpc-status", "8"),
  [Status.FAILED_PRECONDITION]: new HeaderField("grpc-status", "9"),
  [Status.ABORTED]: new HeaderField("grpc-status", "10"),
  [Status.OUT_OF_RANGE]: new HeaderField("grpc-status", "11"),
  [Status.UNIMPLEMENTED]: new HeaderField("grpc-status", "12"),
  [Status.INTERNAL]: new HeaderField("grpc-status", "13"),
  [Status.UNAVAILABLE]: new HeaderField("grpc-status", "14"),
  [Status.DATA_LOSS]: new HeaderField("grpc-status", "15"),
  [Status.UNAUTHENTICATED]: new HeaderField("grpc-status", "16"),
} as const;

/**
 * The outcome in `trailers` (or in the headers of a Trailers-Only response); `undefined` when they
 * hold no `grpc-status`. A status that is not a plain decimal from 0 to 16 is UNKNOWN, and the
 * details say what came.
 */
export function parseStatus(trailers: HeaderList): ReceivedStatus | undefined {
  let code: string | undefined;
  let message = "";
  for (const field of trailers) {
    if (field.name === "grpc-status") code ??= field.value;
    else if (field.name === "grpc-message") message = field.value;
  }
  return code === undefined ? undefined : receivedStatus(code, message);
}

/**
 * The error that `trailers` report; `undefined` when they say OK. Without `grpc-status` it is
 * UNKNOWN. It has no stack: that would show how a socket is read, and take three quarters of the
 * time, for an answer that many services give every day. Nor is its text made before somebody
 * reads it.
 * @param received what `parseStatus` says of them
 */
export function grpcErrorFromTrailers(
  trailers: HeaderList,
  received: ReceivedStatus | undefined = parseStatus(trailers),
): GrpcError | undefined {
  if (received?.status === Status.OK) return undefined;
  const metadata = Metadata.fromFields(forwardableResponseMetadata(trailers));
  const limit = Error.stackTraceLimit;
  // Reflect.set, because an assignment throws under --frozen-intrinsics.
  Reflect.set(Error, "stackTraceLimit", 0);
  const error =
    received === undefined
      ? failure(Status.UNKNOWN, "upstream ended the response without grpc-status", {
          reason: ErrorReason.UPSTREAM_MISSING_STATUS,
          source: "upstream",
          metadata,
        })
      : new GrpcError(received.status, received, {
          reason: ErrorReason.UPSTREAM_STATUS,
          source: "upstream",
          metadata,
        });
  Reflect.set(Error, "stackTraceLimit", limit);
  if (received !== undefined) error.wireTrailers = trailers;
  return error;
}

/**
 * Trailing fields for an outcome that is made here; `details`, cut to their bound, become the
 * `grpc-message`, none when empty.
 */
export function trailersFor(
  status: Status,
  details: string,
  metadata?: Metadata | HeaderList,
): HeaderField[] {
  return appendOutcome([], status, details, metadata);
}

/**
 * The header section of a Trailers-Only response: `:status`, `content-type` and the outcome, in one
 * HEADERS frame with END_STREAM.
 */
export function trailersOnlyHeaders(
  status: Status,
  details: string,
  metadata?: Metadata | HeaderList,
): HeaderField[] {
  return appendOutcome([HTTP_STATUS_200, CONTENT_TYPE_GRPC], status, details, metadata);
}

function appendOutcome(
  fields: HeaderField[],
  status: Status,
  details: string,
  metadata: Metadata | HeaderList = [],
): HeaderField[] {
  fields.push(STATUS_FIELDS[status]);
  if (details !== "") fields.push(new HeaderField("grpc-message", encodeGrpcMessage(details)));
  for (const field of metadata instanceof Metadata ? metadata.toFields() : metadata) {
    fields.push(field);
  }
  return fields;
}

/**
 * The trailing fields that report `error` after response headers: an upstream's own, byte-exact, if
 * the error is still as it came.
 */
export function errorTrailers(error: GrpcError): HeaderList {
  const wire = error.wireTrailers;
  if (wire === undefined) return trailersFor(error.status, error.details, error.metadata);
  // A Trailers-Only response may be sent after other headers. Then it loses the fields that belong
  // to headers alone.
  return isHeaderSection(wire) ? wire.filter((field) => !isHeaderOnly(field.name)) : wire;
}

/**
 * The Trailers-Only header section that reports `error`: an upstream's own, byte-exact, if the
 * error is still as it came.
 */
export function errorHeaders(error: GrpcError): HeaderList {
  const wire = error.wireTrailers;
  if (wire === undefined) return trailersOnlyHeaders(error.status, error.details, error.metadata);
  return isHeaderSection(wire) ? wire : asHeaderSection(wire, CONTENT_TYPE_GRPC);
}

/**
 * The Trailers-Only header section of `trailers`. Fields of a backend that have another meaning in
 * headers are left out.
 */
function asHeaderSection(trailers: HeaderList, contentType: HeaderField): HeaderList {
  const fields = [HTTP_STATUS_200, contentType];
  for (const field of trailers) if (!isHeaderOnly(field.name)) fields.push(field);
  return fields;
}

/** Pseudo-header fields come first or not at all (RFC 9113 §8.3). */
function isHeaderSection(fields: HeaderList): boolean {
  return fields[0]?.name === ":status";
}

/** Fields that a Trailers-Only response has because it is headers as well. */
export function isHeaderOnly(name: string): boolean {
  return name === ":status" || name === "content-type" || name === "content-length";
}
