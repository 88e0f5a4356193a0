// The length-prefixed message (gRPC PROTOCOL-HTTP2 "Length-Prefixed-Message"): flag byte, four
// bytes of length, payload.

import type { LentBytes } from "../wire/lent-bytes.ts";

/** Bytes before each payload. */
export const PREFIX_BYTES = 5;

/** The largest length that four bytes can express. */
export const MAX_PAYLOAD_BYTES = 0xffffffff;

/** The length of the payload whose prefix, flag first, begins at `at`. */
export function payloadBytesAt(chunk: LentBytes, at: number): number {
  return chunk.readUInt32BE(at + 1);
}

/**
 * Continues to read a prefix that spans chunks. Returns the part of the payload's length that is
 * known after the bytes `from` to `to` of `chunk`. When these bytes complete the prefix, that is
 * the whole length.
 * @param known the part that was known before
 * @param seen bytes of the prefix that were read before
 */
export function payloadBytesOn(
  known: number,
  seen: number,
  chunk: LentBytes,
  from: number,
  to: number,
): number {
  // The flag comes first and is no part of the length.
  let length = seen === 0 ? 0 : known;
  for (let at = seen === 0 ? from + 1 : from; at < to; at++) {
    length = length * 256 + chunk.readUInt8(at);
  }
  return length;
}

/** Up to this size one write of a joined buffer costs less than two writes of separate ones. */
const JOIN_BELOW_BYTES = 4_096;

/** One message in its wire form, not decoded: a proxy passes it on. */
export class Frame {
  readonly payload: Buffer;
  /** The payload is compressed as the call's `grpc-encoding` says. */
  readonly compressed: boolean;

  constructor(payload: Buffer, compressed = false) {
    this.payload = payload;
    this.compressed = compressed;
  }

  /**
   * The bytes of the message on the wire, its prefix included: the flow-control credit that it
   * holds.
   */
  get wireBytes(): number {
    return PREFIX_BYTES + this.payload.length;
  }
}

/**
 * The buffers to send for a message: one buffer if the payload is small; otherwise the prefix, and
 * the payload itself without a copy.
 * @throws {RangeError} for a payload whose length four bytes cannot express
 */
export function frameChunks(payload: Buffer, compressed = false): Buffer[] {
  const joins = payload.length <= JOIN_BELOW_BYTES;
  const head = Buffer.allocUnsafe(joins ? PREFIX_BYTES + payload.length : PREFIX_BYTES);
  head[0] = compressed ? 1 : 0;
  head.writeUInt32BE(payload.length, 1);
  if (!joins) return [head, payload];
  head.set(payload, PREFIX_BYTES);
  return [head];
}
