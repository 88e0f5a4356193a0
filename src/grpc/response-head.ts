// What the header section of a response says before anything else of it is known (gRPC
// PROTOCOL-HTTP2 "Responses").

import type { HeaderField, HeaderList } from "../wire/field.ts";
import { isGrpcContentType } from "./content-type.ts";
import { CONTENT_TYPE_GRPC, HTTP_STATUS_200 } from "./trailers.ts";

/**
 * What the head of a response is that something may follow:
 *
 * - `"open"`: of gRPC; it can be passed on.
 * - `"held"`: of gRPC, but with `grpc-status`, which has its place at the end. With nothing but
 *   END_STREAM behind it, it is a Trailers-Only response whose END_STREAM came late, as some
 *   servers send it. Otherwise `withoutStatus` of it is the head, and the trailers count.
 * - `"complete"`: not of gRPC, but with `grpc-status`, which counts before all else. What follows
 *   means nothing to gRPC.
 */
type ResponseHead = "open" | "held" | "complete";

/** The head of a response that is not gRPC. */
export interface ForeignHead {
  /** Three digits, or nothing. */
  readonly httpStatus: string;
  readonly contentType: string | undefined;
}

export function judgeResponse(headers: HeaderList): ResponseHead | ForeignHead {
  let httpStatus = "";
  let contentType: string | undefined;
  let hasStatus = false;
  for (let i = 0; i < headers.length; i++) {
    const field = headers[i] as HeaderField;
    if (field.name === ":status") httpStatus = field.value;
    else if (field.name === "content-type") contentType = field.value;
    else if (field.name === "grpc-status") hasStatus = true;
  }
  const isGrpc = httpStatus === "200" && isGrpcContentType(contentType);
  if (hasStatus) return isGrpc ? "held" : "complete";
  return isGrpc ? "open" : { httpStatus, contentType };
}

/**
 * A `"held"` head that turned out to be only headers: what it said of the outcome is for the
 * trailers to say.
 */
export function withoutStatus(headers: HeaderList): HeaderList {
  return headers.filter(
    ({ name }) =>
      name !== "grpc-status" && name !== "grpc-message" && name !== "grpc-status-details-bin",
  );
}

/**
 * A response with `grpc-status` says all in it, whatever HTTP status, content type and body a proxy
 * has put around it. As a Trailers-Only response it has 200, a content type of gRPC and no body.
 * The same list when it is one, or trailers.
 */
export function asTrailersOnly(fields: HeaderList): HeaderList {
  if (fields[0]?.name !== ":status" || isTrailersOnly(fields)) return fields;
  const kept = fields.filter(
    ({ name, value }) =>
      name !== ":status" &&
      name !== "content-length" &&
      (name !== "content-type" || isGrpcContentType(value)),
  );
  const hasType = kept.some(({ name }) => name === "content-type");
  return hasType ? [HTTP_STATUS_200, ...kept] : [HTTP_STATUS_200, CONTENT_TYPE_GRPC, ...kept];
}

function isTrailersOnly(fields: HeaderList): boolean {
  let isGrpc = false;
  for (const { name, value } of fields) {
    if (name === ":status" && value !== "200") return false;
    if (name === "content-length") return false;
    if (name === "content-type") isGrpc = isGrpcContentType(value);
  }
  return isGrpc;
}

/**
 * Response headers as they go on to the client: all of them but `content-length`, which would be
 * wrong for a response that the relay has to cut short. The same list when there is nothing to
 * leave out.
 */
export function forwardableResponseHeaders(headers: HeaderList): HeaderList {
  for (let i = 0; i < headers.length; i++) {
    if (headers[i]?.name === "content-length") {
      return headers.filter((field) => field.name !== "content-length");
    }
  }
  return headers;
}

/**
 * Judges the heads of the responses of one backend. HPACK gives the same list for a block that
 * comes again, and such a list is looked at once.
 */
export class ResponseJudge {
  /** The last list that was `"plain"`. */
  #plain: HeaderList | undefined = undefined;

  /** As `judgeResponse`; `"plain"` is `"open"` with nothing to leave out. */
  judge(headers: HeaderList): ResponseHead | "plain" | ForeignHead {
    if (headers === this.#plain) return "plain";
    const head = judgeResponse(headers);
    if (head !== "open" || forwardableResponseHeaders(headers) !== headers) return head;
    this.#plain = headers;
    return "plain";
  }
}
