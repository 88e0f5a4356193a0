// Cuts a byte stream into frames (RFC 9113 §4.1), whatever its chunks. A frame that lies in one
// chunk is handed on in place. Of other frames only the header and control payloads are copied. The
// reader must not know what a frame means.

import { ErrorCode } from "../wire/error-code.ts";
import { connectionError } from "./error.ts";
import {
  DEFAULT_MAX_FRAME_BYTES,
  FLAG_PADDED,
  FRAME_HEADER_BYTES,
  readFlags,
  readLengthAndType,
  readUint31,
  TYPE_DATA,
} from "./frame.ts";

/**
 * Gets the frames. A method may throw an `H2Error`; the reader then continues after the frame that
 * caused it.
 */
export interface FrameHandler {
  /** A DATA frame without padding whose payload is `chunk[start..end)`, as nearly all are. */
  onWholeData(streamId: number, flags: number, chunk: Buffer, start: number, end: number): void;
  /**
   * Any other DATA frame begins. Flow control counts all of `payloadBytes` (§6.1). `dataBytes` of
   * them are data, and follow by `onDataPiece`.
   */
  onDataFrame(streamId: number, payloadBytes: number, dataBytes: number, flags: number): void;
  /** Not called for a frame without data. `last` comes with the last byte of the frame. */
  onDataPiece(chunk: Buffer, start: number, end: number, last: boolean): void;
  /** Any other frame, complete. The payload is valid only during the call. */
  onFrame(
    type: number,
    flags: number,
    streamId: number,
    buffer: Buffer,
    start: number,
    end: number,
  ): void;
}

const IN_HEADER = 0;
/** Collecting the payload of a frame other than DATA. */
const IN_PAYLOAD = 1;
/** Handing on the data of a DATA frame, then skipping its padding. */
const IN_DATA = 2;

/** A padded DATA frame is begun when its pad length is known as well. */
const HEAD_BYTES = FRAME_HEADER_BYTES + 1;

const NOTHING: Buffer = Buffer.alloc(0);

export class FrameReader {
  private readonly handler: FrameHandler;
  private stopped = false;
  private mode = IN_HEADER;

  private position = 0;

  /** A header that is cut by the end of a chunk, and how much of it has come. */
  private head: Buffer = NOTHING;
  private headBytes = 0;

  private type = 0;
  private flags = 0;
  private streamId = 0;
  private payload: Buffer = NOTHING;
  private payloadBytes = 0;

  private dataLeft = 0;
  private paddingLeft = 0;

  constructor(handler: FrameHandler) {
    this.handler = handler;
  }

  /** The next chunk begins at `position`; `run` parses it. */
  feed(position: number): void {
    this.position = position;
  }

  /** The stream of a frame other than DATA that has begun and not ended; 0 for none. */
  get openStreamId(): number {
    return this.mode === IN_PAYLOAD ? this.streamId : 0;
  }

  /** Stops: nothing is read any more. */
  stop(): void {
    this.stopped = true;
    this.payload = NOTHING;
  }

  /**
   * Parses the chunk, which ends at `end`. An error that the handler throws comes through; the next
   * call goes on with the next frame.
   * @throws {H2Error} for a frame over the size that we announced
   */
  run(chunk: Buffer, end: number): void {
    while (this.position < end && !this.stopped) {
      if (this.mode === IN_DATA) this.readData(chunk, end);
      else if (this.mode === IN_PAYLOAD) this.readPayload(chunk, end);
      else if (this.headBytes > 0 || end - this.position < HEAD_BYTES) this.readHead(chunk, end);
      else this.readFrames(chunk, end);
    }
  }

  /** The tight loop over frames whose header lies in the chunk. */
  private readFrames(chunk: Buffer, end: number): void {
    const handler = this.handler;
    let position = this.position;
    // One byte more than a header, so that the pad length of DATA is included.
    while (end - position >= HEAD_BYTES && !this.stopped) {
      const word = readLengthAndType(chunk, position);
      const length = word >>> 8;
      const type = word & 0xff;
      const flags = readFlags(chunk, position);
      const streamId = readUint31(chunk, position + 5);
      const start = position + FRAME_HEADER_BYTES;
      position = start + length;
      if (position > end || length > DEFAULT_MAX_FRAME_BYTES) {
        this.position = start;
        this.begin(length, type, flags, streamId, chunk.readUInt8(start));
        return;
      }
      this.position = position;
      if (type !== TYPE_DATA) {
        handler.onFrame(type, flags, streamId, chunk, start, position);
      } else if ((flags & FLAG_PADDED) === 0) {
        handler.onWholeData(streamId, flags, chunk, start, position);
      } else {
        const dataBytes = this.unpaddedBytes(length, chunk.readUInt8(start));
        handler.onDataFrame(streamId, length, dataBytes, flags);
        if (dataBytes > 0) handler.onDataPiece(chunk, start + 1, start + 1 + dataBytes, true);
      }
    }
  }

