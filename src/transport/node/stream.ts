// One node:http2 stream behind the seam's `Stream`. It has few listeners, all shared functions,
// which find the state by a symbol on the node:http2 object. The stream must not know how sessions
// connect or end.

import { EventEmitter } from "node:events";
import type { ClientHttp2Stream, Http2Session, ServerHttp2Stream } from "node:http2";
import { ErrorCode, errorCodeName } from "../../wire/error-code.ts";
import type { HeaderList } from "../../wire/field.ts";
import { keep, type LentBytes } from "../../wire/lent-bytes.ts";
import { SENT } from "../../wire/message-rules.ts";
import { countRead } from "../count-read.ts";
import { GAVE_NO_ROOM } from "../stream-stalls.ts";
import type {
  ReachedLimit,
  Refusal,
  Session,
  Stream,
  StreamEnd,
  StreamListener,
} from "../transport.ts";
import { isOpenOnWire } from "./deafness.ts";
import { checkSent, type NodeHeaders, receivedFields, toNodeObject } from "./header-lists.ts";
import type { Lifeline } from "./native-session.ts";

type NodeHttp2Stream = ClientHttp2Stream | ServerHttp2Stream;

/** The parts of a session that its streams use. */
export interface StreamOwner extends Session {
  readonly remoteAddress: string;
  /** Client side: a stream that the peer refused can be opened again elsewhere. */
  readonly opensStreams: boolean;
  readonly maxHeaderListBytes: number;
  /** Unacknowledged bytes from which a stream stops giving credit. */
  readonly holdBytes: number;
  readonly lifeline: Lifeline | undefined;
  /** The end of stream `id` by the death of its session; `undefined` while the session lives. */
  sessionEndOf(id: number): StreamEnd | undefined;
  /** Reports to the owner of the session. */
  refused(refusal: Refusal): void;
  /** More of a stream waits than node:http2 holds unasked. */
  backlogged(): void;
  /** The node:http2 stream is closed, and has left the peer's limit. */
  forget(stream: NodeStream): void;
}

const STATE: unique symbol = Symbol("grpc-relay stream");

/** A node:http2 stream with our state on it. */
type CarryingStream = NodeHttp2Stream & { [STATE]: NodeStream };

export const END_STREAM_FLAG = 0x1;

const NOTHING = (): void => {};
const NEVER_FINAL = (): void => {};

/** The listener of a stream that has ended. */
const SINK: StreamListener = {
  onHeaders: NOTHING,
  onData: NOTHING,
  onTrailers: NOTHING,
  onWritable: NOTHING,
  onReset: NOTHING,
};

export abstract class NodeStream implements Stream {
  readonly id: number;
  readonly session: StreamOwner;
  queuedBytes = 0;
  protected readonly node: NodeHttp2Stream;
  protected readonly lifeline: Lifeline | undefined;
  protected listener: StreamListener = SINK;
  /** The owner was told that the peer's side has ended. */
  protected recvEnded = false;
  /** The owner has ended our side. */
  protected sendEnded = false;
  /** Nothing passes in either direction any more. */
  protected over = false;
  private givenBytes = 0;
  private unacknowledgedBytes = 0;
  private isHoldingCredit = false;
  private onWritten: (() => void) | undefined;

  constructor(node: NodeHttp2Stream, session: StreamOwner) {
    this.node = node;
    this.session = session;
    this.lifeline = session.lifeline;
    this.id = node.id ?? 0;
    const carrying: NodeHttp2Stream & { [STATE]?: NodeStream } = node;
    carrying[STATE] = this;
    // The declared type has one overload per event.
    carrying.emit = emitToState as typeof carrying.emit;
  }

  abstract sendHeaders(headers: HeaderList, endStream: boolean): void;
  abstract sendTrailers(trailers: HeaderList): void;

  // The events of the node:http2 stream.
  abstract data(chunk: Buffer): void;
  abstract trailers(trailers: HeaderList): void;
  /** 'end': the readable side is over, for any reason. */
  abstract ended(): void;
  response(_headers: HeaderList, _endStream: boolean): void {}
  wantTrailers(): void {}
  /**
   * Somebody listens for 'end'. node:http2 does so when it sees END_STREAM or when the stream
   * closes.
   */
  endListened(): void {}

