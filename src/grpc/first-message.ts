// Where the first message of a stream of bytes ends, however it is cut into chunks. For whoever
// leaves it out.

import type { LentBytes } from "../wire/lent-bytes.ts";
import { PREFIX_BYTES, payloadBytesOn } from "./frame.ts";

export class FirstMessage {
  /** Bytes of its prefix seen so far. */
  private prefixSeen = 0;
  /** Bytes of its payload still to come, as far as the prefix is known. */
  private payloadLeft = 0;

  /** Some of it has come. */
  get begun(): boolean {
    return this.prefixSeen > 0;
  }

  /** All of it has come. */
  get complete(): boolean {
    return this.prefixSeen === PREFIX_BYTES && this.payloadLeft === 0;
  }

  /** Takes the next bytes; returns how many of them belong to it. */
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
