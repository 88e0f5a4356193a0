import { describe, expect, it } from "vitest";
import {
  forwardableRequestMetadata,
  forwardableResponseMetadata,
  isReservedMetadataName,
} from "../../src/grpc/header-filter.ts";
import { HeaderField } from "../../src/wire/field.ts";
import { isConnectionSpecific } from "../../src/wire/field-rules.ts";

const CONNECTION_SPECIFIC = [
  "connection",
  "http2-settings",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
] as const;

/** Every one must pass in both directions; most are as long as a name that must not. */
const FORWARDED = [
  "user-agent",
  "authorization",
  "grpc-encoding",
  "grpc-accept-encoding",
  "grpc-previous-rpc-attempts",
  "grpc-retry-pushback-ms",
  "grpc-trace-bin",
  "grpc-tags-bin",
  "grpc-status-details-bin",
  "grpc-x",
  "xx",
  "x-te",
  "traceid",
  "x-forwarded",
  "traceparent",
  "accept-charset",
  "x-content-types",
  "x-forwarded-host",
  "x-forwarded-proto",
] as const;

function fields(...names: string[]): HeaderField[] {
  return names.map((name, index) => new HeaderField(name, String(index)));
}

function isForwardedInRequests(name: string): boolean {
  return forwardableRequestMetadata(fields(name)).length > 0;
}

function isForwardedInResponses(name: string): boolean {
  return forwardableResponseMetadata(fields(name)).length > 0;
}

describe("header-filter", () => {
  it.each(CONNECTION_SPECIFIC)("never forwards %s — RFC 9113 §8.2.2", (name) => {
    expect(isConnectionSpecific(name)).toBe(true);
    expect(isForwardedInRequests(name)).toBe(false);
    expect(isForwardedInResponses(name)).toBe(false);
    expect(isReservedMetadataName(name)).toBe(true);
  });

  it.each([
    ":method",
    ":path",
    ":authority",
    ":x",
    ":abc",
    ":extensions1",
    ":extension-abc",
    ":status",
    "te",
    "host",
    "content-type",
    "content-length",
    "grpc-timeout",
  ])("keeps the request field %s to the hop that wrote it", (name) => {
    expect(isForwardedInRequests(name)).toBe(false);
    expect(isReservedMetadataName(name)).toBe(true);
    expect(isConnectionSpecific(name)).toBe(false);
  });

  it.each([
    ":status",
    ":extension1",
    ":x",
    "content-type",
    "content-length",
    "grpc-status",
    "grpc-message",
  ])("keeps the response field %s out of the metadata", (name) => {
    expect(isForwardedInResponses(name)).toBe(false);
    expect(isReservedMetadataName(name)).toBe(true);
    expect(isConnectionSpecific(name)).toBe(false);
  });

  it.each(FORWARDED)("forwards %s", (name) => {
    expect(isConnectionSpecific(name)).toBe(false);
    expect(isForwardedInRequests(name)).toBe(true);
    expect(isForwardedInResponses(name)).toBe(true);
    expect(isReservedMetadataName(name)).toBe(false);
  });
});

describe("forwardableRequestMetadata", () => {
  it("keeps the same objects in the same order, repeated names included", () => {
    const all = fields(
      ":method",
      "a",
      "te",
      "b-bin",
      "grpc-timeout",
      "a",
      "user-agent",
      "connection",
    );
    expect(forwardableRequestMetadata(all).map((field) => all.indexOf(field))).toEqual([
      1, 3, 5, 6,
    ]);
    expect(all).toHaveLength(8);
  });

  it("returns the same list when there is nothing to leave out", () => {
    const all = fields("a", "b");
    expect(forwardableRequestMetadata(all)).toBe(all);
  });

  it("returns an empty list when nothing is the user's", () => {
    expect(forwardableRequestMetadata(fields(":method", ":path", "te"))).toEqual([]);
  });
});

describe("forwardableResponseMetadata", () => {
  it("reads the metadata of a Trailers-Only response", () => {
    const all = fields(
      ":status",
      "content-type",
      "grpc-status",
      "grpc-message",
      "grpc-status-details-bin",
      "x",
    );
    expect(forwardableResponseMetadata(all)).toEqual(all.slice(4));
  });

  it("returns the same list when there is nothing to leave out", () => {
    const all = fields("te", "grpc-timeout");
    expect(forwardableResponseMetadata(all)).toBe(all);
  });
});
