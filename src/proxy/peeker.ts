// Looks at the first messages of a call before its destination is decided. Messages that were seen
// stay in place, byte for byte, and are relayed as if nobody had looked.

import { decompress } from "../grpc/compression.ts";
import { ErrorReason, failure, GrpcError } from "../grpc/error.ts";
import { Frame, PREFIX_BYTES, payloadBytesAt } from "../grpc/frame.ts";
import { MessageParser } from "../grpc/message-parser.ts";
import { tolerant } from "../grpc/message-writer.ts";
import { Status } from "../grpc/status.ts";
import { publishRefusal } from "../observe/channels.ts";
import type { RequestTap, ServerCall } from "../server/server-call.ts";
import { Timer, type TimerOwner } from "../time/timer-wheel.ts";

/** Thrown by `peek` for a count that is not a whole number from 1 up. */
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
   * The payload of the first message, decompressed (gzip, deflate). Waits until the message has
   * come. Asking again gives the same bytes.
   * @throws {GrpcError} INVALID_ARGUMENT, reason `NO_MESSAGE`, when the client ends the stream
   *   without a message
   * @throws {GrpcError} RESOURCE_EXHAUSTED, reason `PEEK_TOO_LARGE`, when the message is above
   *   `maxPeekBytes`
   * @throws {GrpcError} UNIMPLEMENTED or INTERNAL, reason `COMPRESSED_MESSAGE`, when the message
   *   cannot be decompressed; a director that can do without it may catch this error, and the
   *   message is passed on as it came
   * @throws {GrpcError} DEADLINE_EXCEEDED, reason `PEEK_TIMEOUT`, when the message has not come
   *   within `peekTimeoutMs`
   * @throws {GrpcError} DEADLINE_EXCEEDED or CANCELLED when the call ends first
   */
  peek(): Promise<Buffer>;
  /**
   * The payloads of the first `count` messages, as `peek()`. They are fewer when the client ends
   * the stream after at least one.
   * @throws {InvalidPeekCountError} when `count` is not a whole number from 1 up
   */
  peek(count: number): Promise<Buffer[]>;
}

/** How much may be looked at of each call, and how long it may take to come. */
export interface PeekLimits {
  readonly maxPeekBytes: number;
  readonly peekTimeoutMs: number;
}

const NOTHING = (): void => {};

/** One `peek` that is not answered yet. */
class Waiter {
  readonly count: number;
  /** The first message was asked for, not a list. */
  readonly single: boolean;
  readonly promise: Promise<Buffer | Buffer[]>;
  private resolvePromise: (payloads: Buffer | Buffer[]) => void = () => {};
  private rejectPromise: (error: unknown) => void = () => {};

  constructor(count: number, single: boolean) {
    this.count = count;
    this.single = single;
    this.promise = new Promise((resolve, reject) => {
      this.resolvePromise = resolve;
      this.rejectPromise = reject;
    });
  }

  resolve(payloads: readonly Buffer[]): void {
    this.resolvePromise(this.single ? (payloads[0] as Buffer) : payloads.slice(0, this.count));
  }

  reject(error: unknown): void {
    // The director may not wait for this promise.
    this.promise.catch(NOTHING);
    this.rejectPromise(error);
  }
}

/**
 * The peeker of one call. Every call has one, so it holds next to nothing until the director looks.
 */
export class CallPeeker implements StreamPeeker {
  readonly #call: ServerCall;
  readonly #limits: PeekLimits;
  #window: PeekWindow | undefined = undefined;
  #closed = false;

  constructor(call: ServerCall, limits: PeekLimits) {
    this.#call = call;
    this.#limits = limits;
  }

  /** The director has looked. */
  get used(): boolean {
    return this.#window !== undefined;
  }

