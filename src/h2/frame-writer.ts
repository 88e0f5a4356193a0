// Writes frames into the output of one connection (RFC 9113 §4.1, §6). The writer must not know
// streams, or when a frame is allowed.

import type { HeaderList } from "../wire/field.ts";
import type { LentBytes } from "../wire/lent-bytes.ts";
import {
  DEFAULT_MAX_FRAME_BYTES,
  FLAG_ACK,
  FLAG_END_HEADERS,
  FLAG_END_STREAM,
  FRAME_HEADER_BYTES,
  TYPE_CONTINUATION,
  TYPE_DATA,
  TYPE_GOAWAY,
  TYPE_HEADERS,
  TYPE_PING,
  TYPE_RST_STREAM,
  TYPE_SETTINGS,
  TYPE_WINDOW_UPDATE,
} from "./frame.ts";
import { MAX_KNOWN_BLOCK_BYTES } from "./hpack/encoded-blocks.ts";
import { HpackEncoder } from "./hpack/encoder.ts";
import { COPY_BELOW_BYTES, type Output } from "./output.ts";

/** Debug data of GOAWAY is for people. Longer text would only help an attacker to make us write. */
const MAX_DEBUG_BYTES = 256;

export class FrameWriter {
  readonly encoder: HpackEncoder = new HpackEncoder();
  readonly output: Output;

  constructor(output: Output) {
    this.output = output;
  }

  /** Writes bytes that are no frame: the client's preface. */
  raw(bytes: Buffer): void {
    this.output.append(bytes, 0, bytes.length);
  }

  /** One DATA frame's header; its payload follows by `dataPayload`, in one or more pieces. */
  dataHead(streamId: number, payloadBytes: number, endStream: boolean): void {
    // Reserves room for a payload that is copied, too, so that a small frame never spans two slabs.
    const output = this.output;
    output.reserve(
      payloadBytes < COPY_BELOW_BYTES ? FRAME_HEADER_BYTES + payloadBytes : FRAME_HEADER_BYTES,
    );
    writeHead(
      output.slab,
      output.position,
      payloadBytes,
      TYPE_DATA,
      endStream ? FLAG_END_STREAM : 0,
      streamId,
    );
    output.advance(FRAME_HEADER_BYTES);
  }

  /**
   * One DATA frame whose payload is not copied. Its memory has room for the header in front of the
   * payload.
   */
  dataInPlace(
    streamId: number,
    bytes: Buffer,
    start: number,
    payloadBytes: number,
    endStream: boolean,
  ): void {
    const head = start - FRAME_HEADER_BYTES;
    writeHead(bytes, head, payloadBytes, TYPE_DATA, endStream ? FLAG_END_STREAM : 0, streamId);
    this.output.appendRun(bytes, head, start + payloadBytes);
  }

  dataPayload(bytes: LentBytes, start: number, end: number): void {
    this.output.append(bytes, start, end);
  }

  /**
   * HEADERS, followed by CONTINUATION if the block is longer than a frame. Blocks go out in the
   * order in which they are encoded.
   */
  headers(streamId: number, fields: HeaderList, endStream: boolean): void {
    const output = this.output;
    const endFlag = endStream ? FLAG_END_STREAM : 0;
    const known = this.encoder.recall(fields);
    if (known !== undefined) {
      const { length } = known;
      output.reserve(FRAME_HEADER_BYTES + MAX_KNOWN_BLOCK_BYTES);
      const { slab, position } = output;
      writeHead(slab, position, length, TYPE_HEADERS, FLAG_END_HEADERS | endFlag, streamId);
      known.writeTo(slab, position + FRAME_HEADER_BYTES);
      output.advance(FRAME_HEADER_BYTES + length);
      return;
    }
    const most = this.encoder.maxEncodedBytes(fields);
    if (most > DEFAULT_MAX_FRAME_BYTES) {
      this.longHeaders(streamId, fields, endFlag, most);
      return;
    }
    output.reserve(FRAME_HEADER_BYTES + most);
    const slab = output.slab;
    const start = output.position + FRAME_HEADER_BYTES;
    const blockBytes = this.encoder.encode(fields, slab, start) - start;
    writeHead(
      slab,
      output.position,
      blockBytes,
      TYPE_HEADERS,
      FLAG_END_HEADERS | endFlag,
      streamId,
    );
    output.advance(FRAME_HEADER_BYTES + blockBytes);
  }

