// The one error that leaves this folder for a header block that cannot be decoded.

/**
 * A header block broke RFC 7541. The dynamic table may be out of step from here on, so it ends the
 * whole connection with COMPRESSION_ERROR (RFC 9113 §4.3).
 */
export class HpackError extends Error {
  override readonly name = "HpackError";
}
