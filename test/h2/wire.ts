// One sans-I/O connection and the bytes on both its sides: a test says what is received and reads
// what was sent, as frames.

import { expect } from "vitest";
import { Connection } from "../../src/h2/connection.ts";
import type { H2Error } from "../../src/h2/error.ts";
import type { ConnectionEnd, ConnectionEvents, ConnectionOptions } from "../../src/h2/events.ts";
import { HpackDecoder } from "../../src/h2/hpack/decoder.ts";
import { DEFAULT_LIMITS, type EngineLimits } from "../../src/h2/limits.ts";
import type { H2Stream, StreamEndInfo, StreamEvents } from "../../src/h2/stream.ts";
import { WindowBudget } from "../../src/h2/window-budget.ts";
import { errorCodeName } from "../../src/wire/error-code.ts";
import type { HeaderList } from "../../src/wire/field.ts";
import { keep, type LentBytes } from "../../src/wire/lent-bytes.ts";
import {
  decodeFrames,
  type FieldInput,
  type Frame,
  fieldsOf,
  frames,
  printFrame,
  request,
  type SettingsInput,
} from "../support/frames.ts";
import { readLent } from "../support/lent.ts";

export interface WireOptions extends Partial<Omit<ConnectionOptions, "limits">> {
  readonly limits?: Partial<EngineLimits>;
  /** Exchange preface, SETTINGS and their acknowledgements before the test begins. @default true */
  readonly handshake?: boolean;
  /** `drain` is called before `start`. @default false */
  readonly drainsFirst?: boolean;
  /** The first flight waits for the client's preface. @default false */
  readonly awaitsClient?: boolean;
  readonly peerSettings?: SettingsInput;
  /** Feed every byte as a chunk of its own. */
  readonly byteByByte?: boolean;
  /** Feed chunks whose memory is gone after the read, as those of plain sockets. @default false */
  readonly lending?: boolean;
  /** What the socket takes before the test says more. @default 1 GiB */
  readonly highWaterBytes?: number;
}

/** What one stream's owner was told, one line each. */
export class StreamLog implements StreamEvents {
  readonly stream: H2Stream<string>;
  readonly log: string[] = [];
  readonly headers: HeaderList[] = [];
  readonly chunks: Buffer[] = [];
  /** Runs on every callback, after it was logged. */
  onEvent: ((line: string) => void) | undefined;

  constructor(stream: H2Stream<string>) {
    this.stream = stream;
  }

  onHeaders(headers: HeaderList, endStream: boolean): void {
    this.headers.push(headers);
    this.#tell(`headers${endStream ? " END" : ""}`);
  }
  onData(chunk: LentBytes, endStream: boolean): void {
    this.chunks.push(keep(chunk));
    this.#tell(`data ${chunk.length}${endStream ? " END" : ""}`);
  }
  onTrailers(trailers: HeaderList): void {
    this.headers.push(trailers);
    this.#tell("trailers");
  }
  onWritable(bytes: number): void {
    this.#tell(`writable ${bytes}`);
  }
  onReset(end: StreamEndInfo): void {
    const unprocessed = end.unprocessed ? ", unprocessed" : "";
    this.#tell(`reset ${end.kind} ${errorCodeName(end.code)}${unprocessed}`);
  }

  get bytes(): number {
    return this.chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  }

  #tell(line: string): void {
    this.log.push(line);
    this.onEvent?.(line);
  }
}

export class Wire implements ConnectionEvents<string> {
  readonly connection: Connection<string>;
  readonly role: "client" | "server";
  /** What the session's owner was told. */
  readonly log: string[] = [];
  readonly streams: StreamLog[] = [];
  /** What of the peer's was refused, as the owner is told. */
  readonly refused: H2Error[] = [];
  end: ConnectionEnd | undefined;
  nowMs = 1_000;
  /** Runs when a request arrives, before its listener is returned. */
  onRequest: ((stream: StreamLog) => void) | undefined;
  /** Answers a request that is too large. @default it is reset */
  onLarge: ((stream: H2Stream<string>) => StreamEvents) | undefined;
  highWaterBytes: number;
  dirty = false;
  /** There was DATA enough for an early write since the last turn. */
  bulky = false;
  loneEnds = 0;

