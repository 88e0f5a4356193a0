// One HTTP/2 connection played by a test, frame by frame. It follows the script and does nothing
// else, except to acknowledge SETTINGS and PING. Every wait is for an event and bounded. A failure
// prints the whole trace.

import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { HpackDecoder } from "../../src/h2/hpack/decoder.ts";
import { errorCodeName } from "../../src/wire/error-code.ts";
import { fieldValue, type HeaderList } from "../../src/wire/field.ts";
import {
  ACK,
  END_HEADERS,
  Frame,
  FrameDecoder,
  type FrameType,
  frames,
  printFrame,
  type SettingsInput,
} from "./frames.ts";
import { WAIT_LIMIT_MS } from "./patience.ts";

export interface PeerOptions {
  /** The settings of our SETTINGS frame. */
  readonly settings?: SettingsInput;
  /** Exchange preface and SETTINGS before the test gets the peer. @default true */
  readonly handshake?: boolean;
  /** Answer SETTINGS with an acknowledgement. @default true */
  readonly ackSettings?: boolean;
  /** Answer PING with an acknowledgement. @default true */
  readonly ackPings?: boolean;
  /**
   * Give the credit of received DATA back at once.
   * @default false, so that flow control can be tested
   */
  readonly refillWindows?: boolean;
}

/** One frame of the trace. A header block is decoded where it ends. */
export interface TraceEntry {
  readonly direction: "recv" | "sent";
  readonly frame: Frame;
  readonly fields?: HeaderList;
  /** Whether an expectation has claimed the frame. */
  taken: boolean;
}

export interface ReceivedRequest {
  readonly streamId: number;
  readonly fields: HeaderList;
  readonly path: string;
}

interface Waiter {
  attempt(): void;
}

/** Frames that may stand between two others of a stream without meaning anything to a script. */
const IGNORED: readonly string[] = ["WINDOW_UPDATE", "PRIORITY"];

export class ScriptedPeer {
  readonly socket: Socket;
  readonly role: "client" | "server";
  /** Everything that was received and sent, in order. */
  readonly trace: TraceEntry[] = [];
  ackSettings: boolean;
  ackPings: boolean;
  refillWindows: boolean;
  /** Whether the connection is gone. `closeError` says why, if it did not end in order. */
  closed = false;
  closeError: Error | undefined;
  /** Whether the other side has sent FIN. */
  ended = false;

  readonly #frames = new FrameDecoder();
  readonly #hpack: HpackDecoder;
  readonly #waiters = new Set<Waiter>();
  #preface: Buffer = Buffer.alloc(0);
  #prefaceSeen: boolean;
  #block: { first: Frame; pieces: Buffer[] } | undefined;
  #broken: Error | undefined;
  #syncCount = 0;

