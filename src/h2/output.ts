// The bytes that one connection has to write, in wire order: slabs of small frames, and references
// to large payloads in between. The output must not know frames.

import type { Slab } from "../wire/arena.ts";
import { copyBytes, type LentBytes, memoryStays } from "../wire/lent-bytes.ts";
import {
  acquireSlab,
  acquireSmallSlab,
  NO_SLAB,
  releaseSlab,
  SMALL_SLAB_BYTES,
  unpooledSlab,
} from "./slabs.ts";

/**
 * Payloads shorter than this are copied into the slab. Copying 2 KiB costs about as much as one
 * more piece in the gathering write, and fewer pieces help the socket.
 */
export const COPY_BELOW_BYTES = 2_048;

/**
 * An empty list that is never added to. Most writes are one piece. A list per connection for the
 * other writes would not be worth its memory.
 */
const NO_PIECES: Buffer[] = [];

/** Slabs that the socket has not completely written, and where each ends among all bytes given. */
class InFlight {
  private readonly slabs: Slab[] = [];
  private readonly ends: number[] = [];

  add(slab: Slab, end: number): void {
    this.slabs.push(slab);
    this.ends.push(end);
  }

  /** Gives back the slabs that are completely written. */
  release(writtenBytes: number): void {
    while (this.slabs.length > 0 && (this.ends[0] as number) <= writtenBytes) {
      this.ends.shift();
      releaseSlab(this.slabs.shift() as Slab);
    }
  }
}

export class Output {
  /** Queued bytes that the binding has not taken yet. */
  byteCount = 0;

  /** The slab that is being filled; `slab[sealed..position)` is not among the pieces yet. */
  slab: Slab = NO_SLAB;
  position = 0;
  private sealed = 0;
  /** Bytes of the last write. */
  private latestBytes = 0;
  /** Writes so far. */
  writeCount = 0;

  private pieces: Buffer[] = NO_PIECES;
  /** `run[runStart..runEnd)` is the last piece, once it is known where it ends. */
  private run: Buffer = NO_SLAB;
  private runStart = 0;
  private runEnd = 0;
  /** Full slabs whose bytes are among the pieces. */
  private full: Slab[] | undefined = undefined;
  /**
   * Bytes given to the socket so far, and how many of them the socket had written when it was last
   * asked.
   */
  private givenBytes = 0;
  private writtenBytes = 0;
  private isClosed = false;
  /** Made when a socket is too slow for one write for the first time. */
  private inFlight: InFlight | undefined = undefined;

  /**
   * Makes room for `bytes`, at most `SLAB_BYTES`, in one run of `slab` from `position`. The code
   * that writes there moves `position`.
   */
  reserve(bytes: number): void {
    if (this.run !== NO_SLAB) this.endRun();
    if (this.slab.length - this.position >= bytes) return;
    // The size of the last turn is the best guess for this one.
    const isSmall = this.slab === NO_SLAB && Math.max(bytes, this.latestBytes) <= SMALL_SLAB_BYTES;
    if (this.slab !== NO_SLAB) {
      this.seal();
      this.addFull(this.slab);
    }
    // After the close nobody would give back a slab of the pool.
    if (this.isClosed) this.slab = unpooledSlab(isSmall);
    else this.slab = isSmall ? acquireSmallSlab() : acquireSlab();
    this.position = 0;
    this.sealed = 0;
  }

  /** Says that `bytes` were written to the slab. */
  advance(bytes: number): void {
    this.position += bytes;
    this.byteCount += bytes;
  }

  /**
   * Appends `bytes[start..end)`: by copy if the bytes are short or lent, by reference if they are
   * long.
   */
  append(bytes: LentBytes, start: number, end: number): void {
    const length = end - start;
    if (length < COPY_BELOW_BYTES) {
      this.reserve(length);
      copyBytes(bytes, start, end, this.slab, this.position);
      this.position += length;
    } else if (memoryStays(bytes)) {
      this.seal();
      this.addPiece(length === bytes.length ? bytes : bytes.subarray(start, end));
    } else {
      this.copy(bytes, start, end);
    }
    this.byteCount += length;
  }

  /** Into as many slabs as it takes. */
  private copy(bytes: LentBytes, start: number, end: number): void {
    for (let at = start; at < end; ) {
      this.reserve(1);
      const taken = Math.min(end - at, this.slab.length - this.position);
      copyBytes(bytes, at, at + taken, this.slab, this.position);
      this.position += taken;
      at += taken;
    }
  }

