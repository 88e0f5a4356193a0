// The header field: the one vocabulary item that HTTP/2, gRPC and the relay share.
// A leaf: it must not know HPACK, metadata or any transport.

/**
 * One header or trailer field, in the form in which it travels through every layer.
 *
 * `name` is lower case. `name` and `value` hold one byte per character (0x00 - 0xff), so a field
 * that came from a peer goes out byte-exact. Objects are immutable, with two exceptions. The HPACK
 * encoder keeps a memo on them (RFC 7541 table entries *are* these objects). The field rules keep
 * their verdict on them, so that a field that comes again from a table is not checked again.
 */
export class HeaderField {
  readonly name: string;
  readonly value: string;
  /** The peer, or the owner, asked that no hop ever index this field (RFC 7541 §6.2.3). */
  readonly sensitive: boolean;

  /** The HPACK encoder that last wrote this object, by its id; 0 for none. Owned by `h2/hpack`. */
  encoderId = 0;
  /**
   * The place that this encoder gave the object, as its running insertion number. Owned by
   * `h2/hpack`.
   */
  encoderSlot = 0;
  /**
   * The class of the field by RFC 9113 §8.2 and §8.3; 0 before the first check. Owned by
   * `wire/field-rules.ts`.
   */
  ruleClass = 0;

  constructor(name: string, value: string, sensitive = false) {
    this.name = name;
    this.value = value;
    this.sensitive = sensitive;
  }
}

/** Fields in wire order, duplicates kept. */
export type HeaderList = readonly HeaderField[];

/** The value of the first field called `name`, which must be lower case. */
export function fieldValue(fields: HeaderList, name: string): string | undefined {
  for (let i = 0; i < fields.length; i++) {
    const candidate = fields[i];
    if (candidate !== undefined && candidate.name === name) return candidate.value;
  }
  return undefined;
}

/**
 * The largest list that is sent to a peer that announces no SETTINGS_MAX_HEADER_LIST_SIZE. RFC 9113
 * §6.5.2 sets no limit then. But nghttp2 has a limit of its own, and ends the connection with every
 * call beyond it: 65,536 octets for each value as it is encoded, and 8 CONTINUATION frames.
 */
export const UNANNOUNCED_MAX_LIST_BYTES = 65_536;

/** The size of a list by RFC 9113 §6.5.2. */
export function listBytes(fields: HeaderList): number {
  let bytes = 0;
  for (let i = 0; i < fields.length; i++) {
    const field = fields[i];
    if (field !== undefined) bytes += field.name.length + field.value.length + 32;
  }
  return bytes;
}

/**
 * Header fields that may not be sent: a bad name, a bad value, a connection-specific field (RFC
 * 9113 §8.2), or more bytes than the peer takes (§6.5.2).
 */
export class HeaderError extends Error {
  override readonly name = "HeaderError";
}

/** The error for a list of `bytes` to a peer that takes `maxBytes`. */
export function listTooLarge(bytes: number, maxBytes: number): HeaderError {
  return new HeaderError(
    `expected a header list of at most ${maxBytes} bytes, which the peer takes, got ${bytes}`,
  );
}
