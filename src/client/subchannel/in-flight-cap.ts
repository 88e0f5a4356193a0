// Bounds the calls under way on one address, whatever its server allows.

import type {
  ClientSession,
  Stream,
  StreamEnd,
  StreamListener,
} from "../../transport/transport.ts";
import type { HeaderList } from "../../wire/field.ts";
import type { LentBytes } from "../../wire/lent-bytes.ts";

/** Counts the calls of one address, and says when one more may begin. */
export class InFlightCap {
  readonly #max: number;
  readonly #onRoom: () => void;
  readonly #callOf = new WeakMap<Stream, CappedCall>();
  #count = 0;

  /** @param onRoom called when there was no room, and now there is */
  constructor(max: number, onRoom: () => void) {
    this.#max = max;
    this.#onRoom = onRoom;
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
    const call = new CappedCall(listener, () => this.#onEnd());
    const stream = session.openStream(headers, false, call);
    this.#count++;
    this.#callOf.set(stream, call);
    return stream;
  }

  /** `stream` was reset from our side: its listener is not told of the end. */
  onStreamReset(stream: Stream): void {
    this.#callOf.get(stream)?.end();
  }

  #onEnd(): void {
    this.#count--;
    if (this.room === 1) this.#onRoom();
  }
}

/** Passes on the events of one stream, and notices its end. */
class CappedCall implements StreamListener {
  private readonly listener: StreamListener;
  private readonly onEnd: () => void;
  private ended = false;

  constructor(listener: StreamListener, onEnd: () => void) {
    this.listener = listener;
    this.onEnd = onEnd;
  }

  get fairnessKey(): object | string | undefined {
    return this.listener.fairnessKey;
  }

  onHeaders(headers: HeaderList, endStream: boolean): void {
    this.listener.onHeaders(headers, endStream);
    if (endStream) this.end();
  }

  onData(chunk: LentBytes, endStream: boolean): void {
    this.listener.onData(chunk, endStream);
    if (endStream) this.end();
  }

  onTrailers(trailers: HeaderList): void {
    this.listener.onTrailers(trailers);
    this.end();
  }

  onWritable(bytes: number): void {
    this.listener.onWritable(bytes);
  }

  onReset(end: StreamEnd): void {
    this.listener.onReset(end);
    this.end();
  }

  end(): void {
    if (this.ended) return;
    this.ended = true;
    this.onEnd();
  }
}
