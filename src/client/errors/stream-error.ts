// The one place where the end of an upstream stream becomes a gRPC error.

import type { GrpcError } from "../../grpc/error.ts";
import { Status } from "../../grpc/status.ts";
import { statusFromErrorCode } from "../../grpc/status-mapping.ts";
import type { StreamEnd } from "../../transport/transport.ts";
import { upstreamError } from "./upstream-error.ts";

/**
 * The error for a stream that ended before its trailers (gRPC PROTOCOL-HTTP2 "Errors", "Connection
 * Management").
 */
export function errorFromStreamEnd(end: StreamEnd, target: string): GrpcError {
  const { reason: said } = end;
  const retry = end.unprocessed ? "safe" : "never";
  switch (end.kind) {
    case "reset": {
      const options = { reason: "UPSTREAM_RESET", retry } as const;
      return upstreamError(target, statusFromErrorCode(end.code), said, options);
    }
    case "goaway":
      // Whatever its code, GOAWAY means for the call that the connection went away.
      return upstreamError(target, Status.UNAVAILABLE, said, { reason: "UPSTREAM_GOAWAY", retry });
    case "session": {
      // The text of a loss may come from the system, or from TLS.
      const options = { reason: "UPSTREAM_SESSION", retry } as const;
      const details = "is lost: the connection to it ended under the call";
      return upstreamError(target, Status.UNAVAILABLE, details, options, `is lost: ${said}`);
    }
    case "stalled": {
      const options = { reason: "UPSTREAM_STALLED", retry } as const;
      return upstreamError(target, Status.RESOURCE_EXHAUSTED, said, options);
    }
    case "protocol":
      return upstreamError(target, Status.INTERNAL, said, { reason: "UPSTREAM_PROTOCOL", retry });
  }
}
