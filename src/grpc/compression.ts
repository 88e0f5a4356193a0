// Undoing message compression (gRPC doc/compression.md), for the few messages that are read here.
// The relay never does it.

import { gunzipSync, inflateSync } from "node:zlib";
import { ErrorReason, failure, type GrpcError, thrownText } from "./error.ts";
import { Status } from "./status.ts";

/** The encodings that can be decompressed, in the form of `grpc-accept-encoding`. */
const ACCEPTED_ENCODINGS = "identity,deflate,gzip";

/**
 * The payload of a message whose compressed flag is set. A payload of no bytes counts as an empty
 * message. No compressor makes such a payload, but some senders set the flag on every message, also
 * on empty ones.
 * @param encoding the call's `grpc-encoding`
 * @param maxBytes largest result
 * @throws {GrpcError} INTERNAL for a flag without an encoding and for damaged data, UNIMPLEMENTED
 *   for an unknown encoding, RESOURCE_EXHAUSTED for a result above the limit
 */
export function decompress(
  payload: Buffer,
  encoding: string | undefined,
  maxBytes: number,
): Buffer {
  if (payload.length === 0 && (encoding === "gzip" || encoding === "deflate")) return payload;
  const options = { maxOutputLength: Math.max(1, Math.min(maxBytes, MAX_OUTPUT_BYTES)) };
  try {
    switch (encoding) {
      case "gzip":
        return gunzipSync(payload, options);
      case "deflate":
        return inflateSync(payload, options);
    }
  } catch (cause) {
    throw decompressionError(cause, maxBytes);
  }
  if (encoding === undefined || encoding === "identity") {
    throw failure(Status.INTERNAL, `grpc: compressed flag set with ${encoding ?? "no"} encoding`, {
      reason: ErrorReason.COMPRESSED_MESSAGE,
      source: "proxy",
    });
  }
  throw failure(
    Status.UNIMPLEMENTED,
    `grpc: Decompressor is not installed for grpc-encoding ${JSON.stringify(encoding)}, expected one of ${ACCEPTED_ENCODINGS}`,
    { reason: ErrorReason.COMPRESSED_MESSAGE, source: "proxy" },
  );
}

/** The size that one Buffer can have on every supported Node. */
const MAX_OUTPUT_BYTES = 0x7fffffff;

function decompressionError(cause: unknown, maxBytes: number): GrpcError {
  if (cause instanceof Error && "code" in cause && cause.code === "ERR_BUFFER_TOO_LARGE") {
    return failure(
      Status.RESOURCE_EXHAUSTED,
      `grpc: received message larger than max after decompression: expected at most ${maxBytes} bytes`,
      { reason: ErrorReason.MESSAGE_TOO_LARGE, source: "proxy", cause },
    );
  }
  const details = "grpc: failed to decompress the received message";
  const message = `${details}: ${thrownText(cause)}`;
  return failure(Status.INTERNAL, details, {
    reason: ErrorReason.COMPRESSED_MESSAGE,
    source: "proxy",
    message,
    cause,
  });
}
