// The connections that another process has accepted for this one, by the number of the address to
// which they came.

import { Socket } from "node:net";
import type { ConnectionSource } from "./transport.ts";

export class DealtConnections {
  readonly #onClosed: () => void;
  readonly #takers = new Map<number, (socket: Socket) => void>();

  /** @param onClosed called once for each connection that was taken, when it has closed */
  constructor(onClosed: () => void) {
    this.#onClosed = onClosed;
  }

  source(number: number): ConnectionSource {
    return {
      begin: (take) => {
        this.#takers.set(number, take);
      },
      end: () => {
        this.#takers.delete(number);
      },
    };
  }

  /** Whether somebody takes the connections of this address. */
  isTaken(number: number): boolean {
    return this.#takers.has(number);
  }

  /**
   * Call this in the turn in which the connection came. Where nobody takes it, the handle of this
   * process is closed, and the connection stays open for its other holders.
   */
  take(number: number, connection: unknown): void {
    if (!(connection instanceof Socket)) {
      // It closed on its way.
      this.#onClosed();
      return;
    }
    const taker = this.#takers.get(number);
    // A client that is gone already is no failure of this process.
    if (taker === undefined) connection.on("error", () => {}).destroy();
    else taker(connection.once("close", this.#onClosed));
  }
}
