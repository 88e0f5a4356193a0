// A worker's view of the process that forked it.

import type { ConnectionSource } from "../transport/transport.ts";

export interface WorkerLink {
  /** The connections of the address with this number in the command line, from 0. */
  source(number: number): ConnectionSource;
  /**
   * Calls `handler` with the secret of TLS session tickets: with the first one as soon as it is
   * known, and with each that follows.
   * @returns ends the calls
   */
  onTicketSecret(handler: (secret: string) => void): () => void;
}
