// An error of a connection, as a value. Its scope decides which frame answers it.

import { ErrorCode } from "../wire/error-code.ts";

/**
 * A `connection` error is answered with GOAWAY and ends everything. A `stream` error is answered
 * with RST_STREAM (RFC 9113 §5.4).
 */
type ErrorScope = "connection" | "stream";

/** Who caused the error: a peer that broke a rule or a bound, or this side. */
type ErrorInitiator = "peer" | "local";

/** A bound of ours that a peer exceeded: the option or limit that sets it, and its value. */
interface ReachedLimit {
  readonly name: string;
  readonly value: number;
}

export class H2Error extends Error {
  override readonly name = "H2Error";
  readonly scope: ErrorScope;
  readonly code: number;
  readonly initiator: ErrorInitiator;
  /** 0 for an error of the connection. */
  readonly streamId: number;
  /** The bound, if a bound of ours was exceeded; `undefined` for a broken rule of HTTP/2. */
  readonly limit: ReachedLimit | undefined;

  constructor(
    scope: ErrorScope,
    code: number,
    initiator: ErrorInitiator,
    streamId: number,
    message: string,
    limit?: ReachedLimit,
  ) {
    super(message);
    this.scope = scope;
    this.code = code;
    this.initiator = initiator;
    this.streamId = streamId;
    this.limit = limit;
  }

  /** The broken rule, without the peer that broke it. */
  get rule(): string {
    return this.message;
  }
}

/** An error of the peer that ends the connection. */
export function connectionError(code: ErrorCode, message: string): H2Error {
  return new H2Error("connection", code, "peer", 0, message);
}

/** An error of the peer that ends one stream. */
export function streamError(streamId: number, code: ErrorCode, message: string): H2Error {
  return new H2Error("stream", code, "peer", streamId, message);
}

/**
 * The peer exceeded a bound of ours on the stream `streamId`, or on the whole connection if that is
 * 0.
 * @param got what came, for the message
 * @param unit of the bound
 */
export function overLimit(
  streamId: number,
  got: string,
  limit: ReachedLimit,
  unit: string,
  code: ErrorCode = ErrorCode.ENHANCE_YOUR_CALM,
): H2Error {
  const scope = streamId === 0 ? "connection" : "stream";
  const message = `${got}, our limit is ${limit.value} ${unit} (${limit.name})`;
  return new H2Error(scope, code, "peer", streamId, message, limit);
}

/** A frame whose length does not fit its type (RFC 9113 §4.2). */
export function badFrameSize(frame: string, bytes: number): H2Error {
  return connectionError(ErrorCode.FRAME_SIZE_ERROR, `${frame} of ${bytes} bytes`);
}

/** A frame of a stream that came on stream 0, the connection itself. */
export function onStreamZero(frame: string): H2Error {
  return connectionError(ErrorCode.PROTOCOL_ERROR, `${frame} on stream 0`);
}
