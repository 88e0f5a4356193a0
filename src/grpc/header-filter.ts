// Separates the fields of the protocol or of one hop from the user's fields, which are read and
// forwarded. Names are lower case, as on the wire. Every field that is not named here is forwarded,
// including `user-agent`, `grpc-encoding`, `grpc-accept-encoding`, `grpc-previous-rpc-attempts`,
// `grpc-trace-bin` and names that gRPC has reserved but not assigned.

import type { HeaderField, HeaderList } from "../wire/field.ts";
import { isConnectionSpecific } from "../wire/field-rules.ts";

const COLON = 0x3a;

function isPseudo(name: string): boolean {
  return name.charCodeAt(0) === COLON;
}

/**
 * Request fields that each hop writes itself: pseudo-header fields, `te`, `content-type`,
 * `content-length`, `host` (`:authority` decides), `grpc-timeout` (the time that remains is less)
 * and connection-specific ones.
 */
function isReservedRequestField(name: string): boolean {
  if (isPseudo(name)) return true;
  switch (name.length) {
    case 2:
      return name === "te";
    case 4:
      return name === "host";
    case 12:
      return name === "content-type" || name === "grpc-timeout";
    case 14:
      return name === "content-length" || isConnectionSpecific(name);
    default:
      return isConnectionSpecific(name);
  }
}

/**
 * Response header and trailer fields that carry the protocol and not the user's metadata:
 * `:status`, `content-type`, `content-length`, `grpc-status`, `grpc-message` and
 * connection-specific ones. `grpc-status-details-bin` is metadata.
 */
function isReservedResponseField(name: string): boolean {
  if (isPseudo(name)) return true;
  switch (name.length) {
    case 11:
      return name === "grpc-status";
    case 12:
      return name === "content-type" || name === "grpc-message";
    case 14:
      return name === "content-length" || isConnectionSpecific(name);
    default:
      return isConnectionSpecific(name);
  }
}

/**
 * Names that users may not set in `Metadata`, because in one direction or the other the protocol
 * owns them.
 */
export function isReservedMetadataName(name: string): boolean {
  return isReservedRequestField(name) || isReservedResponseField(name);
}

/**
 * The user's part of request headers, for forwarding or reading. The same field objects in the same
 * order; the same list when there is nothing to leave out.
 */
export function forwardableRequestMetadata(fields: HeaderList): HeaderList {
  return leaveOut(fields, isReservedRequestField);
}

/**
 * The user's part of response headers, of trailers or of a Trailers-Only response. Identity as for
 * requests.
 */
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