  peek(): Promise<Buffer>;
  peek(count: number): Promise<Buffer[]>;
  peek(count?: number): Promise<Buffer | Buffer[]> {
    const wanted = count ?? 1;
    if (!Number.isInteger(wanted) || wanted < 1) {
      return tolerant(Promise.reject(new InvalidPeekCountError(count)));
    }
    if (this.#window === undefined) {
      if (this.#closed) return tolerant(Promise.reject(answeredAlready()));
      this.#window = new PeekWindow(this.#call, this.#limits);
    }
    return this.#window.peek(wanted, count === undefined);
  }

  /**
   * The director has answered. Messages that it has not seen by now are on their way to the
   * destinations.
   */
  close(): void {
    this.#closed = true;
    this.#window?.close();
  }
}

/** The part of the request that was seen, and the peeks that wait for more. */
class PeekWindow implements RequestTap, TimerOwner {
  private readonly call: ServerCall;
  private readonly peekTimeoutMs: number;
  /** Runs while a peek waits. */
  private timer: Timer | undefined = undefined;
  private readonly maxPeekBytes: number;
  /** Made when bytes have come that are not exactly the first message. */
  private parser: MessageParser | undefined;
  // Nearly always one entry each at most. A list that is made with its only entry takes a seventh
  // of the memory of a list that has grown.
  private frames: Frame[] = [];
  private payloads: Buffer[] = [];
  /** The size of all `payloads`. */
  private payloadBytes = 0;
  private waiters: Waiter[] = [];
  private seenBytes = 0;
  /** The seen bytes for which the client got credit ahead of its destination. */
  private acknowledgedBytes = 0;
  private ended = false;
  private closed = false;
  private error: unknown;

  constructor(call: ServerCall, { maxPeekBytes, peekTimeoutMs }: PeekLimits) {
    this.call = call;
    this.maxPeekBytes = maxPeekBytes;
    this.peekTimeoutMs = peekTimeoutMs;
    const { context, requestEnded, buffered } = call;
    if (context.reason !== undefined) {
      this.error = context.reason;
      return;
    }
    call.setTap(this);
    this.ended = requestEnded;
    if (buffered !== undefined) for (const chunk of buffered) this.take(chunk);
  }

  peek(count: number, single: boolean): Promise<Buffer | Buffer[]> {
    const waiter = new Waiter(count, single);
    if (this.waiters.length === 0) this.waiters = [waiter];
    else this.waiters.push(waiter);
    this.settle();
    return waiter.promise;
  }

  /** The payloads of the first messages, up to `count`, as many as there are. */
  private payloadsUpTo(count: number): readonly Buffer[] {
    const end = Math.min(count, this.frames.length);
    for (let i = this.payloads.length; i < end; i++) {
      const frame = this.frames[i] as Frame;
      const payload = frame.compressed
        ? decompress(
            frame.payload,
            this.call.head.messageEncoding,
            this.maxPeekBytes - this.payloadBytes,
          )
        : frame.payload;
      const bytes = this.payloadBytes + payload.length;
      if (bytes > this.maxPeekBytes) throw tooLarge(this.maxPeekBytes, `${bytes} bytes`);
      this.payloadBytes = bytes;
      if (i === 0) this.payloads = [payload];
      else this.payloads.push(payload);
    }
    return this.payloads;
  }

  close(): void {
    this.closed = true;
    this.settle();
  }

  onBuffered(chunk: Buffer, endStream: boolean): void {
    this.take(chunk);
    if (endStream) this.ended = true;
    this.settle();
  }

  onCancelled(reason: GrpcError): void {
    this.error ??= reason;
    this.settle();
  }

  onTimer(): void {
    const error = tooLate(this.peekTimeoutMs, this.seenBytes);
    const { peer, stream } = this.call;
    publishRefusal("downstream", peer.remoteAddress, {
      scope: "stream",
      streamId: stream.id,
      rule: error.details,
      limit: { name: "peekTimeoutMs", value: this.peekTimeoutMs },
    });
    this.error ??= error;
    this.settle();
  }

  private take(chunk: Buffer): void {
    if (this.error !== undefined || chunk.length === 0) return;
    this.seenBytes += chunk.length;
    if (this.parser === undefined && this.takeFirst(chunk)) return;
    this.parse(chunk);
  }

