import { describe, expect, it } from "vitest";
import { GrpcError } from "../../src/grpc/error.ts";
import { Metadata } from "../../src/grpc/metadata.ts";
import { Status } from "../../src/grpc/status.ts";
import {
  CONTENT_TYPE_GRPC,
  errorHeaders,
  errorTrailers,
  grpcErrorFromTrailers,
  HTTP_STATUS_200,
  parseStatus,
  trailersFor,
  trailersOnlyHeaders,
} from "../../src/grpc/trailers.ts";
import { HeaderField, type HeaderList } from "../../src/wire/field.ts";

function list(...pairs: [string, string][]): HeaderField[] {
  return pairs.map(([name, value]) => new HeaderField(name, value));
}

function pairs(fields: HeaderList): [string, string][] {
  return fields.map((field) => [field.name, field.value]);
}

describe("parseStatus", () => {
  it.each(Object.entries(Status))("reads %s", (_, code) => {
    const received = parseStatus(list(["x", "y"], ["grpc-status", String(code)]));
    expect(received).toMatchObject({ status: code, details: "" });
  });

  it("has nothing to say when there is no grpc-status", () => {
    expect(parseStatus([])).toBeUndefined();
    expect(
      parseStatus(list(["grpc-message", "x"], ["grpc-status-details-bin", ""])),
    ).toBeUndefined();
  });

  it("makes nothing new for a plain OK", () => {
    expect(parseStatus(list(["grpc-status", "0"]))).toBe(parseStatus(list(["grpc-status", "0"])));
  });

  it("decodes the message, wherever it stands", () => {
    const trailers = list(["grpc-message", "100%25 %E2%98%BA"], ["grpc-status", "5"]);
    expect(parseStatus(trailers)).toMatchObject({ status: Status.NOT_FOUND, details: "100% ☺" });
    expect(parseStatus(list(["grpc-status", "0"], ["grpc-message", "fine"]))).toMatchObject({
      status: Status.OK,
      details: "fine",
    });
  });

  it("believes the first of two statuses", () => {
    expect(parseStatus(list(["grpc-status", "5"], ["grpc-status", "0"]))?.status).toBe(5);
    expect(parseStatus(list(["grpc-status", ""], ["grpc-status", "0"]))?.status).toBe(2);
  });

  it.each([
    ["17", "unknown grpc-status 17"],
    ["99999999999999999999", "unknown grpc-status 99999999999999999999"],
    ["", 'malformed grpc-status ""'],
    ["00", 'malformed grpc-status "00"'],
    ["05", 'malformed grpc-status "05"'],
    ["-1", 'malformed grpc-status "-1"'],
    ["+1", 'malformed grpc-status "+1"'],
    [" 1", 'malformed grpc-status " 1"'],
    ["1.0", 'malformed grpc-status "1.0"'],
    ["0x1", 'malformed grpc-status "0x1"'],
    ["1e0", 'malformed grpc-status "1e0"'],
    ["0, 0", 'malformed grpc-status "0, 0"'],
    ["OK", 'malformed grpc-status "OK"'],
    ["constructor", 'malformed grpc-status "constructor"'],
  ])("makes %j UNKNOWN and says so", (value, details) => {
    expect(parseStatus(list(["grpc-status", value]))).toMatchObject({
      status: Status.UNKNOWN,
      details,
    });
    const withMessage = list(["grpc-status", value], ["grpc-message", "I am a teapot"]);
    expect(parseStatus(withMessage)?.details).toBe(`${details}: I am a teapot`);
  });
});

describe("a received status", () => {
  it("repeats the beginning of a long grpc-status that is none", () => {
    const digits = parseStatus(list(["grpc-status", "9".repeat(60_000)]));
    expect(digits?.details).toBe(`unknown grpc-status ${"9".repeat(64)}...`);
    const text = parseStatus(list(["grpc-status", "x".repeat(60_000)]));
    expect(text?.details).toBe(`malformed grpc-status "${"x".repeat(64)}..."`);
  });

  it("says the same each time it is asked", () => {
    const received = parseStatus(list(["grpc-status", "42"], ["grpc-message", "100%25"]));
    expect(received?.details).toBe("unknown grpc-status 42: 100%");
    expect(received?.details).toBe("unknown grpc-status 42: 100%");
  });
});

