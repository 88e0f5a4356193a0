// What clients and operators read about a backend.

import { describe, expect, it } from "vitest";
import { errorFromStreamEnd } from "../../../src/client/errors/stream-error.ts";
import { connectError, notGrpcError } from "../../../src/client/errors/upstream-error.ts";
import { Status } from "../../../src/grpc/status.ts";
import type { SessionEnd, StreamEnd } from "../../../src/transport/transport.ts";
import { ErrorCode } from "../../../src/wire/error-code.ts";

const TARGET = "10.0.0.7:50051";

describe("the error of a connection that cannot be made", () => {
  const failed = { kind: "connect", code: ErrorCode.NO_ERROR, message: "no" } as const;
  const withCode = (code: string): SessionEnd => ({
    ...failed,
    cause: Object.assign(new Error("what the system says"), { code }),
  });

  it.each([
    ["ECONNREFUSED", ": connection refused"],
    ["ECONNRESET", ": connection reset"],
    ["EPIPE", ": connection reset"],
    ["ETIMEDOUT", ": timed out"],
    ["EHOSTUNREACH", ": no route to it"],
    ["ENETUNREACH", ": no route to it"],
    ["ENOTFOUND", ": its name is not known"],
    ["EAI_AGAIN", ": its name is not known"],
    ["ERR_SSL_WRONG_VERSION_NUMBER", ": the TLS handshake failed"],
    ["ERR_TLS_CERT_ALTNAME_INVALID", ": the TLS handshake failed"],
    ["SELF_SIGNED_CERT_IN_CHAIN", ": the TLS handshake failed"],
    ["EACCES", ""],
  ])("tells clients of %s in words of ours", (code, said) => {
    expect(connectError(TARGET, withCode(code))).toMatchObject({
      details: `the backend cannot be reached${said}`,
      message: expect.stringContaining(`upstream ${TARGET} cannot be reached: no`),
      reason: "UPSTREAM_CONNECT",
      retry: "safe",
    });
  });

  it("tells clients of a reason that is ours, and of a breach of HTTP/2 only that it is one", () => {
    const details = (end: SessionEnd): string => connectError(TARGET, end).details;
    expect(details({ ...failed, reason: "no answer within 5 ms" })).toBe(
      "the backend cannot be reached: no answer within 5 ms",
    );
    expect(details({ ...failed, kind: "protocol", reason: "sent DATA on stream 0" })).toBe(
      "the backend cannot be reached: it does not speak HTTP/2 as it should",
    );
  });
});

describe("the error of a response that is not gRPC", () => {
  it.each([
    ["200", "text/html", Status.UNKNOWN, "content-type text/html, expected application/grpc"],
    ["200", undefined, Status.UNKNOWN, "content-type (none), expected application/grpc"],
    ["404", "text/html", Status.UNIMPLEMENTED, "HTTP status 404"],
  ])("%s %s has the status that HTTP stands for", (httpStatus, contentType, status, said) => {
    expect(notGrpcError(TARGET, { httpStatus, contentType })).toMatchObject({
      status,
      details: `the backend answered with ${said}`,
      message: expect.stringContaining(`upstream ${TARGET} answered with ${said}`),
      reason: "UPSTREAM_NOT_GRPC",
      retry: "never",
    });
  });
});

describe("the error of a stream that ended before its trailers", () => {
  it.each([
    ["reset", "UPSTREAM_RESET", Status.UNAVAILABLE, "the backend said why"],
    ["goaway", "UPSTREAM_GOAWAY", Status.UNAVAILABLE, "the backend said why"],
    ["protocol", "UPSTREAM_PROTOCOL", Status.INTERNAL, "the backend said why"],
    ["stalled", "UPSTREAM_STALLED", Status.RESOURCE_EXHAUSTED, "the backend said why"],
    [
      "session",
      "UPSTREAM_SESSION",
      Status.UNAVAILABLE,
      "the backend is lost: the connection to it ended under the call",
    ],
  ] as const)(
    "by %s is safe to repeat only if it was not processed",
    (kind, reason, status, details) => {
      const code = ErrorCode.REFUSED_STREAM;
      for (const unprocessed of [true, false]) {
        const end: StreamEnd = { kind, code, unprocessed, message: "no", reason: "said why" };
        expect(errorFromStreamEnd(end, TARGET)).toMatchObject({
          status,
          details,
          message: expect.stringContaining("said why"),
          reason,
          retry: unprocessed ? "safe" : "never",
        });
      }
    },
  );
});
