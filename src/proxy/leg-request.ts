// The request half of a destination: the bytes to send, the bytes that have gone out, and the bytes
// that are kept to be sent again. UpstreamLeg extends this class, so that a call needs one object
// less. The class knows no relay, no response and no end.

import { MAX_REPLAY_BYTES } from "../client/stream-request.ts";
import { GrpcError } from "../grpc/error.ts";
import { FirstMessage } from "../grpc/first-message.ts";
import { frameChunks } from "../grpc/frame.ts";
import type { MessageCounter } from "../grpc/message-parser.ts";
import type { Stream } from "../transport/transport.ts";
import { appendChunk } from "../wire/chunk-list.ts";
import { keep, type LentBytes } from "../wire/lent-bytes.ts";

/** How far the end of the request has come. */
const RequestEnd = {
  /** The client may send more. */
  TO_COME: 0,
  /** The client has ended its side. END_STREAM has not been sent, or has to be sent again. */
  HERE: 1,
  /** The last chunk has gone out, with END_STREAM. */
  SENT: 2,
} as const;

type RequestEnd = (typeof RequestEnd)[keyof typeof RequestEnd];

// Fields are set by the constructor. When initialisers set the fields of a class that is extended,
// V8 takes 15 ns more for each object.
export abstract class LegRequest {
  declare stream: Stream | undefined;
  declare requestBytes: number;

  // Either field may change first: a backend may answer while siblings are still to be opened.
  /** The request may go out: every destination that has to be open is open. */
  declare protected released: boolean;
  /** The request may still be sent again from the beginning. */
  declare protected replayable: boolean;
  /** Bytes that the transport accepted, in this attempt. */
  declare protected acceptedBytes: number;
  /**
   * `sentCount` chunks that are kept to be sent again, then the chunks not yet sent. A lone chunk,
   * the most frequent case, is in no list.
   */
  declare private queue: Buffer | Buffer[] | undefined;
  declare private sentCount: number;
  declare private requestEnd: RequestEnd;
  /** Bytes at the front that take the place of the client's first message. */
  declare private injectedBytes: number;
  /** Bytes of the client's request that this destination does not get. */
  declare private skippedBytes: number;
  /** The client's first message, while it is being left out. */
  declare private skipping: FirstMessage | undefined;
  /** Counts the messages if this destination has a limit of its own for them. */
  declare protected ownLimit: MessageCounter | undefined;

  constructor() {
    this.stream = undefined;
    this.requestBytes = 0;
    this.released = false;
    this.replayable = true;
    this.acceptedBytes = 0;
    this.queue = undefined;
    this.sentCount = 0;
    this.requestEnd = RequestEnd.TO_COME;
    this.injectedBytes = 0;
    this.skippedBytes = 0;
    this.skipping = undefined;
    this.ownLimit = undefined;
  }

  /** A leg that has ended ignores what it is given. */
  abstract get ended(): boolean;

  /** The backend has the whole request. */
  get requestComplete(): boolean {
    return this.requestEnd === RequestEnd.SENT;
  }

  /** Nothing of the request is still to come for this destination. */
  get requestGiven(): boolean {
    return this.requestEnd !== RequestEnd.TO_COME;
  }

  /**
   * Bytes of the request that are kept: not sent yet, to be sent again, or not taken by the socket.
   */
  get keptBytes(): number {
    const { queue, stream } = this;
    const inStream = stream?.queuedBytes ?? 0;
    if (queue === undefined) return inStream;
    if (!Array.isArray(queue)) return inStream + queue.length;
    return queue.reduce((sum, chunk) => sum + chunk.length, inStream);
  }

  /** How far the destination has taken the request, in bytes as the client sent them. */
  get progressBytes(): number {
    return this.skippedBytes + Math.max(0, this.acceptedBytes - this.injectedBytes);
  }

  /**
   * Sends `message` first.
   * @param replaces the client's first message is left out
   */
  protected beginWith(message: Uint8Array, replaces: boolean): void {
    if (replaces) this.skipping = new FirstMessage();
    const payload = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
    for (const chunk of frameChunks(payload)) {
      this.injectedBytes += chunk.length;
      this.enqueue(chunk);
    }
  }

  /**
   * Every destination that has to be open is open. The request may go out, now or when this
   * destination is open.
   */
  release(): void {
    this.released = true;
    this.flush();
  }

