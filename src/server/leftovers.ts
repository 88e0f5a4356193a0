// Destinations that go on although their call is over, for all calls of a server. They are bounded
// as a whole, and end when the server is closed.

import type { GrpcError } from "../grpc/error.ts";

export interface Leftover {
  /** The server is closed: the leftover ends now. */
  onServerClosed(reason: GrpcError): void;
}

/**
 * No client's window bounds the bytes kept for leftovers. So this constant does, for all together.
 */
export const MAX_LEFTOVER_BYTES = 67_108_864;
/** The approximate memory of a leftover, beside the bytes that it keeps. */
const OWN_BYTES = 2_048;

export class Leftovers {
  readonly #bytesOf = new Map<Leftover, number>();
  #bytes = 0;

  get size(): number {
    return this.#bytesOf.size;
  }

  /** @returns whether there was room for the leftover and its bytes */
  add(leftover: Leftover, keptBytes: number): boolean {
    const bytes = OWN_BYTES + keptBytes;
    if (this.#bytes + bytes > MAX_LEFTOVER_BYTES) return false;
    this.#bytes += bytes;
    this.#bytesOf.set(leftover, bytes);
    return true;
  }

  /** The leftover has ended. */
  delete(leftover: Leftover): void {
    this.#bytes -= this.#bytesOf.get(leftover) ?? 0;
    this.#bytesOf.delete(leftover);
  }

  /** Each leftover removes itself. */
  end(reason: GrpcError): void {
    for (const leftover of [...this.#bytesOf.keys()]) leftover.onServerClosed(reason);
  }
}
