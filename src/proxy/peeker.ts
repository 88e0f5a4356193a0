// Looking at the first messages of a call before it is decided where it goes. What was seen stays where it is, byte for
// byte, and is relayed as if nobody had looked.

import { decompress } from "../grpc/compression.ts";
import { ErrorReason, GrpcError } from "../grpc/error.ts";
import { type Frame, PREFIX_BYTES } from "../grpc/frame.ts";
import { MessageParser } from "../grpc/message-parser.ts";
import { tolerant } from "../grpc/message-writer.ts";
import { Status } from "../grpc/status.ts";
import type { RequestTap, ServerCall } from "../server/server-call.ts";

/** What `peek` is asked for: a whole number of messages, at least one. */
export class InvalidPeekCountError extends RangeError {
  override readonly name = "InvalidPeekCountError";

  constructor(count: unknown) {
    super(
      `peek count must be greater than zero: expected a whole number from 1 up, got ${String(count)}`,
    );
  }
}

/** Looks at the first messages of a call without taking them. */
export interface StreamPeeker {
  /**
   * The payload of the first message, decompressed (gzip, deflate). Waits until it is here. Asking again gives the same bytes.
   * @throws {GrpcError} INVALID_ARGUMENT, reason `NO_MESSAGE`, when the client ends the stream without a message
   * @throws {GrpcError} RESOURCE_EXHAUSTED, reason `PEEK_TOO_LARGE`, when what is peeked is above `maxPeekBytes`
   * @throws {GrpcError} DEADLINE_EXCEEDED or CANCELLED when the call ends first
   */
  peek(): Promise<Buffer>;
  /**
   * The payloads of the first `count` messages, as `peek()`; fewer when the client ends the stream after at least one.
   * @throws {InvalidPeekCountError} when `count` is not a whole number from 1 up
   */
  peek(count: number): Promise<Buffer[]>;
}

interface Waiter {
  readonly count: number;
  readonly resolve: (frames: readonly Frame[]) => void;
  readonly reject: (error: unknown) => void;
}

/** The peeker of one call. It is made for every call, so it is next to nothing until somebody looks. */
export class CallPeeker implements StreamPeeker {
  readonly #call: ServerCall;
  readonly #maxPeekBytes: number;
  #window: PeekWindow | undefined = undefined;
  #closed = false;

  constructor(call: ServerCall, maxPeekBytes: number) {
    this.#call = call;
    this.#maxPeekBytes = maxPeekBytes;
  }

  /** What the first message takes on the wire; 0 when nobody has looked. */
  get firstMessageBytes(): number {
    return this.#window?.firstMessageBytes ?? 0;
  }

  peek(): Promise<Buffer>;
  peek(count: number): Promise<Buffer[]>;
  peek(count?: number): Promise<Buffer | Buffer[]> {
    return tolerant(this.#peek(count));
  }

  async #peek(count: number | undefined): Promise<Buffer | Buffer[]> {
    const wanted = count ?? 1;
    if (!Number.isInteger(wanted) || wanted < 1) throw new InvalidPeekCountError(count);
    if (this.#window === undefined) {
      if (this.#closed) throw answeredAlready();
      this.#window = new PeekWindow(this.#call, this.#maxPeekBytes);
    }
    const payloads = await this.#window.payloads(wanted);
    return count === undefined ? (payloads[0] as Buffer) : payloads;
  }

  /** The director has answered: what was not seen by now is on its way to the destinations. */
  close(): void {
    this.#closed = true;
    this.#window?.close();
  }
}

/** What has been seen of the request, and who waits to see more. */
class PeekWindow implements RequestTap {
  readonly #call: ServerCall;
  readonly #maxPeekBytes: number;
  readonly #parser: MessageParser;
  readonly #frames: Frame[] = [];
  readonly #payloads: Buffer[] = [];
  #waiters: Waiter[] = [];
  #seenBytes = 0;
  /** Of them, what the client was given credit for ahead of its destination. */
  #acknowledgedBytes = 0;
  #ended = false;
  #error: unknown;

