// Which fields belong to the protocol or to one hop, and which are the user's to read and the proxy's to forward.
// Names are lower case, as on the wire. Everything not named here is forwarded, including `user-agent`, `grpc-encoding`,
// `grpc-accept-encoding`, `grpc-previous-rpc-attempts`, `grpc-trace-bin` and names that gRPC has reserved but not assigned.

import type { HeaderField, HeaderList } from "../wire/field.ts";

const COLON = 0x3a;

function isPseudo(name: string): boolean {
  return name.charCodeAt(0) === COLON;
}

/** Connection-specific fields, which HTTP/2 forbids and no hop passes on (RFC 9113 §8.2.2). `te` is apart: gRPC needs it. */
export function isHopByHop(name: string): boolean {
  // By length first: this runs for every field of every call, and nearly all fields fail here.
  switch (name.length) {
    case 7:
      return name === "upgrade";
    case 10:
      return name === "connection" || name === "keep-alive";
    case 16:
      return name === "proxy-connection";
    case 17:
      return name === "transfer-encoding";
    default:
      return false;
  }
}

/**
 * Request fields that each hop writes itself: pseudo-header fields, `te`, `content-type`, `content-length`, `host` (`:authority` decides),
 * `grpc-timeout` (the time that remains is less) and the hop-by-hop ones.
 */
export function isReservedRequestField(name: string): boolean {
  if (isPseudo(name)) return true;
  switch (name.length) {
    case 2:
      return name === "te";
    case 4:
      return name === "host";
    case 12:
      return name === "content-type" || name === "grpc-timeout";
    case 14:
      return name === "content-length";
    default:
      return isHopByHop(name);
  }
}

/**
 * Response header and trailer fields that carry the protocol and not the user's metadata: `:status`, `content-type`, `content-length`,
 * `grpc-status`, `grpc-message` and the hop-by-hop ones. `grpc-status-details-bin` is metadata.
 */
export function isReservedResponseField(name: string): boolean {
  if (isPseudo(name)) return true;
  switch (name.length) {
    case 11:
      return name === "grpc-status";
    case 12:
      return name === "content-type" || name === "grpc-message";
    case 14:
      return name === "content-length";
    default:
      return isHopByHop(name);
  }
}

/** Names that users may not set in `Metadata`, because in one direction or the other the protocol owns them. */
export function isReservedMetadataName(name: string): boolean {
  return isReservedRequestField(name) || isReservedResponseField(name);
}

/**
 * The user's part of request headers, for forwarding or reading. The same field objects in the same order; the same
 * list when there is nothing to leave out.
 */
export function forwardableRequestMetadata(fields: HeaderList): HeaderList {
  return leaveOut(fields, isReservedRequestField);
}

/** The user's part of response headers, of trailers or of a Trailers-Only response. Identity as for requests. */
export function forwardableResponseMetadata(fields: HeaderList): HeaderList {
  return leaveOut(fields, isReservedResponseField);
}

function leaveOut(fields: HeaderList, isLeftOut: (name: string) => boolean): HeaderList {
  let kept: HeaderField[] | undefined;
  let index = 0;
  for (const field of fields) {
    if (isLeftOut(field.name)) kept ??= fields.slice(0, index);
    else if (kept !== undefined) kept.push(field);
    index++;
  }
  return kept ?? fields;
}
