import { describe, expect, it } from "vitest";
import { Metadata } from "../../src/grpc/metadata.ts";
import { requestHeaders, requestOrigin } from "../../src/grpc/request-headers.ts";
import { CONTENT_TYPE_GRPC } from "../../src/grpc/trailers.ts";
import { HeaderField, type HeaderList } from "../../src/wire/field.ts";

const origin = requestOrigin(false, "backend.test:1");
const path = new HeaderField(":path", "/a.B/C");

function headersOf(parts: Partial<Parameters<typeof requestHeaders>[0]> = {}): HeaderList {
  return requestHeaders({
    origin,
    path,
    contentType: CONTENT_TYPE_GRPC,
    remainingMs: Number.POSITIVE_INFINITY,
    metadata: [],
    extraMetadata: undefined,
    authority: undefined,
    ...parts,
  });
}

function lines(fields: HeaderList): string[] {
  return fields.map(({ name, value }) => `${name}: ${value}`);
}

const HEAD = [":method: POST", ":scheme: http", ":path: /a.B/C", ":authority: backend.test:1"];
const TYPE = ["te: trailers", "content-type: application/grpc"];

describe("request headers", () => {
  it("have pseudo-header fields first, then the protocol's own, then metadata", () => {
    const metadata = [new HeaderField("x-a", "1"), new HeaderField("x-b", "2")];
    const fields = headersOf({ remainingMs: 1_500, metadata });
    expect(lines(fields)).toEqual([...HEAD, "grpc-timeout: 1500000u", ...TYPE, "x-a: 1", "x-b: 2"]);
    expect(fields.slice(-2)).toEqual(metadata);
  });

  it("have no grpc-timeout without a deadline, and 0n when nothing is left", () => {
    expect(lines(headersOf())).toEqual([...HEAD, ...TYPE]);
    expect(lines(headersOf({ remainingMs: -1 }))).toContain("grpc-timeout: 0n");
  });

  it("say https over TLS", () => {
    expect(lines(headersOf({ origin: requestOrigin(true, "a") }))).toContain(":scheme: https");
  });

  it("have the authority of the call, or that of the origin where it has none", () => {
    expect(lines(headersOf({ authority: "call.test" }))).toContain(":authority: call.test");
    expect(lines(headersOf({ authority: "" }))).toEqual([...HEAD, ...TYPE]);
  });

  it("have metadata of the call in the place of that of the context with the same name", () => {
    const extraMetadata = new Metadata();
    extraMetadata.append("x-b", "3");
    extraMetadata.append("x-b", "4");
    const metadata = [
      new HeaderField("x-a", "1"),
      new HeaderField("x-b", "1"),
      new HeaderField("x-c", "1"),
      new HeaderField("x-b", "2"),
    ];
    expect(lines(headersOf({ metadata, extraMetadata }))).toEqual([
      ...HEAD,
      ...TYPE,
      "x-a: 1",
      "x-c: 1",
      "x-b: 3",
      "x-b: 4",
    ]);
  });

  it("are made of the same objects for each call, where they can be", () => {
    const [first, second] = [headersOf(), headersOf()];
    expect(first).not.toBe(second);
    first.forEach((field, index) => {
      expect(field).toBe(second[index]);
    });
  });
});
