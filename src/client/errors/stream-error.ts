// The one place where the end of an upstream stream becomes a gRPC error.

import type { GrpcError } from "../../grpc/error.ts";
import { Status } from "../../grpc/status.ts";
import { statusFromErrorCode } from "../../grpc/status-mapping.ts";
import type { StreamEnd } from "../../transport/transport.ts";
import { upstreamError } from "./upstream-error.ts";

/**
 * The status that a stream stands for which ended before its trailers (gRPC PROTOCOL-HTTP2
 * "Errors", "Connection Management").
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
      // Whatever code GOAWAY carries, to the call it is a connection that went away.
      return upstreamError(target, Status.UNAVAILABLE, said, { reason: "UPSTREAM_GOAWAY", retry });
    case "session": {
      // What was lost may be told in words of the system, or of TLS.
      const options = { reason: "UPSTREAM_SESSION", retry } as const;
      const details = "is lost: the connection to it ended under the call";
      return upstreamError(target, Status.UNAVAILABLE, details, options, `is lost: ${said}`);
    }
    case "protocol":
      return upstreamError(target, Status.INTERNAL, said, { reason: "UPSTREAM_PROTOCOL", retry });
  }
}