  sendData(chunk: LentBytes, endStream: boolean): number {
    const bytes = chunk.length;
    const node = this.node;
    if (this.over || this.sendEnded || node.destroyed) return 0;
    let accepted = bytes;
    if (bytes > 0) {
      const kept = keep(chunk);
      this.givenBytes += bytes;
      // Bytes that node:http2 holds below its mark count as accepted; the mark bounds them per
      // stream.
      if (this.queuedBytes === 0 && node.writableLength + bytes < node.writableHighWaterMark) {
        node.write(kept);
      } else {
        accepted = 0;
        this.queuedBytes += bytes;
        this.onWritten ??= () => this.reportWritten();
        this.session.backlogged();
        node.write(kept, this.onWritten);
      }
    }
    if (endStream) {
      this.sendEnded = true;
      // In the same turn as the write, so END_STREAM travels on that DATA frame.
      node.end();
    }
    return accepted;
  }

  /** Bytes that nghttp2 has not sent as a whole. */
  get unwrittenBytes(): number {
    return this.over || this.node.destroyed ? 0 : this.node.writableLength;
  }

  /** Bytes that nghttp2 has sent, as far as node:http2 says. */
  get writtenBytes(): number {
    return this.givenBytes - this.node.writableLength;
  }

  private reportWritten(): void {
    // Bytes that a reset drops are reported as written, too; from Node 26 on before 'close' tells
    // of the reset.
    if (this.over || this.node.closed || this.node.destroyed) return;
    const left = this.node.writableLength;
    const bytes = this.queuedBytes - left;
    if (bytes <= 0) return;
    this.queuedBytes = left;
    this.listener.onWritable(bytes);
  }

  reset(code: number): void {
    if (this.over) return;
    this.finish();
    // Callbacks run inside nghttp2's receive function, and node:http2 would send RST_STREAM from
    // within it. nghttp2 does not expect that and, on a GOAWAY, never returns.
    setImmediate(resetBare, this.node, code);
  }

  acknowledge(bytes: number): void {
    this.unacknowledgedBytes -= bytes;
    if (this.isHoldingCredit && this.unacknowledgedBytes * 2 <= this.session.holdBytes) {
      this.isHoldingCredit = false;
      if (!this.node.destroyed) this.node._read(0);
    }
  }

  get creditHeld(): boolean {
    return this.isHoldingCredit;
  }

  /** nghttp2 waits for more of the stream, from either side. */
  get isOpenOnWire(): boolean {
    return isOpenOnWire(this.node);
  }

  /** Counts received bytes before they are passed on. */
  protected received(bytes: number): void {
    countRead(bytes);
    this.unacknowledgedBytes += bytes;
    if (this.unacknowledgedBytes >= this.session.holdBytes && !this.isHoldingCredit) {
      this.isHoldingCredit = true;
      holdCredit(this.node);
    }
  }

  /** The node:http2 stream is gone. Sides that had not completed will not complete. */
  closed(): void {
    this.session.forget(this);
    if (this.over) return;
    if (this.recvEnded && this.sendEnded && this.node.rstCode === ErrorCode.NO_ERROR) {
      this.finish();
      return;
    }
    this.fail(this.session.sessionEndOf(this.id) ?? this.resetEnd(this.node.rstCode ?? 0));
  }

  /** As `closed`, for a stream whose session goes on without us. */
  leave(): void {
    this.closed();
    setImmediate(resetBare, this.node, ErrorCode.CANCEL);
  }

  protected fail(end: StreamEnd): void {
    if (this.over) return;
    const listener = this.listener;
    this.finish();
    listener.onReset(end);
  }

  /**
   * Returns whether there is a `problem`. If so, the stream is ended: nghttp2 accepts some
   * malformed header lists.
   */
  protected refuses(problem: string | undefined): boolean {
    if (problem === undefined) return false;
    this.breach(ErrorCode.PROTOCOL_ERROR, "broke the protocol", problem, undefined);
    return true;
  }

  /** The peer broke a rule. The owner of the session is told the rule, and the stream is reset. */
  protected breach(
    code: number,
    what: string,
    rule: string,
    limit: ReachedLimit | undefined,
  ): void {
    const { id, session } = this;
    session.refused({ scope: "stream", streamId: id, rule, limit });
    this.failByUs("protocol", code, `${what} on stream ${id}: ${rule}`);
  }

