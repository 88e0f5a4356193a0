// What goes wrong on a connection, as a value: how far it reaches decides the frame that answers
// it.

import { ErrorCode } from "../wire/error-code.ts";

/**
 * `connection` is answered with GOAWAY and ends everything, `stream` with RST_STREAM (RFC 9113
 * §5.4).
 */
type ErrorScope = "connection" | "stream";

/** Who is to blame: the peer broke a rule or a bound, or it is a local matter. */
type ErrorInitiator = "peer" | "local";

/**
 * A bound of ours that a peer ran into: the option or limit that sets it, and what it is set to.
 */
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
  /** Where it is a bound of ours and no rule of HTTP/2 that was broken. */
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

  /** What was broken, without who did it. */
  get rule(): string {
    return this.message;
  }
}

/** The peer did what ends the connection. */
export function connectionError(code: ErrorCode, message: string): H2Error {
  return new H2Error("connection", code, "peer", 0, message);
}

/** The peer did what ends one stream. */
export function streamError(streamId: number, code: ErrorCode, message: string): H2Error {
  return new H2Error("stream", code, "peer", streamId, message);
}

/**
 * What the peer sent is over a bound of ours, on `streamId`, or with 0 on the whole connection.
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

/** A frame type whose length does not fit (RFC 9113 §4.2). */
export function badFrameSize(frame: string, bytes: number): H2Error {
  return connectionError(ErrorCode.FRAME_SIZE_ERROR, `${frame} of ${bytes} bytes`);
}

/** A frame of a stream on the connection itself. */
export function onStreamZero(frame: string): H2Error {
  return connectionError(ErrorCode.PROTOCOL_ERROR, `${frame} on stream 0`);
}
