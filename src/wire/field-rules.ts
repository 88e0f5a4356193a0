// The rules for one header field in HTTP/2 (RFC 9113 §8.2, §8.3), lenient for received fields and
// exact for sent ones. The verdict is kept on the field object: fields from an HPACK table, and
// fields that a proxy passes on, are checked once. The rules must not know in which kind of message
// a field is.

import { HeaderField } from "./field.ts";

/** An ordinary field. */
export const REGULAR = 1;
export const PSEUDO_METHOD = 2;
export const PSEUDO_SCHEME = 3;
export const PSEUDO_AUTHORITY = 4;
export const PSEUDO_PATH = 5;
export const PSEUDO_STATUS = 6;
export const LAST_PSEUDO = 6;
export const CONTENT_LENGTH = 7;
export const CONTENT_TYPE = 8;
export const HOST = 9;
/** Fields of this class and above are not sent. */
export const FIRST_UNSENT = 10;
/** When received, the field is replaced by the result of `tidied`. */
export const UNTIDY = 10;
/**
 * When received, the field is dropped. It belongs to an upgrade from HTTP/1.1, which no longer
 * exists (RFC 9113 §3.1).
 */
export const HTTP2_SETTINGS = 11;
/** Fields of this class and above make every message malformed. */
export const FIRST_MALFORMED = 12;
const UNKNOWN_PSEUDO = 12;
const BAD_NAME = 13;
const BAD_VALUE = 14;
const CONNECTION_SPECIFIC = 15;

/** The class of `field`, one of the numbers above. */
export function classOf(field: HeaderField): number {
  const known = field.ruleClass;
  // A look-alike that a user made may have no memo.
  if (known > 0) return known;
  const found = classify(field.name, field.value);
  field.ruleClass = found;
  return found;
}

/**
 * Marks a new field that nghttp2 has checked (by the same rules) before we get it, so that
 * `classOf` need not check its octets.
 */
export function classifyJudged(field: HeaderField): void {
  field.ruleClass = classifyOctets(field.name, field.value);
}

/** Not kept on the field objects: a rare case would make all of them larger. */
const tidiedFields = new WeakMap<HeaderField, HeaderField>();

/**
 * Replaces an `UNTIDY` field that was received: the value has no blanks around it, and `te` is in
 * lower case. An entry of a table keeps its octets (RFC 7541 §4.1), and always gets the same
 * replacement.
 *
 * Deviation: blanks around a value make a message malformed (RFC 9113 §8.2.1). gRPC C-core sends
 * `grpc-message` with them, and gRPC lets every hop strip them. A proxy that refuses them breaks
 * calls that worked without it.
 */
export function tidied(field: HeaderField): HeaderField {
  let tidy = tidiedFields.get(field);
  if (tidy === undefined) {
    tidy = new HeaderField(field.name, tidyValue(field), field.sensitive);
    tidiedFields.set(field, tidy);
  }
  return tidy;
}

function tidyValue({ name, value }: HeaderField): string {
  let start = 0;
  let end = value.length;
  while (start < end && isBlank(value.charCodeAt(start))) start++;
  while (end > start && isBlank(value.charCodeAt(end - 1))) end--;
  const stripped = value.slice(start, end);
  return name === "te" ? stripped.toLowerCase() : stripped;
}

/**
 * Connection-specific fields, which HTTP/2 forbids and no hop passes on (RFC 9113 §8.2.2). `te` is
 * not among them: gRPC needs it.
 */
export function isConnectionSpecific(name: string): boolean {
  // By length first: this runs for every field of every call, and nearly all fields fail here.
  switch (name.length) {
    case 7:
      return name === "upgrade";
    case 10:
      return name === "connection" || name === "keep-alive";
    case 14:
      return name === "http2-settings";
    case 16:
      return name === "proxy-connection";
    case 17:
      return name === "transfer-encoding";
    default:
      return false;
  }
}

/**
 * RFC 9113 §8.3.1: no userinfo. Clients over UNIX sockets send the path of the socket, `unix:...`
 * or `@abstract`. No rule exists for these, and each hop writes its own.
 */
export function isAuthority(value: string): boolean {
  const first = value.charCodeAt(0);
  if (first === SLASH || first === AT || value.startsWith("unix:")) return true;
  return !hasBlankOr(value, AT);
}

/** Texts cut a longer name here. */
const SHOWN_NAME_LENGTH = 64;

/** Names the refused field and the reason. The value may be a secret, and is not shown. */
export function describeRefusal(field: HeaderField): string {
  const { name, value } = field;
  const shown = JSON.stringify(name.slice(0, SHOWN_NAME_LENGTH));
  switch (field.ruleClass) {
    case UNKNOWN_PSEUDO:
      return `unknown pseudo-header field ${shown}`;
    case BAD_NAME:
      return `bad field name ${shown}`;
    case UNTIDY:
    case BAD_VALUE:
      return `bad value of field ${shown}: ${valueProblem(name, value)}`;
    default:
      return name === "te"
        ? `connection-specific field "te": only "trailers" may pass`
        : `connection-specific field ${shown}`;
  }
}

