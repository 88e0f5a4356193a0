import { afterEach, describe, expect, it, vi } from "vitest";
import { GrpcError } from "../../src/grpc/error.ts";
import { headerErrorDetails } from "../../src/grpc/header-error.ts";
import { Status } from "../../src/grpc/status.ts";
import { fromUserCode } from "../../src/grpc/user-error.ts";
import { HeaderError, listTooLarge } from "../../src/wire/field.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

describe("what user code threw", () => {
  it.each([
    ["handler", "HANDLER"],
    ["director", "DIRECTOR"],
    ["onError", "HANDLER"],
    ["finalizer", "FINALIZER"],
    ["codec", "CODEC"],
  ] as const)("in a %s is UNKNOWN, for operators only, and warned of", (calledAs, reason) => {
    const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
    const thrown = new Error(`10.0.0.7 is down, says the ${calledAs}`);
    const error = fromUserCode(calledAs, thrown);
    expect(error).toMatchObject({
      status: Status.UNKNOWN,
      details: "internal error in the proxy",
      message: `UNKNOWN: ${thrown.message}`,
      reason,
      cause: thrown,
    });
    expect(warned).toHaveBeenCalledTimes(1);
  });

  it("is not warned of when it is meant: a GrpcError, an abort, a timeout", () => {
    const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
    const meant = new GrpcError(Status.UNKNOWN, "as it is", { cause: new Error("below") });
    expect(fromUserCode("handler", meant)).toBe(meant);
    const abort = new DOMException("gone", "AbortError");
    expect(fromUserCode("director", abort)).toMatchObject({
      status: Status.CANCELLED,
      details: "the call was aborted",
    });
    const late = new DOMException("late", "TimeoutError");
    expect(fromUserCode("director", late).status).toBe(Status.DEADLINE_EXCEEDED);
    const behind = Object.assign(new Error("x", { cause: meant }), { name: "AbortError" });
    expect(fromUserCode("director", behind)).toBe(meant);
    expect(warned).not.toHaveBeenCalled();
  });
});

it("header fields that cannot be sent are told to the client in words of ours only", () => {
  const ours = listTooLarge(70_000, 65_536);
  expect(headerErrorDetails("trailers", ours)).toBe(`trailers cannot be sent: ${ours.message}`);
  const others = new HeaderError("as Node says it", { cause: new Error("as Node says it") });
  for (const error of [others, new TypeError("of the program")]) {
    expect(headerErrorDetails("trailers", error)).toBe("trailers cannot be sent");
  }
});
