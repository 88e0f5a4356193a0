// The one place where the end of an upstream stream becomes a gRPC error.

import { ErrorReason, GrpcError } from "../grpc/error.ts";
import { Status } from "../grpc/status.ts";
import { statusFromErrorCode } from "../grpc/status-mapping.ts";
import type { StreamEnd } from "../transport/transport.ts";
import type { ClientConn } from "./client-conn.ts";

/** The status that a stream stands for which ended before its trailers (gRPC PROTOCOL-HTTP2 "Errors", "Connection Management"). */
export function errorFromStreamEnd(end: StreamEnd, conn: ClientConn): GrpcError {
  const details = `upstream ${conn.target}: ${end.message}`;
  const retry = end.unprocessed ? "safe" : "never";
  switch (end.kind) {
    case "reset":
      return new GrpcError(statusFromErrorCode(end.code), details, {
        reason: ErrorReason.UPSTREAM_RESET,
        source: "upstream",
        retry,
      });
    case "goaway":
      // Whatever code GOAWAY carries, to the call it is a connection that went away.
      return new GrpcError(Status.UNAVAILABLE, details, {
        reason: ErrorReason.UPSTREAM_GOAWAY,
        source: "upstream",
        retry,
      });
    case "session":
      return new GrpcError(Status.UNAVAILABLE, details, {
        reason: ErrorReason.UPSTREAM_SESSION,
        source: "upstream",
        retry,
      });
    case "protocol":
      return new GrpcError(Status.INTERNAL, details, {
        reason: ErrorReason.UPSTREAM_PROTOCOL,
        source: "upstream",
        retry,
      });
  }
}
