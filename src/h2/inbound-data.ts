// DATA of the peer's messages (RFC 9113 §6.1): which stream it belongs to, what it takes from the
// windows, and which owner gets it. A broken rule is thrown as H2Error.

import { ErrorCode } from "../wire/error-code.ts";
import { give, type LentBytes, lend } from "../wire/lent-bytes.ts";
import { NO_LENGTH } from "../wire/message-rules.ts";
import { connectionError, streamError } from "./error.ts";
import type { FloodGuard } from "./flood-guard.ts";
import { DEFAULT_WINDOW_BYTES, FLAG_END_STREAM } from "./frame.ts";
import type { Outbound } from "./outbound.ts";
import {
  type ConnectionRecvWindow,
  recvOnConnection,
  recvOnStream,
  relief,
} from "./recv-window.ts";
import type { Role } from "./settings.ts";
import type { H2Stream } from "./stream.ts";
import { CLOSED, remoteIsOpen } from "./stream-state.ts";
import { ENDED, NOT_REMEMBERED, RESET_SENT, type StreamTable } from "./stream-table.ts";

/**
 * Shorter DATA frames are copied if they are likely to be kept: the copy costs little more than a
 * view.
 */
const LEND_FROM_BYTES = 2_048;

const NOTHING: Buffer = Buffer.alloc(0);

export class InboundData<Owner> implements ConnectionRecvWindow {
  connectionWindowBytes: number;
  windowBytes: number = DEFAULT_WINDOW_BYTES;
  creditBytes = 0;
  receivedBytes = 0;
  /** The memory of the current chunk will be read into again. */
  isLent = false;

  private readonly role: Role;
  private readonly outbound: Outbound<Owner>;
  private readonly streams: StreamTable<Owner>;
  private readonly guard: FloodGuard;

  /**
   * The stream that gets the pieces of the current DATA frame; `undefined` when the frame is
   * ignored.
   */
  private dataStream: H2Stream<Owner> | undefined = undefined;
  private dataEndsStream = false;
  /** Of the DATA frame that is being received. */
  private dataBytes = 0;

  constructor(
    role: Role,
    connectionWindowBytes: number,
    outbound: Outbound<Owner>,
    streams: StreamTable<Owner>,
    guard: FloodGuard,
  ) {
    this.role = role;
    this.connectionWindowBytes = connectionWindowBytes;
    this.outbound = outbound;
    this.streams = streams;
    this.guard = guard;
  }

  /** A DATA frame without padding, as a whole. */
  recvWholeData(streamId: number, flags: number, chunk: Buffer, start: number, end: number): void {
    const bytes = end - start;
    const stream = this.admitData(streamId, bytes, bytes, flags);
    if (stream === undefined) return;
    this.deliver(stream, chunk, start, end, bytes, (flags & FLAG_END_STREAM) !== 0);
  }

  /** A DATA frame whose data comes by `recvDataPiece`. */
  recvData(streamId: number, payloadBytes: number, dataBytes: number, flags: number): void {
    this.dataStream = undefined;
    this.dataStream = this.admitData(streamId, payloadBytes, dataBytes, flags);
    this.dataBytes = dataBytes;
    this.dataEndsStream = (flags & FLAG_END_STREAM) !== 0;
  }

  recvDataPiece(chunk: Buffer, start: number, end: number, last: boolean): void {
    const stream = this.dataStream;
    // The owner may have reset the stream after the first piece.
    if (stream === undefined || stream.state === CLOSED) return;
    if (last) this.dataStream = undefined;
    this.deliver(stream, chunk, start, end, this.dataBytes, last && this.dataEndsStream);
  }

  /**
   * Does everything for a DATA frame except passing its data on. Returns the stream that gets the
   * data.
   */
  private admitData(
    streamId: number,
    payloadBytes: number,
    dataBytes: number,
    flags: number,
  ): H2Stream<Owner> | undefined {
    const credit = recvOnConnection(this, payloadBytes);
    if (credit > 0) {
      this.outbound.writer.windowUpdate(0, credit);
      this.streams.growth?.onConnectionCredit(credit);
    }
    const stream = this.streams.get(streamId);
    if (stream === undefined) {
      this.lateData(streamId);
      return undefined;
    }
    if (!remoteIsOpen(stream.state)) {
      throw streamError(streamId, ErrorCode.STREAM_CLOSED, "DATA after END_STREAM");
    }
    recvOnStream(stream, payloadBytes, dataBytes);
    if (!stream.headersReceived) {
      throw streamError(streamId, ErrorCode.PROTOCOL_ERROR, "DATA before the response headers");
    }
    const endStream = (flags & FLAG_END_STREAM) !== 0;
    if (stream.contentLeft !== NO_LENGTH) {
      stream.contentLeft -= dataBytes;
      checkContent(stream, endStream);
    }
    if (dataBytes > 0) this.guard.receivedFrames++;
    else if (!endStream) this.guard.countIdleFrame("empty DATA");
    // Padding never reaches the owner, so its credit is given back here.
    if (dataBytes < payloadBytes) this.outbound.giveBack(stream, payloadBytes - dataBytes);
    if (!endStream) this.outbound.announceCredit(stream, relief(stream));
    if (dataBytes > 0) return stream;
    if (endStream) {
      this.streams.endRemote(stream);
      if (!stream.silent) stream.listener.onData(NOTHING, true);
    }
    return undefined;
  }

  private deliver(
    stream: H2Stream<Owner>,
    chunk: Buffer,
    start: number,
    end: number,
    frameBytes: number,
    endStream: boolean,
  ): void {
    if (endStream) this.streams.endRemote(stream);
    if (stream.silent) return;
    stream.listener.onData(this.viewOf(stream, chunk, start, end, frameBytes), endStream);
  }

  /**
   * Short DATA goes as a copy to the owner of a request that has no answer yet: that owner is
   * likely to keep it for another attempt. All other DATA goes on at once, so a view is enough.
   */
  private viewOf(
    stream: H2Stream<Owner>,
    chunk: Buffer,
    start: number,
    end: number,
    frameBytes: number,
  ): LentBytes {
    if (!this.isLent) return chunk.subarray(start, end);
    return stream.headersSent || frameBytes >= LEND_FROM_BYTES
      ? lend(chunk, start, end)
      : give(chunk, start, end);
  }

  private lateData(streamId: number): void {
    if (this.streams.isIdle(streamId)) {
      throw connectionError(ErrorCode.PROTOCOL_ERROR, `DATA on idle stream ${streamId}`);
    }
    switch (this.streams.recall(streamId)) {
      case RESET_SENT:
        // The frame was under way when we reset the stream. The window of the connection bounds
        // such frames (§5.1).
        return;
      case ENDED:
        throw connectionError(ErrorCode.STREAM_CLOSED, `DATA on closed stream ${streamId}`);
      case NOT_REMEMBERED:
        // We opened every stream on which a server may send. So this stream is one of many that
        // were reset at once.
        if (this.role === "client") return;
        throw streamError(streamId, ErrorCode.STREAM_CLOSED, "DATA on a closed stream");
      default:
        throw streamError(streamId, ErrorCode.STREAM_CLOSED, "DATA on a closed stream");
    }
  }
}

/** Checks that the DATA of a message adds up to its content-length (§8.1.1). */
export function checkContent<Owner>(stream: H2Stream<Owner>, endStream: boolean): void {
  if (stream.contentLeft < 0 || (endStream && stream.contentLeft > 0)) {
    throw streamError(
      stream.id,
      ErrorCode.PROTOCOL_ERROR,
      "DATA does not add up to content-length",
    );
  }
}
