// Errors about a backend. The details, which clients read, do not name its address; the message,
// which operators read, does.

import {
  ErrorReason,
  type FailureOptions,
  failure,
  type GrpcError,
  INTERNAL_DETAILS,
  thrownText,
} from "../../grpc/error.ts";
import { headerErrorDetails } from "../../grpc/header-error.ts";
import type { ForeignHead } from "../../grpc/response-head.ts";
import { Status } from "../../grpc/status.ts";
import { statusFromErrno, statusFromHttpStatus } from "../../grpc/status-mapping.ts";
import type { SessionEnd } from "../../transport/transport.ts";
import { errorCodeName } from "../../wire/error-code.ts";

/**
 * @param says what operators read behind the backend's name; the details behind `the backend` if it
 * is left out
 */
export function upstreamError(
  target: string,
  status: Status,
  details: string,
  options: FailureOptions,
  says: string = details,
): GrpcError {
  return failure(status, `the backend ${details}`, {
    source: "upstream",
    ...options,
    message: `upstream ${target} ${says}`,
  });
}

/** No connection to `target` could be made. */
export function connectError(target: string, end: SessionEnd): GrpcError {
  const code = errnoOf(end.cause);
  // Without a cause the reason is ours; with one it is the system's, or what TLS says.
  const said =
    end.kind === "protocol"
      ? "it does not speak HTTP/2 as it should"
      : end.cause === undefined
        ? end.reason
        : publicReason(code);
  const details = `the backend cannot be reached${said === undefined ? "" : `: ${said}`}`;
  return failure(statusFromErrno(code), details, {
    reason: "UPSTREAM_CONNECT",
    source: "upstream",
    retry: "safe",
    message: `upstream ${target} cannot be reached: ${end.reason ?? end.message}`,
    cause: end.cause,
  });
}

/** Each of the `count` addresses of `target` has failed. @param last the latest failure */
export function allFailedError(target: string, count: number, last: GrpcError): GrpcError {
  const { status, details, reason, source, retry, message } = last;
  return failure(status, details, {
    ...{ reason, source, retry },
    message: `upstream ${target} cannot be reached: all ${count} addresses failed, at last ${message}`,
    cause: last,
  });
}

/** The calls of `target`, one address, failed too often. @param reason for operators */
export function ejectedError(target: string, reason: string): GrpcError {
  const details = "cannot be reached: too many calls to it have failed";
  const options = { reason: "UPSTREAM_CONNECT", source: "proxy", retry: "safe" } as const;
  return upstreamError(target, Status.UNAVAILABLE, details, options, `is ${reason}`);
}

/** The health check of `target`, one address, has failed. @param reason for operators */
export function unhealthyError(target: string, reason: string): GrpcError {
  const options = { reason: "UPSTREAM_UNHEALTHY", retry: "safe" } as const;
  const says = `is not healthy: ${reason}`;
  return upstreamError(target, Status.UNAVAILABLE, "is not healthy", options, says);
}

/** The connection to `target` ended without having been asked to. */
export function lostError(target: string, end: SessionEnd): GrpcError {
  const options = { reason: "UPSTREAM_SESSION", cause: end.cause } as const;
  const says = `is lost: ${end.reason ?? end.message}`;
  return upstreamError(target, Status.UNAVAILABLE, "is lost", options, says);
}

/** `target` takes no more calls on this connection. */
export function goingAwayError(target: string, reason: string): GrpcError {
  const options = { reason: "UPSTREAM_GOAWAY", retry: "safe" } as const;
  return upstreamError(target, Status.UNAVAILABLE, "is going away", options, `left: ${reason}`);
}

/** The connection to `target` takes no more calls, for good. */
export function closedError(target: string): GrpcError {
  const details = "cannot be reached: the connection to it was closed";
  const options = { reason: "CONN_CLOSED", source: "proxy", retry: "safe" } as const;
  return upstreamError(target, Status.UNAVAILABLE, details, options);
}

/** The balancer of the program failed. */
export function balancerError(target: string, thrown: unknown): GrpcError {
  return failure(Status.UNKNOWN, INTERNAL_DETAILS, {
    reason: ErrorReason.HANDLER,
    message: `upstream ${target}: the balancer failed: ${thrownText(thrown)}`,
    cause: thrown,
  });
}

export function queueFullError(target: string, waitingCount: number): GrpcError {
  const details = `has ${waitingCount} calls waiting already, the limit`;
  const options = { reason: "QUEUE_FULL", source: "proxy", retry: "safe" } as const;
  return upstreamError(target, Status.UNAVAILABLE, details, options);
}

/**
 * @param error a HeaderError, or an error of user code in the place of metadata: the fault of this
 *   call alone
 */
export function unsendableHeadersError(target: string, error: unknown): GrpcError {
  return failure(Status.INTERNAL, headerErrorDetails("the request headers", error), {
    reason: ErrorReason.INVALID_METADATA,
    message: `upstream ${target} cannot be sent the request headers: ${thrownText(error)}`,
    cause: error,
  });
}

/** The status is that which the HTTP status stands for (gRPC http-grpc-status-mapping). */
export function notGrpcError(target: string, { httpStatus, contentType }: ForeignHead): GrpcError {
  const details =
    httpStatus === "200"
      ? `answered with content-type ${contentType ?? "(none)"}, expected application/grpc`
      : `answered with HTTP status ${httpStatus}`;
  const options = { reason: ErrorReason.UPSTREAM_NOT_GRPC } as const;
  return upstreamError(target, statusFromHttpStatus(Number(httpStatus)), details, options);
}

const MAX_DEBUG_DATA = 256;

/** The text of a backend's GOAWAY is for people, and often the only hint. */
export function goAwayReason(code: number, debugData: string): string {
  const said = debugData === "" ? "" : `, ${JSON.stringify(debugData.slice(0, MAX_DEBUG_DATA))}`;
  return `the server is going away: ${errorCodeName(code)}${said}`;
}

/** The reason for the lack of a connection that clients may know. */
function publicReason(code: string | undefined): string | undefined {
  switch (code) {
    case "ECONNREFUSED":
      return "connection refused";
    case "ECONNRESET":
    case "EPIPE":
      return "connection reset";
    case "ETIMEDOUT":
      return "timed out";
    case "EHOSTUNREACH":
    case "ENETUNREACH":
      return "no route to it";
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "its name is not known";
    default:
      return code !== undefined && TLS_CODE.test(code) ? "the TLS handshake failed" : undefined;
  }
}

/** Codes of OpenSSL, of node:tls, and of a certificate that does not verify. */
const TLS_CODE =
  /^(?:ERR_(?:SSL|TLS|OSSL)_|CERT_|CRL_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|INVALID_CA)/;

/** The `code` of a system error, if `cause` is one. */
function errnoOf(cause: unknown): string | undefined {
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  return typeof code === "string" ? code : undefined;
}
