// A call that is answered message by message: converts between the bytes of the downstream stream
// and the promises of a handler.

import type { Codec } from "../grpc/codec.ts";
import { ErrorReason, failure, type GrpcError } from "../grpc/error.ts";
import { headerErrorDetails } from "../grpc/header-error.ts";
import { MessageReader } from "../grpc/message-reader.ts";
import { MessageWriter } from "../grpc/message-writer.ts";
import { Metadata } from "../grpc/metadata.ts";
import { Status } from "../grpc/status.ts";
import { CONTENT_TYPE_GRPC, HTTP_STATUS_200 } from "../grpc/trailers.ts";
import { HeaderError } from "../transport/transport.ts";
import type { LentBytes } from "../wire/lent-bytes.ts";
import type { RequestSink, ServerCall } from "./server-call.ts";

/** The server's settings for such a call. */
export interface MessageCallOptions {
  readonly codec: Codec;
  readonly maxRequestMessageBytes: number;
}

export class MessageCall implements RequestSink {
  private readonly call: ServerCall;
  private readonly reader: MessageReader;
  private readonly writer: MessageWriter;

  constructor(call: ServerCall, options: MessageCallOptions) {
    this.call = call;
    this.reader = new MessageReader(
      {
        codec: options.codec,
        maxMessageBytes: options.maxRequestMessageBytes,
        source: "downstream",
      },
      call,
    );
    this.reader.encoding = call.head.messageEncoding;
    this.writer = new MessageWriter(options.codec, call);
    call.attach(this);
  }

  recv(): Promise<unknown> {
    return this.reader.read();
  }

  async send(message: unknown): Promise<void> {
    if (this.call.ended) throw this.over();
    if (!this.call.headersSent) this.sendHeaders();
    await this.writer.write(message);
  }

  sendHeader(metadata: Metadata | undefined): void {
    if (this.call.ended) throw this.over();
    // This also throws when the headers were sent already.
    this.call.addHeader(metadata ?? new Metadata());
    this.sendHeaders();
  }

  private sendHeaders(): void {
    const contentType = this.call.head.contentType ?? CONTENT_TYPE_GRPC;
    try {
      this.call.sendHeaders([HTTP_STATUS_200, contentType]);
    } catch (error) {
      if (!(error instanceof HeaderError)) throw error;
      throw invalidHeader(error);
    }
  }

  /**
   * Gives the request back to the call, without the messages that were read. Returns whether some
   * were read.
   */
  release(): boolean {
    const rest = this.reader.takeRest();
    this.call.detach(rest.chunks, rest.creditedBytes);
    return this.reader.hasRead;
  }

  /** The handler has returned. */
  finishOk(): void {
    this.call.finishOk(new Metadata());
    this.close();
  }

  /** The handler has thrown. */
  finishError(error: GrpcError): void {
    this.call.finishError(error);
    this.close();
  }

  private close(): void {
    const error = this.over();
    this.reader.fail(error);
    this.writer.fail(error);
  }

  private over(): GrpcError {
    return (
      this.call.context.reason ??
      failure(Status.INTERNAL, "the call is over", { reason: ErrorReason.HANDLER })
    );
  }

  onRequestData(chunk: LentBytes, endStream: boolean): void {
    this.reader.push(chunk, endStream);
  }

  onResponseWritable(bytes: number): void {
    this.writer.onWritable(bytes);
  }

  onCancelled(reason: GrpcError): void {
    this.reader.fail(reason);
    this.writer.fail(reason);
    // The handler may notice the end late. The client does not wait for it.
    if (this.call.gone) this.call.abandon(reason);
    else this.call.finishError(reason);
  }
}

function invalidHeader(cause: HeaderError): GrpcError {
  return failure(Status.INTERNAL, headerErrorDetails("the response headers", cause), {
    reason: ErrorReason.INVALID_METADATA,
    message: `the response headers cannot be sent: ${cause.message}`,
    cause,
  });
}
