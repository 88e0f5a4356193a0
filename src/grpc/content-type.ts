// Is this gRPC? (gRPC PROTOCOL-HTTP2 "Content-Type")

const MEDIA_TYPE = "application/grpc";

/**
 * `application/grpc`, alone or followed by `+` (a message format) or `;` (parameters). `application/grpc-web...` begins with the same
 * characters and is another protocol. Media types are case-insensitive (RFC 9110 §8.3.1).
 */
export function isGrpcContentType(value: string | undefined): boolean {
  if (value === MEDIA_TYPE) return true;
  if (value === undefined || value.length < MEDIA_TYPE.length) return false;
  const next = value.charAt(MEDIA_TYPE.length);
  if (next !== "" && next !== "+" && next !== ";") return false;
  return value.slice(0, MEDIA_TYPE.length).toLowerCase() === MEDIA_TYPE;
}