  /** The peer gave no room to what waits for it, for `timeoutMs`. */
  endStalled(timeoutMs: number): void {
    if (this.over) return;
    const { id, session } = this;
    const limit = { name: "streamStallTimeoutMs", value: timeoutMs };
    session.refused({ scope: "stream", streamId: id, rule: GAVE_NO_ROOM, limit });
    const code = ErrorCode.ENHANCE_YOUR_CALM;
    this.failByUs("stalled", code, `${GAVE_NO_ROOM} on stream ${id}`);
  }

  private failByUs(kind: "protocol" | "stalled", code: number, reason: string): void {
    const message = `${this.session.remoteAddress} ${reason}`;
    this.fail({ kind, code, unprocessed: false, message, reason });
    setImmediate(resetBare, this.node, code);
  }

  protected finish(): void {
    this.over = true;
    this.listener = SINK;
    this.queuedBytes = 0;
  }

  protected failAsReset(): void {
    this.fail(this.session.sessionEndOf(this.id) ?? this.resetEnd(this.node.rstCode ?? 0));
    this.node.destroy();
  }

  private resetEnd(code: number): StreamEnd {
    const reason = `reset stream ${this.id}: ${errorCodeName(code)}`;
    return {
      kind: "reset",
      code,
      unprocessed: this.session.opensStreams && code === ErrorCode.REFUSED_STREAM,
      message: `${this.session.remoteAddress} ${reason}`,
      reason,
    };
  }
}

/**
 * Sends RST_STREAM with any code and nothing before it. `close()` would end the writable side
 * first, which sends DATA with END_STREAM when nothing is queued: a cancelled upload would look
 * complete. So nghttp2 does not get the end.
 */
export function resetBare(node: NodeHttp2Stream, code: number): void {
  if (node.destroyed || node.closed) return;
  if (code === ErrorCode.NO_ERROR) {
    // close(0) would wait for the end of the writable side.
    node.destroy();
    return;
  }
  node._final = NEVER_FINAL;
  node.close(code);
}

/**
 * Stops the peer's credit without stopping delivery. `pause()` would do both, and then a reset
 * loses what is still buffered, trailers overtake data, and an owner that needs a whole window of
 * data to go on never gets it.
 */
function holdCredit(node: NodeHttp2Stream): void {
  node._read = readUnlessHeld;
  // node:http2 listens for this to tell nghttp2 that what comes now is not consumed yet.
  node.emit("pause");
}

function readUnlessHeld(this: NodeHttp2Stream, size: number): void {
  const carrying = this as CarryingStream;
  if (!carrying[STATE].creditHeld) Object.getPrototypeOf(this)._read.call(this, size);
}

/** Attached to streams that nobody takes: an 'error' without a listener would end the process. */
export function onError(): void {}

const baseEmit = EventEmitter.prototype.emit;

/**
 * Takes the events of a stream in one function. Every `on` of an Http2Stream costs two more events,
 * and a call would need thirteen. All others go on to the listeners that node:http2 added itself.
 */
function emitToState(
  this: CarryingStream,
  name: string | symbol,
  a?: unknown,
  b?: unknown,
  c?: unknown,
): boolean {
  const state = this[STATE];
  switch (name) {
    case "data":
      if (Buffer.isBuffer(a)) state.data(a);
      return true;
    case "newListener":
      // node:http2 listens for 'end' the moment it sees END_STREAM.
      if (a === "end") state.endListened();
      break;
    case "response":
      state.response(fieldsOf(a, c), hasEndStream(b));
      return true;
    case "trailers":
      state.trailers(fieldsOf(a, c));
      return true;
    case "wantTrailers":
      state.wantTrailers();
      return true;
    case "end":
      state.ended();
      break;
    case "close":
      state.closed();
      break;
    // 'close' always follows, and tells the failure. Unheard, an 'error' would end the process.
    case "error":
      return true;
  }
  return baseEmit.call(this, name, a, b, c);
}

function fieldsOf(headers: unknown, rawHeaders: unknown): HeaderList {
  return Array.isArray(rawHeaders) && typeof headers === "object" && headers !== null
    ? receivedFields(rawHeaders, headers)
    : [];
}

function hasEndStream(flags: unknown): boolean {
  return typeof flags === "number" && (flags & END_STREAM_FLAG) !== 0;
}

/** Trailers in the only form that node:http2 takes, checked. */
export function checkedTrailers(
  trailers: HeaderList,
  session: Http2Session | undefined,
): NodeHeaders {
  checkSent(SENT.trailers(trailers), session);
  return toNodeObject(trailers);
}