  /** A header at the end of a chunk, or the rest of it. */
  private readHead(chunk: Buffer, end: number): void {
    if (this.head === NOTHING) this.head = Buffer.allocUnsafeSlow(HEAD_BYTES);
    const head = this.head;
    // The tenth byte belongs to the header only where it is a pad length.
    while (this.headBytes < FRAME_HEADER_BYTES) {
      if (this.position === end) return;
      head[this.headBytes++] = chunk.readUInt8(this.position++);
    }
    const word = readLengthAndType(head, 0);
    const length = word >>> 8;
    const type = word & 0xff;
    const flags = readFlags(head, 0);
    let padBytes = 0;
    if (type === TYPE_DATA && (flags & FLAG_PADDED) !== 0 && length > 0) {
      if (this.position === end) return;
      padBytes = chunk.readUInt8(this.position);
    }
    this.headBytes = 0;
    this.begin(length, type, flags, readUint31(head, 5), padBytes);
  }

  /** Begins a frame that is not completely in the chunk. The position is behind its header. */
  private begin(
    length: number,
    type: number,
    flags: number,
    streamId: number,
    padBytes: number,
  ): void {
    if (length > DEFAULT_MAX_FRAME_BYTES) {
      // §4.2 allows a stream error for DATA. But a peer that sends such a frame has not read our
      // SETTINGS at all.
      throw connectionError(ErrorCode.FRAME_SIZE_ERROR, `frame of ${length} bytes`);
    }
    if (type === TYPE_DATA) {
      let dataBytes = length;
      this.paddingLeft = 0;
      if ((flags & FLAG_PADDED) !== 0) {
        dataBytes = this.unpaddedBytes(length, padBytes);
        this.position++;
        this.paddingLeft = padBytes;
      }
      this.dataLeft = dataBytes;
      if (dataBytes + this.paddingLeft > 0) this.mode = IN_DATA;
      this.handler.onDataFrame(streamId, length, dataBytes, flags);
    } else if (length === 0) {
      this.handler.onFrame(type, flags, streamId, NOTHING, 0, 0);
    } else {
      this.mode = IN_PAYLOAD;
      this.type = type;
      this.flags = flags;
      this.streamId = streamId;
      this.payload = Buffer.allocUnsafeSlow(length);
      this.payloadBytes = 0;
    }
  }

  private readPayload(chunk: Buffer, end: number): void {
    const payload = this.payload;
    const take = Math.min(payload.length - this.payloadBytes, end - this.position);
    chunk.copy(payload, this.payloadBytes, this.position, this.position + take);
    this.position += take;
    this.payloadBytes += take;
    if (this.payloadBytes < payload.length) return;
    this.mode = IN_HEADER;
    this.payload = NOTHING;
    this.handler.onFrame(this.type, this.flags, this.streamId, payload, 0, payload.length);
  }

  private readData(chunk: Buffer, end: number): void {
    const start = this.position;
    if (this.dataLeft > 0) {
      const take = Math.min(this.dataLeft, end - start);
      this.position += take;
      this.dataLeft -= take;
      const last = this.dataLeft === 0;
      if (last && this.paddingLeft === 0) this.mode = IN_HEADER;
      this.handler.onDataPiece(chunk, start, start + take, last);
      return;
    }
    const skip = Math.min(this.paddingLeft, end - start);
    this.position += skip;
    this.paddingLeft -= skip;
    if (this.paddingLeft === 0) this.mode = IN_HEADER;
  }

  /** The data bytes of a padded payload (§6.1): the payload without pad length and padding. */
  private unpaddedBytes(length: number, padBytes: number): number {
    if (padBytes >= length) {
      throw connectionError(ErrorCode.PROTOCOL_ERROR, "DATA padded beyond its length");
    }
    return length - 1 - padBytes;
  }
}
