// What one connection has to write: slabs of small frames with references to large payloads in between, in wire order.
// It must not know frames.

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
  /** Bytes of the last turn. */
  private latestBytes = 0;

  private pieces: Buffer[] = [];
  /** Full slabs whose bytes are among the pieces. */
  private full: Buffer[] = [];
  /** Slabs whose bytes the socket still has to write. */
  private inFlight: Buffer[] = [];

  /** Makes room for `bytes`, at most `SLAB_BYTES`, in one run of `slab` from `position`; who writes there moves `position`. */
  reserve(bytes: number): void {
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

  /** Appends `bytes[start..end)`, by copy where it is short and by reference where it is long. */
  append(bytes: Buffer, start: number, end: number): void {
    const length = end - start;
    if (length < COPY_BELOW_BYTES) {
      this.reserve(length);
      if (length === bytes.length) this.slab.set(bytes, this.position);
      else bytes.copy(this.slab, this.position, start, end);
      this.position += length;
    } else {
      this.seal();
      this.pieces.push(length === bytes.length ? bytes : bytes.subarray(start, end));
    }
    this.byteCount += length;
  }

  /** The pieces to write, in order. The binding writes all of them and then says so by `settle`. */
  take(): readonly Buffer[] {
    this.seal();
    const pieces = this.pieces;
    this.pieces = [];
    this.latestBytes = this.byteCount;
    this.byteCount = 0;
    return pieces;
  }

  /**
   * What `take` returned was given to the socket; with `written` the socket has no byte of it left to write and the slabs
   * can be used again.
   */
  settle(written: boolean): void {
    if (this.slab !== NO_SLAB) this.full.push(this.slab);
    this.slab = NO_SLAB;
    this.position = 0;
    this.sealed = 0;
    if (written) {
      this.releaseWritten();
      for (const slab of this.full) releaseSlab(slab);
    } else {
      for (const slab of this.full) this.inFlight.push(slab);
    }
    this.full.length = 0;
  }

  /** The socket has written everything that it was given. */
  releaseWritten(): void {
    if (this.inFlight.length === 0) return;
    for (const slab of this.inFlight) releaseSlab(slab);
    this.inFlight.length = 0;
  }

  /** Drops everything. Slabs that the socket may still read are left to the collector. */
  discard(): void {
    this.pieces = [];
    this.full = [];
    this.inFlight = [];
    this.slab = NO_SLAB;
    this.position = 0;
    this.sealed = 0;
    this.byteCount = 0;
  }

  private seal(): void {
    if (this.position === this.sealed) return;
    this.pieces.push(this.slab.subarray(this.sealed, this.position));
    this.sealed = this.position;
  }
}