describe("trailersFor", () => {
  it("writes status, encoded message and metadata in that order", () => {
    const metadata = Metadata.from({ a: "1", "k-bin": Buffer.from("x") });
    expect(pairs(trailersFor(Status.NOT_FOUND, "50% ☺", metadata))).toEqual([
      ["grpc-status", "5"],
      ["grpc-message", "50%25 %E2%98%BA"],
      ["a", "1"],
      ["k-bin", "eA"],
    ]);
  });

  it("leaves an empty message out", () => {
    expect(trailersFor(Status.OK, "")).toEqual(list(["grpc-status", "0"]));
  });

  it("takes metadata as a field list too", () => {
    const metadata = list(["a", "1"]);
    expect(trailersFor(Status.OK, "", metadata)[1]).toBe(metadata[0]);
  });

  it.each(Object.entries(Status))("writes %s with one shared field object", (_, code) => {
    const [field] = trailersFor(code, "x");
    expect(field).toMatchObject({ name: "grpc-status", value: String(code), sensitive: false });
    expect(trailersFor(code, "y")[0]).toBe(field);
  });

  it("gives a list that the caller may add to", () => {
    trailersFor(Status.OK, "").push(new HeaderField("a", "1"));
    trailersOnlyHeaders(Status.OK, "").push(new HeaderField("a", "1"));
    expect(trailersFor(Status.OK, "")).toHaveLength(1);
    expect(trailersOnlyHeaders(Status.OK, "")).toHaveLength(3);
  });
});

describe("trailersOnlyHeaders", () => {
  it("writes one complete header section out of shared field objects", () => {
    const headers = trailersOnlyHeaders(Status.UNIMPLEMENTED, "no", Metadata.from({ a: "1" }));
    expect(pairs(headers)).toEqual([
      [":status", "200"],
      ["content-type", "application/grpc"],
      ["grpc-status", "12"],
      ["grpc-message", "no"],
      ["a", "1"],
    ]);
    expect(headers[0]).toBe(HTTP_STATUS_200);
    expect(headers[1]).toBe(CONTENT_TYPE_GRPC);
    expect(headers[2]).toBe(trailersFor(Status.UNIMPLEMENTED, "")[0]);
  });
});

describe("grpcErrorFromTrailers", () => {
  it("finds no error in OK", () => {
    expect(
      grpcErrorFromTrailers(list(["grpc-status", "0"], ["grpc-message", "x"])),
    ).toBeUndefined();
  });

  it("reports what the upstream said, and keeps its bytes", () => {
    const trailers = list(
      ["grpc-status", "5"],
      ["grpc-message", "no%20such"],
      ["grpc-status-details-bin", "AAE="],
      ["x", "1"],
    );
    const error = grpcErrorFromTrailers(trailers);
    expect(error).toMatchObject({
      status: Status.NOT_FOUND,
      details: "no such",
      reason: "UPSTREAM_STATUS",
      source: "upstream",
      retry: "never",
    });
    expect(error?.metadata.keys()).toEqual(["grpc-status-details-bin", "x"]);
    expect(error?.wireTrailers).toBe(trailers);
  });

  it("takes no stack of the place that reads the socket, and leaves that to other errors", () => {
    const error = grpcErrorFromTrailers(list(["grpc-status", "5"], ["grpc-message", "x"]));
    expect(error?.stack).not.toContain("trailers.test.ts");
    expect(new Error("x").stack).toContain("trailers.test.ts");
  });

  it("keeps the bytes of a malformed status too", () => {
    const trailers = list(["grpc-status", "042"]);
    const error = grpcErrorFromTrailers(trailers);
    expect(error).toMatchObject({
      status: Status.UNKNOWN,
      details: 'malformed grpc-status "042"',
      reason: "UPSTREAM_STATUS",
    });
    expect(error?.wireTrailers).toBe(trailers);
  });

  it("reports trailers without a status as such, with nothing to pass on byte-exact", () => {
    const error = grpcErrorFromTrailers(list(["x", "1"]));
    expect(error).toMatchObject({
      status: Status.UNKNOWN,
      reason: "UPSTREAM_MISSING_STATUS",
      details: "upstream ended the response without grpc-status",
    });
    expect(error?.metadata.get("x")).toEqual(["1"]);
    expect(error?.wireTrailers).toBeUndefined();
  });
});

