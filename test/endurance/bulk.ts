// Gigabytes that cost nothing to make and can be checked to the byte: one gRPC message sent again
// and again, by peers whose pace is theirs to choose.

import { randomBytes } from "node:crypto";
import { FRAME_BYTES, type LeanConnection, type LeanStream } from "./lean-peer.ts";

const PREFIX_BYTES = 5;
/** Odd, so that messages and frames never fall into step. */
const MESSAGE_BYTES = 65_521;

const MESSAGE = Buffer.concat([
  Buffer.alloc(PREFIX_BYTES),
  randomBytes(MESSAGE_BYTES - PREFIX_BYTES),
]);
MESSAGE.writeUInt32BE(MESSAGE_BYTES - PREFIX_BYTES, 1);
/** Twice, so that any piece up to a message long is one slice, wherever it begins. */
const TWICE = Buffer.concat([MESSAGE, MESSAGE]);

/** The least number of whole messages that have `byteCount` bytes, in bytes. */
export function wholeMessages(byteCount: number): number {
  return Math.ceil(byteCount / MESSAGE_BYTES) * MESSAGE_BYTES;
}

function bulkAt(offset: number, length: number): Buffer {
  const start = offset % MESSAGE_BYTES;
  return TWICE.subarray(start, start + length);
}

/** Sends on the streams of one connection, as fast as the other side takes it. */
export class Offer {
  readonly #connection: LeanConnection;
  readonly #onSent: (stream: LeanStream) => void;
  /** Streams and how many bytes each is to send in all. */
  readonly #unfinished = new Map<LeanStream, number>();
  /** The last frame ends the stream. */
  readonly #endStream: boolean;

  constructor(
    connection: LeanConnection,
    endStream: boolean,
    onSent: (stream: LeanStream) => void = () => undefined,
  ) {
    this.#connection = connection;
    this.#endStream = endStream;
    this.#onSent = onSent;
    connection.onSendable = () => this.#pump();
  }

  add(stream: LeanStream, byteCount: number): void {
    this.#unfinished.set(stream, byteCount);
    this.#pump();
  }

  #pump(): void {
    const connection = this.#connection;
    connection.socket.cork();
    // One frame of each in turn, so that no stream waits for the others.
    for (let progress = true; progress; ) {
      progress = false;
      for (const [stream, byteCount] of this.#unfinished) {
        if (stream.blocked || !connection.canSend) continue;
        this.#sendFrame(stream, byteCount);
        progress = true;
      }
    }
    connection.socket.uncork();
  }

  #sendFrame(stream: LeanStream, byteCount: number): void {
    const { sentBytes, connection } = stream;
    const bytes = Math.min(
      FRAME_BYTES,
      byteCount - sentBytes,
      stream.sendWindowBytes,
      connection.sendWindowBytes,
    );
    const last = sentBytes + bytes === byteCount;
    connection.sendData(stream, bulkAt(sentBytes, bytes), last && this.#endStream);
    if (last) {
      this.#unfinished.delete(stream);
      this.#onSent(stream);
    }
  }
}

const TICK_MS = 20;
/** Credit that a reader without brake adds once, so that the window is not what it waits for. */
const FREE_WINDOW_BYTES = 1_048_576;
const GRANT_BYTES = 65_536;

/**
 * How a reader holds back: by giving credit slowly, or by not reading its socket in spite of all
 * the credit it gave.
 */
export type Brake = "credit" | "socket";

/** Reads the streams of one connection at a pace, and checks every byte. */
export class Reader {
  readonly #bytesPerMs: number;
  readonly #brake: Brake;
  readonly #granted = new Map<LeanStream, number>();
  #connection: LeanConnection | undefined;
  #allowanceBytes = 0;
  #tickedMs: number = performance.now();
  #timer: NodeJS.Timeout | undefined;
  /** Streams on which something else came than was sent. */
  readonly corrupted: Set<LeanStream> = new Set();

  /** @param bytesPerSecond of each stream */
  constructor(brake: Brake, bytesPerSecond: number) {
    this.#brake = brake;
    this.#bytesPerMs = bytesPerSecond / 1_000;
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  onData(stream: LeanStream, piece: Buffer): void {
    this.#connection = stream.connection;
    const offset = stream.receivedBytes - piece.length;
    if (!piece.equals(bulkAt(offset, piece.length))) this.corrupted.add(stream);
    if (!this.#granted.has(stream)) this.#granted.set(stream, 0);
    if (this.#timer === undefined) this.#grantAll(stream);
    else if (this.#brake === "socket") {
      this.#allowanceBytes -= piece.length;
      if (this.#allowanceBytes <= 0) stream.connection.socket.pause();
    }
  }

  #tick(): void {
    const nowMs = performance.now();
    const dueBytes = Math.floor((nowMs - this.#tickedMs) * this.#bytesPerMs);
    this.#tickedMs = nowMs;
    if (this.#brake === "socket") {
      this.#allowanceBytes += dueBytes;
      if (this.#allowanceBytes > 0) this.#connection?.socket.resume();
      return;
    }
    for (const [stream, granted] of this.#granted) {
      const bytes = Math.min(stream.receivedBytes - granted, dueBytes);
      this.#granted.set(stream, granted + bytes);
      stream.grant(bytes);
    }
  }

  #grantAll(stream: LeanStream): void {
    const granted = this.#granted.get(stream) ?? 0;
    const bytes = stream.receivedBytes + FREE_WINDOW_BYTES - granted;
    if (this.#brake === "socket" || bytes < GRANT_BYTES) return;
    this.#granted.set(stream, granted + bytes);
    stream.grant(bytes);
  }

  /** From now on everything is taken as it comes. */
  release(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#connection?.socket.resume();
    for (const stream of this.#granted.keys()) this.#grantAll(stream);
  }
}
