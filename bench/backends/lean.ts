// The lean echo backend: raw streams over the seam. It decodes a message only if its method needs
// that, so that a measurement shows the subject and not the backend. The caller chooses the
// transport that it listens with.

import type {
  ListenerEvents,
  ServerSessionListener,
  Stream,
  StreamEnd,
  StreamListener,
} from "../../src/transport/transport.ts";
import { HeaderField, type HeaderList } from "../../src/wire/field.ts";
import { keep, type LentBytes } from "../../src/wire/lent-bytes.ts";
import {
  decodeMessage,
  encodeMessage,
  MessageCounter,
  messageOfSize,
  PREFIX_BYTES,
  withPrefix,
} from "./message.ts";
import {
  CallBook,
  type CallState,
  ECHO_INITIAL,
  ECHO_TRAILING,
  FAIL_WITH,
  FAILURE_DETAILS_ENCODED,
  methodPath,
  TOKEN,
} from "./service.ts";

const RESPONSE_HEADERS: HeaderList = [
  new HeaderField(":status", "200"),
  new HeaderField("content-type", "application/grpc"),
];
const OK_TRAILERS: HeaderList = [new HeaderField("grpc-status", "0")];
/** A server stream stops writing while this much is queued in the transport. */
const QUEUE_LIMIT_BYTES = 131_072;

/** How many calls ended with status OK. The load must have counted the same. */
export interface ServedCount {
  callCount: number;
}

/** Calls `done` when a unary call has had its time. */
type Paced = (done: () => void) => void;

/**
 * The events of a listening socket that serves the echo service.
 * @param pace how long unary calls take; as short as possible without it
 */
export function leanBackend(served: ServedCount, pace?: Paced): ListenerEvents {
  const book = new CallBook();
  const session: ServerSessionListener = {
    onStream: (stream, headers) => openCall(stream, headers, book, served, pace),
    onGoAway: () => {},
    onRefused: () => {},
    onClosed: () => {},
  };
  return {
    onSession: () => session,
    onError: () => {},
  };
}

function openCall(
  stream: Stream,
  headers: HeaderList,
  book: CallBook,
  served: ServedCount,
  pace: Paced | undefined,
): StreamListener {
  let method = "";
  let special: Special | undefined;
  for (let i = 0; i < headers.length; i++) {
    const field = headers[i]!;
    if (field.name === ":path") method = field.value;
    // One comparison per field keeps the plain call cheap: only the bench's own metadata is read
    // further.
    else if (field.name.startsWith("x-bench-")) special = readSpecial(field, special, book);
  }
  const call = new Call(stream, special, served);
  switch (method) {
    case UNARY:
      if (special?.failWith !== undefined) return new Failure(call);
      return pace === undefined ? new UnaryEcho(call) : new PacedEcho(call, pace);
    case BIDI:
      return new StreamEcho(call);
    case SERVER_STREAM:
      return new ServerStream(call);
    case CLIENT_STREAM:
      return new ClientStream(call);
    case CALL_STATE:
      return new CallStateQuery(call, book);
    default:
      call.end([new HeaderField("grpc-status", "12")]);
      return new Failure(call);
  }
}

const UNARY = methodPath("Unary");
const BIDI = methodPath("Bidi");
const SERVER_STREAM = methodPath("ServerStream");
const CLIENT_STREAM = methodPath("ClientStream");
const CALL_STATE = methodPath("CallState");

/** The requests that a call makes by metadata. */
interface Special {
  initial: HeaderField[];
  trailing: HeaderField[];
  failWith?: string;
  state?: CallState;
}

function readSpecial(
  field: HeaderField,
  known: Special | undefined,
  book: CallBook,
): Special | undefined {
  const special = known ?? { initial: [], trailing: [] };
  if (field.name === ECHO_INITIAL) special.initial.push(field);
  else if (field.name === ECHO_TRAILING) special.trailing.push(field);
  else if (field.name === FAIL_WITH) special.failWith = field.value;
  else if (field.name === TOKEN) special.state = book.open(field.value);
  else return known;
  return special;
}

/** The response side of one call. */
class Call {
  readonly stream: Stream;
  readonly special: Special | undefined;
  readonly served: ServedCount;
  headersSent = false;
  ended = false;

  constructor(stream: Stream, special: Special | undefined, served: ServedCount) {
    this.stream = stream;
    this.special = special;
    this.served = served;
  }

  send(bytes: LentBytes): number {
    if (!this.headersSent) this.#sendHeaders();
    if (this.special?.state !== undefined) this.special.state.sentBytes += bytes.length;
    return this.stream.sendData(bytes, false);
  }

  end(trailers: HeaderList = OK_TRAILERS): void {
    this.ended = true;
    if (this.special?.state !== undefined) this.special.state.outcome = "completed";
    if (trailers === OK_TRAILERS) this.served.callCount++;
    if (trailers !== OK_TRAILERS && !this.headersSent) {
      // Trailers-Only (gRPC PROTOCOL-HTTP2 "Responses").
      this.stream.sendHeaders([...RESPONSE_HEADERS, ...trailers], true);
      return;
    }
    if (!this.headersSent) this.#sendHeaders();
    const extra = this.special?.trailing;
    this.stream.sendTrailers(
      extra !== undefined && extra.length > 0 ? [...trailers, ...extra] : trailers,
    );
  }

  /** Sends the headers before the first message, so that a client of a stream sees them early. */
  sendHeaders(): void {
    if (!this.headersSent) this.#sendHeaders();
  }

  noteHalfClose(): void {
    if (this.special?.state !== undefined) this.special.state.halfClosed = true;
  }

