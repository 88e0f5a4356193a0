import { setTimeout as sleep } from "node:timers/promises";
import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { ErrorReason, GrpcError } from "../../src/grpc/error.ts";
import { Metadata } from "../../src/grpc/metadata.ts";
import { ReceivedStatus } from "../../src/grpc/received-status.ts";
import { Status } from "../../src/grpc/status.ts";
import { HeaderField } from "../../src/wire/field.ts";

describe("GrpcError", () => {
  it("says what it was given", () => {
    const metadata = Metadata.from({ a: "1" });
    const cause = new Error("below");
    const error = new GrpcError(
      Status.UNAVAILABLE,
      "upstream 10.0.0.7:50051 reset stream 5: REFUSED_STREAM",
      { reason: "UPSTREAM_RESET", source: "upstream", retry: "safe", metadata, cause },
    );
    expect(error).toBeInstanceOf(Error);
    expect(error.name).toBe("GrpcError");
    expect(error.message).toBe(
      "UNAVAILABLE: upstream 10.0.0.7:50051 reset stream 5: REFUSED_STREAM",
    );
    expect(error.details).toBe("upstream 10.0.0.7:50051 reset stream 5: REFUSED_STREAM");
    expect(error.status).toBe(14);
    expect(error.reason).toBe(ErrorReason.UPSTREAM_RESET);
    expect(error.source).toBe("upstream");
    expect(error.retry).toBe("safe");
    expect(error.metadata).toBe(metadata);
    expect(error.cause).toBe(cause);
  });

  it("counts as thrown by a handler, not to be repeated, when nothing else is said", () => {
    const error = new GrpcError(Status.NOT_FOUND, "no such row");
    expect(error.reason).toBe("HANDLER");
    expect(error.source).toBe("proxy");
    expect(error.retry).toBe("never");
    expect(error.metadata.size).toBe(0);
    expect("cause" in error).toBe(false);
    expect(error.wireTrailers).toBeUndefined();
  });

  it.each([0, 17, -1, 1.5])("refuses %s as the status of an error", (status) => {
    expect(() => new GrpcError(status as Status, "x")).toThrow(
      new RangeError(`status: expected an integer from 1 to 16, got ${status}`),
    );
  });

  it("has reasons that are their own names", () => {
    for (const [key, value] of Object.entries(ErrorReason)) expect(value).toBe(key);
  });

  it("keeps wire trailers, out of sight, until the metadata is changed", () => {
    const trailers = [new HeaderField("grpc-status", "5")];
    const error = new GrpcError(Status.NOT_FOUND, "x", { metadata: Metadata.from({ a: "1" }) });
    error.wireTrailers = trailers;
    expect(error.wireTrailers).toBe(trailers);
    expect(Object.keys(error)).not.toContain("wireTrailers");
    expect(inspect(error)).not.toContain("HeaderField");
    error.metadata.get("a");
    error.metadata.clone().append("b", "2");
    expect(error.wireTrailers).toBe(trailers);
    error.metadata.append("b", "2");
    expect(error.wireTrailers).toBeUndefined();
  });
});

describe("the text of an error that an upstream has sent", () => {
  function received(): GrpcError {
    return new GrpcError(Status.NOT_FOUND, new ReceivedStatus(Status.NOT_FOUND, "no%20such"), {
      reason: ErrorReason.UPSTREAM_STATUS,
    });
  }

  it("is the same as of any other, wherever it is looked at", () => {
    const error = received();
    expect(error.message).toBe("NOT_FOUND: no such");
    expect(error.details).toBe("no such");
    expect(String(error)).toBe("GrpcError: NOT_FOUND: no such");
    expect(received().stack).toContain("Error: NOT_FOUND: no such\n");
    expect(inspect(received())).toContain("NOT_FOUND: no such");
    expect(() => {
      throw received();
    }).toThrow("no such");
  });

  it("can be replaced, as that of any other can", () => {
    const error = received();
    error.message = "mine";
    expect(error.message).toBe("mine");
    expect(Object.keys(error)).not.toContain("message");
    error.message = "again";
    expect(error.message).toBe("again");
    expect(received().message).toBe("NOT_FOUND: no such");
  });
});

