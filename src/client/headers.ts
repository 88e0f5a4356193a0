// The header sections that the relay writes and judges: request headers to a backend, response headers from it.

import { isGrpcContentType } from "../grpc/content-type.ts";
import { ErrorReason, type GrpcError } from "../grpc/error.ts";
import type { Metadata } from "../grpc/metadata.ts";
import { statusFromHttpStatus } from "../grpc/status-mapping.ts";
import { formatTimeout } from "../grpc/timeout.ts";
import { CONTENT_TYPE_GRPC, HTTP_STATUS_200 } from "../grpc/trailers.ts";
import { HeaderField, type HeaderList } from "../wire/field.ts";
import type { ClientConn } from "./client-conn.ts";
import { upstreamError } from "./upstream-error.ts";

// Shared objects: HPACK finds a field that it wrote before by identity.
const METHOD_POST = new HeaderField(":method", "POST");
const TE_TRAILERS = new HeaderField("te", "trailers");
const SCHEMES = {
  http: new HeaderField(":scheme", "http"),
  https: new HeaderField(":scheme", "https"),
};

/** What request headers to a backend are made of. */
export interface RequestHeaderParts {
  readonly conn: ClientConn;
  readonly path: HeaderField;
  readonly contentType: HeaderField;
  /** What is left until the deadline; Infinity for none. */
  readonly remainingMs: number;
  readonly metadata: HeaderList;
  /** Metadata whose names replace those of `metadata`. */
  readonly extraMetadata: Metadata | undefined;
  readonly authority: string | undefined;
}

/** Pseudo-header fields, then `grpc-timeout`, then the rest of the Call-Definition, then metadata (gRPC PROTOCOL-HTTP2 "Requests"). */
export function requestHeaders(parts: RequestHeaderParts): HeaderList {
  const { conn, metadata, extraMetadata, authority, remainingMs } = parts;
  const fields: HeaderField[] = [
    METHOD_POST,
    SCHEMES[conn.scheme],
    parts.path,
    authority === undefined || authority === ""
      ? conn.authorityField
      : new HeaderField(":authority", authority),
  ];
  if (remainingMs !== Number.POSITIVE_INFINITY) {
    fields.push(new HeaderField("grpc-timeout", formatTimeout(remainingMs)));
  }
  fields.push(TE_TRAILERS, parts.contentType);
  if (extraMetadata === undefined) {
    for (let i = 0; i < metadata.length; i++) fields.push(metadata[i] as HeaderField);
    return fields;
  }
  for (const field of metadata) if (!extraMetadata.has(field.name)) fields.push(field);
  for (const field of extraMetadata.toFields()) fields.push(field);
  return fields;
}

/**
 * What the head of a response is that something may follow:
 *
 * - `"open"`: of gRPC; it can be passed on.
 * - `"held"`: of gRPC, but with `grpc-status`, which has its place at the end. If nothing follows but END_STREAM it is a Trailers-Only
 *   response whose END_STREAM came late, as some servers send it; otherwise `withoutStatus` of it is the head, and the trailers count.
 * - `"complete"`: not of gRPC, but with `grpc-status`, which counts before all else; what follows means nothing to gRPC.
 */
export type ResponseHead = "open" | "held" | "complete";

/**
 * Checks the head of a response. A response that is not gRPC is an error with the status that its HTTP status stands for (gRPC
 * http-grpc-status-mapping).
 */
export function judgeResponse(headers: HeaderList, conn: ClientConn): ResponseHead | GrpcError {
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
  if (isGrpc) return "open";
  const details =
    httpStatus === "200"
      ? `answered with content-type ${contentType ?? "(none)"}, expected application/grpc`
      : `answered with HTTP status ${httpStatus}`;
  const options = { reason: ErrorReason.UPSTREAM_NOT_GRPC };
  return upstreamError(conn.target, statusFromHttpStatus(Number(httpStatus)), details, options);
}

/** A `"held"` head that turned out to be only headers: what it said of the outcome is for the trailers to say. */
export function withoutStatus(headers: HeaderList): HeaderList {
  return headers.filter(
    ({ name }) =>
      name !== "grpc-status" && name !== "grpc-message" && name !== "grpc-status-details-bin",
  );
}

/**
 * A response with `grpc-status` says all in it, whatever HTTP status, content type and body a proxy has put around it (gRPC PROTOCOL-HTTP2):
 * as a Trailers-Only response it has 200, a content type of gRPC and no body. The same list when it is one, or trailers.
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
 * Response headers as they go on to the client: all of them but `content-length`, which would be wrong for a response that the relay
 * has to cut short. The same list when there is nothing to leave out.
 */
export function forwardableResponseHeaders(headers: HeaderList): HeaderList {
  for (let i = 0; i < headers.length; i++) {
    if (headers[i]?.name === "content-length") {
      return headers.filter((field) => field.name !== "content-length");
    }
  }
  return headers;
}
