// The header field: the one vocabulary item that HTTP/2, gRPC and the relay share.
// A leaf: it must not know HPACK, metadata or any transport.

/**
 * One header or trailer field, in the form in which it travels through every layer.
 *
 * `name` is lower case. `name` and `value` hold one byte per character (0x00 - 0xff), so a field
 * that came from a peer goes out byte-exact. Objects are immutable to everyone but the HPACK
 * encoder, which keeps a memo on them (RFC 7541 table entries *are* these objects), and the field
 * rules, so that a field that comes again from a table is not looked at again.
 */
export class HeaderField {
  readonly name: string;
  readonly value: string;
  /** The peer asked that no hop ever index this field (RFC 7541 §6.2.3), or the owner does. */
  readonly sensitive: boolean;

  /** The HPACK encoder that last wrote this object, by its id; 0 for none. Owned by `h2/hpack`. */
  encoderId = 0;
  /** Where that encoder put it, as its running insertion number. Owned by `h2/hpack`. */
  encoderSlot = 0;
  /**
   * What RFC 9113 §8.2 and §8.3 make of the field, 0 while nobody looked. Owned by
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
 * The largest list that a peer is sent which announces no SETTINGS_MAX_HEADER_LIST_SIZE. RFC 9113
 * §6.5.2 sets no limit then, but nghttp2 has one of its own and ends the connection over it, with
 * every call: 65,536 octets for each value as it is encoded, and 8 CONTINUATION frames.
 */
export const UNANNOUNCED_MAX_LIST_BYTES = 65_536;

/** RFC 9113 §6.5.2's size of a list. */
export function listBytes(fields: HeaderList): number {
  let bytes = 0;
  for (let i = 0; i < fields.length; i++) {
    const field = fields[i];
    if (field !== undefined) bytes += field.name.length + field.value.length + 32;
  }
  return bytes;
}

/**
 * Header fields that may not be sent: bad name, bad value, connection-specific (RFC 9113 §8.2),
 * more than the peer takes (§6.5.2).
 */
export class HeaderError extends Error {
  override readonly name = "HeaderError";
}

/** What to throw for a list of `bytes` to a peer that takes `maxBytes`. */
export function listTooLarge(bytes: number, maxBytes: number): HeaderError {
  return new HeaderError(
    `expected a header list of at most ${maxBytes} bytes, which the peer takes, got ${bytes}`,
  );
}
