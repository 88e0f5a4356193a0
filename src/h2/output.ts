// What one connection has to write: slabs of small frames with references to large payloads in between, in wire order.
// It must not know frames.

import { isBorrowed } from "../wire/read-buffer.ts";
import { acquireSlab, acquireSmallSlab, releaseSlab, SMALL_SLAB_BYTES } from "./slab-pool.ts";

/**
 * Payloads shorter than this are copied into the slab. Copying 2 KiB costs about as much as one more piece in the gathering
 * write, and fewer pieces help the socket.
 */
export const COPY_BELOW_BYTES = 2_048;

const NO_SLAB: Buffer = Buffer.alloc(0);

export class Output {
  /** Queued bytes that the binding has not taken yet. */
  byteCount = 0;

  /** The slab that is being filled; `slab[sealed..position)` is not among the pieces yet. */
  slab: Buffer = NO_SLAB;
  position = 0;
  private sealed = 0;
  /** Bytes of the last write. */
  private latestBytes = 0;
  /** Writes so far. */
  writeCount = 0;

  private pieces: Buffer[] = [];
  /** `run[runStart..runEnd)` is the last piece, once it is known where it ends. */
  private run: Buffer = NO_SLAB;
  private runStart = 0;
  private runEnd = 0;
  /** Full slabs whose bytes are among the pieces. */
  private full: Buffer[] = [];
  /** Bytes given to the socket so far, and how many of them it was known to have written when it was asked last. */
  private givenBytes = 0;
  private writtenBytes = 0;
  /** Slabs whose bytes the socket still has to write, and where they end in all that it was given. */
  private inFlight: Buffer[] = [];
  private inFlightEnds: number[] = [];

  /** Makes room for `bytes`, at most `SLAB_BYTES`, in one run of `slab` from `position`; who writes there moves `position`. */
  reserve(bytes: number): void {
    if (this.run !== NO_SLAB) this.endRun();
    if (this.slab.length - this.position >= bytes) return;
    // What the last turn needed is the best guess for this one.
    const isSmall = this.slab === NO_SLAB && Math.max(bytes, this.latestBytes) <= SMALL_SLAB_BYTES;
    if (this.slab !== NO_SLAB) {
      this.seal();
      this.full.push(this.slab);
    }
    this.slab = isSmall ? acquireSmallSlab() : acquireSlab();
    this.position = 0;
    this.sealed = 0;
  }

  /** Says that `bytes` were written to the slab. */
  advance(bytes: number): void {
    this.position += bytes;
    this.byteCount += bytes;
  }

  /** Appends `bytes[start..end)`, by copy where it is short or borrowed and by reference where it is long. */
  append(bytes: Buffer, start: number, end: number): void {
    const length = end - start;
    if (length < COPY_BELOW_BYTES) {
      this.reserve(length);
      if (length === bytes.length) this.slab.set(bytes, this.position);
      else bytes.copy(this.slab, this.position, start, end);
      this.position += length;
    } else if (isBorrowed(bytes)) {
      this.copy(bytes, start, end);
    } else {
      this.seal();
      this.pieces.push(length === bytes.length ? bytes : bytes.subarray(start, end));
    }
    this.byteCount += length;
  }

  /** Into as many slabs as it takes. */
  private copy(bytes: Buffer, start: number, end: number): void {
    for (let at = start; at < end; ) {
      this.reserve(1);
      const taken = Math.min(end - at, this.slab.length - this.position);
      if (taken === bytes.length) this.slab.set(bytes, this.position);
      else bytes.copy(this.slab, this.position, at, at + taken);
      this.position += taken;
      at += taken;
    }
  }

  /** Appends by reference; what follows the last piece in the same memory becomes one piece with it. */
  appendRun(bytes: Buffer, start: number, end: number): void {
    if (this.run !== bytes || this.runEnd !== start) {
      this.seal();
      this.run = bytes;
      this.runStart = start;
    }
    this.runEnd = end;
    this.byteCount += end - start;
  }

  /** Gives `slab` back when all that was appended so far is written; at once if it is, for there may be no other write. */
  hold(slab: Buffer): void {
    if (this.byteCount > 0) {
      this.full.push(slab);
    } else if (this.writtenBytes < this.givenBytes) {
      this.inFlight.push(slab);
      this.inFlightEnds.push(this.givenBytes);
    } else {
      releaseSlab(slab);
    }
  }

  /** The pieces to write, in order. The binding writes all of them and then says so by `settle`. */
  take(): readonly Buffer[] {
    this.seal();
    const pieces = this.pieces;
    this.pieces = [];
    this.latestBytes = this.byteCount;
    this.writeCount++;
    this.byteCount = 0;
    return pieces;
  }

  /**
   * What `take` returned was given to the socket, which now has `backlogBytes` left to write; slabs it has written can be used
   * again.
   */
  settle(backlogBytes: number): void {
    if (this.slab !== NO_SLAB) this.full.push(this.slab);
    this.slab = NO_SLAB;
    this.position = 0;
    this.sealed = 0;
    this.givenBytes += this.latestBytes;
    this.releaseWritten(backlogBytes);
    // The last piece ends last, so no slab of this turn is free before all of it is written.
    for (let slab = this.full.pop(); slab !== undefined; slab = this.full.pop()) {
      if (backlogBytes === 0) {
        releaseSlab(slab);
      } else {
        this.inFlight.push(slab);
        this.inFlightEnds.push(this.givenBytes);
      }
    }
  }

  /** The socket has `backlogBytes` left to write. A busy one is never empty, so this must not wait for 0. */
  releaseWritten(backlogBytes: number): void {
    this.writtenBytes = this.givenBytes - backlogBytes;
    while (this.inFlight.length > 0 && (this.inFlightEnds[0] as number) <= this.writtenBytes) {
      this.inFlightEnds.shift();
      releaseSlab(this.inFlight.shift() as Buffer);
    }
  }

  /** Drops everything. Slabs that the socket may still read are left to the collector. */
  discard(): void {
    this.pieces = [];
    this.run = NO_SLAB;
    this.full = [];
    this.inFlight = [];
    this.inFlightEnds = [];
    this.slab = NO_SLAB;
    this.position = 0;
    this.sealed = 0;
    this.byteCount = 0;
  }

  /** What has been appended so far is among the pieces. */
  private seal(): void {
    if (this.run !== NO_SLAB) this.endRun();
    if (this.position === this.sealed) return;
    this.pieces.push(this.slab.subarray(this.sealed, this.position));
    this.sealed = this.position;
  }

  private endRun(): void {
    this.pieces.push(this.run.subarray(this.runStart, this.runEnd));
    this.run = NO_SLAB;
  }
}
