// One call on the server side: the downstream stream, its deadline, and the state of the response.
// The answering party (a local handler, the relay) attaches as its sink. Until then request DATA
// waits here, unacknowledged and so bounded by the stream's window.

import { ErrorReason, failure, type GrpcError } from "../grpc/error.ts";
import { headerErrorDetails } from "../grpc/header-error.ts";
import { Metadata } from "../grpc/metadata.ts";
import { Status } from "../grpc/status.ts";
import { errorCodeFromStatus } from "../grpc/status-mapping.ts";
import {
  CONTENT_TYPE_GRPC,
  errorHeaders,
  errorTrailers,
  HTTP_STATUS_200,
  isHeaderOnly,
  trailersFor,
  trailersOnlyHeaders,
} from "../grpc/trailers.ts";
import type { Scope } from "../observe/scope.ts";
import type { Clock } from "../time/clock.ts";
import { Timer, type TimerOwner } from "../time/timer-wheel.ts";
import {
  HeaderError,
  type PeerInfo,
  type Stream,
  type StreamEnd,
  type StreamListener,
} from "../transport/transport.ts";
import { appendChunk } from "../wire/chunk-list.ts";
import { ErrorCode } from "../wire/error-code.ts";
import type { HeaderList } from "../wire/field.ts";
import { keep, type LentBytes } from "../wire/lent-bytes.ts";
import { CallContext, type CallOrigin, deadlineExceeded } from "./call-context.ts";
import type { Leftovers } from "./leftovers.ts";
import type { RequestHead } from "./request-head.ts";

/** Answers a call. Called synchronously, in wire order. */
export interface RequestSink {
  /**
   * The sink has to call `ServerCall.acknowledge` for every byte. `chunk` is empty only together
   * with `endStream`.
   */
  onRequestData: (chunk: LentBytes, endStream: boolean) => void;
  /** The socket accepted `bytes` of the response that `sendData` had to queue. */
  onResponseWritable(bytes: number): void;
  /**
   * The call is over before it was answered. If the client reset it or is gone, nothing can be sent
   * any more. If its deadline has passed, or the server is going down, the sink still has to call
   * `finish`.
   */
  onCancelled(reason: GrpcError): void;
}

/** Sees request DATA that waits for a sink: the peeker. */
export interface RequestTap {
  onBuffered(chunk: Buffer, endStream: boolean): void;
  onCancelled(reason: GrpcError): void;
}

export interface CallOwner {
  readonly clock: Clock;
  /** Destinations that go on although their call is over. */
  readonly leftovers: Leftovers;
  /** The call was answered or is gone. Called exactly once. */
  onCallEnd(call: ServerCall): void;
}

export class ServerCall implements StreamListener, TimerOwner, CallOrigin {
  readonly stream: Stream;
  readonly head: RequestHead;
  readonly context: CallContext;
  readonly owner: CallOwner;
  readonly startedMs: number;

  /** Request DATA that arrived before a sink was attached. */
  buffered: Buffer[] | undefined = undefined;
  /** The client has ended its side of the stream. */
  requestEnded = false;
  headersSent = false;
  /** The call was answered, or nobody is left to answer. */
  ended = false;
  /** The client is gone: it reset the call, or its connection died. */
  gone = false;
  requestBytes = 0;
  responseBytes = 0;
  /**
   * Fields that handlers and interceptors add to the response, whether a handler or the relay
   * answers.
   */
  private addedHeader: Metadata | undefined = undefined;
  private addedTrailer: Metadata | undefined = undefined;
  /** The status that the client was sent, or would have been sent. */
  status: number = Status.UNKNOWN;
  /** The error, if the status is not OK. */
  error: GrpcError | undefined = undefined;

  /** The async context in which user code is told of the call, if there is anything to tell. */
  scope: Scope | undefined = undefined;

  private sink: RequestSink | undefined = undefined;
  private tap: RequestTap | undefined = undefined;
  /** Credit that the peeker has given back ahead of time. */
  private prepaidBytes = 0;
  private deadlineTimer: Timer | undefined = undefined;

  /** Neighbours in the server's list of open calls. */
  previous: ServerCall | undefined = undefined;
  next: ServerCall | undefined = undefined;

  /** @param timeoutMs the time that the client allows; Infinity for no limit */
  constructor(stream: Stream, head: RequestHead, owner: CallOwner, timeoutMs: number) {
    this.stream = stream;
    this.head = head;
    this.owner = owner;
    const nowMs = stream.session.nowMs;
    this.startedMs = nowMs;
    this.context = CallContext.create(this, nowMs + timeoutMs);
    if (timeoutMs !== Number.POSITIVE_INFINITY) {
      this.deadlineTimer = new Timer(this);
      owner.clock.schedule(this.deadlineTimer, timeoutMs);
    }
  }

  get method(): string {
    return this.head.method;
  }

  get authority(): string {
    return this.head.authority;
  }

  get peer(): PeerInfo {
    return this.stream.session.peer;
  }