  constructor(socket: Socket, role: "client" | "server", options: PeerOptions = {}) {
    this.socket = socket;
    this.role = role;
    this.ackSettings = options.ackSettings ?? true;
    this.ackPings = options.ackPings ?? true;
    this.refillWindows = options.refillWindows ?? false;
    this.#prefaceSeen = role === "client";
    this.#hpack = new HpackDecoder({
      maxTableBytes: options.settings?.HEADER_TABLE_SIZE ?? 4_096,
      maxHeaderListBytes: 64 * 1024 * 1024,
    });
    socket.setNoDelay?.(true);
    socket.on("data", (chunk: Buffer) => this.#recv(chunk));
    socket.on("end", () => {
      this.ended = true;
      this.#wake();
    });
    socket.on("error", (error) => {
      this.closeError = error;
    });
    socket.on("close", () => {
      this.closed = true;
      this.#wake();
    });
    if (options.handshake !== false) {
      if (role === "client") this.send(frames.preface());
      this.send(frames.settings(options.settings));
    }
  }

  // Sending

  send(...parts: readonly (Frame | Uint8Array)[]): void {
    for (const part of parts) {
      if (part instanceof Frame) this.trace.push({ direction: "sent", frame: part, taken: true });
    }
    this.socket.write(frames.bytes(...parts));
  }

  /** Closes our side of the socket in order. */
  end(): void {
    this.socket.end();
  }

  /** Resets the connection, as a crash of the peer does (TCP RST; with TLS it is just gone). */
  destroy(): void {
    if (this.socket instanceof TLSSocket) this.socket.destroy();
    else this.socket.resetAndDestroy();
  }

  /** Stops reading from the socket, as a peer that stalls as a whole, below flow control. */
  pauseReading(): void {
    this.socket.pause();
  }

  resumeReading(): void {
    this.socket.resume();
  }

  // Expecting. Within one stream the order is strict: the first frame must be the expected one.

  /**
   * The next frame of type `type`. With `stream` it must be the very next frame of that stream
   * (WINDOW_UPDATE and PRIORITY aside), unless `skip` names types that may come before it. Without
   * `stream`, other frames of the connection may come before it.
   */
  recv(
    type: FrameType,
    where: { readonly stream?: number; readonly skip?: readonly FrameType[] } = {},
  ): Promise<TraceEntry> {
    const what = where.stream === undefined ? type : `${type} on stream ${where.stream}`;
    return this.until(what, () => {
      for (const entry of this.trace) {
        if (entry.taken || entry.direction === "sent") continue;
        if (where.stream !== undefined && entry.frame.streamId !== where.stream) continue;
        if (entry.frame.name === type && !isAck(entry.frame)) {
          entry.taken = true;
          return entry;
        }
        if (where.stream === undefined || where.stream === 0) continue;
        if (IGNORED.includes(entry.frame.name)) continue;
        if (where.skip?.includes(entry.frame.name as FrameType)) {
          entry.taken = true;
          continue;
        }
        throw new Error(`expected ${what}, got ${printFrame(entry.frame, entry.fields)}`);
      }
      return undefined;
    });
  }

  /** The next HEADERS of `stream`, which does not end it unless `endStream` says so. */
  async expectHeaders(
    stream: number,
    options: { readonly endStream?: boolean } = {},
  ): Promise<HeaderList> {
    const { frame, fields } = await this.recv("HEADERS", { stream });
    const endStream = options.endStream ?? false;
    if (frame.endStream !== endStream) {
      throw this.failure(`expected HEADERS ${endStream ? "with" : "without"} END_STREAM`);
    }
    return fields ?? [];
  }

  /** The next request, on whatever stream it comes. */
  async expectRequest(path?: string): Promise<ReceivedRequest> {
    const { frame, fields = [] } = await this.recv("HEADERS");
    const got = fieldValue(fields, ":path") ?? "";
    if (path !== undefined && got !== path) throw this.failure(`expected ${path}, got ${got}`);
    return { streamId: frame.streamId, fields, path: got };
  }

  /** Trailers, or a Trailers-Only response: HEADERS with END_STREAM. */
  expectTrailers(stream: number): Promise<HeaderList> {
    return this.expectHeaders(stream, { endStream: true });
  }

  /** The next DATA frame of `stream`. */
  async expectData(
    stream: number,
    expected: { readonly endStream?: boolean } = {},
  ): Promise<Buffer> {
    const { frame } = await this.recv("DATA", { stream });
    if (expected.endStream !== undefined && frame.endStream !== expected.endStream) {
      throw this.failure(`expected DATA ${expected.endStream ? "with" : "without"} END_STREAM`);
    }
    return frame.body;
  }

  /** Exactly `count` bytes of DATA, in however many frames. */
  async expectBytes(stream: number, count: number): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let got = 0;
    while (got < count) {
      const chunk = await this.expectData(stream);
      chunks.push(chunk);
      got += chunk.length;
    }
    if (got !== count) throw this.failure(`expected ${count} bytes of DATA, got ${got}`);
    return Buffer.concat(chunks);
  }

  /** DATA until END_STREAM. */
  async expectBody(stream: number): Promise<Buffer> {
    const chunks: Buffer[] = [];
    for (;;) {
      const { frame } = await this.recv("DATA", { stream });
      chunks.push(frame.body);
      if (frame.endStream) return Buffer.concat(chunks);
    }
  }

  /** RST_STREAM as the next frame of `stream`, or with `skip` after frames that it names. */
  async expectReset(
    stream: number,
    code?: number,
    options: { readonly skip?: readonly FrameType[] } = {},
  ): Promise<number> {
    const { frame } = await this.recv("RST_STREAM", { stream, ...options });
    this.#expectCode(frame, code);
    return frame.errorCode;
  }

  async expectGoAway(
    code?: number,
  ): Promise<{ readonly lastStreamId: number; readonly code: number; readonly debug: string }> {
    const { frame } = await this.recv("GOAWAY");
    this.#expectCode(frame, code);
    return {
      lastStreamId: frame.payload.readUInt32BE(0),
      code: frame.errorCode,
      debug: frame.payload.toString("latin1", 8),
    };
  }

  /** The increment of the next WINDOW_UPDATE of `stream` (0 for the connection). */
  async expectWindowUpdate(stream: number): Promise<number> {
    const { frame } = await this.recv("WINDOW_UPDATE", { stream });
    return frame.payload.readUInt32BE(0);
  }

  expectSettings(): Promise<TraceEntry> {
    return this.recv("SETTINGS");
  }

  async expectSettingsAck(): Promise<void> {
    await this.#expectAck("SETTINGS", () => true);
  }

  /** The connection is closed, by FIN or reset. */
  async expectClosed(): Promise<void> {
    // A client that half-closes waits for our FIN, so the peer answers its FIN.
    await this.until("the end of the connection", () => this.closed || this.ended || undefined);
    if (!this.closed) this.socket.end();
    await this.until("the socket to close", () => this.closed || undefined);
  }

  /** Waits until everything has arrived that the other side sent before it answered a PING. */
  async sync(): Promise<void> {
    const opaque = Buffer.from(`sync${`${++this.#syncCount}`.padStart(4, "0")}`);
    this.send(frames.ping(opaque));
    await this.#expectAck("PING", (frame) => frame.payload.equals(opaque));
  }

  /** Nothing but WINDOW_UPDATE arrives on `stream` during a few round trips. */
  async expectQuiet(stream: number): Promise<void> {
    for (let round = 0; round < 3; round++) await this.sync();
    const extra = this.trace.find(
      ({ taken, frame }) => !taken && frame.streamId === stream && !IGNORED.includes(frame.name),
    );
    if (extra !== undefined) {
      throw this.failure(
        `expected nothing more on stream ${stream}, got ${printFrame(extra.frame, extra.fields)}`,
      );
    }
  }

  // Looking back

  /** Frames received on `stream` so far, claimed or not. */
  received(stream: number, type?: FrameType): Frame[] {
    return this.trace
      .filter(({ direction, frame }) => direction === "recv" && frame.streamId === stream)
      .map(({ frame }) => frame)
      .filter((frame) => type === undefined || frame.name === type);
  }

  /** Bytes of DATA received on `stream` so far; without `stream`, on all streams. */
  receivedBytes(stream?: number): number {
    let total = 0;
    for (const { direction, frame } of this.trace) {
      if (direction !== "recv" || frame.name !== "DATA") continue;
      if (stream === undefined || frame.streamId === stream) total += frame.body.length;
    }
    return total;
  }

  /** Fails when the other side ended its side of `stream` in order at any time. */
  expectNoEndStream(stream: number): void {
    const end = this.received(stream).find((frame) => frame.endStream);
    if (end !== undefined) throw this.failure(`expected no END_STREAM, got ${printFrame(end)}`);
  }

  /** Waits until `check` gives something. It is called again whenever anything arrives. */
  until<T>(what: string, check: () => T | undefined): Promise<T> {
    // The error is made here, so that it has the stack of the test that waits.
    const failure = new Error();
    return new Promise((resolve, reject) => {
      const finish = (): void => {
        clearTimeout(timer);
        this.#waiters.delete(waiter);
      };
      const fail = (reason: string): void => {
        finish();
        failure.message = `${reason}\n${this.printTrace()}`;
        failure.stack = `${failure}${failure.stack?.slice("Error".length) ?? ""}`;
        reject(failure);
      };
      const timer = setTimeout(() => fail(`waited in vain for ${what}`), WAIT_LIMIT_MS);
      const waiter: Waiter = {
        attempt: () => {
          try {
            const result = check();
            if (result !== undefined) {
              finish();
              resolve(result);
            } else if (this.#broken !== undefined) {
              fail(`${this.#broken.message} while waiting for ${what}`);
            } else if (this.closed) {
              fail(`the connection closed (${this.closeError ?? "in order"}) before ${what}`);
            }
          } catch (error) {
            fail(error instanceof Error ? error.message : `${error}`);
          }
        },
      };
      this.#waiters.add(waiter);
      waiter.attempt();
    });
  }

  /** An assertion's error, with the trace. */
  failure(text: string): Error {
    return new Error(`${text}\n${this.printTrace()}`);
  }

  printTrace(): string {
    const lines = this.trace.map(
      ({ direction, frame, fields }) =>
        `  ${direction === "recv" ? "<-" : "->"} ${printFrame(frame, fields)}`,
    );
    if (lines.length > 60) lines.splice(20, lines.length - 60, "  ...");
    if (this.closed) lines.push(`  -- closed${this.closeError ? `: ${this.closeError}` : ""}`);
    return `frames seen by the scripted ${this.role}:\n${lines.join("\n")}`;
  }

  #expectCode(frame: Frame, code: number | undefined): void {
    if (code === undefined || frame.errorCode === code) return;
    throw this.failure(`expected ${frame.name} ${errorCodeName(code)}, got ${printFrame(frame)}`);
  }

  #expectAck(type: "SETTINGS" | "PING", matches: (frame: Frame) => boolean): Promise<true> {
    return this.until(`${type} acknowledged`, () => {
      const entry = this.trace.find(
        ({ direction, taken, frame }) =>
          direction === "recv" && !taken && frame.name === type && isAck(frame) && matches(frame),
      );
      if (entry === undefined) return undefined;
      entry.taken = true;
      return true;
    });
  }

  #wake(): void {
    for (const waiter of [...this.#waiters]) waiter.attempt();
  }

  #recv(chunk: Buffer): void {
    let rest = chunk;
    if (!this.#prefaceSeen) {
      this.#preface = Buffer.concat([this.#preface, chunk]);
      const expected = frames.preface();
      if (this.#preface.length < expected.length) return;
      if (!this.#preface.subarray(0, expected.length).equals(expected)) {
        this.#broken = new Error(`no HTTP/2 preface: ${this.#preface.toString("latin1")}`);
        this.#wake();
        return;
      }
      this.#prefaceSeen = true;
      rest = this.#preface.subarray(expected.length);
    }
    for (const frame of this.#frames.push(rest)) {
      this.#record(frame);
      this.#answer(frame);
      this.#wake();
    }
  }

  #record(frame: Frame): void {
    const entry: TraceEntry = { direction: "recv", frame, taken: false };
    if (frame.name === "HEADERS") this.#block = { first: frame, pieces: [] };
    const block = this.#block;
    if (block === undefined || (frame.name !== "HEADERS" && frame.name !== "CONTINUATION")) {
      this.trace.push(entry);
      return;
    }
    block.pieces.push(frame.body);
    if (!frame.has(END_HEADERS)) {
      // The pieces of a header block stand in the trace, but scripts wait for the whole block.
      this.trace.push({ ...entry, taken: true });
      return;
    }
    this.#block = undefined;
    const bytes = Buffer.concat(block.pieces);
    try {
      const fields = this.#hpack.decode(bytes, 0, bytes.length);
      this.trace.push({ ...entry, frame: wholeBlock(block.first, frame, bytes), fields });
    } catch (error) {
      this.#broken = new Error(`header block does not decode: ${error}`, { cause: error });
      this.trace.push(entry);
    }
  }

  #answer(frame: Frame): void {
    if (frame.name === "SETTINGS" && !isAck(frame) && this.ackSettings)
      this.send(frames.settingsAck());
    if (frame.name === "PING" && !isAck(frame) && this.ackPings)
      this.send(frames.pingAck(frame.payload));
    if (frame.name === "DATA" && this.refillWindows && frame.payload.length > 0) {
      this.send(frames.windowUpdate(0, frame.payload.length));
      if (!frame.endStream) this.send(frames.windowUpdate(frame.streamId, frame.payload.length));
    }
  }
}

function isAck(frame: Frame): boolean {
  return (frame.name === "SETTINGS" || frame.name === "PING") && frame.has(ACK);
}

/** HEADERS as if its CONTINUATION frames had been one frame with it. */
function wholeBlock(first: Frame, last: Frame, block: Buffer): Frame {
  if (first === last) return first;
  return new Frame(first.type, (first.flags & 0x1) | END_HEADERS, first.streamId, block);
}
