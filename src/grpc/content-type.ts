// Is this gRPC? (gRPC PROTOCOL-HTTP2 "Content-Type")

const MEDIA_TYPE = "application/grpc";

/** Blanks may stand before the parameters (RFC 9110 §5.6.6). */
const OF_GRPC = /^application\/grpc(?:$|\+|[ \t]*;)/i;

/**
 * `application/grpc`, alone or followed by `+` (a message format) or `;` (parameters).
 * `application/grpc-web...` begins with the same characters and is another protocol. Media types
 * are case-insensitive (RFC 9110 §8.3.1).
 */
export function isGrpcContentType(value: string | undefined): boolean {
  return value === MEDIA_TYPE || (value !== undefined && OF_GRPC.test(value));
}