  get clock(): Clock {
    return this.owner.clock;
  }

  get requestMetadata(): HeaderList {
    return this.head.metadata;
  }

  /**
   * Hands the request to `sink`, beginning with the bytes that have waited. At most once per call.
   */
  attach(sink: RequestSink): void {
    this.sink = sink;
    this.tap = undefined;
    const waiting = this.buffered;
    this.buffered = undefined;
    if (waiting !== undefined) {
      const last = waiting.length - 1;
      for (let i = 0; i <= last; i++) {
        sink.onRequestData(waiting[i] as Buffer, this.requestEnded && i === last);
      }
    } else if (this.requestEnded) {
      sink.onRequestData(EMPTY, true);
    }
    const reason = this.context.reason;
    if (reason !== undefined) sink.onCancelled(reason);
  }

  /**
   * Takes the request back from its sink. `chunks` wait for the next sink; `creditedBytes` of them
   * were acknowledged.
   */
  detach(chunks: Buffer[], creditedBytes: number): void {
    this.sink = undefined;
    this.buffered = chunks.length === 0 ? undefined : chunks;
    this.prepaidBytes += creditedBytes;
  }

  /** Lets `tap` see the bytes that wait and that still come, until a sink is attached. */
  setTap(tap: RequestTap | undefined): void {
    this.tap = tap;
  }

  acknowledge(bytes: number): void {
    if (this.prepaidBytes > 0) {
      const covered = Math.min(this.prepaidBytes, bytes);
      this.prepaidBytes -= covered;
      if (covered === bytes) return;
      this.stream.acknowledge(bytes - covered);
      return;
    }
    this.stream.acknowledge(bytes);
  }

  /**
   * Lets the client go on sending although `bytes` are still kept here. The owner has a bound of
   * its own.
   */
  acknowledgeAhead(bytes: number): void {
    this.prepaidBytes += bytes;
    this.stream.acknowledge(bytes);
  }

  /** Adds to the response headers. @throws {GrpcError} INTERNAL when they were sent already */
  addHeader(metadata: Metadata): void {
    if (this.headersSent) {
      throw failure(Status.INTERNAL, "headers were sent already", {
        reason: ErrorReason.HANDLER,
      });
    }
    this.addedHeader ??= new Metadata();
    this.addedHeader.merge(metadata);
  }

  /** Adds to the trailing metadata. */
  addTrailer(metadata: Metadata): void {
    this.addedTrailer ??= new Metadata();
    this.addedTrailer.merge(metadata);
  }

  /** Sends `headers`, followed by the fields that were added. */
  sendHeaders(headers: HeaderList): void {
    this.stream.sendHeaders(withAdded(headers, this.addedHeader), false);
    this.headersSent = true;
  }

  /** As `Stream.sendData`: returns the bytes accepted at once. */
  sendData(chunk: LentBytes): number {
    this.responseBytes += chunk.length;
    return this.stream.sendData(chunk, false);
  }

  /**
   * Ends the call with these trailers, or with `trailersOnly` when no headers were sent. The first
   * end counts. When a field cannot be sent, the client loses the trailers, but still gets an
   * answer. When the client does not take even that answer, the stream is reset.
   */
  finishWith(status: number, trailers: HeaderList, trailersOnly: HeaderList): void {
    if (!this.end(status)) return;
    try {
      if (!this.headersSent && this.addedHeader !== undefined) {
        // Headers that were set are sent as headers, also when the call ends at once.
        this.sendHeaders([HTTP_STATUS_200, this.head.contentType ?? CONTENT_TYPE_GRPC]);
        this.stream.sendTrailers(withAdded(trailersOf(trailersOnly), this.addedTrailer));
      } else if (this.headersSent) {
        this.stream.sendTrailers(withAdded(trailers, this.addedTrailer));
      } else {
        this.stream.sendHeaders(withAdded(trailersOnly, this.addedTrailer), true);
      }
    } catch (error) {
      if (!(error instanceof HeaderError)) throw error;
      const details = headerErrorDetails("trailers", error);
      this.status = Status.INTERNAL;
      this.error = failure(Status.INTERNAL, details, {
        reason: ErrorReason.INVALID_METADATA,
        message: `trailers cannot be sent: ${error.message}`,
        cause: this.error ?? error,
      });
      this.finishPlainly(details);
    }
    // The call is over, so bytes that the client does not read must not be kept for as long as it
    // likes.
    if (this.context.reason !== undefined && this.stream.queuedBytes > 0) {
      this.deadlineTimer ??= new Timer(this);
      this.clock.schedule(this.deadlineTimer, UNREAD_RESPONSE_MS);
    }
  }

  private finishPlainly(details: string): void {
    try {
      if (this.headersSent) this.stream.sendTrailers(trailersFor(Status.INTERNAL, details));
      else this.stream.sendHeaders(trailersOnlyHeaders(Status.INTERNAL, details), true);
    } catch (error) {
      if (!(error instanceof HeaderError)) throw error;
      this.stream.reset(ErrorCode.INTERNAL_ERROR);
    }
  }

