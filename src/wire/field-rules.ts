// What one header field may look like in HTTP/2 (RFC 9113 §8.2, §8.3). The verdict is kept on the field object: fields that come
// from an HPACK table, and fields that a proxy passes on, are looked at once. It must not know what kind of message a field is in.

import type { HeaderField } from "./field.ts";

/** An ordinary field. */
export const REGULAR = 1;
export const CONTENT_LENGTH = 2;
export const PSEUDO_METHOD = 3;
export const PSEUDO_SCHEME = 4;
export const PSEUDO_AUTHORITY = 5;
export const PSEUDO_PATH = 6;
export const PSEUDO_STATUS = 7;
/** From here on the field makes every message malformed. */
export const FIRST_MALFORMED = 8;
export const UNKNOWN_PSEUDO = 8;
export const BAD_NAME = 9;
export const BAD_VALUE = 10;
export const CONNECTION_SPECIFIC = 11;

/** The class of `field`, one of the numbers above. */
export function classOf(field: HeaderField): number {
  const known = field.ruleClass;
  if (known !== 0) return known;
  const found = classify(field.name, field.value);
  field.ruleClass = found;
  return found;
}

/** Why a field of a malformed class is refused. */
export function describeMalformed(field: HeaderField): string {
  const name = JSON.stringify(field.name);
  switch (field.ruleClass) {
    case UNKNOWN_PSEUDO:
      return `unknown pseudo-header field ${name}`;
    case BAD_NAME:
      return `bad field name ${name}`;
    case BAD_VALUE:
      return `bad value of field ${name}`;
    default:
      return `connection-specific field ${name}`;
  }
}

/** RFC 9110 §5.6.2, without the upper-case letters that RFC 9113 §8.2.1 forbids. */
const TOKEN: Uint8Array = new Uint8Array(256);
for (const character of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz") {
  TOKEN[character.charCodeAt(0)] = 1;
}

const SPACE = 0x20;
const TAB = 0x09;

function classify(name: string, value: string): number {
  if (!isFieldValue(value)) return BAD_VALUE;
  if (name.charCodeAt(0) === 0x3a) return classifyPseudo(name, value);
  for (let i = 0; i < name.length; i++) {
    if (TOKEN[name.charCodeAt(i)] !== 1) return BAD_NAME;
  }
  switch (name) {
    case "":
      return BAD_NAME;
    case "content-length":
      // More digits than a safe integer has are not a length of anything.
      return /^[0-9]{1,15}$/.test(value) ? CONTENT_LENGTH : BAD_VALUE;
    // §8.2.2
    case "connection":
    case "proxy-connection":
    case "keep-alive":
    case "transfer-encoding":
    case "upgrade":
      return CONNECTION_SPECIFIC;
    case "te":
      return value.toLowerCase() === "trailers" ? REGULAR : CONNECTION_SPECIFIC;
    default:
      return REGULAR;
  }
}

function classifyPseudo(name: string, value: string): number {
  switch (name) {
    case ":path":
      // §8.3.1: not empty for http and https. That it starts with a slash is for the owner to say, who has a better answer.
      return value === "" ? BAD_VALUE : PSEUDO_PATH;
    case ":method":
      return value === "" ? BAD_VALUE : PSEUDO_METHOD;
    case ":scheme":
      return value === "" ? BAD_VALUE : PSEUDO_SCHEME;
    case ":authority":
      // §8.3.1: no userinfo.
      return value.includes("@") ? BAD_VALUE : PSEUDO_AUTHORITY;
    case ":status":
      return /^[1-9][0-9]{2}$/.test(value) ? PSEUDO_STATUS : BAD_VALUE;
    default:
      return UNKNOWN_PSEUDO;
  }
}

/** §8.2.1, and one octet per character, which is what can be sent. */
function isFieldValue(value: string): boolean {
  const length = value.length;
  if (length === 0) return true;
  for (let i = 0; i < length; i++) {
    const code = value.charCodeAt(i);
    if (code < SPACE ? code === 0 || code === 0x0a || code === 0x0d : code > 0xff) return false;
  }
  const first = value.charCodeAt(0);
  const last = value.charCodeAt(length - 1);
  return first !== SPACE && first !== TAB && last !== SPACE && last !== TAB;
}
