import { describe, expect, it } from "vitest";
import { isGrpcContentType } from "../../src/grpc/content-type.ts";

describe("isGrpcContentType", () => {
  it.each([
    "application/grpc",
    "application/grpc+proto",
    "application/grpc+json",
    "application/grpc;charset=utf-8",
    "application/grpc+proto; charset=utf-8",
    "application/grpc ; charset=utf-8",
    "application/grpc \t;charset=utf-8",
    "application/grpc+proto ; charset=utf-8",
    "Application/gRPC ;",
    "Application/gRPC",
    "APPLICATION/GRPC+PROTO",
  ])("accepts %s", (value) => expect(isGrpcContentType(value)).toBe(true));

  it.each([
    undefined,
    "",
    "application",
    "application/grp",
    "application/grpc-web",
    "application/grpc-web+proto",
    "application/grpc-web-text",
    "application/grpcx",
    "application/grpc proto",
    "application/grpc ",
    "application/grpc +proto",
    "application/grpc , text/html",
    "application/grpc\n;",
    "application/grpc\n",
    "application/json",
    "application/protobuf",
    "text/application+grpc",
    " application/grpc",
  ])("refuses %s", (value) => expect(isGrpcContentType(value)).toBe(false));
});
