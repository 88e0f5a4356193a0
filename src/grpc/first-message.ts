// Finds the end of the first message in a stream of bytes, whatever its chunks. For code that
// leaves the first message out.

import type { LentBytes } from "../wire/lent-bytes.ts";
import { PREFIX_BYTES, payloadBytesOn } from "./frame.ts";

export class FirstMessage {
  /** Bytes of its prefix seen so far. */
  private prefixSeen = 0;
  /** Bytes of its payload still to come, as far as the prefix is known. */
  private payloadLeft = 0;

  /** Some bytes of the message have come. */
  get begun(): boolean {
    return this.prefixSeen > 0;
  }

  /** All bytes of the message have come. */
  get complete(): boolean {
    return this.prefixSeen === PREFIX_BYTES && this.payloadLeft === 0;
  }

  /** Takes the next bytes. Returns how many of them belong to the first message. */
  take(chunk: LentBytes): number {
    const at = Math.min(chunk.length, PREFIX_BYTES - this.prefixSeen);
    if (at > 0) {
      this.payloadLeft = payloadBytesOn(this.payloadLeft, this.prefixSeen, chunk, 0, at);
      this.prefixSeen += at;
    }
    if (this.prefixSeen < PREFIX_BYTES) return at;
    const payload = Math.min(this.payloadLeft, chunk.length - at);
    this.payloadLeft -= payload;
    return at + payload;
  }
}
