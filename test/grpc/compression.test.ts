import { deflateSync, gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { decompress } from "../../src/grpc/compression.ts";
import { GrpcError } from "../../src/grpc/error.ts";
import { Status } from "../../src/grpc/status.ts";

const message = Buffer.alloc(1_000, "a");

function refusal(payload: Buffer, encoding: string | undefined, maxBytes = 10_000): unknown {
  try {
    decompress(payload, encoding, maxBytes);
  } catch (error) {
    expect(error).toBeInstanceOf(GrpcError);
    return error;
  }
  throw new Error("nothing was thrown");
}

describe("decompress", () => {
  it.each([
    ["gzip", gzipSync(message)],
    ["deflate", deflateSync(message)],
  ])("undoes %s, up to exactly the limit", (encoding, payload) => {
    expect(decompress(payload, encoding, 1_000)).toEqual(message);
    expect(decompress(payload, encoding, 0xffffffff)).toEqual(message);
  });

  it.each([
    ["gzip", gzipSync(message)],
    ["deflate", deflateSync(message)],
  ])(
    "stops undoing %s at the limit, however small the message was on the wire",
    (encoding, payload) => {
      expect(payload.length).toBeLessThan(50);
      expect(refusal(payload, encoding, 999)).toMatchObject({
        status: Status.RESOURCE_EXHAUSTED,
        reason: "MESSAGE_TOO_LARGE",
        details:
          "grpc: received message larger than max after decompression: expected at most 999 bytes",
      });
    },
  );

  it.each(["gzip", "deflate"])("takes no bytes at all of %s for an empty message", (encoding) => {
    expect(decompress(Buffer.alloc(0), encoding, 0)).toHaveLength(0);
  });

  it.each([undefined, "snappy"])("refuses no bytes of %s, too", (encoding) => {
    expect(refusal(Buffer.alloc(0), encoding)).toMatchObject({ reason: "COMPRESSED_MESSAGE" });
  });

  it.each(["gzip", "deflate"])("refuses damaged %s", (encoding) => {
    const error = refusal(Buffer.from("this is none"), encoding);
    expect(error).toMatchObject({ status: Status.INTERNAL, reason: "COMPRESSED_MESSAGE" });
    expect((error as GrpcError).details).toBe("grpc: failed to decompress the received message");
    expect((error as GrpcError).message).toMatch(/ the received message: ./);
    expect((error as GrpcError).cause).toBeInstanceOf(Error);
  });

  it.each([
    [undefined, "grpc: compressed flag set with no encoding"],
    ["identity", "grpc: compressed flag set with identity encoding"],
  ])("refuses the compressed flag with grpc-encoding %s", (encoding, details) => {
    expect(refusal(message, encoding)).toMatchObject({
      status: Status.INTERNAL,
      reason: "COMPRESSED_MESSAGE",
      details,
    });
  });

  it("says what it could undo when it does not know the encoding", () => {
    expect(refusal(message, "snappy")).toMatchObject({
      status: Status.UNIMPLEMENTED,
      reason: "COMPRESSED_MESSAGE",
      details:
        'grpc: Decompressor is not installed for grpc-encoding "snappy", expected one of identity,deflate,gzip',
    });
  });
});
