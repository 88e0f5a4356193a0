// The request headers for a destination: the client's own, with the changes of the destination's
// context and of the director's call options.

import type { ResolvedCallOptions } from "../client/call-options.ts";
import { type RequestOrigin, requestHeaders } from "../grpc/request-headers.ts";
import type { CallContext } from "../server/call-context.ts";
import type { RequestHead } from "../server/request-head.ts";
import type { Clock } from "../time/clock.ts";
import type { HeaderField, HeaderList } from "../wire/field.ts";

/** The parts of the request headers that all destinations of a call share. */
export interface ForwardedCall {
  readonly clock: Clock;
  /** The head that the client sent. */
  readonly head: RequestHead;
  readonly path: HeaderField;
  readonly contentType: HeaderField;
}

/**
 * Calls without a difference get the same list, which the encoder recognises.
 * @param deadlineMs on the clock of the call; Infinity for none
 */
export function forwardedHeaders(
  call: ForwardedCall,
  callOptions: ResolvedCallOptions,
  context: CallContext,
  origin: RequestOrigin,
  deadlineMs: number,
): HeaderList {
  const { head, path } = call;
  const metadata = context.metadataFields();
  const isPlain =
    deadlineMs === Number.POSITIVE_INFINITY &&
    metadata === head.metadata &&
    path === head.path &&
    callOptions.metadata === undefined &&
    callOptions.authority === undefined;
  const known = isPlain ? head.forwarded(origin) : undefined;
  if (known !== undefined) return known;
  const headers = requestHeaders({
    origin,
    path,
    contentType: call.contentType,
    remainingMs:
      deadlineMs === Number.POSITIVE_INFINITY ? deadlineMs : deadlineMs - call.clock.nowMs(),
    metadata,
    extraMetadata: callOptions.metadata,
    authority: callOptions.authority,
  });
  if (isPlain) head.keepForwarded(origin, headers);
  return headers;
}
