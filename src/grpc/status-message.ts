// The coding of `grpc-message` (gRPC PROTOCOL-HTTP2 "Status-Message"): percent-encoded UTF-8.
// A message that is passed on is never decoded and encoded again; only those that are made or shown here are.

const PERCENT = 0x25;

/** Anything but the unescaped characters 0x20 - 0x7e without `%`. */
const NEEDS_DECODING = /[^\x20-\x24\x26-\x7e]/;

/** The same, and a space at either end: gRPC lets it stand, but no field value may have it (RFC 9113 §8.2.1). */
const NEEDS_ENCODING = /[^\x20-\x24\x26-\x7e]|^ | $/;

/** What each byte becomes. */
const ENCODED: readonly string[] = Array.from({ length: 256 }, (_, byte) =>
  byte >= 0x20 && byte <= 0x7e && byte !== PERCENT
    ? String.fromCharCode(byte)
    : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`,
);

/** The field value for `text`: `text` itself when it is plain ASCII. An unpaired surrogate becomes U+FFFD. */
export function encodeGrpcMessage(text: string): string {
  if (!NEEDS_ENCODING.test(text)) return text;
  let wire = "";
  for (const byte of Buffer.from(text, "utf8")) wire += ENCODED[byte];
  if (wire.startsWith(" ")) wire = `%20${wire.slice(1)}`;
  return wire.endsWith(" ") ? `${wire.slice(0, -1)}%20` : wire;
}

/**
 * The text of a field value (one byte per character). Never fails ("decoders MUST NOT error"): an escape that is none
 * stays as it is, bytes that are not UTF-8 become U+FFFD.
 */
export function decodeGrpcMessage(wire: string): string {
  if (!NEEDS_DECODING.test(wire)) return wire;
  const bytes = Buffer.from(wire, "latin1");
  let end = 0;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes.readUInt8(i);
    // Decoding in place: `end` never overtakes `i`.
    if (byte === PERCENT && i + 2 < bytes.length) {
      const high = hexDigit(bytes.readUInt8(i + 1));
      const low = hexDigit(bytes.readUInt8(i + 2));
      if (high !== -1 && low !== -1) {
        bytes[end++] = high * 16 + low;
        i += 2;
        continue;
      }
    }
    bytes[end++] = byte;
  }
  return bytes.toString("utf8", 0, end);
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x61 + 10 : -1;
}