function valueProblem(name: string, value: string): string {
  const at = badOctetAt(value);
  if (at !== -1) {
    const code = value.charCodeAt(at).toString(16).padStart(2, "0");
    return `octet 0x${code} at ${at}`;
  }
  if (hasOuterBlank(value)) return "a space or tab at an end";
  return VALUE_PROBLEMS[name] ?? `expected "trailers"`;
}

const VALUE_PROBLEMS: Readonly<Record<string, string>> = {
  "content-length": "expected digits",
  ":method": "expected a token",
  ":scheme": "expected a letter, then letters, digits, +, - and .",
  ":authority": "userinfo, a space or a tab",
  ":path": "it is empty, or has a space, a tab or a fragment",
  ":status": "expected three digits",
};

/** RFC 9110 §5.6.2, without the upper-case letters that RFC 9113 §8.2.1 forbids. */
const TOKEN: Uint8Array = new Uint8Array(256);
for (const character of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz") {
  TOKEN[character.charCodeAt(0)] = 1;
}

/** RFC 9110 §9.1 */
const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** RFC 3986 §3.1 */
const SCHEME = /^[A-Za-z][A-Za-z0-9+\-.]*$/;

const COLON = 0x3a;
const SPACE = 0x20;
const TAB = 0x09;
const DEL = 0x7f;
const SLASH = 0x2f;
const AT = 0x40;
const NUMBER_SIGN = 0x23;

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB;
}

function classify(name: string, value: string): number {
  if (badOctetAt(value) !== -1) return BAD_VALUE;
  if (name === "") return BAD_NAME;
  if (name.charCodeAt(0) !== COLON) {
    for (let i = 0; i < name.length; i++) {
      if (TOKEN[name.charCodeAt(i)] !== 1) return BAD_NAME;
    }
  }
  return classifyOctets(name, value);
}

/** The class of a field from the octets of its name and value. */
function classifyOctets(name: string, value: string): number {
  if (name.charCodeAt(0) === COLON) return classifyPseudo(name, value);
  if (isConnectionSpecific(name)) {
    return name === "http2-settings" ? HTTP2_SETTINGS : CONNECTION_SPECIFIC;
  }
  if (hasOuterBlank(value)) return UNTIDY;
  // By length first: names that are spelled out are new strings, which are expensive to compare.
  switch (name.length) {
    case 2:
      return name === "te" ? classifyTe(value) : REGULAR;
    case 4:
      return name === "host" ? HOST : REGULAR;
    case 12:
      return name === "content-type" ? CONTENT_TYPE : REGULAR;
    case 14:
      if (name !== "content-length") return REGULAR;
      // A number with more digits than a safe integer cannot be a length.
      return /^[0-9]{1,15}$/.test(value) ? CONTENT_LENGTH : BAD_VALUE;
    default:
      return REGULAR;
  }
}

/** §8.2.2 */
function classifyTe(value: string): number {
  if (value === "trailers") return REGULAR;
  return value.toLowerCase() === "trailers" ? UNTIDY : CONNECTION_SPECIFIC;
}

/**
 * Pseudo-header fields are not stripped: they are no fields (§8.3), and nobody sends them with
 * blanks.
 */
function classifyPseudo(name: string, value: string): number {
  switch (name) {
    case ":path":
      // §8.3.1: not empty for http and https. The owner checks that the path starts with a slash,
      // because the owner has a better answer.
      return value === "" || hasBlankOr(value, NUMBER_SIGN) ? BAD_VALUE : PSEUDO_PATH;
    case ":method":
      return value === "POST" || METHOD.test(value) ? PSEUDO_METHOD : BAD_VALUE;
    case ":scheme":
      return value === "http" || SCHEME.test(value) ? PSEUDO_SCHEME : BAD_VALUE;
    case ":authority":
      return isAuthority(value) && !hasOuterBlank(value) ? PSEUDO_AUTHORITY : BAD_VALUE;
    case ":status":
      return value === "200" || /^[1-9][0-9]{2}$/.test(value) ? PSEUDO_STATUS : BAD_VALUE;
    default:
      return UNKNOWN_PSEUDO;
  }
}

/**
 * The place in `value` of an octet that no field value may have; -1 for none. These are control
 * octets except HTAB, and characters of more than one octet, which cannot be sent. RFC 9113 §8.2.1
 * names NUL, CR and LF. The others could be misread by HTTP/1.1 behind us (RFC 9110 §5.5).
 */
function badOctetAt(value: string): number {
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if (code < SPACE ? code !== TAB : code === DEL || code > 0xff) return i;
  }
  return -1;
}

function hasBlankOr(value: string, unwanted: number): boolean {
  for (let i = 0; i < value.length; i++) {
    const code = value.charCodeAt(i);
    if (isBlank(code) || code === unwanted) return true;
  }
  return false;
}

function hasOuterBlank(value: string): boolean {
  // An empty value gives NaN, which is no blank.
  return isBlank(value.charCodeAt(0)) || isBlank(value.charCodeAt(value.length - 1));
}