  /**
   * Appends by reference. Bytes that follow the last piece in the same memory are added to that
   * piece.
   */
  appendRun(bytes: Buffer, start: number, end: number): void {
    if (this.run !== bytes || this.runEnd !== start) {
      this.seal();
      this.run = bytes;
      this.runStart = start;
    }
    this.runEnd = end;
    this.byteCount += end - start;
  }

  /**
   * Gives `slab` back when all bytes appended so far are written. If they are written already, it
   * does so at once, because there may be no other write.
   */
  hold(slab: Slab): void {
    if (this.byteCount === 0) this.giveBack(slab, this.givenBytes - this.writtenBytes);
    else this.addFull(slab);
  }

  private addFull(slab: Slab): void {
    if (this.full === undefined) this.full = [slab];
    else this.full.push(slab);
  }

  /** The pieces to write, in order. The binding writes all of them and then says so by `settle`. */
  take(): readonly Buffer[] {
    const pieces = this.takePieces();
    this.latestBytes = this.byteCount;
    this.writeCount++;
    this.byteCount = 0;
    return pieces;
  }

  /**
   * The pieces that `take` returned were given to the socket, which now has `backlogBytes` left to
   * write. Slabs that it has written can be used again.
   */
  settle(backlogBytes: number): void {
    const { slab, full } = this;
    this.slab = NO_SLAB;
    this.position = 0;
    this.sealed = 0;
    this.givenBytes += this.latestBytes;
    this.releaseWritten(backlogBytes);
    // The last piece ends last, so no slab of this turn is free before all of it is written.
    if (slab !== NO_SLAB) this.giveBack(slab, backlogBytes);
    if (full === undefined) return;
    this.full = undefined;
    for (let held = full.pop(); held !== undefined; held = full.pop()) {
      this.giveBack(held, backlogBytes);
    }
  }

  /** All bytes of `slab` were taken, and the socket has `backlogBytes` left to write. */
  private giveBack(slab: Slab, backlogBytes: number): void {
    if (backlogBytes === 0) {
      releaseSlab(slab);
      return;
    }
    this.inFlight ??= new InFlight();
    this.inFlight.add(slab, this.givenBytes);
  }

  /**
   * The socket has `backlogBytes` left to write. A busy socket is never empty, so this must not
   * wait for 0.
   */
  releaseWritten(backlogBytes: number): void {
    this.writtenBytes = this.givenBytes - backlogBytes;
    this.inFlight?.release(this.writtenBytes);
  }

  /** Drops the bytes that the socket was not given. */
  discard(): void {
    const { slab, full } = this;
    this.pieces = NO_PIECES;
    this.run = NO_SLAB;
    this.full = undefined;
    this.slab = NO_SLAB;
    this.position = 0;
    this.sealed = 0;
    this.byteCount = 0;
    const backlogBytes = this.givenBytes - this.writtenBytes;
    if (slab !== NO_SLAB) this.giveBack(slab, 0);
    if (full !== undefined) for (const held of full) this.giveBack(held, backlogBytes);
  }

  /** The socket is closed: it reads nothing any more. */
  close(): void {
    this.isClosed = true;
    this.releaseWritten(0);
    this.discard();
  }

  /** Adds the bytes appended so far to the pieces. */
  private seal(): void {
    if (this.run !== NO_SLAB) this.endRun();
    if (this.position === this.sealed) return;
    this.addPiece(this.slab.subarray(this.sealed, this.position));
    this.sealed = this.position;
  }

  private addPiece(piece: Buffer): void {
    if (this.pieces === NO_PIECES) this.pieces = [piece];
    else this.pieces.push(piece);
  }

  private takePieces(): readonly Buffer[] {
    if (this.pieces === NO_PIECES && this.run === NO_SLAB && this.position > this.sealed) {
      const piece = this.slab.subarray(this.sealed, this.position);
      this.sealed = this.position;
      return [piece];
    }
    this.seal();
    const { pieces } = this;
    this.pieces = NO_PIECES;
    return pieces;
  }

  private endRun(): void {
    this.addPiece(this.run.subarray(this.runStart, this.runEnd));
    this.run = NO_SLAB;
  }
}
