// Judges the header section of a response before anything else of the response has come (gRPC
// PROTOCOL-HTTP2 "Responses").

import type { HeaderField, HeaderList } from "../wire/field.ts";
import { isGrpcContentType } from "./content-type.ts";
import { CONTENT_TYPE_GRPC, HTTP_STATUS_200 } from "./trailers.ts";

/**
 * The kind of a response head that may have something behind it:
 *
 * - `"open"`: the head of a gRPC response; it can be passed on.
 * - `"held"`: the head of a gRPC response, but with `grpc-status`, which belongs to the end. If
 *   only END_STREAM follows, it is a Trailers-Only response whose END_STREAM came late, as some
 *   servers send it. Otherwise `withoutStatus` makes the head of it, and the trailers count.
 * - `"complete"`: no gRPC response, but with `grpc-status`, which counts before all else. Anything
 *   behind it means nothing to gRPC.
 */
type ResponseHead = "open" | "held" | "complete";

/** The head of a response that is not gRPC. */
export interface ForeignHead {
  /** Three digits, or empty. */
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
 * The headers of a `"held"` head that turned out to be only headers: without the outcome, which the
 * trailers give.
 */
export function withoutStatus(headers: HeaderList): HeaderList {
  return headers.filter(
    ({ name }) =>
      name !== "grpc-status" && name !== "grpc-message" && name !== "grpc-status-details-bin",
  );
}

/**
 * A response with `grpc-status` is complete by itself, whatever HTTP status, content type and body
 * a proxy has added. As a Trailers-Only response it gets 200, a content type of gRPC and no body.
 * Trailers, and a list that is right already, are returned as the same list.
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
 * Response headers as they go on to the client: all of them except `content-length`, which would be
 * wrong for a response that the relay has to cut short. The same list when nothing is left out.
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
 * Judges the response heads of one backend. HPACK gives the same list for a block that comes again,
 * and such a list is checked once.
 */
export class ResponseJudge {
  /** The last list that was `"plain"`. */
  #plain: HeaderList | undefined = undefined;

  /** As `judgeResponse`. `"plain"` is an `"open"` head from which nothing is left out. */
  judge(headers: HeaderList): ResponseHead | "plain" | ForeignHead {
    if (headers === this.#plain) return "plain";
    const head = judgeResponse(headers);
    if (head !== "open" || forwardableResponseHeaders(headers) !== headers) return head;
    this.#plain = headers;
    return "plain";
  }
}
