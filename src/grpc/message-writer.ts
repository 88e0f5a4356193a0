// The messages of one direction that a handler sends. A handler that awaits the promises is slowed
// down to the speed of its peer.

import { type Codec, encodeMessage } from "./codec.ts";
import type { GrpcError } from "./error.ts";
import { frameChunks } from "./frame.ts";

/** Takes the bytes. Like `Stream.sendData`, it returns how many were accepted at once. */
interface ByteSink {
  sendData(chunk: Buffer): number;
}

/**
 * Above this many bytes that the socket has not accepted, a handler that awaits has to wait. A
 * handler that does not await is not stopped.
 */
const HIGH_WATER_BYTES = 65_536;

export class MessageWriter {
  messageCount = 0;
  private readonly codec: Codec;
  private readonly sink: ByteSink;
  private queuedBytes = 0;
  private error: GrpcError | undefined;
  private waiters: { readonly resolve: () => void; readonly reject: (error: GrpcError) => void }[] =
    [];

  constructor(codec: Codec, sink: ByteSink) {
    this.codec = codec;
    this.sink = sink;
  }

  /**
   * Sends one message. The promise resolves when the sender may go on.
   * @throws {GrpcError} when the codec cannot encode it, and when the call is over
   */
  write(message: unknown): Promise<void> {
    if (this.error !== undefined) return Promise.reject(this.error);
    let chunks: Buffer[];
    try {
      const frame = encodeMessage(this.codec, message);
      chunks = frameChunks(frame.payload, frame.compressed);
    } catch (error) {
      return Promise.reject(error);
    }
    this.messageCount++;
    for (const chunk of chunks) this.queuedBytes += chunk.length - this.sink.sendData(chunk);
    if (this.queuedBytes <= HIGH_WATER_BYTES) return DONE;
    return new Promise((resolve, reject) => {
      this.waiters.push({ resolve, reject });
    });
  }

  /** The socket accepted `bytes` of the queued bytes. */
  onWritable(bytes: number): void {
    this.queuedBytes -= bytes;
    if (this.queuedBytes > HIGH_WATER_BYTES || this.waiters.length === 0) return;
    const waiters = this.waiters;
    this.waiters = [];
    for (const waiter of waiters) waiter.resolve();
  }

  /** The call is over: waiting writes, and every later write, get `error`. */
  fail(error: GrpcError): void {
    this.error ??= error;
    const waiters = this.waiters;
    this.waiters = [];
    for (const waiter of waiters) waiter.reject(this.error);
  }
}

const DONE: Promise<void> = Promise.resolve();

/**
 * A promise whose rejection may stay unhandled. A handler that does not wait for its messages must
 * not end the process when the peer goes away.
 */
export function tolerant<T>(promise: Promise<T>): Promise<T> {
  promise.catch(NOTHING);
  return promise;
}

const NOTHING = (): void => {};
