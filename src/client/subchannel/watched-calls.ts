// Follows the calls under way on one address to their ends, whatever its server allows: for
// `maxInFlightPerAddress`, and for whoever judges the address by how its calls end.

import type {
  ClientSession,
  Stream,
  StreamEnd,
  StreamListener,
} from "../../transport/transport.ts";
import type { HeaderList } from "../../wire/field.ts";
import type { LentBytes } from "../../wire/lent-bytes.ts";

/** How a call ended. */
export interface CallEnd {
  /** The response headers, if they have come. */
  readonly headers: HeaderList | undefined;
  /** The trailers, if they have come apart from the headers. */
  readonly trailers: HeaderList | undefined;
  /** The backend has ended its side. */
  readonly isComplete: boolean;
  /** The transport has ended the stream. If it is `undefined` as well, this side has reset it. */
  readonly streamEnd: StreamEnd | undefined;
}

/** Counts the calls of one address, says when one more may begin, and tells of their ends. */
export class WatchedCalls {
  readonly #max: number;
  readonly #onRoom: () => void;
  readonly #onEnd: ((end: CallEnd) => void) | undefined;
  readonly #callOf = new WeakMap<Stream, WatchedCall>();
  #count = 0;

  /**
   * @param max how many may be under way; Infinity for no limit
   * @param onRoom called when there was no room, and now there is
   * @param onEnd called for each call that has ended, after its own listener
   */
  constructor(max: number, onRoom: () => void, onEnd: ((end: CallEnd) => void) | undefined) {
    this.#max = max;
    this.#onRoom = onRoom;
    this.#onEnd = onEnd;
  }

  /** How many calls may begin now. */
  get room(): number {
    return this.#max - this.#count;
  }

  /**
   * Opens the stream of one call. It counts until its response has ended or it is reset.
   * @throws {HeaderError} as `ClientSession.openStream`
   */
  open(session: ClientSession, headers: HeaderList, listener: StreamListener): Stream {
    const call = new WatchedCall(listener, this.#whenEnded);
    const stream = session.openStream(headers, false, call);
    this.#count++;
    this.#callOf.set(stream, call);
    return stream;
  }

  /** `stream` was reset from our side: its listener is not told of the end. */
  onStreamReset(stream: Stream): void {
    this.#callOf.get(stream)?.end();
  }

  readonly #whenEnded = (call: CallEnd): void => {
    this.#count--;
    this.#onEnd?.(call);
    if (this.room === 1) this.#onRoom();
  };
}

/** Passes on the events of one stream, and notices its end. */
class WatchedCall implements StreamListener, CallEnd {
  headers: HeaderList | undefined = undefined;
  trailers: HeaderList | undefined = undefined;
  isComplete = false;
  streamEnd: StreamEnd | undefined = undefined;
  private readonly listener: StreamListener;
  private readonly onEnd: (call: CallEnd) => void;
  private ended = false;

  constructor(listener: StreamListener, onEnd: (call: CallEnd) => void) {
    this.listener = listener;
    this.onEnd = onEnd;
  }

  get fairnessKey(): object | string | undefined {
    return this.listener.fairnessKey;
  }

  // The listener may reset the stream within each event, so what has come is kept before.

  onHeaders(headers: HeaderList, endStream: boolean): void {
    this.headers = headers;
    this.isComplete = endStream;
    this.listener.onHeaders(headers, endStream);
    if (endStream) this.end();
  }

  onData(chunk: LentBytes, endStream: boolean): void {
    this.isComplete = endStream;
    this.listener.onData(chunk, endStream);
    if (endStream) this.end();
  }

  onTrailers(trailers: HeaderList): void {
    this.trailers = trailers;
    this.isComplete = true;
    this.listener.onTrailers(trailers);
    this.end();
  }

  onWritable(bytes: number): void {
    this.listener.onWritable(bytes);
  }

  onReset(end: StreamEnd): void {
    this.streamEnd = end;
    this.listener.onReset(end);
    this.end();
  }

  end(): void {
    if (this.ended) return;
    this.ended = true;
    this.onEnd(this);
  }
}
