// A call of our own to a backend, message by message: Go's `grpc.ClientStream`. The relay does not
// use it.

import { shown } from "../check/check.ts";
import { type OptionTable, optionTable } from "../check/options.ts";
import { type Codec, checkCodec, newCodec } from "../grpc/codec.ts";
import { ErrorReason, failure, GrpcError } from "../grpc/error.ts";
import { forwardableResponseMetadata } from "../grpc/header-filter.ts";
import { MessageReader } from "../grpc/message-reader.ts";
import { MessageWriter, tolerant } from "../grpc/message-writer.ts";
import { Metadata } from "../grpc/metadata.ts";
import { requestHeaders } from "../grpc/request-headers.ts";
import { asTrailersOnly, judgeResponse, withoutStatus } from "../grpc/response-head.ts";
import { Status } from "../grpc/status.ts";
import { CONTENT_TYPE_GRPC, grpcErrorFromTrailers } from "../grpc/trailers.ts";
import { Timer, type TimerOwner } from "../time/timer-wheel.ts";
import type { Session, Stream, StreamEnd } from "../transport/transport.ts";
import { ErrorCode } from "../wire/error-code.ts";
import { fieldValue, HeaderField, type HeaderList } from "../wire/field.ts";
import type { LentBytes } from "../wire/lent-bytes.ts";
import {
  CALL_CHECKS,
  type CallOptions,
  namedCallOption,
  type ResolvedCallOptions,
  resolveCallOptions,
} from "./call-options.ts";
import { errorFromStreamEnd } from "./errors/stream-error.ts";
import { notGrpcError } from "./errors/upstream-error.ts";
import { MAX_REPLAY_BYTES, type StreamRequest, type StreamSource } from "./stream-request.ts";

export interface ClientStreamOptions extends Omit<CallOptions, "retryPolicy"> {
  /** Encodes and decodes messages. @default newCodec(): frames and bytes */
  readonly codec?: Codec;
  /** Aborting it cancels the call. */
  readonly signal?: AbortSignal;
}

const { retryPolicy: _, ...CHECKS } = CALL_CHECKS;

const STREAM_OPTIONS: OptionTable = optionTable<ClientStreamOptions>(
  "call options",
  {
    ...CHECKS,
    codec: checkCodec,
    signal: (name, value) => {
      if (value instanceof AbortSignal) return;
      throw new TypeError(`${name}: expected an AbortSignal, got ${shown(value)}`);
    },
  },
  {
    named: namedCallOption,
    instead: { retryPolicy: "no retryPolicy, for whoever makes a call has its messages" },
  },
);

const EMPTY = Buffer.alloc(0);
const NO_FIELDS: HeaderList = [];

/** The state of one call. The transport reports the events. */
class ClientCall implements StreamRequest, TimerOwner {
  readonly waitForReady: boolean;
  readonly reader: MessageReader;
  readonly writer: MessageWriter;
  readonly header: Promise<Metadata>;
  readonly status: Promise<Metadata>;
  readonly method: string;
  readonly hashKey: string | undefined;
  readonly fairnessKey: object | string | undefined;
  refusedOn: Session | undefined = undefined;
  waitingAt = -1;
  ended = false;
  private readonly source: StreamSource;
  private readonly path: HeaderField;
  private readonly options: ResolvedCallOptions;
  private readonly deadlineMs: number;
  private readonly timer: Timer | undefined;
  private readonly signal: AbortSignal | undefined;
  private stream: Stream | undefined;
  /** Messages that wait for the stream to be open. */
  private waiting: Buffer[] = [];
  /** Messages that the stream got, while the call may be sent again; otherwise undefined. */
  private sent: Buffer[] | undefined = [];
  private sentBytes = 0;
  /** Bytes that this stream has accepted, and the most of which the writer was told. */
  private acceptedBytes = 0;
  private toldBytes = 0;
  /** No message follows: END_STREAM was sent, or waits with the messages. */
  private sendClosed = false;
  /** Response headers with `grpc-status`, until it is known whether they are the whole response. */
  private heldHeaders: HeaderList | undefined;
  private resolveHeader: (metadata: Metadata) => void = () => {};
  private resolveStatus: (trailers: Metadata) => void = () => {};
  private rejectStatus: (error: GrpcError) => void = () => {};

