// The messages of one direction for a handler: one promise for each message that is read. Local
// handlers and our own client use the reader; relayed calls never do.

import type { LentBytes } from "../wire/lent-bytes.ts";
import { type Codec, decodeMessage, takesRawFrames } from "./codec.ts";
import { decompress } from "./compression.ts";
import { GrpcError } from "./error.ts";
import { Frame } from "./frame.ts";
import { MessageParser, type MessageSource, truncatedMessage } from "./message-parser.ts";

/** Takes credit for bytes that were read. */
interface CreditSink {
  acknowledge(bytes: number): void;
}

interface Waiter {
  readonly resolve: (frame: Frame | undefined) => void;
  readonly reject: (error: unknown) => void;
}

interface MessageReaderOptions {
  readonly codec: Codec;
  readonly maxMessageBytes: number;
  /** Who sends the messages. */
  readonly source: MessageSource;
}

export class MessageReader {
  /** The call's `grpc-encoding` in this direction. */
  encoding: string | undefined = undefined;
  /** A message was read. */
  hasRead = false;
  private readonly codec: Codec;
  private readonly maxMessageBytes: number;
  private readonly source: MessageSource;
  private readonly parser: MessageParser;
  private readonly credit: CreditSink;
  private readonly waiters: Waiter[] = [];
  private ended = false;
  private error: GrpcError | undefined;
  /** Bytes received for which the sender has been given no credit. */
  private owedBytes = 0;

  constructor(options: MessageReaderOptions, credit: CreditSink) {
    this.codec = options.codec;
    this.maxMessageBytes = options.maxMessageBytes;
    this.source = options.source;
    this.credit = credit;
    this.parser = new MessageParser({
      maxMessageBytes: options.maxMessageBytes,
      source: options.source,
    });
  }

  /** Takes the next bytes. Their credit is given when their message is asked for. */
  push(chunk: LentBytes, endStream: boolean): void {
    this.owedBytes += chunk.length;
    this.parser.push(chunk);
    if (endStream) this.ended = true;
    this.settle();
  }

  /** The error if the bytes so far end within a message, whether the others were read or not. */
  get cutError(): GrpcError | undefined {
    return this.parser.isCut ? truncatedMessage(this.source) : undefined;
  }

  /** No more bytes come. */
  end(): void {
    this.ended = true;
    this.settle();
  }

  /** Complete messages can still be read; then comes the error. */
  fail(error: GrpcError): void {
    this.error ??= error;
    this.settle();
  }

  /**
   * Ends reading. Returns the bytes behind the messages that were read, and for how many of them
   * the sender already has credit.
   */
  takeRest(): { readonly chunks: Buffer[]; readonly creditedBytes: number } {
    const { bufferedBytes } = this.parser;
    const creditedBytes = Math.max(0, bufferedBytes - this.owedBytes);
    return { chunks: this.parser.drainRest(), creditedBytes };
  }

  /**
   * The next message; `undefined` after the last. A handler may ask for several at once; they come
   * in order.
   */
  async read(): Promise<unknown> {
    const frame = await new Promise<Frame | undefined>((resolve, reject) => {
      this.waiters.push({ resolve, reject });
      this.settle();
    });
    return frame === undefined ? undefined : this.decode(frame);
  }

  private decode(frame: Frame): unknown {
    if (!frame.compressed || takesRawFrames(this.codec)) return decodeMessage(this.codec, frame);
    const payload = decompress(frame.payload, this.encoding, this.maxMessageBytes);
    return decodeMessage(this.codec, new Frame(payload));
  }

  private settle(): void {
    while (this.waiters.length > 0) {
      let frame: Frame | undefined;
      try {
        frame = this.parser.next();
      } catch (error) {
        this.error = GrpcError.from(error);
      }
      if (frame !== undefined) {
        this.hasRead = true;
        this.giveCredit(frame.wireBytes);
        this.waiters.shift()?.resolve(frame);
        continue;
      }
      if (this.error === undefined && this.ended && !this.parser.atMessageBoundary) {
        this.error = truncatedMessage(this.source);
      }
      if (this.error !== undefined) this.waiters.shift()?.reject(this.error);
      else if (this.ended) this.waiters.shift()?.resolve(undefined);
      else {
        // The handler waits for a message that may be larger than the window. The limit of message
        // sizes bounds the memory.
        this.giveCredit(this.owedBytes);
        return;
      }
    }
  }

  private giveCredit(bytes: number): void {
    const given = Math.min(bytes, this.owedBytes);
    if (given === 0) return;
    this.owedBytes -= given;
    this.credit.acknowledge(given);
  }
}
