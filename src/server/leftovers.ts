// What goes on although its call is over, of all calls of a server: bounded as a whole, and ended
// when the server is closed.

import type { GrpcError } from "../grpc/error.ts";

export interface Leftover {
  /** The server is closed: it ends now. */
  onServerClosed(reason: GrpcError): void;
}

/** No client's window bounds what is kept for them, so this does, for all of them together. */
export const MAX_LEFTOVER_BYTES = 67_108_864;
/** What each of them takes besides the bytes that it keeps, about. */
const OWN_BYTES = 2_048;

export class Leftovers {
  readonly #bytesOf = new Map<Leftover, number>();
  #bytes = 0;

  get size(): number {
    return this.#bytesOf.size;
  }

  /** @returns whether there was room for it, with what it keeps */
  add(leftover: Leftover, keptBytes: number): boolean {
    const bytes = OWN_BYTES + keptBytes;
    if (this.#bytes + bytes > MAX_LEFTOVER_BYTES) return false;
    this.#bytes += bytes;
    this.#bytesOf.set(leftover, bytes);
    return true;
  }

  /** It has ended. */
  delete(leftover: Leftover): void {
    this.#bytes -= this.#bytesOf.get(leftover) ?? 0;
    this.#bytesOf.delete(leftover);
  }

  /** Each removes itself. */
  end(reason: GrpcError): void {
    for (const leftover of [...this.#bytesOf.keys()]) leftover.onServerClosed(reason);
  }
}
