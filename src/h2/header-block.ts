// Collects a header block that spans HEADERS and CONTINUATION frames (RFC 9113 §4.3, §6.10), within
// bounds.

import { overLimit } from "./error.ts";
import { DEFAULT_MAX_FRAME_BYTES } from "./frame.ts";
import type { EngineLimits } from "./limits.ts";

const NOTHING: Buffer = Buffer.alloc(0);

export class HeaderBlock {
  /**
   * The stream whose block is being collected; 0 for none. While a block is collected, only its
   * CONTINUATION may come.
   */
  streamId = 0;
  endStream = false;
  dependsOnItself = false;
  bytes: Buffer = NOTHING;
  length = 0;

  private readonly maxFrames: number;
  private readonly maxBytes: number;
  private frames = 0;

  /**
   * @param maxListBytes the bound that we announce. A peer that keeps to it is never over the
   *   bounds here: a list has more bytes by the count of RFC 9113 §6.5.2 than as plain literals
   *   (RFC 7541 §6.2), and full frames are taken.
   */
  constructor(limits: EngineLimits, maxListBytes: number) {
    this.maxBytes = Math.max(limits.maxHeaderBlockBytes, maxListBytes);
    const framesOfList = Math.ceil(maxListBytes / DEFAULT_MAX_FRAME_BYTES);
    this.maxFrames = Math.max(limits.maxContinuationFrames, framesOfList);
  }

  begin(streamId: number, endStream: boolean, dependsOnItself: boolean): void {
    this.streamId = streamId;
    this.endStream = endStream;
    this.dependsOnItself = dependsOnItself;
    this.length = 0;
    this.frames = 0;
  }

  /** @throws {H2Error} beyond the bounds */
  append(buffer: Buffer, start: number, end: number): void {
    const length = this.length + end - start;
    if (length > this.maxBytes) {
      const limit = { name: "maxHeaderBlockBytes", value: this.maxBytes };
      throw overLimit(0, `header block of ${length} bytes so far`, limit, "bytes");
    }
    if (length > this.bytes.length) {
      const larger = Buffer.allocUnsafe(Math.min(this.maxBytes, Math.max(1_024, length * 2)));
      this.bytes.copy(larger, 0, 0, this.length);
      this.bytes = larger;
    }
    buffer.copy(this.bytes, this.length, start, end);
    this.length = length;
  }

  /** @throws {H2Error} for more CONTINUATION frames than a block may have */
  countContinuation(): void {
    this.frames++;
    if (this.frames > this.maxFrames) {
      const limit = { name: "maxContinuationFrames", value: this.maxFrames };
      throw overLimit(0, "one CONTINUATION frame too many", limit, "in a header block");
    }
  }

  /** The block is complete and decoded. */
  clear(): void {
    this.streamId = 0;
    this.bytes = NOTHING;
    this.length = 0;
  }
}
