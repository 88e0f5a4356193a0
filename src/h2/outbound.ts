// The sending half of a connection: the calls of stream owners, and the order in which DATA goes
// out. Control frames and headers go out at once, in order. Streams take turns with DATA. This half
// must not know sockets or received frames.

import { ErrorCode } from "../wire/error-code.ts";
import {
  HeaderError,
  type HeaderList,
  listTooLarge,
  UNANNOUNCED_MAX_LIST_BYTES,
} from "../wire/field.ts";
import type { LentBytes } from "../wire/lent-bytes.ts";
import { SENT, type Verdict } from "../wire/message-rules.ts";
import type { OutboundEvents } from "./events.ts";
import type { FloodGuard } from "./flood-guard.ts";
import { DEFAULT_MAX_FRAME_BYTES, DEFAULT_WINDOW_BYTES } from "./frame.ts";
import { FrameWriter } from "./frame-writer.ts";
import { Output } from "./output.ts";
import { ReadyList } from "./ready-list.ts";
import { acknowledgeRecv, returnCredit } from "./recv-window.ts";
import { NO_QUEUE, SendQueue } from "./send-queue.ts";
import {
  type ConnectionSendWindow,
  chargeSend,
  growConnectionWindow,
  growStreamWindow,
  sendableBytes,
  shiftStreamWindow,
} from "./send-window.ts";
import type { Role } from "./settings.ts";
import type { H2Stream, StreamHost } from "./stream.ts";
import {
  CLOSED,
  localIsOpen,
  nextState,
  RESET,
  remoteIsOpen,
  SEND_END_STREAM,
} from "./stream-state.ts";
import { ENDED, type HowEnded, RESET_SENT, type StreamTable } from "./stream-table.ts";

/**
 * DATA that one stream may send with one write while others are open. Small calls that come in
 * meanwhile have to wait for it: on this side for the write, on the other side for the read. A lone
 * stream gets all of the budget.
 */
const WRITE_SHARE_BYTES = 65_536;

/**
 * DATA that is worth a write of its own. The sooner it goes out, the less of it waits in colder
 * memory.
 */
const BULK_BYTES = 32_768;

export class Outbound<Owner> implements StreamHost<Owner>, ConnectionSendWindow {
  readonly output: Output = new Output();
  readonly writer: FrameWriter = new FrameWriter(this.output);
  windowBytes: number = DEFAULT_WINDOW_BYTES;
  /**
   * Bytes of DATA that may be put into the output before the binding reports what the socket took.
   */
  budgetBytes = 0;
  /** The largest header list that the peer takes (§6.5.2). */
  maxListBytes: number = UNANNOUNCED_MAX_LIST_BYTES;

  private readonly role: Role;
  private readonly streams: StreamTable<Owner>;
  private readonly guard: FloodGuard;
  private readonly events: OutboundEvents;
  private readonly ready = new ReadyList<Owner>();
  /** Server side: streams that we have ended and the client has not. */
  private earlyEnds: H2Stream<Owner>[] | undefined = undefined;

  constructor(role: Role, streams: StreamTable<Owner>, guard: FloodGuard, events: OutboundEvents) {
    this.role = role;
    this.streams = streams;
    this.guard = guard;
    this.events = events;
  }

  // What owners call

  sendHeaders(stream: H2Stream<Owner>, headers: HeaderList, endStream: boolean): void {
    if (!localIsOpen(stream.state) || stream.endQueued) return;
    if (stream.headersSent) throw new HeaderError("the headers of this stream were sent already");
    const { status } = this.checked(SENT.response(headers));
    if (status < 200 && endStream) throw new HeaderError("a 1xx response cannot end");
    stream.headersSent = status >= 200;
    this.writer.headers(stream.id, headers, endStream);
    this.guard.sentHeaders++;
    if (endStream) this.endLocal(stream);
    this.events.onDirty();
  }

  /** Sends the request headers of a stream that the connection has just opened. */
  sendRequest(stream: H2Stream<Owner>, headers: HeaderList, endStream: boolean): void {
    stream.headersSent = true;
    this.writer.headers(stream.id, headers, endStream);
    if (endStream) this.endLocal(stream);
    this.events.onDirty();
  }