describe("errorTrailers and errorHeaders", () => {
  const ownTrailers = list(["x", "1"], ["grpc-message", "%zz"], ["grpc-status", "5"]);
  const trailersOnly = list(
    [":status", "200"],
    ["content-type", "application/grpc+proto"],
    ["content-length", "0"],
    ["x", "1"],
    ["grpc-status", "5"],
  );

  it("pass trailers on as they came, behind common headers if there were none yet", () => {
    const error = grpcErrorFromTrailers(ownTrailers)!;
    expect(errorTrailers(error)).toBe(ownTrailers);
    expect(errorHeaders(error)).toEqual([HTTP_STATUS_200, CONTENT_TYPE_GRPC, ...ownTrailers]);
  });

  it("leave out of trailers that become headers what says something else there", () => {
    const odd = list(["content-type", "text/html"], ["content-length", "7"], ["grpc-status", "5"]);
    const error = grpcErrorFromTrailers(odd)!;
    expect(errorTrailers(error)).toBe(odd);
    expect(errorHeaders(error)).toEqual([HTTP_STATUS_200, CONTENT_TYPE_GRPC, odd[2]]);
  });

  it("pass a Trailers-Only response on as it came, and reduce it to trailers after other headers", () => {
    const error = grpcErrorFromTrailers(trailersOnly)!;
    expect(errorHeaders(error)).toBe(trailersOnly);
    expect(errorTrailers(error)).toEqual(trailersOnly.slice(3));
  });

  it("write an error anew whose metadata was changed", () => {
    const error = grpcErrorFromTrailers(ownTrailers)!;
    error.metadata.set("x", "2");
    expect(pairs(errorTrailers(error))).toEqual([
      ["grpc-status", "5"],
      ["grpc-message", "%25zz"],
      ["x", "2"],
    ]);
    expect(pairs(errorHeaders(error)).slice(0, 3)).toEqual([
      [":status", "200"],
      ["content-type", "application/grpc"],
      ["grpc-status", "5"],
    ]);
  });

  it("write an error that was made here", () => {
    const error = new GrpcError(Status.ABORTED, "x", { metadata: Metadata.from({ a: "1" }) });
    expect(errorTrailers(error)).toEqual(trailersFor(Status.ABORTED, "x", error.metadata));
    expect(errorHeaders(error)).toEqual(trailersOnlyHeaders(Status.ABORTED, "x", error.metadata));
  });

  it("cut the message of an error that was made here, and none that came", () => {
    const error = new GrpcError(Status.ABORTED, "y".repeat(80_000));
    const field = new HeaderField("grpc-message", "y".repeat(8_192));
    const status = new HeaderField("grpc-status", "10");
    expect(errorTrailers(error)).toMatchObject([status, field]);
    expect(errorHeaders(error).slice(2)).toMatchObject([status, field]);
    const own = list(["grpc-status", "10"], ["grpc-message", "y".repeat(60_000)]);
    expect(errorTrailers(grpcErrorFromTrailers(own)!)).toBe(own);
  });

  it("pass a field list without any field on", () => {
    const error = new GrpcError(Status.ABORTED, "x");
    error.wireTrailers = [];
    expect(errorTrailers(error)).toEqual([]);
  });
});
