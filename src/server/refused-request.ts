// Answers requests that do not become calls. A request that is not gRPC gets one line of text by
// HTTP, without a gRPC status (gRPC PROTOCOL-HTTP2 "Content-Type"). The others have header lists
// too large to read. This file must not know calls.

import { Status } from "../grpc/status.ts";
import { trailersOnlyHeaders } from "../grpc/trailers.ts";
import type { Clock } from "../time/clock.ts";
import { Timer } from "../time/timer-wheel.ts";
import { HeaderError, type Stream, type StreamListener } from "../transport/transport.ts";
import { ErrorCode } from "../wire/error-code.ts";
import { HeaderField } from "../wire/field.ts";
import type { LentBytes } from "../wire/lent-bytes.ts";

/** Bytes of the request body that are read and dropped after the answer. */
const MAX_DRAINED_BYTES = 65_536;

/** How long the client may take to end its request after the answer. */
const LINGER_MS = 1_000;

const STATUS = new HeaderField(":status", "415");
const CONTENT_TYPE = new HeaderField("content-type", "text/plain; charset=utf-8");
const NOTHING: Buffer = Buffer.alloc(0);

/**
 * Answers at once, but ends the stream only after the request. Clients other than gRPC's do not
 * know that a response may end a request early, and some lose the response then.
 * RST_STREAM(NO_ERROR) stops a client that goes on for too long.
 */
export class RefusedRequest implements StreamListener {
  private readonly stream: Stream;
  private readonly clock: Clock;
  private readonly timer = new Timer(this);
  private drainedBytes = 0;

  constructor(stream: Stream, clock: Clock) {
    this.stream = stream;
    this.clock = clock;
  }

  /** Sends 415 with `text`, or its headers alone to a HEAD request. */
  answer(text: string, requestEnded: boolean, isHead: boolean): void {
    const body = Buffer.from(`${text}\n`);
    const length = new HeaderField("content-length", `${body.length}`);
    const done = requestEnded || isHead;
    try {
      this.stream.sendHeaders([STATUS, CONTENT_TYPE, length], isHead);
    } catch (error) {
      if (!(error instanceof HeaderError)) throw error;
      // The client takes hardly any header list.
      this.stream.reset(ErrorCode.INTERNAL_ERROR);
      return;
    }
    if (!isHead) this.stream.sendData(body, done);
    if (!done) this.clock.schedule(this.timer, LINGER_MS);
  }

  onHeaders(): void {}

  onData(chunk: LentBytes, endStream: boolean): void {
    this.drainedBytes += chunk.length;
    if (endStream || this.drainedBytes > MAX_DRAINED_BYTES) this.end();
    else this.stream.acknowledge(chunk.length);
  }

  onTrailers(): void {
    this.end();
  }

  onWritable(): void {}

  onReset(): void {
    this.clock.cancel(this.timer);
  }

  onTimer(): void {
    this.end();
  }

  private end(): void {
    this.clock.cancel(this.timer);
    this.stream.sendData(NOTHING, true);
  }
}

/**
 * Answers a request whose header list was too large with RESOURCE_EXHAUSTED, and names the limit; a
 * reset would have no text. The content type is lost with the rest. But a client that sends so much
 * to a gRPC server is most likely a gRPC client.
 * @returns the listener of the stream; `undefined` when it could not be answered
 */
export function answerLargeRequest(stream: Stream, rule: string): StreamListener | undefined {
  const headers = trailersOnlyHeaders(Status.RESOURCE_EXHAUSTED, `request ${rule}`);
  try {
    stream.sendHeaders(headers, true);
  } catch (error) {
    if (!(error instanceof HeaderError)) throw error;
    return undefined;
  }
  return UNHEARD;
}

const NOTHING_TO_DO = (): void => {};

/** The listener of a stream that has been answered: only its end can follow. */
const UNHEARD: StreamListener = {
  onHeaders: NOTHING_TO_DO,
  onData: NOTHING_TO_DO,
  onTrailers: NOTHING_TO_DO,
  onWritable: NOTHING_TO_DO,
  onReset: NOTHING_TO_DO,
};