  sendData(stream: H2Stream<Owner>, chunk: LentBytes, endStream: boolean): number {
    const length = chunk.length;
    if (!localIsOpen(stream.state) || stream.endQueued) return 0;
    if (!stream.headersSent) throw new HeaderError("DATA before the headers of the stream");
    if (length === 0 && !endStream) return 0;
    this.events.onDirty();
    if (endStream) stream.endQueued = true;
    let sent = 0;
    // DATA of other streams that waits goes first. But a lone END_STREAM takes nothing from them
    // and needs no window, not even one of 0 (§6.9.1).
    if (stream.queuedBytes === 0 && (length === 0 || this.ready.head === undefined)) {
      sent =
        length === 0
          ? 0
          : Math.min(length, sendableBytes(stream, this), this.budgetBytes, this.shareOf(stream));
      if (sent === length) {
        this.writeChunk(stream, chunk, length, endStream);
        if (endStream) this.endLocal(stream);
        return length;
      }
      if (sent > 0) this.writeChunk(stream, chunk, sent, false);
      else sent = 0;
    }
    stream.queuedBytes += length - sent;
    if (length > sent) {
      if (stream.queue === NO_QUEUE) stream.queue = new SendQueue();
      stream.queue.push(chunk, sent);
    }
    if (stream.sendWindow > 0) this.ready.push(stream);
    return sent;
  }

  sendTrailers(stream: H2Stream<Owner>, trailers: HeaderList): void {
    if (!localIsOpen(stream.state) || stream.endQueued) return;
    if (!stream.headersSent) throw new HeaderError("trailers before the headers of the stream");
    this.checked(SENT.trailers(trailers));
    stream.endQueued = true;
    if (stream.queuedBytes > 0) {
      stream.trailers = trailers;
      return;
    }
    this.writer.headers(stream.id, trailers, true);
    this.guard.sentHeaders++;
    this.endLocal(stream);
    this.events.onDirty();
  }

  reset(stream: H2Stream<Owner>, code: number): void {
    if (stream.silent) return;
    stream.silent = true;
    if (stream.state === CLOSED) return;
    this.writer.rstStream(stream.id, code);
    this.guard.allowLateFrames();
    this.close(stream, RESET_SENT);
    this.events.onDirty();
  }

  acknowledge(stream: H2Stream<Owner>, bytes: number): void {
    const returned = acknowledgeRecv(stream, bytes);
    if (stream.silent) this.streams.settleWindow(stream);
    else if (returned > 0) this.giveBack(stream, returned);
  }

  // What the connection calls

  /**
   * Returns the verdict of a list that can be sent. Call this before HPACK: an encoded block has to
   * be sent, or the tables differ.
   * @throws {HeaderError}
   */
  checked(verdict: Verdict): Verdict {
    const { problem, listBytes } = verdict;
    if (problem !== undefined) throw new HeaderError(problem);
    if (listBytes > this.maxListBytes) throw listTooLarge(listBytes, this.maxListBytes);
    return verdict;
  }

  /** Gives `bytes` that were received back to the peer, for its window of `stream`. */
  giveBack(stream: H2Stream<Owner>, bytes: number): void {
    // A peer that has ended its side needs no window.
    if (!remoteIsOpen(stream.state)) {
      this.streams.settleWindow(stream);
      return;
    }
    const credit = returnCredit(stream, bytes);
    if (credit === 0) return;
    const { growth } = this.streams;
    const extra = growth === undefined ? 0 : growth.onStreamCredit(stream, credit);
    this.announceCredit(stream, credit + extra);
  }

  /** @param bytes 0 for none */
  announceCredit(stream: H2Stream<Owner>, bytes: number): void {
    if (bytes === 0) return;
    this.writer.windowUpdate(stream.id, bytes);
    this.events.onDirty();
  }

  /** WINDOW_UPDATE on a stream. @throws {H2Error} when the window gets too large */
  growStream(stream: H2Stream<Owner>, increment: number): void {
    growStreamWindow(stream, increment);
    this.wake(stream);
  }

  /** WINDOW_UPDATE on the connection. @throws {H2Error} when the window gets too large */
  growConnection(increment: number): void {
    growConnectionWindow(this, increment);
    if (this.ready.head !== undefined) this.events.onDirty();
  }

  /**
   * The peer has changed the initial window of streams by `delta`. @throws {H2Error} when a window
   * gets too large
   */
  shiftStreams(delta: number): void {
    for (const stream of this.streams.all()) {
      shiftStreamWindow(stream, delta);
      this.wake(stream);
    }
  }

  /** Queued DATA waits only for the budget. */
  get hasReadyData(): boolean {
    return this.ready.head !== undefined && this.windowBytes > 0;
  }

  /** Streams on which DATA waits for a window that the peer does not give. */
  starved(): H2Stream<Owner>[] {
    return this.streams
      .all()
      .filter((stream) => stream.queuedBytes > 0 && sendableBytes(stream, this) <= 0);
  }

