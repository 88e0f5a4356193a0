// A scripted peer that sends as much as flow control lets it: to find out where a sender is
// stopped.

import { FRAME_TYPES, frames, SETTINGS, settingsOf } from "./frames.ts";
import type { ScriptedPeer } from "./scripted-peer.ts";

const DEFAULT_WINDOW_BYTES = 65_535;
const FRAME_BYTES = 16_384;

/**
 * DATA on one stream of a scripted peer, within the windows that the other side gives. Counts from
 * when it is made.
 */
export class Upload {
  sentBytes = 0;
  readonly #peer: ScriptedPeer;
  readonly #streamId: number;
  #at = 0;
  #initialBytes = DEFAULT_WINDOW_BYTES;
  #streamBytes = 0;
  #connectionBytes = DEFAULT_WINDOW_BYTES;

  constructor(peer: ScriptedPeer, streamId: number) {
    this.#peer = peer;
    this.#streamId = streamId;
  }

  /** Bytes that may be sent now. */
  get creditBytes(): number {
    const { trace } = this.#peer;
    for (; this.#at < trace.length; this.#at++) {
      const { direction, frame } = trace[this.#at]!;
      if (direction === "sent") {
        if (frame.name !== "DATA") continue;
        this.#connectionBytes -= frame.payload.length;
        if (frame.streamId === this.#streamId) this.#streamBytes -= frame.payload.length;
      } else if (frame.name === "WINDOW_UPDATE") {
        const bytes = frame.payload.readUInt32BE(0);
        if (frame.streamId === 0) this.#connectionBytes += bytes;
        else if (frame.streamId === this.#streamId) this.#streamBytes += bytes;
      } else if (frame.type === FRAME_TYPES.SETTINGS) {
        for (const [name, value] of settingsOf(frame)) {
          if (SETTINGS[name as keyof typeof SETTINGS] === SETTINGS.INITIAL_WINDOW_SIZE) {
            this.#initialBytes = value;
          }
        }
      }
    }
    return Math.min(this.#initialBytes + this.#streamBytes, this.#connectionBytes);
  }

  /** Sends all of `bytes`, waiting for credit where need be. */
  async send(bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const credit = await this.#peer
        .until("credit", () => this.creditBytes > 0 || undefined)
        .then(() => this.creditBytes);
      const piece = bytes.subarray(at, at + Math.min(credit, FRAME_BYTES));
      this.#peer.send(frames.data(this.#streamId, piece));
      this.sentBytes += piece.length;
      at += piece.length;
    }
  }

  /** Sends `bytes` as far as it may; returns how many were taken before nothing moved any more. */
  async sendUntilStalled(bytes: Buffer, settle: () => Promise<unknown>): Promise<number> {
    let at = 0;
    for (let idle = 0; idle < 5 && at < bytes.length; ) {
      const credit = this.creditBytes;
      if (credit <= 0) {
        idle++;
        await this.#peer.sync();
        await settle();
        continue;
      }
      idle = 0;
      const piece = bytes.subarray(at, at + Math.min(credit, FRAME_BYTES));
      this.#peer.send(frames.data(this.#streamId, piece));
      at += piece.length;
    }
    this.sentBytes += at;
    return at;
  }
}
