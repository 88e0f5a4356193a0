// Which header lists make a well-formed request, response or trailer section (RFC 9113 §8.1 - §8.3), received or to be sent.

import { type HeaderList, listBytes } from "./field.ts";
import {
  CONTENT_LENGTH,
  classOf,
  describeMalformed,
  FIRST_MALFORMED,
  PSEUDO_AUTHORITY,
  PSEUDO_METHOD,
  PSEUDO_PATH,
  PSEUDO_SCHEME,
  PSEUDO_STATUS,
  REGULAR,
} from "./field-rules.ts";

/** No content-length field. */
export const NO_LENGTH = -1;

const METHOD = 1 << PSEUDO_METHOD;
const SCHEME = 1 << PSEUDO_SCHEME;
const AUTHORITY = 1 << PSEUDO_AUTHORITY;
const PATH = 1 << PSEUDO_PATH;
const STATUS = 1 << PSEUDO_STATUS;
const OF_REQUESTS = METHOD | SCHEME | AUTHORITY | PATH;
const REQUIRED = METHOD | SCHEME | PATH;

/**
 * Judges header lists. What it found out about the last list is kept on it.
 * Every method returns what is wrong, or `undefined`.
 */
export class MessageRules {
  /** Value of content-length, or `NO_LENGTH`. */
  contentLength: number = NO_LENGTH;
  /** Value of `:status`. */
  status = 0;
  /** The method was HEAD, so content-length of the response does not count its DATA. */
  isHead = false;
  /** Size of the list by §6.5.2; what is received is measured as it is decoded, so 0 there. */
  listBytes = 0;

  private readonly measures: boolean;
  private method = "";
  /** Lists that were found well-formed and plain: HPACK gives the same list for a block that comes again, and so does the relay. */
  private knownRequest: HeaderList | undefined = undefined;
  private knownRequestLength: number = NO_LENGTH;
  private knownRequestBytes = 0;
  private knownResponse: HeaderList | undefined = undefined;
  private knownStatus = 0;
  private knownResponseBytes = 0;
  private knownTrailers: HeaderList | undefined = undefined;
  private knownTrailersBytes = 0;

  /** @param measures whether `listBytes` is wanted */
  constructor(measures: boolean) {
    this.measures = measures;
  }

  request(fields: HeaderList): string | undefined {
    if (fields === this.knownRequest) {
      this.contentLength = this.knownRequestLength;
      this.listBytes = this.knownRequestBytes;
      this.isHead = false;
      return undefined;
    }
    const seen = this.pseudoHeaders(fields, OF_REQUESTS);
    if (typeof seen === "string") return seen;
    this.isHead = this.method === "HEAD";
    if ((seen & REQUIRED) === REQUIRED && this.method !== "CONNECT") {
      if (!this.isHead) {
        this.knownRequest = fields;
        this.knownRequestLength = this.contentLength;
        this.knownRequestBytes = this.listBytes;
      }
      return undefined;
    }
    if (this.method !== "CONNECT") return "a request pseudo-header field is missing";
    // §8.5
    return seen === (METHOD | AUTHORITY) ? undefined : "CONNECT takes :authority alone";
  }

  response(fields: HeaderList): string | undefined {
    if (fields === this.knownResponse) {
      this.contentLength = NO_LENGTH;
      this.status = this.knownStatus;
      this.listBytes = this.knownResponseBytes;
      return undefined;
    }
    const seen = this.pseudoHeaders(fields, STATUS);
    if (typeof seen === "string") return seen;
    if (seen !== STATUS) return ":status is missing";
    // §8.6
    if (this.status === 101) return "status 101 does not exist in HTTP/2";
    if (this.contentLength === NO_LENGTH) {
      this.knownResponse = fields;
      this.knownStatus = this.status;
      this.knownResponseBytes = this.listBytes;
    }
    return undefined;
  }

  trailers(fields: HeaderList): string | undefined {
    if (fields === this.knownTrailers) {
      this.listBytes = this.knownTrailersBytes;
      return undefined;
    }
    const seen = this.pseudoHeaders(fields, 0);
    if (typeof seen === "string") return seen;
    this.knownTrailers = fields;
    this.knownTrailersBytes = this.listBytes;
    return undefined;
  }

  /** The pseudo-header fields that are there, as a mask; or what is wrong with the list. */
  private pseudoHeaders(fields: HeaderList, allowed: number): number | string {
    let seen = 0;
    let regular = false;
    this.contentLength = NO_LENGTH;
    if (this.measures) this.listBytes = listBytes(fields);
    for (const field of fields) {
      const found = classOf(field);
      if (found === REGULAR) {
        regular = true;
      } else if (found >= FIRST_MALFORMED) {
        return describeMalformed(field);
      } else if (found === CONTENT_LENGTH) {
        regular = true;
        const length = Number(field.value);
        if (this.contentLength !== NO_LENGTH && this.contentLength !== length) {
          return "content-length fields disagree";
        }
        this.contentLength = length;
      } else {
        const bit = 1 << found;
        if ((allowed & bit) === 0) return `${field.name} does not belong here`;
        if ((seen & bit) !== 0) return `${field.name} comes twice`;
        if (regular) return `${field.name} after a regular field`;
        seen |= bit;
        if (found === PSEUDO_METHOD) this.method = field.value;
        else if (found === PSEUDO_STATUS) this.status = Number(field.value);
      }
    }
    return seen;
  }
}

// All connections share two: their lists are often the same objects, and a call is received with one list and sent with another.
// What one says about a list is to be read before it judges the next.

/** Judges what is received. */
export const RECEIVED: MessageRules = new MessageRules(false);
/** Judges what is sent. */
export const SENT: MessageRules = new MessageRules(true);
