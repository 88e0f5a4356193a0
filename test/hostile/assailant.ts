// One connection of an attacker, on either side. It writes what an attack gives it as fast as the
// socket takes it, and only counts what comes back.

import { connect, type Socket } from "node:net";
import { errorCodeName } from "../../src/wire/error-code.ts";
import { FRAME_TYPES, frames, type SettingsInput } from "../support/frames.ts";

const HEADER_BYTES = 9;
const ACK = 0x1;
const END_STREAM = 0x1;
const LARGEST_WINDOW_BYTES = 0x7fffffff;

/** Waits for as long, in milliseconds, instead of sending. */
export type Pause = number;
export type Attempt = Iterable<Buffer | Pause>;

export interface AssailantOptions {
  readonly settings?: SettingsInput;
  /** Never reads its socket. */
  readonly isDeaf?: boolean;
  /** Sends nothing but what the attack gives: neither preface nor SETTINGS, nor an answer. */
  readonly isRaw?: boolean;
}

export class Assailant {
  readonly socket: Socket;
  /** How it ended: `undefined` as long as it is open. */
  end: string | undefined;
  /** Of streams of ours, as a client. */
  nextId = 1;
  sentBytes = 0;
  /** As a backend: a request has come. */
  onRequest: ((streamId: number) => void) | undefined;
  onEnd: (() => void) | undefined;
  /** A stream of ours has ended. */
  onStreamEnd: (() => void) | undefined;
  #goAway: string | undefined;
  readonly #isRaw: boolean;
  readonly #endedIds = new Set<number>();
  #rest: Buffer = Buffer.alloc(0);
  #skipBytes: number;
  #drained: (() => void) | undefined;

  constructor(socket: Socket, isServer: boolean, options: AssailantOptions) {
    this.socket = socket;
    this.#skipBytes = isServer ? frames.preface().length : 0;
    socket.setNoDelay(true);
    socket.on("error", () => this.#close());
    socket.on("close", () => this.#close());
    socket.on("drain", () => this.#drained?.());
    if (options.isDeaf !== true) socket.on("data", (chunk: Buffer) => this.#recv(chunk));
    this.#isRaw = options.isRaw === true;
    if (this.#isRaw) return;
    if (!isServer) this.write(frames.preface());
    const settings = { INITIAL_WINDOW_SIZE: LARGEST_WINDOW_BYTES, ...options.settings };
    this.write(frames.settings(settings).bytes());
    this.write(frames.windowUpdate(0, LARGEST_WINDOW_BYTES - 65_535).bytes());
  }

  static async connect(
    address: { readonly host: string; readonly port: number },
    options: AssailantOptions,
  ): Promise<Assailant> {
    const socket = connect(address);
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    return new Assailant(socket, false, options);
  }

  /** Streams of ours that the relay has ended. */
  get endedCount(): number {
    return this.#endedIds.size;
  }

  takeId(): number {
    const id = this.nextId;
    this.nextId += 2;
    return id;
  }

  write(bytes: Buffer): boolean {
    if (this.end !== undefined) return true;
    this.sentBytes += bytes.length;
    return this.socket.write(bytes);
  }

  /** Sends all of `attempt` until it is over, or the connection. */
  async sendAll(attempt: Attempt): Promise<void> {
    for (const next of attempt) {
      if (this.end !== undefined) return;
      if (typeof next === "number") {
        await this.#wait(next);
      } else if (!this.write(next)) {
        await new Promise<void>((resolve) => {
          this.#drained = resolve;
        });
      } else {
        // Lets the answers in.
        await new Promise<void>((resolve) => setImmediate(resolve));
      }
    }
  }

  /** Ends the connection, if it is still there. */
  abandon(): void {
    this.socket.destroy();
    if (this.end !== undefined) return;
    this.end = "open";
    this.#drained?.();
    this.onEnd?.();
  }

  /** A pause of the attack, which the end of the connection ends as well. */
  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#drained = () => {
        if (this.end === undefined) return;
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #close(): void {
    if (this.end !== undefined) return;
    this.end = this.#goAway ?? "closed";
    this.#drained?.();
    this.onEnd?.();
  }

  #recv(chunk: Buffer): void {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    for (;;) {
      const skip = Math.min(this.#skipBytes, bytes.length);
      this.#skipBytes -= skip;
      bytes = bytes.subarray(skip);
      if (bytes.length < HEADER_BYTES) break;
      const length = bytes.readUIntBE(0, 3);
      const type = bytes.readUInt8(3);
      // Payloads of DATA and HEADERS are of no interest.
      const isSkipped = type === FRAME_TYPES.DATA || type === FRAME_TYPES.HEADERS;
      if (!isSkipped && bytes.length < HEADER_BYTES + length) break;
      const flags = bytes.readUInt8(4);
      const streamId = bytes.readUInt32BE(5) & 0x7fffffff;
      const payload = bytes.subarray(HEADER_BYTES, HEADER_BYTES + length);
      bytes = bytes.subarray(HEADER_BYTES);
      this.#skipBytes = length;
      this.#handle(type, flags, streamId, payload);
    }
    this.#rest = Buffer.from(bytes);
  }

  /** The relay ends a stream by END_STREAM, and may reset it after that. */
  #countEnd(streamId: number): void {
    if (this.#endedIds.has(streamId)) return;
    this.#endedIds.add(streamId);
    this.onStreamEnd?.();
  }

  #handle(type: number, flags: number, streamId: number, payload: Buffer): void {
    switch (type) {
      case FRAME_TYPES.DATA:
        if ((flags & END_STREAM) !== 0) this.#countEnd(streamId);
        return;
      case FRAME_TYPES.HEADERS:
        this.onRequest?.(streamId);
        if ((flags & END_STREAM) !== 0) this.#countEnd(streamId);
        return;
      case FRAME_TYPES.RST_STREAM:
        this.#countEnd(streamId);
        return;
      case FRAME_TYPES.SETTINGS:
        if ((flags & ACK) === 0 && !this.#isRaw) this.write(frames.settingsAck().bytes());
        return;
      case FRAME_TYPES.PING:
        if ((flags & ACK) === 0) this.write(frames.pingAck(payload).bytes());
        return;
      case FRAME_TYPES.GOAWAY:
        this.#goAway = `GOAWAY ${errorCodeName(payload.readUInt32BE(4))}`;
    }
  }
}
