// The receiving half of a connection: checks the order of frames, and does what each frame means.
// The control frames (RFC 9113 §6.3 - §6.9) are here, messages in inbound-headers.ts and
// inbound-data.ts. A broken rule is thrown as H2Error; the connection decides on the answer.

import { ErrorCode } from "../wire/error-code.ts";
import { badFrameSize, connectionError, onStreamZero, streamError } from "./error.ts";
import type { FloodGuard } from "./flood-guard.ts";
import {
  FLAG_ACK,
  readUint31,
  TYPE_CONTINUATION,
  TYPE_GOAWAY,
  TYPE_HEADERS,
  TYPE_PING,
  TYPE_PRIORITY,
  TYPE_PUSH_PROMISE,
  TYPE_RST_STREAM,
  TYPE_SETTINGS,
  TYPE_WINDOW_UPDATE,
} from "./frame.ts";
import type { FrameHandler } from "./frame-reader.ts";
import type { InboundData } from "./inbound-data.ts";
import type { InboundHeaders } from "./inbound-headers.ts";
import type { Outbound } from "./outbound.ts";
import { PeerSettings, type Role } from "./settings.ts";
import type { H2Stream } from "./stream.ts";
import type { StreamTable } from "./stream-table.ts";

/** The effects of control frames on the life of the connection. */
export interface InboundHost<Owner> {
  /** RST_STREAM from the peer on an open stream. */
  streamReset(stream: H2Stream<Owner>, code: number): void;
  /** @param isLimitNew MAX_CONCURRENT_STREAMS has changed */
  settingsReceived(isLimitNew: boolean): void;
  settingsAcknowledged(): void;
  pingAcknowledged(opaque: Buffer, start: number): void;
  goAwayReceived(lastStreamId: number, code: number, debugData: string): void;
}

export class Inbound<Owner> implements FrameHandler {
  readonly peerSettings: PeerSettings = new PeerSettings();

  private readonly role: Role;
  private readonly host: InboundHost<Owner>;
  private readonly headers: InboundHeaders<Owner>;
  private readonly data: InboundData<Owner>;
  private readonly outbound: Outbound<Owner>;
  private readonly streams: StreamTable<Owner>;
  private readonly guard: FloodGuard;
  private settingsSeen = false;

  constructor(
    role: Role,
    host: InboundHost<Owner>,
    headers: InboundHeaders<Owner>,
    data: InboundData<Owner>,
    outbound: Outbound<Owner>,
    streams: StreamTable<Owner>,
    guard: FloodGuard,
  ) {
    this.role = role;
    this.host = host;
    this.headers = headers;
    this.data = data;
    this.outbound = outbound;
    this.streams = streams;
    this.guard = guard;
  }

  onWholeData(streamId: number, flags: number, chunk: Buffer, start: number, end: number): void {
    this.expectData(streamId);
    this.data.recvWholeData(streamId, flags, chunk, start, end);
  }

  onDataFrame(streamId: number, payloadBytes: number, dataBytes: number, flags: number): void {
    this.expectData(streamId);
    this.data.recvData(streamId, payloadBytes, dataBytes, flags);
  }

  onDataPiece(chunk: Buffer, start: number, end: number, last: boolean): void {
    this.data.recvDataPiece(chunk, start, end, last);
  }

  private expectData(streamId: number): void {
    if (this.headers.blockIsOpen || !this.settingsSeen) throw this.outOfOrder();
    if (streamId === 0) throw onStreamZero("DATA");
  }

