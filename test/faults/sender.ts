// Sends bytes on a stream of a lean peer, within the windows, and then the last word; gives credit.

import type { LeanStream } from "../endurance/lean-peer.ts";

/**
 * Credit is given in such portions: one WINDOW_UPDATE for each piece of a split connection would be
 * a flood.
 */
const CREDIT_BYTES = 16_384;

/** Gives the credit of what was received back, `delayMs` later. */
export class Credit {
  readonly #stream: LeanStream;
  readonly #delayMs: number;
  #owedBytes = 0;

  constructor(stream: LeanStream, delayMs: number) {
    this.#stream = stream;
    this.#delayMs = delayMs;
  }

  receive(bytes: number): void {
    this.#owedBytes += bytes;
    if (this.#owedBytes < CREDIT_BYTES) return;
    const owedBytes = this.#owedBytes;
    this.#owedBytes = 0;
    if (this.#delayMs === 0) this.#stream.grant(owedBytes);
    else setTimeout(() => this.#stream.grant(owedBytes), this.#delayMs);
  }
}

export class Sender {
  /** How much may go out so far. */
  releasedBytes = 0;
  readonly #stream: LeanStream;
  readonly #bytes: Buffer;
  readonly #frameBytes: number;
  /** Called once, when the released bytes are all there is, and have gone out. */
  readonly #onDone: () => void;
  #sentBytes = 0;
  #done = false;

  constructor(stream: LeanStream, bytes: Buffer, frameBytes: number, onDone: () => void) {
    this.#stream = stream;
    this.#bytes = bytes;
    this.#frameBytes = frameBytes;
    this.#onDone = onDone;
  }

  /** Nothing more is sent. */
  stop(): void {
    this.#done = true;
  }

  pump(): void {
    const { connection } = this.#stream;
    while (!this.#done) {
      if (this.#sentBytes === this.#bytes.length) {
        this.#done = true;
        this.#onDone();
        return;
      }
      const room = Math.min(
        this.#releasedBytesLeft,
        this.#frameBytes,
        this.#stream.sendWindowBytes,
        connection.sendWindowBytes,
      );
      if (room <= 0 || connection.closed || !connection.canSend) return;
      connection.sendData(
        this.#stream,
        this.#bytes.subarray(this.#sentBytes, this.#sentBytes + room),
      );
      this.#sentBytes += room;
    }
  }

  get #releasedBytesLeft(): number {
    return Math.min(this.releasedBytes, this.#bytes.length) - this.#sentBytes;
  }
}