  readonly #byteByByte: boolean;
  readonly #lending: boolean;
  readonly #hpack = new HpackDecoder({
    maxTableBytes: 4_096,
    maxHeaderListBytes: 1 << 24,
  });

  constructor(role: "client" | "server", options: WireOptions = {}) {
    const { limits, handshake = true, peerSettings, byteByByte = false, ...rest } = options;
    const { highWaterBytes = 1 << 30, lending = false, drainsFirst = false, ...others } = rest;
    const { awaitsClient = false, ...settings } = others;
    this.role = role;
    this.#byteByByte = byteByByte;
    this.#lending = lending;
    this.highWaterBytes = highWaterBytes;
    this.connection = new Connection<string>(
      role,
      "the session",
      {
        maxConcurrentStreams: 100,
        streamWindowBytes: 65_535,
        connectionWindowBytes: 65_535,
        maxHeaderListBytes: 16_384,
        headerTableBytes: 4_096,
        windowBudget: new WindowBudget(0),
        ...settings,
        limits: { ...DEFAULT_LIMITS, ...limits },
      },
      this,
      this.nowMs,
    );
    this.connection.written(0, highWaterBytes);
    if (drainsFirst) this.connection.drain();
    if (awaitsClient) this.connection.awaitClient();
    else this.connection.start();
    if (!handshake) return;
    if (role === "server") this.recv(frames.preface());
    this.recv(frames.settings(peerSettings), frames.settingsAck());
    this.sent();
    this.log.length = 0;
  }

  // ConnectionEvents

  onDirty(): void {
    this.dirty = true;
  }
  onBulk(): void {
    this.bulky = true;
  }
  onLoneEnd(): void {
    this.loneEnds++;
  }
  onStream(stream: H2Stream<string>, headers: HeaderList, endStream: boolean): StreamEvents {
    const log = new StreamLog(stream);
    this.streams.push(log);
    log.onHeaders(headers, endStream);
    this.onRequest?.(log);
    return log;
  }
  onGoAway(lastStreamId: number, code: number, debugData: string): void {
    this.log.push(`goaway ${lastStreamId} ${errorCodeName(code)} ${debugData}`.trim());
  }
  onLargeRequest(stream: H2Stream<string>): StreamEvents | undefined {
    return this.onLarge?.(stream);
  }
  onRefused(error: H2Error): void {
    this.refused.push(error);
  }
  onAvailable(): void {
    this.log.push(`available ${this.connection.availableStreamCount}`);
  }
  onClosed(end: ConnectionEnd): void {
    this.end = end;
    this.log.push(`closed ${end.kind} ${errorCodeName(end.code)}`);
  }

  // The test's side

  /** Bytes from the peer, in one chunk unless the wire was made to take them one by one. */
  recv(...parts: readonly (Frame | Uint8Array)[]): this {
    const bytes = frames.bytes(...parts);
    if (this.#lending) {
      readLent(bytes, (memory, end) => this.connection.receive(memory, this.nowMs, end, true));
      return this;
    }
    if (!this.#byteByByte) {
      this.connection.receive(bytes, this.nowMs);
      return this;
    }
    for (let i = 0; i < bytes.length; i++) {
      this.connection.receive(Buffer.from(bytes.subarray(i, i + 1)), this.nowMs);
    }
    return this;
  }

  /** One turn of the event loop: what it wrote, as bytes. */
  turn(): Buffer {
    this.dirty = false;
    this.bulky = false;
    this.connection.turn();
    const bytes = Buffer.concat(this.connection.output.take());
    this.connection.output.settle(0);
    this.connection.written(0, this.highWaterBytes);
    return bytes;
  }

  /**
   * Every frame that was sent since the last look, over as many turns as there is something to do.
   */
  sentFrames(): Frame[] {
    const parts: Buffer[] = [];
    do parts.push(this.turn());
    while (this.dirty);
    let bytes = Buffer.concat(parts);
    const preface = frames.preface();
    if (bytes.subarray(0, preface.length).equals(preface)) bytes = bytes.subarray(preface.length);
    return decodeFrames(bytes);
  }

  /** The same, printed, with header blocks decoded. */
  sent(): string[] {
    return this.sentFrames().map((frame) => {
      const whole = frame.name === "HEADERS" && (frame.flags & 4) !== 0;
      const fields: HeaderList | undefined = whole
        ? this.#hpack.decode(frame.payload, 0, frame.payload.length)
        : undefined;
      return printFrame(frame, fields);
    });
  }

  /** Opens a request from the peer (server side). */
  request(streamId = 1, ...more: readonly FieldInput[]): StreamLog {
    this.recv(frames.headers(streamId, request("/a/B", ...more)));
    return this.lastStream();
  }

  /** Opens a stream to the peer (client side). */
  open(endStream = false, fields: readonly FieldInput[] = request("/a/B")): StreamLog {
    const holder: { log?: StreamLog } = {};
    const relay: StreamEvents = {
      onHeaders: (headers, end) => holder.log?.onHeaders(headers, end),
      onData: (chunk, end) => holder.log?.onData(chunk, end),
      onTrailers: (trailers) => holder.log?.onTrailers(trailers),
      onWritable: (bytes) => holder.log?.onWritable(bytes),
      onReset: (end) => holder.log?.onReset(end),
    };
    const log = new StreamLog(this.connection.openStream(fieldsOf(fields), endStream, relay));
    holder.log = log;
    this.streams.push(log);
    return log;
  }

  lastStream(): StreamLog {
    const last = this.streams.at(-1);
    if (last === undefined) throw new Error("no stream has arrived");
    return last;
  }

  // What a broken rule leads to

  /** GOAWAY with `code`, and the end of everything. */
  expectConnectionError(code: number): void {
    const goAways = this.sentFrames().filter((frame) => frame.name === "GOAWAY");
    expect(goAways.map((frame) => errorCodeName(frame.errorCode))).toEqual([errorCodeName(code)]);
    expect(this.log).toContain(`closed protocol ${errorCodeName(code)}`);
  }

  /** RST_STREAM on `streamId` with `code`; the connection and its other streams go on. */
  expectStreamError(streamId: number, code: number): void {
    const resets = this.sentFrames().filter((frame) => frame.name === "RST_STREAM");
    expect(resets.map((frame) => [frame.streamId, errorCodeName(frame.errorCode)])).toEqual([
      [streamId, errorCodeName(code)],
    ]);
    this.expectAlive();
  }

  /** The same, behind what was sent on purpose. */
  expectStreamErrorAfter(streamId: number, code: number, before: readonly string[]): void {
    const sent = this.sentFrames();
    expect(sent.map((frame) => frame.name)).toEqual([...before, "RST_STREAM"]);
    const reset = sent.at(-1);
    expect([reset?.streamId, reset?.errorCode]).toEqual([streamId, code]);
    this.expectAlive();
  }

  /**
   * The peer's frames were taken without complaint: the connection answers a PING and nothing else.
   */
  expectAlive(): void {
    this.recv(frames.ping("stillup!"));
    const sent = this.sentFrames().filter((frame) => frame.name !== "WINDOW_UPDATE");
    expect(sent.map((frame) => printFrame(frame))).toEqual([
      printFrame(frames.pingAck("stillup!")),
    ]);
    expect(this.end).toBeUndefined();
  }
}

export function server(options: WireOptions = {}): Wire {
  return new Wire("server", options);
}

export function client(options: WireOptions = {}): Wire {
  return new Wire("client", options);
}

/** Both ways of chunking, for `describe.each`. */
export const CHUNKINGS: readonly [string, boolean][] = [
  ["in one chunk", false],
  ["byte by byte", true],
];
