// Maps failures below gRPC (HTTP/2 error code, HTTP status, system error) to the status that a
// caller sees. Only this file holds these tables.

import { ErrorCode } from "../wire/error-code.ts";
import { Status } from "./status.ts";

/**
 * The status for a stream that ended with RST_STREAM(`code`), by gRPC PROTOCOL-HTTP2 "Errors". A
 * peer may send a code that the table does not name. Such a code is INTERNAL: RFC 9113 §7 asks to
 * treat it like INTERNAL_ERROR.
 */
export function statusFromErrorCode(code: number): Status {
  switch (code) {
    // "REFUSED_STREAM | UNAVAILABLE | Indicates that no processing occurred and the request can be
    // retried"
    case ErrorCode.REFUSED_STREAM:
      return Status.UNAVAILABLE;
    // "CANCEL | CANCELLED | Mapped to call cancellation". Here the upstream has cancelled, not the
    // caller.
    case ErrorCode.CANCEL:
      return Status.CANCELLED;
    // "ENHANCE_YOUR_CALM | RESOURCE_EXHAUSTED ... with additional error detail"
    case ErrorCode.ENHANCE_YOUR_CALM:
      return Status.RESOURCE_EXHAUSTED;
    // "INADEQUATE_SECURITY | PERMISSION_DENIED ... with additional detail"
    case ErrorCode.INADEQUATE_SECURITY:
      return Status.PERMISSION_DENIED;
    // NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT,
    // FRAME_SIZE_ERROR, COMPRESSION_ERROR, CONNECT_ERROR: "INTERNAL". STREAM_CLOSED ("no mapping,
    // ... shouldn't happen") and HTTP_1_1_REQUIRED have no row.
    default:
      return Status.INTERNAL;
  }
}

/**
 * The code of a RST_STREAM that stands for `status` when trailers cannot be used.
 * `statusFromErrorCode` maps the code back to the status, except for INTERNAL_ERROR. UNAVAILABLE is
 * never REFUSED_STREAM: that would say that nothing was processed, and calls would be made twice.
 */
export function errorCodeFromStatus(status: Status): ErrorCode {
  switch (status) {
    case Status.CANCELLED:
    // A deadline that has passed is a cancellation (gRPC PROTOCOL-HTTP2 "Errors").
    case Status.DEADLINE_EXCEEDED:
      return ErrorCode.CANCEL;
    case Status.RESOURCE_EXHAUSTED:
      return ErrorCode.ENHANCE_YOUR_CALM;
    case Status.PERMISSION_DENIED:
      return ErrorCode.INADEQUATE_SECURITY;
    default:
      return ErrorCode.INTERNAL_ERROR;
  }
}

/**
 * The status for a final response that carries no `grpc-status`, by grpc/grpc
 * `doc/http-grpc-status-mapping.md`. Only for clients: a server must not use it backwards.
 */
export function statusFromHttpStatus(httpStatus: number): Status {
  switch (httpStatus) {
    case 400: // Bad Request
    case 431: // Request Header Fields Too Large: grpc-go treats it as 400; the document has no row
      return Status.INTERNAL;
    case 401: // Unauthorized
      return Status.UNAUTHENTICATED;
    case 403: // Forbidden
      return Status.PERMISSION_DENIED;
    case 404: // Not Found
      return Status.UNIMPLEMENTED;
    case 429: // Too Many Requests
    case 502: // Bad Gateway
    case 503: // Service Unavailable
    case 504: // Gateway Timeout
      return Status.UNAVAILABLE;
    default: // "other" and 200
      return Status.UNKNOWN;
  }
}

/**
 * The status for a connection that could not be made or was lost, by the `code` of the system's
 * error.
 *
 * Every failure of the network, of name resolution, of the TLS handshake or of a UNIX socket is
 * UNAVAILABLE (grpc/grpc `doc/statuscodes.md`: "Server shutting down", "Some data transmitted
 * before connection breaks"; `doc/wait-for-ready.md`: calls on a channel in TRANSIENT_FAILURE). So
 * is an unknown code, and no code: then it is only known that there is no connection. That says
 * nothing about the request, and the next attempt may succeed. The exceptions are calls that cannot
 * succeed in any environment: this process passed something that Node refuses.
 */
export function statusFromErrno(code: string | undefined): Status {
  switch (code) {
    case "ERR_INVALID_ARG_TYPE":
    case "ERR_INVALID_ARG_VALUE":
    case "ERR_MISSING_ARGS":
    case "ERR_OUT_OF_RANGE":
    case "ERR_SOCKET_BAD_PORT":
    case "ERR_INVALID_IP_ADDRESS":
      return Status.INTERNAL;
    // ECONNREFUSED, ECONNRESET, ECONNABORTED, EPIPE, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH,
    // EADDRNOTAVAIL; ENOTFOUND, EAI_AGAIN; ENOENT, EACCES, EPERM of a UNIX socket;
    // CERT_HAS_EXPIRED, ERR_TLS_CERT_ALTNAME_INVALID, ERR_SSL_*; EMFILE, ENFILE, ENOBUFS: this
    // process is short of something, and another instance, or this one later, is not.
    default:
      return Status.UNAVAILABLE;
  }
}