describe("GrpcError.from", () => {
  it("passes a GrpcError", () => {
    const error = new GrpcError(Status.ABORTED, "x");
    expect(GrpcError.from(error)).toBe(error);
  });

  it.each([
    [new TypeError("boom"), "boom"],
    [new TypeError(), "TypeError"],
  ])("makes a plain error UNKNOWN, and keeps what it says for operators", (thrown, text) => {
    const error = GrpcError.from(thrown);
    expect(error).toMatchObject({
      status: Status.UNKNOWN,
      details: "internal error in the proxy",
      message: `UNKNOWN: ${text}`,
      reason: "HANDLER",
    });
    expect(error.cause).toBe(thrown);
  });

  it.each([
    ["a string", "a string"],
    [42, "42"],
    [undefined, "undefined"],
    [null, "null"],
    [Symbol("s"), "Symbol(s)"],
    [{ toString: () => "own text" }, "own text"],
    [Object.create(null) as unknown, "something that is not an Error was thrown"],
  ])("makes %o, which is no error, UNKNOWN", (thrown, text) => {
    const error = GrpcError.from(thrown);
    expect(error.details).toBe("internal error in the proxy");
    expect(error).toMatchObject({ status: Status.UNKNOWN, message: `UNKNOWN: ${text}` });
    expect(error.cause).toBe(thrown);
  });

  it("makes an abort CANCELLED", async () => {
    const thrown: unknown = await sleep(1, undefined, { signal: AbortSignal.abort() }).catch(
      (error: unknown) => error,
    );
    const error = GrpcError.from(thrown);
    expect(error).toMatchObject({
      status: Status.CANCELLED,
      reason: "CLIENT_CANCELLED",
      source: "downstream",
    });
    expect(error.cause).toBe(thrown);
    expect(GrpcError.from(AbortSignal.abort().reason).status).toBe(Status.CANCELLED);
  });

  it("finds the GrpcError that a signal was aborted with behind Node's AbortError", async () => {
    const reason = new GrpcError(Status.DEADLINE_EXCEEDED, "deadline exceeded");
    const thrown: unknown = await sleep(1, undefined, { signal: AbortSignal.abort(reason) }).catch(
      (error: unknown) => error,
    );
    expect(thrown).not.toBe(reason);
    expect(GrpcError.from(thrown)).toBe(reason);
  });

  it("makes the platform's TimeoutError DEADLINE_EXCEEDED, and no other of that name", () => {
    expect(GrpcError.from(new DOMException("late", "TimeoutError")).status).toBe(
      Status.DEADLINE_EXCEEDED,
    );
    const another = Object.assign(new Error("late"), { name: "TimeoutError" });
    expect(GrpcError.from(another).status).toBe(Status.UNKNOWN);
    expect(GrpcError.from(new DOMException("x", "DataError")).status).toBe(Status.UNKNOWN);
  });
});

it.each([
  [{ a: 1 }, "[object Object]"],
  [Symbol("s"), "Symbol(s)"],
  [undefined, ""],
  [null, ""],
])("has text for details where it is given %o", (details, text) => {
  expect(new GrpcError(Status.ABORTED, details as never).details).toBe(text);
  const error = new Error("x");
  Object.defineProperty(error, "message", { value: details });
  expect(GrpcError.from(error).message).toBe(`UNKNOWN: ${text || "Error"}`);
});

it("refuses a message that is no text", () => {
  expect(() => new GrpcError(Status.ABORTED, "x", { message: 5 as never })).toThrow(
    "message: expected a string, got number",
  );
});

it("says the details to clients and the message to operators", () => {
  const error = new GrpcError(Status.UNAVAILABLE, "the backend reset stream 5: CANCEL", {
    message: "upstream 10.0.0.7:50051 reset stream 5: CANCEL",
  });
  expect(error.message).toBe("UNAVAILABLE: upstream 10.0.0.7:50051 reset stream 5: CANCEL");
  expect(error.details).toBe("the backend reset stream 5: CANCEL");
});

it("refuses metadata that is none", () => {
  expect(() => new GrpcError(Status.ABORTED, "x", { metadata: { a: "b" } as never })).toThrow(
    "metadata: expected a Metadata, got object",
  );
});