  private longHeaders(streamId: number, fields: HeaderList, endFlag: number, most: number): void {
    const block = Buffer.allocUnsafe(most);
    const blockBytes = this.encoder.encode(fields, block, 0);
    let type = TYPE_HEADERS;
    let flags = endFlag;
    let start = 0;
    do {
      const end = Math.min(blockBytes, start + DEFAULT_MAX_FRAME_BYTES);
      if (end === blockBytes) flags |= FLAG_END_HEADERS;
      this.head(end - start, type, flags, streamId, 0);
      this.output.append(block, start, end);
      start = end;
      type = TYPE_CONTINUATION;
      flags = 0;
    } while (start < blockBytes);
  }

  rstStream(streamId: number, code: number): void {
    const at = this.head(4, TYPE_RST_STREAM, 0, streamId, 4);
    this.output.slab.writeUInt32BE(code >>> 0, at);
  }

  windowUpdate(streamId: number, increment: number): void {
    const at = this.head(4, TYPE_WINDOW_UPDATE, 0, streamId, 4);
    this.output.slab.writeUInt32BE(increment, at);
  }

  /** SETTINGS with pairs of identifier and value. */
  settings(pairs: readonly (readonly [id: number, value: number])[]): void {
    let at = this.head(pairs.length * 6, TYPE_SETTINGS, 0, 0, pairs.length * 6);
    for (const [id, value] of pairs) {
      this.output.slab.writeUInt16BE(id, at);
      this.output.slab.writeUInt32BE(value, at + 2);
      at += 6;
    }
  }

  settingsAck(): void {
    this.head(0, TYPE_SETTINGS, FLAG_ACK, 0, 0);
  }

  /** PING. An acknowledgement has to repeat `opaque[start..start + 8)` (§6.7). */
  ping(opaque: Buffer, start: number, ack: boolean): void {
    this.head(8, TYPE_PING, ack ? FLAG_ACK : 0, 0, 0);
    this.output.append(opaque, start, start + 8);
  }

  goAway(lastStreamId: number, code: number, message: string): void {
    const debug = Buffer.from(message.slice(0, MAX_DEBUG_BYTES), "latin1");
    const at = this.head(8 + debug.length, TYPE_GOAWAY, 0, 0, 8);
    this.output.slab.writeUInt32BE(lastStreamId, at);
    this.output.slab.writeUInt32BE(code >>> 0, at + 4);
    this.output.append(debug, 0, debug.length);
  }

  /**
   * Writes a frame header and makes room for `inlineBytes` of payload. Returns the place of the
   * payload.
   */
  private head(
    length: number,
    type: number,
    flags: number,
    streamId: number,
    inlineBytes: number,
  ): number {
    const output = this.output;
    output.reserve(FRAME_HEADER_BYTES + inlineBytes);
    const at = output.position;
    writeHead(output.slab, at, length, type, flags, streamId);
    output.advance(FRAME_HEADER_BYTES + inlineBytes);
    return at + FRAME_HEADER_BYTES;
  }
}

function writeHead(
  slab: Buffer,
  at: number,
  length: number,
  type: number,
  flags: number,
  streamId: number,
): void {
  slab[at] = length >>> 16;
  slab[at + 1] = length >>> 8;
  slab[at + 2] = length;
  slab[at + 3] = type;
  slab[at + 4] = flags;
  slab[at + 5] = streamId >>> 24;
  slab[at + 6] = streamId >>> 16;
  slab[at + 7] = streamId >>> 8;
  slab[at + 8] = streamId;
}