  constructor(source: StreamSource, method: string, options: ClientStreamOptions) {
    this.options = resolveCallOptions(options, STREAM_OPTIONS);
    const codec = options.codec ?? newCodec();
    this.source = source;
    this.path = new HeaderField(":path", method);
    this.method = method;
    this.hashKey = this.options.hashKey;
    this.fairnessKey = this.options.fairnessKey;
    this.signal = options.signal;
    this.waitForReady = this.options.waitForReady;
    this.reader = new MessageReader(
      { codec, maxMessageBytes: this.options.maxResponseMessageBytes, source: "upstream" },
      this,
    );
    this.writer = new MessageWriter(codec, this);
    this.header = new Promise((resolve) => {
      this.resolveHeader = resolve;
    });
    // A reader of messages gets the failure there, so nobody has to ask for the status, too.
    this.status = tolerant(
      new Promise((resolve, reject) => {
        this.resolveStatus = resolve;
        this.rejectStatus = reject;
      }),
    );
    const { clock } = source;
    const { timeoutMs } = this.options;
    this.deadlineMs = clock.nowMs() + timeoutMs;
    if (timeoutMs !== Number.POSITIVE_INFINITY) {
      this.timer = new Timer(this);
      clock.schedule(this.timer, timeoutMs);
    }
  }

  start(): void {
    if (this.signal?.aborted) {
      this.onAbort();
      return;
    }
    this.signal?.addEventListener("abort", this.onAbort);
    this.source.open(this);
  }

  private readonly onAbort = (): void => {
    const reason: unknown = this.signal?.reason;
    this.fail(
      reason instanceof GrpcError
        ? reason
        : failure(Status.CANCELLED, "call aborted", {
            reason: ErrorReason.CLIENT_CANCELLED,
            cause: reason,
          }),
    );
  };

  onTimer(): void {
    this.fail(
      failure(Status.DEADLINE_EXCEEDED, "deadline exceeded", {
        reason: ErrorReason.DEADLINE,
      }),
    );
  }

  requestHeaders(): HeaderList {
    return requestHeaders({
      origin: this.source.origin,
      path: this.path,
      contentType: CONTENT_TYPE_GRPC,
      remainingMs: this.deadlineMs - this.source.clock.nowMs(),
      metadata: this.options.metadata?.toFields() ?? NO_FIELDS,
      extraMetadata: undefined,
      authority: this.options.authority,
    });
  }

  onOpened(stream: Stream): void {
    this.stream = stream;
    const waiting = this.waiting;
    this.waiting = [];
    waiting.forEach((chunk, index) => {
      const last = this.sendClosed && index === waiting.length - 1;
      this.keep(chunk);
      this.onWritable(stream.sendData(chunk, last));
    });
  }

  private keep(chunk: Buffer): void {
    this.sentBytes += chunk.length;
    if (this.sentBytes > MAX_REPLAY_BYTES) this.sent = undefined;
    else this.sent?.push(chunk);
  }

  /** Sends everything once more, elsewhere if possible: `sent` is all that `refusedOn` got. */
  private sendAgain(refusedOn: Session | undefined, sent: Buffer[]): void {
    this.refusedOn = refusedOn;
    this.stream = undefined;
    this.sent = undefined;
    this.acceptedBytes = 0;
    this.waiting = sent;
    if (this.sendClosed && sent.length === 0) sent.push(EMPTY);
    this.source.open(this);
  }

  onOpenFailed(error: GrpcError): void {
    this.fail(error);
  }

  /** For the writer. */
  sendData(chunk: Buffer): number {
    if (this.stream === undefined) {
      this.waiting.push(chunk);
      return 0;
    }
    this.keep(chunk);
    return this.accept(this.stream.sendData(chunk, false));
  }

  /** @returns how many of `bytes` no other stream has accepted before */
  private accept(bytes: number): number {
    this.acceptedBytes += bytes;
    const newBytes = Math.max(0, this.acceptedBytes - this.toldBytes);
    this.toldBytes += newBytes;
    return newBytes;
  }

  closeSend(): void {
    if (this.ended || this.sendClosed) return;
    this.sendClosed = true;
    if (this.stream === undefined) this.waiting.push(EMPTY);
    else this.stream.sendData(EMPTY, true);
  }

  /** A message that cannot be read ends the call, as in Go. */
  async read(): Promise<unknown> {
    try {
      return await this.reader.read();
    } catch (error) {
      this.fail(GrpcError.from(error));
      throw error;
    }
  }

  /** For the reader. */
  acknowledge(bytes: number): void {
    this.stream?.acknowledge(bytes);
  }

  onHeaders(headers: HeaderList, endStream: boolean): void {
    this.sent = undefined;
    const head = judgeResponse(headers);
    if (typeof head === "object") this.fail(notGrpcError(this.source.target, head));
    else if (endStream || head === "complete") this.complete(asTrailersOnly(headers), endStream);
    else if (head === "held") this.heldHeaders = headers;
    else this.begin(headers);
  }

  /** The response headers have come, and are not the whole response. */
  private begin(headers: HeaderList): void {
    this.heldHeaders = undefined;
    this.reader.encoding = fieldValue(headers, "grpc-encoding");
    this.resolveHeader(Metadata.fromFields(forwardableResponseMetadata(headers)));
  }

  onData(chunk: LentBytes, endStream: boolean): void {
    const held = this.heldHeaders;
    if (held !== undefined) {
      if (chunk.length === 0) {
        this.complete(asTrailersOnly(held), true);
        return;
      }
      this.begin(withoutStatus(held));
    }
    this.reader.push(chunk, false);
    if (endStream) this.complete(NO_FIELDS, true);
  }

