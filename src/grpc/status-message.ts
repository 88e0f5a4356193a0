// The coding of `grpc-message` (gRPC PROTOCOL-HTTP2 "Status-Message"): percent-encoded UTF-8. A
// message that is passed on is never decoded and encoded again. Only messages that are made or
// shown here are coded.

const PERCENT = 0x25;

/**
 * The largest size on the wire of a status message that is made here, in octets: the text of an
 * error may have any length.
 */
const MAX_GRPC_MESSAGE_BYTES = 8_192;

const SPACE = 0x20;

/** The octets of a UTF-8 character behind its first (RFC 3629 §3). */
const UTF8_CONTINUATION_MASK = 0xc0;
const UTF8_CONTINUATION = 0x80;

/** Anything but the unescaped characters 0x20 - 0x7e without `%`. */
const NEEDS_DECODING = /[^\x20-\x24\x26-\x7e]/;

/**
 * The same, and a space at either end. gRPC allows the space, but no field value may have it (RFC
 * 9113 §8.2.1).
 */
const NEEDS_ENCODING = /[^\x20-\x24\x26-\x7e]|^ | $/;

/** The encoded form of each byte. */
const ENCODED: readonly string[] = Array.from({ length: 256 }, (_, byte) =>
  byte >= 0x20 && byte <= 0x7e && byte !== PERCENT
    ? String.fromCharCode(byte)
    : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`,
);

/**
 * The field value for `text`: `text` itself when it is plain ASCII. An unpaired surrogate becomes
 * U+FFFD. Cut off behind the last whole character that fits in `MAX_GRPC_MESSAGE_BYTES`.
 */
export function encodeGrpcMessage(text: string): string {
  // Each character takes an octet at least. Half a pair at the cut takes nine and does not fit.
  const head = text.length > MAX_GRPC_MESSAGE_BYTES ? text.slice(0, MAX_GRPC_MESSAGE_BYTES) : text;
  if (!NEEDS_ENCODING.test(head)) return head;
  let wire = "";
  let characterStart = 0;
  for (const byte of Buffer.from(head, "utf8")) {
    if ((byte & UTF8_CONTINUATION_MASK) !== UTF8_CONTINUATION) characterStart = wire.length;
    wire += wire === "" && byte === SPACE ? "%20" : ENCODED[byte];
    if (wire.length > MAX_GRPC_MESSAGE_BYTES) {
      wire = wire.slice(0, characterStart);
      break;
    }
  }
  if (!wire.endsWith(" ")) return wire;
  return wire.length + 2 > MAX_GRPC_MESSAGE_BYTES ? wire.trimEnd() : `${wire.slice(0, -1)}%20`;
}

/**
 * The text of a field value (one byte per character). Decoding never fails ("decoders MUST NOT
 * error"): an invalid escape stays as it is, and bytes that are not UTF-8 become U+FFFD.
 */
export function decodeGrpcMessage(wire: string): string {
  if (!NEEDS_DECODING.test(wire)) return wire;
  const bytes = Buffer.allocUnsafe(wire.length);
  const last = wire.length - 3;
  let end = 0;
  for (let i = 0; i < wire.length; i++) {
    let byte = wire.charCodeAt(i);
    if (byte === PERCENT && i <= last) {
      const value = hexDigit(wire.charCodeAt(i + 1)) * 16 + hexDigit(wire.charCodeAt(i + 2));
      if (value >= 0) {
        byte = value;
        i += 2;
      }
    }
    bytes[end++] = byte;
  }
  return bytes.toString("utf8", 0, end);
}

/** For a character that is no digit, a number so low that the other digit cannot make up for it. */
function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x61 + 10 : -256;
}
