// Collects a header block that spans HEADERS and CONTINUATION frames (RFC 9113 §4.3, §6.10), within bounds.

import { ErrorCode } from "../wire/error-code.ts";
import { connectionError } from "./error.ts";

const NOTHING: Buffer = Buffer.alloc(0);

export class HeaderBlock {
  /** The stream whose block is being collected; 0 for none. Nothing but its CONTINUATION may come then. */
  streamId = 0;
  endStream = false;
  dependsOnItself = false;
  bytes: Buffer = NOTHING;
  length = 0;

  private readonly maxFrames: number;
  private readonly maxBytes: number;
  private frames = 0;

  constructor(maxFrames: number, maxBytes: number) {
    this.maxFrames = maxFrames;
    this.maxBytes = maxBytes;
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
      throw connectionError(
        ErrorCode.ENHANCE_YOUR_CALM,
        `header block over ${this.maxBytes} bytes`,
      );
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
      throw connectionError(
        ErrorCode.ENHANCE_YOUR_CALM,
        `more than ${this.maxFrames} CONTINUATION frames`,
      );
    }
  }

  /** The block is complete and decoded. */
  clear(): void {
    this.streamId = 0;
    this.bytes = NOTHING;
    this.length = 0;
  }
}
