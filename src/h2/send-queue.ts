// DATA of one stream that waits for window or for its turn. Lent bytes are copied into slabs, with
// room for a frame header in front of every frame, so that they go out from there in long runs. The
// queue must not know windows.

import type { Slab } from "../wire/arena.ts";
import { copyBytes, type LentBytes, memoryStays } from "../wire/lent-bytes.ts";
import { DEFAULT_MAX_FRAME_BYTES, FRAME_HEADER_BYTES } from "./frame.ts";
import type { FrameWriter } from "./frame-writer.ts";
import { COPY_BELOW_BYTES, type Output } from "./output.ts";
import { acquireSlab, acquireSmallSlab, FRAME_SLOT_BYTES, SMALL_SLAB_BYTES } from "./slabs.ts";

/**
 * A queue that begins with no more bytes, or adds no more behind a reference, is likely to stay
 * short.
 */
const LITTLE_BYTES = SMALL_SLAB_BYTES - FRAME_HEADER_BYTES;

/**
 * The bytes `[start..end)` of `bytes` wait. In a slab, room for a frame header lies in front of
 * each frame.
 */
type Piece = SlabPiece | Reference;

interface SlabPiece {
  readonly bytes: Slab;
  start: number;
  end: number;
  readonly isSlab: true;
}

interface Reference {
  readonly bytes: Buffer;
  start: number;
  readonly end: number;
  readonly isSlab: false;
}

export class SendQueue {
  private readonly pieces: Piece[] = [];

  /** Takes `chunk` from `from` on: by reference if its memory stays, else by copy. */
  push(chunk: LentBytes, from: number): void {
    // A short view would cost more than its bytes. It would also keep everything that was read with
    // it in memory, for as long as the peer likes.
    if (chunk.length - from < COPY_BELOW_BYTES || !memoryStays(chunk)) this.copy(chunk, from);
    else this.pieces.push({ bytes: chunk, start: from, end: chunk.length, isSlab: false });
  }

  private copy(chunk: LentBytes, from: number): void {
    let piece = this.pieces[this.pieces.length - 1];
    for (let at = from; at < chunk.length; ) {
      if (piece === undefined || !piece.isSlab || piece.end === piece.bytes.length) {
        const isLittle = piece?.isSlab !== true && chunk.length - at <= LITTLE_BYTES;
        const bytes = isLittle ? acquireSmallSlab() : acquireSlab();
        piece = { bytes, start: FRAME_HEADER_BYTES, end: FRAME_HEADER_BYTES, isSlab: true };
        this.pieces.push(piece);
      } else if (piece.end % FRAME_SLOT_BYTES === 0) {
        piece.end += FRAME_HEADER_BYTES;
      }
      const room = FRAME_SLOT_BYTES - (piece.end % FRAME_SLOT_BYTES);
      const taken = Math.min(room, piece.bytes.length - piece.end, chunk.length - at);
      copyBytes(chunk, at, at + taken, piece.bytes, piece.end);
      piece.end += taken;
      at += taken;
    }
  }

  /** The best size of the next frame, at most. The queue is not empty. */
  get frameBytes(): number {
    const first = this.pieces[0] as Piece;
    return first.isSlab ? runBytes(first) : DEFAULT_MAX_FRAME_BYTES;
  }

  /** Writes the first `bytes` of the queue as one DATA frame. The queue has them. */
  writeFrame(writer: FrameWriter, streamId: number, bytes: number, endStream: boolean): void {
    const { output } = writer;
    const first = this.pieces[0] as Piece;
    if (first.isSlab && isAtHead(first) && bytes <= runBytes(first)) {
      writer.dataInPlace(streamId, first.bytes, first.start, bytes, endStream);
      first.start += bytes;
      this.dropWritten(output);
      return;
    }
    writer.dataHead(streamId, bytes, endStream);
    for (let left = bytes; left > 0; ) {
      const piece = this.pieces[0] as Piece;
      const taken = Math.min(left, runBytes(piece));
      writer.dataPayload(piece.bytes, piece.start, piece.start + taken);
      piece.start += taken;
      left -= taken;
      this.dropWritten(output);
    }
  }

  /** Drops the queue: nothing of it will be sent. */
  drop(output: Output): void {
    // The beginning of a slab may be on its way.
    for (const piece of this.pieces) if (piece.isSlab) output.hold(piece.bytes);
    this.pieces.length = 0;
  }

  /** Leaves the first piece when it is used up, or the end of one of its frames. */
  private dropWritten(output: Output): void {
    const first = this.pieces[0] as Piece;
    if (first.start === first.end) {
      if (first.isSlab) output.hold(first.bytes);
      // Only the last piece is short, and a queue is at most as long as the window of its source.
      // So moving the other pieces up costs little.
      this.pieces.shift();
    } else if (first.isSlab && first.start % FRAME_SLOT_BYTES === 0) {
      first.start += FRAME_HEADER_BYTES;
    }
  }
}

/**
 * The queue of every stream that has none. Nearly all streams have none, so they share this one,
 * which stays empty.
 */
export const NO_QUEUE: SendQueue = new SendQueue();

/** The next byte has room for a header in front of it. */
function isAtHead({ start }: Piece): boolean {
  return start % FRAME_SLOT_BYTES === FRAME_HEADER_BYTES;
}

/** Bytes of `piece` that lie in one run. */
function runBytes({ start, end, isSlab }: Piece): number {
  if (!isSlab) return end - start;
  return Math.min(end, start + FRAME_SLOT_BYTES - (start % FRAME_SLOT_BYTES)) - start;
}