  /** Takes the next bytes of the request. */
  send(chunk: LentBytes, endStream: boolean): void {
    if (this.ended) return;
    let rest = chunk;
    if (this.skipping !== undefined) {
      rest = this.skip(this.skipping, chunk);
      if (endStream && this.skipping?.begun) {
        this.onTruncated();
        return;
      }
    }
    if (this.ownLimit !== undefined && !this.isWithin(this.ownLimit, rest)) return;
    if (endStream) this.requestEnd = RequestEnd.HERE;
    if (rest.length === 0 && !endStream) return;
    const { stream } = this;
    if (!this.released || stream === undefined) {
      this.enqueue(keep(rest));
    } else if (this.replayable) {
      this.enqueue(keep(rest));
      this.flush();
    } else {
      if (endStream) this.requestEnd = RequestEnd.SENT;
      this.requestBytes += rest.length;
      this.acceptedBytes += stream.sendData(rest, endStream);
    }
  }

  /** The part of `chunk` behind the client's first message. */
  private skip(first: FirstMessage, chunk: LentBytes): Buffer {
    const skipped = first.take(chunk);
    this.skippedBytes += skipped;
    if (first.complete) this.skipping = undefined;
    return skipped === chunk.length ? EMPTY : keep(chunk).subarray(skipped);
  }

  /**
   * The client has ended its side within the message that is left out here. No backend can judge
   * that message.
   */
  protected abstract onTruncated(): void;

  private isWithin(limit: MessageCounter, chunk: LentBytes): boolean {
    try {
      limit.push(chunk);
      return true;
    } catch (error) {
      this.onTooLarge(GrpcError.from(error));
      return false;
    }
  }

  /** A message is above the limit of this destination alone. */
  protected abstract onTooLarge(error: GrpcError): void;

  private enqueue(chunk: Buffer): void {
    const { queue } = this;
    if (queue === undefined) this.queue = chunk;
    else if (Array.isArray(queue)) this.append(queue, chunk);
    else this.queue = [queue, chunk];
  }

  /**
   * A chunk is joined only with chunks of its kind: those that have gone out, or those that have
   * not.
   */
  private append(queue: Buffer[], chunk: Buffer): void {
    const allSent = this.sentCount === queue.length;
    if (!allSent) appendChunk(queue, chunk);
    else {
      const last = queue.pop() as Buffer;
      appendChunk(queue, last);
      this.sentCount = queue.length;
      queue.push(chunk);
    }
  }

  protected flush(): void {
    const { stream, queue } = this;
    if (stream === undefined || queue === undefined) return;
    while (this.sentCount < countOf(queue)) {
      const chunk = Array.isArray(queue) ? (queue[this.sentCount] as Buffer) : queue;
      this.sentCount++;
      const last = this.requestEnd === RequestEnd.HERE && this.sentCount === countOf(queue);
      if (last) this.requestEnd = RequestEnd.SENT;
      this.requestBytes += chunk.length;
      this.acceptedBytes += stream.sendData(chunk, last);
    }
    if (this.replayable && this.requestBytes > MAX_REPLAY_BYTES) this.replayable = false;
    if (!this.replayable) this.forgetSent();
  }

  private forgetSent(): void {
    // A backend may answer while other destinations are still to be opened. Then nothing has been
    // sent.
    if (this.sentCount === 0) return;
    // Otherwise everything has been sent: streams take whatever they are given.
    this.sentCount = 0;
    this.queue = undefined;
  }

  /** The backend has begun to answer: the call is no longer repeatable (gRFC A6 "committed"). */
  protected commit(): void {
    if (!this.replayable) return;
    this.replayable = false;
    this.forgetSent();
  }

  /** Goes back to the beginning, for another attempt. Only while `replayable`. */
  protected rewind(): void {
    this.sentCount = 0;
    this.acceptedBytes = 0;
    this.requestBytes = 0;
    if (this.requestEnd === RequestEnd.SENT) this.requestEnd = RequestEnd.HERE;
  }

  protected forgetRequest(): void {
    this.queue = undefined;
  }
}

const EMPTY: Buffer = Buffer.alloc(0);

function countOf(queue: Buffer | Buffer[]): number {
  return Array.isArray(queue) ? queue.length : 1;
}
