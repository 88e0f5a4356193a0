// The static table (RFC 7541 Appendix A) as shared field objects.

import { HeaderField } from "../../wire/field.ts";

/**
 * `HeaderField.encoderId` of a field whose `encoderSlot` is its static index: right for every
 * encoder, for ever.
 */
export const STATIC_ENCODER_ID = -1;

/** Index of the last static entry; the dynamic table starts behind it (RFC 7541 §2.3.3). */
export const STATIC_COUNT = 61;

// biome-ignore format: table
const ENTRIES: readonly (readonly [name: string, value: string])[] = [
  [":authority", ""], [":method", "GET"], [":method", "POST"], [":path", "/"], [":path", "/index.html"],
  [":scheme", "http"], [":scheme", "https"], [":status", "200"], [":status", "204"], [":status", "206"],
  [":status", "304"], [":status", "400"], [":status", "404"], [":status", "500"], ["accept-charset", ""],
  ["accept-encoding", "gzip, deflate"], ["accept-language", ""], ["accept-ranges", ""], ["accept", ""],
  ["access-control-allow-origin", ""], ["age", ""], ["allow", ""], ["authorization", ""], ["cache-control", ""],
  ["content-disposition", ""], ["content-encoding", ""], ["content-language", ""], ["content-length", ""],
  ["content-location", ""], ["content-range", ""], ["content-type", ""], ["cookie", ""], ["date", ""],
  ["etag", ""], ["expect", ""], ["expires", ""], ["from", ""], ["host", ""], ["if-match", ""],
  ["if-modified-since", ""], ["if-none-match", ""], ["if-range", ""], ["if-unmodified-since", ""],
  ["last-modified", ""], ["link", ""], ["location", ""], ["max-forwards", ""], ["proxy-authenticate", ""],
  ["proxy-authorization", ""], ["range", ""], ["referer", ""], ["refresh", ""], ["retry-after", ""],
  ["server", ""], ["set-cookie", ""], ["strict-transport-security", ""], ["transfer-encoding", ""],
  ["user-agent", ""], ["vary", ""], ["via", ""], ["www-authenticate", ""],
];

/** By static index; `[0]` is undefined, because index 0 names nothing (RFC 7541 §6.1). */
export const STATIC_FIELDS: readonly (HeaderField | undefined)[] = [
  undefined,
  ...ENTRIES.map(([name, value], position) => {
    const field = new HeaderField(name, value);
    field.encoderId = STATIC_ENCODER_ID;
    field.encoderSlot = position + 1;
    return field;
  }),
];
