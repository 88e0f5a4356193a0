import { describe, expect, it } from "vitest";
import { Status, statusName } from "../../src/grpc/status.ts";
import {
  errorCodeFromStatus,
  statusFromErrno,
  statusFromErrorCode,
  statusFromHttpStatus,
} from "../../src/grpc/status-mapping.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";

describe("statusFromErrorCode", () => {
  it.each([
    ["NO_ERROR", "INTERNAL"],
    ["PROTOCOL_ERROR", "INTERNAL"],
    ["INTERNAL_ERROR", "INTERNAL"],
    ["FLOW_CONTROL_ERROR", "INTERNAL"],
    ["SETTINGS_TIMEOUT", "INTERNAL"],
    ["STREAM_CLOSED", "INTERNAL"],
    ["FRAME_SIZE_ERROR", "INTERNAL"],
    ["REFUSED_STREAM", "UNAVAILABLE"],
    ["CANCEL", "CANCELLED"],
    ["COMPRESSION_ERROR", "INTERNAL"],
    ["CONNECT_ERROR", "INTERNAL"],
    ["ENHANCE_YOUR_CALM", "RESOURCE_EXHAUSTED"],
    ["INADEQUATE_SECURITY", "PERMISSION_DENIED"],
    ["HTTP_1_1_REQUIRED", "INTERNAL"],
  ] as const)("maps %s to %s — gRPC PROTOCOL-HTTP2 Errors", (code, status) => {
    expect(statusName(statusFromErrorCode(ErrorCode[code]))).toBe(status);
  });

  it("treats a code that RFC 9113 does not know like INTERNAL_ERROR — RFC 9113 §7", () => {
    expect(statusFromErrorCode(0xdeadbeef)).toBe(Status.INTERNAL);
  });
});

describe("errorCodeFromStatus", () => {
  it.each([
    ["CANCELLED", "CANCEL"],
    ["DEADLINE_EXCEEDED", "CANCEL"],
    ["RESOURCE_EXHAUSTED", "ENHANCE_YOUR_CALM"],
    ["PERMISSION_DENIED", "INADEQUATE_SECURITY"],
    ["UNAVAILABLE", "INTERNAL_ERROR"],
    ["INTERNAL", "INTERNAL_ERROR"],
    ["NOT_FOUND", "INTERNAL_ERROR"],
  ] as const)("says %s by %s", (status, code) => {
    expect(errorCodeFromStatus(Status[status])).toBe(ErrorCode[code]);
  });
});

describe("statusFromHttpStatus", () => {
  it.each([
    [400, "INTERNAL"],
    [401, "UNAUTHENTICATED"],
    [403, "PERMISSION_DENIED"],
    [404, "UNIMPLEMENTED"],
    [429, "UNAVAILABLE"],
    [431, "INTERNAL"],
    [502, "UNAVAILABLE"],
    [503, "UNAVAILABLE"],
    [504, "UNAVAILABLE"],
    [200, "UNKNOWN"],
    [302, "UNKNOWN"],
    [415, "UNKNOWN"],
    [500, "UNKNOWN"],
    [Number.NaN, "UNKNOWN"],
  ])("maps HTTP %d to %s — http-grpc-status-mapping", (http, status) => {
    expect(statusName(statusFromHttpStatus(http))).toBe(status);
  });
});

describe("statusFromErrno", () => {
  it.each([
    "ECONNREFUSED",
    "ECONNRESET",
    "ECONNABORTED",
    "EPIPE",
    "ETIMEDOUT",
    "ENOTFOUND",
    "EAI_AGAIN",
    "EHOSTUNREACH",
    "ENETUNREACH",
    "ENOENT",
    "EACCES",
    "EMFILE",
    "CERT_HAS_EXPIRED",
    "DEPTH_ZERO_SELF_SIGNED_CERT",
    "ERR_TLS_CERT_ALTNAME_INVALID",
    "ERR_SSL_WRONG_VERSION_NUMBER",
    "ESOMETHINGNEW",
    undefined,
  ])("maps %s, which says nothing about the request, to UNAVAILABLE", (code) => {
    expect(statusFromErrno(code)).toBe(Status.UNAVAILABLE);
  });

  it.each([
    "ERR_INVALID_ARG_TYPE",
    "ERR_INVALID_ARG_VALUE",
    "ERR_MISSING_ARGS",
    "ERR_OUT_OF_RANGE",
    "ERR_SOCKET_BAD_PORT",
    "ERR_INVALID_IP_ADDRESS",
  ])("maps %s, which no other attempt can cure, to INTERNAL", (code) => {
    expect(statusFromErrno(code)).toBe(Status.INTERNAL);
  });
});