  /** Ends the call with OK and the given trailing metadata. */
  finishOk(metadata: Metadata): void {
    // A stream without messages that ends with OK also is headers and trailers in one (gRPC
    // "Responses").
    if (this.headersSent)
      this.finishWith(Status.OK, trailersFor(Status.OK, "", metadata), NO_FIELDS);
    else this.finishWith(Status.OK, NO_FIELDS, trailersOnlyHeaders(Status.OK, "", metadata));
  }

  /** Ends the call with an error, byte-exact if the error came from upstream. */
  finishError(error: GrpcError): void {
    if (!this.ended) this.error = error;
    if (this.headersSent) this.finishWith(error.status, errorTrailers(error), NO_FIELDS);
    else this.finishWith(error.status, NO_FIELDS, errorHeaders(error));
  }

  /**
   * Ends the call with an error by a reset, for a client that could not use trailers. A reset says
   * less than trailers.
   */
  finishByReset(error: GrpcError, code: number = errorCodeFromStatus(error.status)): void {
    if (!this.ended) this.error = error;
    if (this.end(error.status)) this.stream.reset(code);
  }

  /** No client is left to answer: the call just ends. */
  abandon(error: GrpcError | undefined): void {
    if (!this.ended) this.error = error;
    this.end(error?.status ?? Status.OK);
  }

  private end(status: number): boolean {
    if (this.ended) return false;
    this.ended = true;
    this.status = status;
    if (this.deadlineTimer !== undefined) this.clock.cancel(this.deadlineTimer);
    this.buffered = undefined;
    this.context.release();
    this.owner.onCallEnd(this);
    return !this.gone;
  }

  /**
   * Ends the call from outside (server shutdown, deadline): the sink answers, or this method.
   * Listeners of the context are told after the sink, so the sink knows the reason first.
   */
  cancel(reason: GrpcError): void {
    if (this.ended) return;
    this.context.mark(reason);
    if (this.sink !== undefined) this.sink.onCancelled(reason);
    else {
      this.tap?.onCancelled(reason);
      if (this.gone) this.abandon(reason);
      else this.finishError(reason);
    }
    this.context.tell();
  }

  onTimer(): void {
    if (!this.ended) this.cancel(deadlineExceeded());
    else if (this.stream.queuedBytes > 0) this.stream.reset(ErrorCode.CANCEL);
  }

  // The downstream stream's events.

  onHeaders(): void {
    // The headers of a server stream come with `onStream`.
  }

  onData(chunk: LentBytes, endStream: boolean): void {
    this.requestBytes += chunk.length;
    if (endStream) this.requestEnded = true;
    if (this.sink !== undefined) {
      this.sink.onRequestData(chunk, endStream);
      return;
    }
    if (this.ended) {
      // The call was answered before this was read. Nobody wants the rest, and the stream is being
      // closed.
      this.stream.acknowledge(chunk.length);
      return;
    }
    const kept = keep(chunk);
    if (kept.length > 0) {
      if (this.buffered === undefined) this.buffered = [kept];
      else appendChunk(this.buffered, kept);
    }
    this.tap?.onBuffered(kept, endStream);
  }

  onTrailers(): void {
    // gRPC has no request trailers; they only end the request.
    this.onData(EMPTY, true);
  }

  onWritable(bytes: number): void {
    this.sink?.onResponseWritable(bytes);
  }

  onReset(end: StreamEnd): void {
    this.gone = true;
    this.cancel(errorOf(end));
  }
}

/**
 * How long the client of a call that was cut short may take to read the bytes before the status.
 * Then the stream is reset.
 */
const UNREAD_RESPONSE_MS = 1_000;

/** Why the stream of a client ended before its call. */
function errorOf({ kind, code, message }: StreamEnd): GrpcError {
  const options = { source: "downstream", message: `client ${message}` } as const;
  if (kind === "stalled") {
    return failure(Status.RESOURCE_EXHAUSTED, "client did not read the response", {
      reason: ErrorReason.CLIENT_STALLED,
      ...options,
    });
  }
  const byClient = kind === "reset" && code === ErrorCode.CANCEL;
  const reason = kind === "protocol" ? ErrorReason.CLIENT_PROTOCOL : ErrorReason.CLIENT_CANCELLED;
  const details = byClient ? "client cancelled the call" : "client is gone";
  return failure(Status.CANCELLED, details, { reason, ...options });
}

const EMPTY: Buffer = Buffer.alloc(0);
const NO_FIELDS: HeaderList = [];

/** The same list when nothing was added. */
function withAdded(fields: HeaderList, added: Metadata | undefined): HeaderList {
  return added === undefined || added.size === 0 ? fields : [...fields, ...added.toFields()];
}

/** The trailers that are in a Trailers-Only header section. */
function trailersOf(trailersOnly: HeaderList): HeaderList {
  return trailersOnly.filter(({ name }) => !isHeaderOnly(name));
}
