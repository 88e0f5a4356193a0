// Which header lists make a well-formed request, response or trailer section (RFC 9113 §8.1 -
// §8.3), received or to be sent.

import { fieldValue, type HeaderField, type HeaderList, listBytes } from "./field.ts";
import {
  CONTENT_LENGTH,
  CONTENT_TYPE,
  classOf,
  describeRefusal,
  FIRST_MALFORMED,
  FIRST_UNSENT,
  HOST,
  HTTP2_SETTINGS,
  isAuthority,
  LAST_PSEUDO,
  PSEUDO_AUTHORITY,
  PSEUDO_METHOD,
  PSEUDO_PATH,
  PSEUDO_SCHEME,
  PSEUDO_STATUS,
  REGULAR,
  tidied,
  UNTIDY,
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
 * Bits of the same mask for fields that are no pseudo-header fields. The last bit says that the
 * list has to be tidied.
 */
const TYPE = 1 << CONTENT_TYPE;
const HOST_FIELD = 1 << HOST;
const UNTIDY_LIST = 1 << UNTIDY;

/** The findings about a list. They never change, so they may be kept as long as the list. */
export class Verdict {
  /** The problem, if there is one. The other fields count only without a problem. */
  readonly problem: string | undefined;
  /**
   * The list to go on with. It is the very list that was checked if nothing has to be corrected. A
   * received list loses blanks around values, `http2-settings`, a second `content-type`, and `host`
   * beside `:authority`.
   */
  readonly list: HeaderList;
  /** Value of content-length, or `NO_LENGTH`. */
  readonly contentLength: number;
  /** Value of `:status`; 0 if there is none. */
  readonly status: number;
  /** The method is HEAD, so content-length of the response does not count its DATA. */
  readonly isHead: boolean;
  /**
   * Size of a sent list by §6.5.2; 0 for a received list, whose size is counted while it is
   * decoded.
   */
  readonly listBytes: number;

  constructor(
    problem: string | undefined,
    list: HeaderList,
    contentLength: number,
    status: number,
    isHead: boolean,
    listBytes: number,
  ) {
    this.problem = problem;
    this.list = list;
    this.contentLength = contentLength;
    this.status = status;
    this.isHead = isHead;
    this.listBytes = listBytes;
  }
}

/** Belongs to no list that anybody has. */
const NO_VERDICT: Verdict = new Verdict(undefined, [], NO_LENGTH, 0, false, 0);

/** Checks header lists. */
class MessageRules {
  readonly #receives: boolean;
  /**
   * The verdicts of the last list of each kind. HPACK gives the same list for a block that comes
   * again, and so does the relay. Such a list is not checked again, and gets no new verdict.
   */
  #knownRequest: Verdict = NO_VERDICT;
  #knownResponse: Verdict = NO_VERDICT;
  #knownTrailers: Verdict = NO_VERDICT;

  // Of the list that is being checked.
  #list: HeaderList = NO_VERDICT.list;
  #contentLength: number = NO_LENGTH;
  #status = 0;
  #listBytes = 0;
  #method = "";
  #host = "";

  /**
   * @param receives lenient checks for received lists; otherwise exact ones, which measure
   *   `listBytes`
   */
  constructor(receives: boolean) {
    this.#receives = receives;
  }

  request(fields: HeaderList): Verdict {
    if (fields === this.#knownRequest.list) return this.#knownRequest;
    const seen = this.#judge(fields, OF_REQUESTS);
    this.#knownRequest = this.#verdict(
      typeof seen === "string" ? seen : this.#requestProblem(seen),
    );
    return this.#knownRequest;
  }

  #requestProblem(seen: number): string | undefined {
    if (this.#method === "CONNECT") {
      // §8.5
      const isConnect = (seen & OF_REQUESTS) === (METHOD | AUTHORITY);
      return isConnect ? undefined : "CONNECT takes :authority alone";
    }
    return (seen & REQUIRED) === REQUIRED ? undefined : "a request pseudo-header field is missing";
  }

  response(fields: HeaderList): Verdict {
    if (fields === this.#knownResponse.list) return this.#knownResponse;
    const seen = this.#judge(fields, STATUS);
    this.#knownResponse = this.#verdict(
      typeof seen === "string" ? seen : this.#responseProblem(seen),
    );
    return this.#knownResponse;
  }

  #responseProblem(seen: number): string | undefined {
    if ((seen & STATUS) === 0) return ":status is missing";
    // §8.6
    return this.#status === 101 ? "status 101 does not exist in HTTP/2" : undefined;
  }

  trailers(fields: HeaderList): Verdict {
    if (fields === this.#knownTrailers.list) return this.#knownTrailers;
    const seen = this.#judge(fields, 0);
    this.#knownTrailers = this.#verdict(typeof seen === "string" ? seen : undefined);
    return this.#knownTrailers;
  }

  #verdict(problem: string | undefined): Verdict {
    return new Verdict(
      problem,
      this.#list,
      this.#contentLength,
      this.#status,
      this.#method === "HEAD",
      this.#listBytes,
    );
  }

  /** The fields found, as a mask; or the problem of the list. */
  #judge(fields: HeaderList, allowed: number): number | string {
    let seen = 0;
    let regular = false;
    this.#list = fields;
    this.#contentLength = NO_LENGTH;
    this.#status = 0;
    this.#method = "";
    if (!this.#receives) this.#listBytes = listBytes(fields);
    for (const field of fields) {
      const found = classOf(field);
      if (found === REGULAR) {
        regular = true;
      } else if (found <= LAST_PSEUDO) {
        const bit = 1 << found;
        if ((allowed & bit) === 0) return `${field.name} does not belong here`;
        if ((seen & bit) !== 0) return `${field.name} comes twice`;
        if (regular) return `${field.name} after a regular field`;
        seen |= bit;
        if (found === PSEUDO_METHOD) this.#method = field.value;
        else if (found === PSEUDO_STATUS) this.#status = Number(field.value);
      } else if (found === CONTENT_TYPE && (seen & TYPE) === 0) {
        // Every list but trailers has content-type, so `judgeSpecial` does not handle it.
        regular = true;
        seen |= TYPE;
      } else {
        regular = true;
        const withIt = this.#judgeSpecial(field, found, seen, allowed);
        if (typeof withIt === "string") return withIt;
        seen = withIt;
      }
    }
    if ((seen & UNTIDY_LIST) !== 0) this.#list = tidiedList(fields, this.#knowsAuthority(seen));
    return seen;
  }

  /**
   * The mask with this field, which is neither ordinary nor a pseudo-header field; or the problem.
   */
  #judgeSpecial(field: HeaderField, found: number, seen: number, allowed: number): number | string {
    if (found >= FIRST_MALFORMED || (found >= FIRST_UNSENT && !this.#receives)) {
      return describeRefusal(field);
    }
    switch (found) {
      case CONTENT_TYPE:
        if ((seen & TYPE) === 0) return seen | TYPE;
        // The first one counts.
        return this.#receives ? seen | UNTIDY_LIST : "content-type comes twice";
      case CONTENT_LENGTH: {
        const length = Number(field.value);
        if (this.#contentLength !== NO_LENGTH && this.#contentLength !== length) {
          return "content-length fields disagree";
        }
        this.#contentLength = length;
        return seen;
      }
      case HOST:
        return allowed === OF_REQUESTS ? this.#judgeHost(field, seen) : seen;
      case UNTIDY: {
        const tidy = tidied(field);
        const tidyClass = classOf(tidy);
        if (tidyClass === REGULAR) return seen | UNTIDY_LIST;
        return this.#judgeSpecial(tidy, tidyClass, seen | UNTIDY_LIST, allowed);
      }
      default:
        // http2-settings
        return seen | UNTIDY_LIST;
    }
  }

  /**
   * §8.3.1: `:authority` comes before `host`. Without `:authority`, `host` fields that disagree
   * could be read in different ways here and behind us.
   */
  #judgeHost(field: HeaderField, seen: number): number | string {
    if (this.#knowsAuthority(seen)) return this.#receives ? seen | UNTIDY_LIST : seen;
    if (!isAuthority(field.value)) return 'bad value of field "host": userinfo, a space or a tab';
    const host = field.value.toLowerCase();
    if ((seen & HOST_FIELD) !== 0 && this.#host !== host) return "host fields disagree";
    this.#host = host;
    return seen | HOST_FIELD;
  }

  #knowsAuthority(seen: number): boolean {
    return (seen & AUTHORITY) !== 0 && fieldValue(this.#list, ":authority") !== "";
  }
}

/**
 * Untidy lists and their tidy replacements. A list that comes again gets the same replacement, so
 * that caches recognise it.
 */
const tidiedLists = new WeakMap<HeaderList, HeaderList>();

/** The tidy form of a received list that is well-formed but untidy. */
function tidiedList(fields: HeaderList, dropsHost: boolean): HeaderList {
  const known = tidiedLists.get(fields);
  if (known !== undefined) return known;
  const kept: HeaderField[] = [];
  tidiedLists.set(fields, kept);
  let hasType = false;
  for (const field of fields) {
    const tidy = classOf(field) === UNTIDY ? tidied(field) : field;
    const found = classOf(tidy);
    if (found === HTTP2_SETTINGS || (found === HOST && dropsHost)) continue;
    if (found === CONTENT_TYPE) {
      if (hasType) continue;
      hasType = true;
    }
    kept.push(tidy);
  }
  return kept;
}

// All connections share these two. Their lists are often the same objects, and a call is received
// with one list and sent with another.

/** Checks received lists. */
export const RECEIVED: MessageRules = new MessageRules(true);
/** Checks lists to send. */
export const SENT: MessageRules = new MessageRules(false);
