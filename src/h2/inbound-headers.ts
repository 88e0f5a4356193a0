// Header sections of the peer's messages (RFC 9113 §6.2, §6.10, §8): requests, responses and
// trailers. They are assembled, decoded and checked here. A broken rule is thrown as H2Error.

import { ErrorCode } from "../wire/error-code.ts";
import type { HeaderList } from "../wire/field.ts";
import { NO_LENGTH, RECEIVED } from "../wire/message-rules.ts";
import {
  badFrameSize,
  connectionError,
  type H2Error,
  onStreamZero,
  overLimit,
  streamError,
} from "./error.ts";
import type { ConnectionOptions } from "./events.ts";
import type { FloodGuard } from "./flood-guard.ts";
import {
  FLAG_END_HEADERS,
  FLAG_END_STREAM,
  FLAG_PADDED,
  FLAG_PRIORITY,
  readUint31,
} from "./frame.ts";
import { HeaderBlock } from "./header-block.ts";
import { HpackDecoder } from "./hpack/decoder.ts";
import { checkContent } from "./inbound-data.ts";
import type { Role } from "./settings.ts";
import type { H2Stream } from "./stream.ts";
import { remoteIsOpen } from "./stream-state.ts";
import { NOT_REMEMBERED, RESET_RECEIVED, RESET_SENT, type StreamTable } from "./stream-table.ts";

/** Who decides about new streams: the connection. */
export interface StreamAcceptor {
  /**
   * Server side: takes the well-formed request that opens a stream, or one that is `tooLarge`.
   * @throws {H2Error} for a request that is too large and not answered
   */
  acceptStream(
    streamId: number,
    headers: HeaderList,
    endStream: boolean,
    contentLength: number,
    tooLarge: H2Error | undefined,
  ): void;
  /**
   * Why a new stream would be refused: an error code, or `IGNORE`. `undefined` when it would be
   * taken.
   */
  refusal(): number | undefined;
}

/** Our GOAWAY has told the peer that the stream is not processed. */
export const IGNORE = -1;

const NO_FIELDS: HeaderList = [];

export class InboundHeaders<Owner> {
  readonly decoder: HpackDecoder;
  /** A header block has begun: nothing but its CONTINUATION may come (§4.3). */
  blockIsOpen = false;
  /** Client side: response headers have come. */
  answered = false;

  private readonly role: Role;
  private readonly options: ConnectionOptions;
  private readonly acceptor: StreamAcceptor;
  private readonly streams: StreamTable<Owner>;
  private readonly guard: FloodGuard;
  private readonly block: HeaderBlock;

  constructor(
    role: Role,
    options: ConnectionOptions,
    acceptor: StreamAcceptor,
    streams: StreamTable<Owner>,
    guard: FloodGuard,
  ) {
    this.role = role;
    this.options = options;
    this.acceptor = acceptor;
    this.streams = streams;
    this.guard = guard;
    this.decoder = new HpackDecoder({
      maxTableBytes: options.headerTableBytes,
      maxHeaderListBytes: options.maxHeaderListBytes,
    });
    this.block = new HeaderBlock(options.limits, options.maxHeaderListBytes);
  }

  recvHeaders(flags: number, streamId: number, buffer: Buffer, start: number, end: number): void {
    if (streamId === 0) throw onStreamZero("HEADERS");
    let from = start;
    let to = end;
    if ((flags & FLAG_PADDED) !== 0) {
      if (from === to) throw badFrameSize("HEADERS", 0);
      to -= buffer.readUInt8(from++);
    }
    let dependsOnItself = false;
    if ((flags & FLAG_PRIORITY) !== 0) {
      if (end - from < 5) throw badFrameSize("HEADERS", end - start);
      dependsOnItself = readUint31(buffer, from) === streamId;
      from += 5;
    }
    if (to < from)
      throw connectionError(ErrorCode.PROTOCOL_ERROR, "HEADERS padded beyond its length");
    const endStream = (flags & FLAG_END_STREAM) !== 0;
    if ((flags & FLAG_END_HEADERS) !== 0) {
      this.finishHeaders(streamId, endStream, dependsOnItself, buffer, from, to);
      return;
    }
    this.blockIsOpen = true;
    this.block.begin(streamId, endStream, dependsOnItself);
    this.block.append(buffer, from, to);
  }

  /** The stream whose header block has begun and not ended; 0 for none. */
  get openStreamId(): number {
    return this.blockIsOpen ? this.block.streamId : 0;
  }

  recvContinuation(
    flags: number,
    streamId: number,
    buffer: Buffer,
    start: number,
    end: number,
  ): void {
    const { block } = this;
    if (!this.blockIsOpen || block.streamId !== streamId) {
      throw connectionError(ErrorCode.PROTOCOL_ERROR, `unexpected CONTINUATION on ${streamId}`);
    }
    block.countContinuation();
    block.append(buffer, start, end);
    if ((flags & FLAG_END_HEADERS) === 0) return;
    const { bytes, length, endStream, dependsOnItself } = block;
    block.clear();
    this.blockIsOpen = false;
    this.finishHeaders(streamId, endStream, dependsOnItself, bytes, 0, length);
  }