  /**
   * Puts queued DATA into the output, stream by stream, within windows and budget, and tells the
   * owners.
   */
  pump(): void {
    let rested: H2Stream<Owner>[] | undefined;
    while (this.budgetBytes > 0 && this.windowBytes > 0) {
      const stream = this.ready.head;
      if (stream === undefined) break;
      this.ready.remove(stream);
      const share = this.shareOf(stream);
      if (share <= 0) {
        if (rested === undefined) rested = [stream];
        else rested.push(stream);
        continue;
      }
      const sent = Math.min(
        stream.queue.frameBytes,
        stream.queuedBytes,
        sendableBytes(stream, this),
        this.budgetBytes,
        share,
      );
      // The window may have become negative since the stream was put in the list.
      if (sent <= 0) continue;
      this.writeQueued(stream, sent);
      if (!stream.silent) stream.listener.onWritable(sent);
    }
    if (rested === undefined) return;
    // An owner may have closed its stream when it was told of another one.
    for (const stream of rested) if (stream.state !== CLOSED) this.ready.push(stream);
  }

  /** Bytes that `stream` may still send with this write. */
  private shareOf(stream: H2Stream<Owner>): number {
    if (this.streams.count <= 1) return this.budgetBytes;
    return stream.shareWrite === this.output.writeCount
      ? WRITE_SHARE_BYTES - stream.shareBytes
      : WRITE_SHARE_BYTES;
  }

  /** Takes `bytes` of DATA that go out from the windows and the budget. */
  private charge(stream: H2Stream<Owner>, bytes: number): void {
    chargeSend(stream, this, bytes);
    this.budgetBytes -= bytes;
    const { writeCount } = this.output;
    if (stream.shareWrite !== writeCount) {
      stream.shareWrite = writeCount;
      stream.shareBytes = 0;
    }
    stream.shareBytes += bytes;
  }

  /**
   * Resets streams whose response is complete before their request: the rest of the request is not
   * wanted (§8.1). This happens at the end of the turn, because most often the end of the request
   * came in the same read.
   */
  closeEarlyEnds(): void {
    const { earlyEnds } = this;
    if (earlyEnds === undefined) return;
    this.earlyEnds = undefined;
    for (const stream of earlyEnds) {
      if (stream.state === CLOSED) continue;
      this.writer.rstStream(stream.id, ErrorCode.NO_ERROR);
      this.guard.allowLateFrames();
      this.close(stream, RESET_SENT);
    }
  }

  /**
   * Ends `stream` without a frame. The stream leaves the table and the list, and its queued DATA is
   * dropped.
   */
  close(stream: H2Stream<Owner>, how: HowEnded): void {
    stream.state = nextState(stream.state, RESET);
    this.ready.remove(stream);
    stream.queue.drop(this.output);
    stream.queue = NO_QUEUE;
    stream.queuedBytes = 0;
    stream.trailers = undefined;
    this.streams.remove(stream, how);
  }

  private wake(stream: H2Stream<Owner>): void {
    if (stream.queuedBytes === 0 || stream.sendWindow <= 0) return;
    this.ready.push(stream);
    this.events.onDirty();
  }

  /** Our side of `stream` is complete. */
  private endLocal(stream: H2Stream<Owner>): void {
    stream.endQueued = true;
    stream.state = nextState(stream.state, SEND_END_STREAM);
    if (this.streams.count <= 1) this.events.onLoneEnd();
    if (stream.state === CLOSED) {
      this.streams.remove(stream, ENDED);
    } else if (this.role === "server") {
      stream.silent = true;
      if (this.earlyEnds === undefined) this.earlyEnds = [stream];
      else this.earlyEnds.push(stream);
    }
  }

  /**
   * DATA frames with the first `bytes` of `chunk`, END_STREAM on the last one; `bytes` is 0 only
   * for a lone END_STREAM.
   */
  private writeChunk(
    stream: H2Stream<Owner>,
    chunk: LentBytes,
    bytes: number,
    endStream: boolean,
  ): void {
    this.charge(stream, bytes);
    let start = 0;
    do {
      const end = Math.min(bytes, start + DEFAULT_MAX_FRAME_BYTES);
      this.writer.dataHead(stream.id, end - start, endStream && end === bytes);
      this.writer.dataPayload(chunk, start, end);
      this.guard.sentFrames++;
      start = end;
    } while (start < bytes);
    if (this.output.byteCount >= BULK_BYTES) this.events.onBulk();
  }

  /**
   * One DATA frame of `bytes` from the queue. If the queue is then empty, END_STREAM or the
   * trailers follow.
   */
  private writeQueued(stream: H2Stream<Owner>, bytes: number): void {
    this.charge(stream, bytes);
    stream.queuedBytes -= bytes;
    const done = stream.queuedBytes === 0;
    const { trailers } = stream;
    const endStream = done && stream.endQueued && trailers === undefined;
    stream.queue.writeFrame(this.writer, stream.id, bytes, endStream);
    this.guard.sentFrames++;
    if (!done) {
      if (stream.sendWindow > 0) this.ready.push(stream);
    } else if (stream.endQueued) {
      if (trailers !== undefined) this.writer.headers(stream.id, trailers, true);
      this.endLocal(stream);
    }
  }
}