  /** Nearly always the first chunk is the first message. */
  private takeFirst(chunk: Buffer): boolean {
    if (this.frames.length > 0 || chunk.length < PREFIX_BYTES) return false;
    const flag = chunk[0];
    const length = payloadBytesAt(chunk, 0);
    if (length !== chunk.length - PREFIX_BYTES || length > this.maxPeekBytes) return false;
    if (flag !== 0 && flag !== 1) return false;
    this.frames = [new Frame(chunk.subarray(PREFIX_BYTES), flag === 1)];
    return true;
  }

  private parse(chunk: Buffer): void {
    this.parser ??= new MessageParser({
      maxMessageBytes: this.maxPeekBytes,
      source: "downstream",
    });
    this.parser.push(chunk);
    try {
      for (let frame = this.parser.next(); frame !== undefined; frame = this.parser.next()) {
        this.frames.push(frame);
      }
    } catch (error) {
      this.error = this.refusal(error);
    }
  }

  private settle(): void {
    const waiting = this.waiters;
    if (waiting.length === 0) return;
    if (waiting.length === 1) {
      if (this.settleOne(waiting[0] as Waiter)) waiting.pop();
    } else {
      this.waiters = waiting.filter((waiter) => !this.settleOne(waiter));
    }
    if (this.waiters.length === 0) {
      if (this.timer !== undefined) this.call.clock.cancel(this.timer);
      this.timer = undefined;
      return;
    }
    if (this.timer === undefined && this.peekTimeoutMs < Number.POSITIVE_INFINITY) {
      this.timer = new Timer(this);
      this.call.clock.schedule(this.timer, this.peekTimeoutMs);
    }
    // A message may be larger than the window. While a peek waits, the client may send on, up to
    // the limit.
    const bytes = this.seenBytes - this.acknowledgedBytes;
    this.acknowledgedBytes = this.seenBytes;
    if (bytes > 0) this.call.acknowledgeAhead(bytes);
  }

  private settleOne(waiter: Waiter): boolean {
    const { count } = waiter;
    const seen = this.frames.length;
    if (seen >= count || (this.ended && seen > 0)) {
      try {
        waiter.resolve(this.payloadsUpTo(count));
      } catch (error) {
        waiter.reject(this.refusal(error));
      }
      return true;
    }
    if (this.ended) this.error ??= endedWithoutMessage(this.seenBytes);
    if (this.seenBytes > this.maxPeekBytes + count * PREFIX_BYTES) {
      this.error ??= tooLarge(this.maxPeekBytes, `${this.seenBytes} bytes`);
    }
    if (this.closed) this.error ??= answeredAlready();
    if (this.error === undefined) return false;
    waiter.reject(this.error);
    return true;
  }

  private refusal(error: unknown): unknown {
    if (!(error instanceof GrpcError) || error.reason !== ErrorReason.MESSAGE_TOO_LARGE)
      return error;
    return tooLarge(this.maxPeekBytes, error.details);
  }
}

function answeredAlready(): GrpcError {
  return failure(Status.INTERNAL, "peek: the director has answered already", {
    reason: ErrorReason.DIRECTOR,
  });
}

function tooLarge(maxPeekBytes: number, got: string): GrpcError {
  return failure(
    Status.RESOURCE_EXHAUSTED,
    `peek: expected at most ${maxPeekBytes} bytes of messages, got ${got}`,
    { reason: ErrorReason.PEEK_TOO_LARGE, source: "downstream" },
  );
}

function tooLate(peekTimeoutMs: number, seenBytes: number): GrpcError {
  return failure(
    Status.DEADLINE_EXCEEDED,
    `peek: expected a message within ${peekTimeoutMs} ms, got ${seenBytes} bytes`,
    { reason: ErrorReason.PEEK_TIMEOUT, source: "downstream" },
  );
}

function endedWithoutMessage(seenBytes: number): GrpcError {
  const got = seenBytes === 0 ? "none" : `${seenBytes} bytes of an incomplete one`;
  return failure(
    Status.INVALID_ARGUMENT,
    `peek: expected a message before the end of the stream, got ${got}`,
    { reason: ErrorReason.NO_MESSAGE, source: "downstream" },
  );
}