  /**
   * A complete header block. It is decoded even if the stream is refused or gone: otherwise the
   * HPACK state would be lost (§4.3).
   */
  private finishHeaders(
    streamId: number,
    endStream: boolean,
    dependsOnItself: boolean,
    block: Buffer,
    start: number,
    end: number,
  ): void {
    const fields = this.decoder.decode(block, start, end);
    const stream = this.streams.get(streamId);
    if (stream === undefined && !this.opensStream(streamId)) return;
    if (stream !== undefined && !remoteIsOpen(stream.state)) {
      throw streamError(streamId, ErrorCode.STREAM_CLOSED, "HEADERS after END_STREAM");
    }
    if (dependsOnItself) {
      throw streamError(streamId, ErrorCode.PROTOCOL_ERROR, "stream depends on itself");
    }
    if (this.decoder.listTooLarge) {
      const error = overLimit(
        streamId,
        `header list of ${this.decoder.listBytes} bytes`,
        { name: "maxHeaderListBytes", value: this.options.maxHeaderListBytes },
        "bytes",
      );
      if (stream !== undefined) throw error;
      this.acceptor.acceptStream(streamId, NO_FIELDS, endStream, NO_LENGTH, error);
      return;
    }
    if (stream === undefined) this.recvRequest(streamId, fields, endStream);
    else if (stream.headersReceived) this.recvTrailers(stream, fields, endStream);
    else this.recvResponse(stream, fields, endStream);
  }

  /** HEADERS without a stream. Returns true when they may open one, false when they are ignored. */
  private opensStream(streamId: number): boolean {
    const { streams } = this;
    if (streams.isIdle(streamId)) {
      if (this.role === "client" || (streamId & 1) === 0) {
        throw connectionError(ErrorCode.PROTOCOL_ERROR, `HEADERS on idle stream ${streamId}`);
      }
      streams.lastPeerId = streamId;
      const refusal = this.acceptor.refusal();
      if (refusal === undefined) return true;
      streams.remember(streamId, RESET_SENT);
      if (refusal === ErrorCode.REFUSED_STREAM) {
        const limit = { name: "maxConcurrentStreams", value: this.options.maxConcurrentStreams };
        throw overLimit(streamId, "one stream too many", limit, "open at once", refusal);
      }
      return false;
    }
    switch (streams.recall(streamId)) {
      case RESET_SENT:
        this.guard.countIdleFrame("HEADERS on ended streams");
        return false;
      case RESET_RECEIVED:
        throw streamError(streamId, ErrorCode.STREAM_CLOSED, "HEADERS after RST_STREAM");
      case NOT_REMEMBERED:
        if (this.role === "client") {
          // We opened the stream, so it is one of many that were reset at once. Their responses may
          // still be under way (§5.1).
          this.guard.countIdleFrame("HEADERS on ended streams");
          return false;
        }
        // The stream is long closed or was skipped: its id is lower than one used before (§5.1.1).
        throw connectionError(ErrorCode.PROTOCOL_ERROR, `stream id ${streamId} is not a new one`);
      default:
        throw connectionError(ErrorCode.STREAM_CLOSED, `HEADERS on closed stream ${streamId}`);
    }
  }

  private recvRequest(streamId: number, fields: HeaderList, endStream: boolean): void {
    const { problem, list, contentLength } = RECEIVED.request(fields);
    if (problem !== undefined) throw malformed(streamId, problem);
    if (endStream && contentLength > 0) {
      throw malformed(streamId, "content-length without content");
    }
    this.guard.receivedFrames++;
    this.acceptor.acceptStream(streamId, list, endStream, contentLength, undefined);
  }

  private recvResponse(stream: H2Stream<Owner>, fields: HeaderList, endStream: boolean): void {
    const { problem, list, status, contentLength } = RECEIVED.response(fields);
    if (problem !== undefined) throw malformed(stream.id, problem);
    if (status < 200) {
      // §8.1: any number of interim responses, none of which ends the stream.
      if (endStream) throw malformed(stream.id, "a 1xx response ends the stream");
      this.guard.countIdleFrame("1xx response");
      return;
    }
    stream.headersReceived = true;
    this.answered = true;
    // §8.1.1: the content-length of HEAD, 204 and 304 is not the length of their (empty) content.
    if (!stream.isHead && status !== 204 && status !== 304) {
      stream.contentLeft = contentLength;
      if (endStream && contentLength > 0) {
        throw malformed(stream.id, "content-length without content");
      }
    }
    this.guard.receivedFrames++;
    if (endStream) this.streams.endRemote(stream);
    stream.listener.onHeaders(list, endStream);
  }

  private recvTrailers(stream: H2Stream<Owner>, fields: HeaderList, endStream: boolean): void {
    if (!endStream) throw malformed(stream.id, "trailers without END_STREAM");
    const { problem, list } = RECEIVED.trailers(fields);
    if (problem !== undefined) throw malformed(stream.id, problem);
    if (stream.contentLeft !== NO_LENGTH) checkContent(stream, true);
    this.guard.receivedFrames++;
    this.streams.endRemote(stream);
    if (!stream.silent) stream.listener.onTrailers(list);
  }
}

function malformed(streamId: number, problem: string): Error {
  return streamError(streamId, ErrorCode.PROTOCOL_ERROR, problem);
}