  noteReset(): void {
    this.ended = true;
    if (this.special?.state?.outcome === "open") this.special.state.outcome = "cancelled";
  }

  #sendHeaders(): void {
    this.headersSent = true;
    const extra = this.special?.initial;
    this.stream.sendHeaders(
      extra !== undefined && extra.length > 0 ? [...RESPONSE_HEADERS, ...extra] : RESPONSE_HEADERS,
      false,
    );
  }
}

/**
 * The base of the methods. They ignore the events that a gRPC server ignores, and note how the call
 * went.
 */
abstract class Method implements StreamListener {
  protected readonly call: Call;

  constructor(call: Call) {
    this.call = call;
  }

  onHeaders(): void {}
  onTrailers(): void {}
  onWritable(_bytes: number): void {}

  onReset(_end: StreamEnd): void {
    this.call.noteReset();
  }

  onData(chunk: LentBytes, endStream: boolean): void {
    if (this.call.ended) {
      this.call.stream.acknowledge(chunk.length);
      return;
    }
    if (endStream) this.call.noteHalfClose();
    this.onRequest(chunk, endStream);
  }

  protected abstract onRequest(chunk: LentBytes, endStream: boolean): void;
}

class UnaryEcho extends Method {
  #chunks: Buffer[] | undefined;

  protected onRequest(chunk: LentBytes, endStream: boolean): void {
    const { call } = this;
    call.stream.acknowledge(chunk.length);
    if (endStream && this.#chunks === undefined) {
      call.send(chunk);
      call.end();
      return;
    }
    this.#chunks ??= [];
    if (chunk.length > 0) this.#chunks.push(keep(chunk));
    if (!endStream) return;
    for (const part of this.#chunks) call.send(part);
    call.end();
  }
}

class PacedEcho extends Method {
  readonly #pace: Paced;
  readonly #chunks: Buffer[] = [];

  constructor(call: Call, pace: Paced) {
    super(call);
    this.#pace = pace;
  }

  protected onRequest(chunk: LentBytes, endStream: boolean): void {
    const { call } = this;
    call.stream.acknowledge(chunk.length);
    this.#chunks.push(keep(chunk));
    if (!endStream) return;
    this.#pace(() => {
      if (call.ended) return;
      for (const part of this.#chunks) call.send(part);
      call.end();
    });
  }
}

/**
 * Echoes a stream. Credit goes back to the client as the transport takes the echo, so a client that
 * does not read is stopped.
 */
class StreamEcho extends Method {
  protected onRequest(chunk: LentBytes, endStream: boolean): void {
    const { call } = this;
    if (chunk.length > 0) {
      const accepted = call.send(chunk);
      if (accepted > 0) call.stream.acknowledge(accepted);
    }
    if (endStream) call.end();
  }

  override onWritable(bytes: number): void {
    this.call.stream.acknowledge(bytes);
  }
}

class ServerStream extends Method {
  readonly #request: Buffer[] = [];
  #frame: Buffer = Buffer.alloc(0);
  #left = 0;
  #started = false;

  protected onRequest(chunk: LentBytes, endStream: boolean): void {
    this.call.stream.acknowledge(chunk.length);
    if (chunk.length > 0) this.#request.push(keep(chunk));
    if (!endStream) return;
    const request = decodeMessage(Buffer.concat(this.#request).subarray(PREFIX_BYTES));
    this.#frame = withPrefix(messageOfSize(request.replyBytes));
    this.#left = request.replyCount;
    this.#started = true;
    this.call.sendHeaders();
    this.#pump();
  }

  override onWritable(): void {
    if (this.#started && !this.call.ended) this.#pump();
  }

  #pump(): void {
    const { call } = this;
    while (this.#left > 0 && !call.ended && call.stream.queuedBytes < QUEUE_LIMIT_BYTES) {
      this.#left--;
      call.send(this.#frame);
    }
    if (this.#left === 0 && !call.ended) call.end();
  }
}

class ClientStream extends Method {
  readonly #counter = new MessageCounter();

  protected onRequest(chunk: LentBytes, endStream: boolean): void {
    this.call.stream.acknowledge(chunk.length);
    this.#counter.push(chunk);
    if (!endStream) return;
    this.call.send(withPrefix(encodeMessage({ replyCount: this.#counter.messageCount })));
    this.call.end();
  }
}

class CallStateQuery extends Method {
  readonly #book: CallBook;
  readonly #request: Buffer[] = [];

  constructor(call: Call, book: CallBook) {
    super(call);
    this.#book = book;
  }

  protected onRequest(chunk: LentBytes, endStream: boolean): void {
    this.call.stream.acknowledge(chunk.length);
    this.#request.push(keep(chunk));
    if (!endStream) return;
    const { payload } = decodeMessage(Buffer.concat(this.#request).subarray(PREFIX_BYTES));
    const { callCount } = this.call.served;
    const report = this.#book.report(payload.toString("utf8"), callCount);
    this.call.send(withPrefix(encodeMessage({ payload: report })));
    this.call.end();
    this.call.served.callCount = callCount; // A question is not load.
  }
}

/** Ends with the status that the request asked for, once the request is complete. */
class Failure extends Method {
  protected onRequest(chunk: LentBytes, endStream: boolean): void {
    this.call.stream.acknowledge(chunk.length);
    const status = this.call.special?.failWith;
    if (!endStream || status === undefined) return;
    this.call.end([
      new HeaderField("grpc-status", status),
      new HeaderField("grpc-message", FAILURE_DETAILS_ENCODED),
    ]);
  }
}
