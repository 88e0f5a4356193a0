// The header section of a request to a backend (gRPC PROTOCOL-HTTP2 "Requests").

import { HeaderField, type HeaderList } from "../wire/field.ts";
import type { Metadata } from "./metadata.ts";
import { formatTimeout } from "./timeout.ts";

// Shared objects: HPACK finds a field that it wrote before by identity.
const METHOD_POST = new HeaderField(":method", "POST");
const TE_TRAILERS = new HeaderField("te", "trailers");
const SCHEME_HTTP = new HeaderField(":scheme", "http");
const SCHEME_HTTPS = new HeaderField(":scheme", "https");

/** The fields that name a backend; one object for all requests to it. */
export interface RequestOrigin {
  readonly scheme: HeaderField;
  /** For requests that have no authority of their own. */
  readonly authority: HeaderField;
}

export function requestOrigin(isTls: boolean, authority: string): RequestOrigin {
  return {
    scheme: isTls ? SCHEME_HTTPS : SCHEME_HTTP,
    authority: new HeaderField(":authority", authority),
  };
}

/** The parts of the headers of a request. */
interface RequestHeaderParts {
  readonly origin: RequestOrigin;
  readonly path: HeaderField;
  readonly contentType: HeaderField;
  /** The time until the deadline; Infinity for none. */
  readonly remainingMs: number;
  readonly metadata: HeaderList;
  /** Metadata whose names replace those of `metadata`. */
  readonly extraMetadata: Metadata | undefined;
  /** Replaces the authority of the origin, unless it is empty. */
  readonly authority: string | undefined;
}

/**
 * Pseudo-header fields, then `grpc-timeout`, then the rest of the Call-Definition, then metadata.
 */
export function requestHeaders(parts: RequestHeaderParts): HeaderList {
  const { origin, metadata, extraMetadata, authority, remainingMs } = parts;
  const fields: HeaderField[] = [
    METHOD_POST,
    origin.scheme,
    parts.path,
    authority === undefined || authority === ""
      ? origin.authority
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