  onFrame(
    type: number,
    flags: number,
    streamId: number,
    buffer: Buffer,
    start: number,
    end: number,
  ): void {
    if (type === TYPE_CONTINUATION) {
      this.headers.recvContinuation(flags, streamId, buffer, start, end);
      return;
    }
    if (this.headers.blockIsOpen) throw this.outOfOrder();
    if (!this.settingsSeen && (type !== TYPE_SETTINGS || (flags & FLAG_ACK) !== 0)) {
      throw this.outOfOrder();
    }
    switch (type) {
      case TYPE_HEADERS:
        this.headers.recvHeaders(flags, streamId, buffer, start, end);
        break;
      case TYPE_WINDOW_UPDATE:
        this.recvWindowUpdate(streamId, buffer, start, end);
        break;
      case TYPE_RST_STREAM:
        this.recvReset(streamId, buffer, start, end);
        break;
      case TYPE_SETTINGS:
        this.recvSettings(flags, streamId, buffer, start, end);
        break;
      case TYPE_PING:
        this.recvPing(flags, streamId, buffer, start, end);
        break;
      case TYPE_GOAWAY:
        this.recvGoAway(streamId, buffer, start, end);
        break;
      case TYPE_PRIORITY:
        this.recvPriority(streamId, buffer, start, end);
        break;
      case TYPE_PUSH_PROMISE:
        // We never take pushes (§8.4); a client cannot send them at all.
        throw connectionError(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE is not accepted");
      default:
        // "Implementations MUST ignore and discard frames of unknown types" (§4.1).
        this.guard.countIdleFrame("unknown frame type");
    }
  }

  // Control frames

  private recvWindowUpdate(streamId: number, buffer: Buffer, start: number, end: number): void {
    if (end - start !== 4) throw badFrameSize("WINDOW_UPDATE", end - start);
    this.guard.countIdleFrame("WINDOW_UPDATE");
    const increment = readUint31(buffer, start);
    if (streamId === 0) {
      if (increment === 0) {
        throw connectionError(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0 on the connection");
      }
      this.outbound.growConnection(increment);
      return;
    }
    const stream = this.streams.get(streamId);
    if (stream === undefined) {
      this.expectNotIdle(streamId, "WINDOW_UPDATE");
      return;
    }
    if (increment === 0) {
      throw streamError(streamId, ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0");
    }
    this.outbound.growStream(stream, increment);
  }

  private recvReset(streamId: number, buffer: Buffer, start: number, end: number): void {
    if (end - start !== 4) throw badFrameSize("RST_STREAM", end - start);
    if (streamId === 0) throw onStreamZero("RST_STREAM");
    const stream = this.streams.get(streamId);
    if (stream === undefined) {
      this.expectNotIdle(streamId, "RST_STREAM");
      this.guard.countIdleFrame("RST_STREAM on ended streams");
      return;
    }
    // A server can only reset streams that we opened, so only clients can flood with RST_STREAM.
    if (this.role === "server") this.guard.countReset();
    this.host.streamReset(stream, buffer.readUInt32BE(start));
  }

  private recvSettings(
    flags: number,
    streamId: number,
    buffer: Buffer,
    start: number,
    end: number,
  ): void {
    if (streamId !== 0) throw notOnStreamZero("SETTINGS", streamId);
    if ((flags & FLAG_ACK) !== 0) {
      if (end !== start) throw badFrameSize("SETTINGS acknowledgement", end - start);
      this.host.settingsAcknowledged();
      return;
    }
    if ((end - start) % 6 !== 0) throw badFrameSize("SETTINGS", end - start);
    this.guard.countSettings();
    const { peerSettings, outbound } = this;
    const { initialWindowBytes: windowBefore, maxConcurrentStreams: limitBefore } = peerSettings;
    peerSettings.apply(this.role === "server" ? "client" : "server", buffer, start, end);
    const { encoder } = outbound.writer;
    encoder.setPeerMaxTableBytes(peerSettings.lowestHeaderTableBytes);
    encoder.setPeerMaxTableBytes(peerSettings.headerTableBytes);
    outbound.maxListBytes = peerSettings.maxHeaderListBytes;
    const delta = peerSettings.initialWindowBytes - windowBefore;
    if (delta !== 0) outbound.shiftStreams(delta);
    this.settingsSeen = true;
    outbound.writer.settingsAck();
    this.host.settingsReceived(peerSettings.maxConcurrentStreams !== limitBefore);
  }

  private recvPing(
    flags: number,
    streamId: number,
    buffer: Buffer,
    start: number,
    end: number,
  ): void {
    if (streamId !== 0) throw notOnStreamZero("PING", streamId);
    if (end - start !== 8) throw badFrameSize("PING", end - start);
    this.guard.countPing();
    if ((flags & FLAG_ACK) !== 0) {
      this.host.pingAcknowledged(buffer, start);
      return;
    }
    this.guard.countQuestion();
    this.outbound.writer.ping(buffer, start, true);
  }

  private recvGoAway(streamId: number, buffer: Buffer, start: number, end: number): void {
    if (streamId !== 0) throw notOnStreamZero("GOAWAY", streamId);
    if (end - start < 8) throw badFrameSize("GOAWAY", end - start);
    this.guard.countIdleFrame("GOAWAY");
    const lastStreamId = readUint31(buffer, start);
    const code = buffer.readUInt32BE(start + 4);
    this.host.goAwayReceived(lastStreamId, code, buffer.toString("latin1", start + 8, end));
  }

  /** Deprecated and without effect (§5.3), but its form is checked (§6.3). */
  private recvPriority(streamId: number, buffer: Buffer, start: number, end: number): void {
    if (streamId === 0) throw onStreamZero("PRIORITY");
    this.guard.countIdleFrame("PRIORITY");
    const isOpen = this.streams.get(streamId) !== undefined;
    if (end - start !== 5) {
      // This is a stream error if there is a stream to reset (§6.4 forbids RST_STREAM for an idle
      // one).
      if (!isOpen) throw badFrameSize("PRIORITY", end - start);
      throw streamError(streamId, ErrorCode.FRAME_SIZE_ERROR, `PRIORITY of ${end - start} bytes`);
    }
    if (readUint31(buffer, start) !== streamId) return;
    const message = `stream ${streamId} depends on itself`;
    if (!isOpen) throw connectionError(ErrorCode.PROTOCOL_ERROR, message);
    throw streamError(streamId, ErrorCode.PROTOCOL_ERROR, message);
  }

  private expectNotIdle(streamId: number, frame: string): void {
    if (!this.streams.isIdle(streamId)) return;
    throw connectionError(ErrorCode.PROTOCOL_ERROR, `${frame} on idle stream ${streamId}`);
  }

  private outOfOrder(): Error {
    return connectionError(
      ErrorCode.PROTOCOL_ERROR,
      this.settingsSeen
        ? "header block interrupted by another frame"
        : "the first frame is not SETTINGS",
    );
  }
}

function notOnStreamZero(frame: string, streamId: number): Error {
  return connectionError(ErrorCode.PROTOCOL_ERROR, `${frame} on stream ${streamId}`);
}
