// The header section of a request to a backend (gRPC PROTOCOL-HTTP2 "Requests").

import { HeaderField, type HeaderList } from "../wire/field.ts";
import type { Metadata } from "./metadata.ts";
import { formatTimeout } from "./timeout.ts";

// Shared objects: HPACK finds a field that it wrote before by identity.
const METHOD_POST = new HeaderField(":method", "POST");
const TE_TRAILERS = new HeaderField("te", "trailers");
const SCHEME_HTTP = new HeaderField(":scheme", "http");
const SCHEME_HTTPS = new HeaderField(":scheme", "https");

/** Where requests go, as they say it; one object for all requests to a backend. */
export interface RequestOrigin {
  readonly scheme: HeaderField;
  /** Of requests that have none of their own. */
  readonly authority: HeaderField;
}

export function requestOrigin(isTls: boolean, authority: string): RequestOrigin {
  return {
    scheme: isTls ? SCHEME_HTTPS : SCHEME_HTTP,
    authority: new HeaderField(":authority", authority),
  };
}

/** What the headers of a request are made of. */
interface RequestHeaderParts {
  readonly origin: RequestOrigin;
  readonly path: HeaderField;
  readonly contentType: HeaderField;
  /** What is left until the deadline; Infinity for none. */
  readonly remainingMs: number;
  readonly metadata: HeaderList;
  /** Metadata whose names replace those of `metadata`. */
  readonly extraMetadata: Metadata | undefined;
  /** Takes the place of the origin's, unless it is empty. */
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