  onTrailers(trailers: HeaderList): void {
    if (this.heldHeaders !== undefined) this.begin(withoutStatus(this.heldHeaders));
    this.complete(trailers, true);
  }

  private complete(trailers: HeaderList, endStream: boolean): void {
    // As in Go: what is cut is not OK, whatever the backend says.
    const error = grpcErrorFromTrailers(trailers) ?? this.reader.cutError;
    this.end(error);
    if (error === undefined) {
      this.resolveStatus(Metadata.fromFields(forwardableResponseMetadata(trailers)));
    }
    const { stream } = this;
    if (stream !== undefined && (!this.sendClosed || !endStream || stream.queuedBytes > 0)) {
      this.source.reset(stream, ErrorCode.NO_ERROR);
    }
  }

  onWritable(bytes: number): void {
    this.writer.onWritable(this.accept(bytes));
  }

  /** A call that cannot have been processed is sent again, once (gRFC A6 "transparent retries"). */
  onReset(end: StreamEnd): void {
    const { sent, stream } = this;
    if (end.unprocessed && sent !== undefined) this.sendAgain(stream?.session, sent);
    else this.end(errorFromStreamEnd(end, this.source.target));
  }

  /** Ends the call from our side. */
  fail(error: GrpcError): void {
    if (this.ended) return;
    // First, because a listener that is told of the lost session may end this call, too.
    this.end(error);
    if (this.stream !== undefined) this.source.reset(this.stream, ErrorCode.CANCEL);
    else this.source.abandon(this);
  }

  /**
   * Called once: no event follows the end of a stream, and an end by this side ends the stream,
   * too.
   */
  private end(error: GrpcError | undefined): void {
    this.ended = true;
    this.waiting = [];
    this.sent = undefined;
    if (this.timer !== undefined) this.source.clock.cancel(this.timer);
    this.signal?.removeEventListener("abort", this.onAbort);
    // Does nothing if headers have come.
    this.resolveHeader(new Metadata());
    this.writer.fail(error ?? OVER);
    if (error === undefined) this.reader.end();
    else {
      this.reader.fail(error);
      this.rejectStatus(error);
    }
  }
}

const OVER = failure(Status.INTERNAL, "the call is over: the server has answered", {
  reason: ErrorReason.CALL_ENDED,
});

/**
 * A call to a backend, made by `ClientConn.newStream`. It serves gateways that ask backends
 * themselves, demos and tests. Messages are written with `sendMessage`, and read with `recvMessage`
 * or by iterating.
 */
export class ClientStream<Request = unknown, Response = unknown> {
  readonly method: string;
  private readonly call: ClientCall;

  private constructor(method: string, call: ClientCall) {
    this.method = method;
    this.call = call;
  }

  /** @internal For `ClientConn.newStream`: begins the call. */
  static create<Request, Response>(
    source: StreamSource,
    method: string,
    options: ClientStreamOptions,
  ): ClientStream<Request, Response> {
    const call = new ClientCall(source, method, options);
    call.start();
    return new ClientStream(method, call);
  }

  /**
   * Sends one request message. The promise resolves when the backend has taken enough for the next
   * message.
   * @throws {GrpcError} when the call is over, or the codec cannot encode the message
   */
  sendMessage(message: Request): Promise<void> {
    return tolerant(this.call.writer.write(message));
  }

  /** Ends the request: no more messages follow. */
  closeSend(): void {
    this.call.closeSend();
  }

  /**
   * The next response message; `undefined` after the last when the call ended with OK.
   * @throws {GrpcError} the error that the call ended with
   */
  recvMessage(): Promise<Response | undefined> {
    // The codec decides the type of a message; the user asserts it by the type parameter.
    return tolerant(this.call.read()) as Promise<Response | undefined>;
  }

  /**
   * Response headers, as soon as they have come; empty when the call ended without headers. Never
   * rejects.
   */
  header(): Promise<Metadata> {
    return this.call.header;
  }

  /**
   * Trailing metadata, when the call has ended with OK.
   * @throws {GrpcError} the error of the call; its `metadata` is the trailing metadata then
   */
  trailer(): Promise<Metadata> {
    return this.call.status;
  }

  /** Ends the call with CANCELLED, if it has not ended. */
  cancel(details = "call cancelled"): void {
    this.call.fail(failure(Status.CANCELLED, details, { reason: ErrorReason.CLIENT_CANCELLED }));
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Response, void, undefined> {
    try {
      for (
        let message = await this.recvMessage();
        message !== undefined;
        message = await this.recvMessage()
      ) {
        yield message;
      }
    } finally {
      // A caller that leaves the loop early wants no more messages.
      this.cancel("the caller stopped reading");
    }
  }
}