  constructor(call: ServerCall, maxPeekBytes: number) {
    this.#call = call;
    this.#maxPeekBytes = maxPeekBytes;
    this.#parser = new MessageParser({ maxMessageBytes: maxPeekBytes, source: "downstream" });
    const { context, requestEnded, buffered } = call;
    if (context.reason !== undefined) {
      this.#error = context.reason;
      return;
    }
    call.setTap(this);
    this.#ended = requestEnded;
    for (const chunk of buffered ?? []) this.#take(chunk);
  }

  get firstMessageBytes(): number {
    return this.#payloads.length === 0 ? 0 : (this.#frames[0]?.wireBytes ?? 0);
  }

  async payloads(count: number): Promise<Buffer[]> {
    const frames = await new Promise<readonly Frame[]>((resolve, reject) => {
      this.#waiters.push({ count, resolve, reject });
      this.#settle();
    });
    for (let i = this.#payloads.length; i < frames.length; i++) {
      this.#payloads.push(this.#payloadOf(frames[i] as Frame));
    }
    return this.#payloads.slice(0, count);
  }

  #payloadOf(frame: Frame): Buffer {
    if (!frame.compressed) return frame.payload;
    return decompress(frame.payload, this.#call.head.messageEncoding, this.#maxPeekBytes);
  }

  close(): void {
    this.#error ??= answeredAlready();
    this.#settle();
  }

  onBuffered(chunk: Buffer, endStream: boolean): void {
    this.#take(chunk);
    if (endStream) this.#ended = true;
    this.#settle();
  }

  onCancelled(reason: GrpcError): void {
    this.#error ??= reason;
    this.#settle();
  }

  #take(chunk: Buffer): void {
    if (this.#error !== undefined || chunk.length === 0) return;
    this.#seenBytes += chunk.length;
    this.#parser.push(chunk);
    try {
      for (let frame = this.#parser.next(); frame !== undefined; frame = this.#parser.next()) {
        this.#frames.push(frame);
      }
    } catch (error) {
      this.#error = this.#refusal(error);
    }
  }

  #settle(): void {
    const waiting = this.#waiters;
    if (waiting.length === 0) return;
    this.#waiters = waiting.filter((waiter) => !this.#settleOne(waiter));
    if (this.#waiters.length === 0) return;
    // A message may be larger than the window: while somebody waits, the client may send on, up to the limit.
    const bytes = this.#seenBytes - this.#acknowledgedBytes;
    this.#acknowledgedBytes = this.#seenBytes;
    if (bytes > 0) this.#call.acknowledgeAhead(bytes);
  }

  #settleOne({ count, resolve, reject }: Waiter): boolean {
    const frames = this.#frames;
    if (frames.length >= count || (this.#ended && frames.length > 0)) {
      resolve(frames.slice(0, count));
      return true;
    }
    if (this.#ended) this.#error ??= endedWithoutMessage(this.#seenBytes);
    if (this.#seenBytes > this.#maxPeekBytes + count * PREFIX_BYTES) {
      this.#error ??= tooLarge(this.#maxPeekBytes, `${this.#seenBytes} bytes`);
    }
    if (this.#error === undefined) return false;
    reject(this.#error);
    return true;
  }

  #refusal(error: unknown): unknown {
    if (!(error instanceof GrpcError) || error.reason !== ErrorReason.MESSAGE_TOO_LARGE)
      return error;
    return tooLarge(this.#maxPeekBytes, error.details);
  }
}

function answeredAlready(): GrpcError {
  return new GrpcError(Status.INTERNAL, "peek: the director has answered already", {
    reason: ErrorReason.DIRECTOR,
  });
}

function tooLarge(maxPeekBytes: number, got: string): GrpcError {
  return new GrpcError(
    Status.RESOURCE_EXHAUSTED,
    `peek: expected at most ${maxPeekBytes} bytes of messages, got ${got}`,
    { reason: ErrorReason.PEEK_TOO_LARGE, source: "downstream" },
  );
}

function endedWithoutMessage(seenBytes: number): GrpcError {
  const got = seenBytes === 0 ? "none" : `${seenBytes} bytes of an incomplete one`;
  return new GrpcError(
    Status.INVALID_ARGUMENT,
    `peek: expected a message before the end of the stream, got ${got}`,
    { reason: ErrorReason.NO_MESSAGE, source: "downstream" },
  );
}
