// The seam without frames, sockets or another side: sessions and streams that record what the relay
// does with them, and bring the events that a run asks for. They know nothing of gRPC.

import type {
  ClientSession,
  ClientSessionListener,
  ServerSessionListener,
  SessionEnd,
  Stream,
  StreamEnd,
  StreamListener,
} from "../../src/transport/transport.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { fieldValue, type HeaderList } from "../../src/wire/field.ts";
import { type LentBytes, lend } from "../../src/wire/lent-bytes.ts";
import type { ModelClock } from "./clock.ts";

/** The parts of a run that all its peers share. */
export class Wires {
  readonly clock: ModelClock;
  /** Rules of the seam that the code broke. */
  readonly violations: string[] = [];
  /** Events that follow from a call of the owner's. They come after that call. */
  readonly #posted: (() => void)[] = [];

  constructor(clock: ModelClock) {
    this.clock = clock;
  }

  post(event: () => void): void {
    this.#posted.push(event);
  }

  deliver(): void {
    for (let event = this.#posted.shift(); event !== undefined; event = this.#posted.shift()) {
      event();
    }
  }

  expect(holds: boolean, rule: string): void {
    if (!holds) this.violations.push(rule);
  }
}

/** Memory as a plain socket of the engine uses it: what was read is gone after the callback. */
const MEMORY: Buffer = Buffer.alloc(256);
const GARBAGE = 0xdb;

const NOTHING: Buffer = Buffer.alloc(0);

/** A header list by what tells it from others: its status, and who sent it. */
function outlineOf(fields: HeaderList): string {
  return `${fieldValue(fields, "grpc-status") ?? ""}@${fieldValue(fields, "x-from") ?? ""}`;
}

export class ModelStream implements Stream {
  readonly id: number;
  readonly session: ModelSession;
  listener: StreamListener | undefined;
  /** What went out beside DATA: `H` headers, `T` trailers, `TO` Trailers-Only, `R` a reset. */
  readonly sent: string[] = [];
  /** The DATA that was given to the stream, one character for each byte. */
  handed = "";
  /** How much of it the socket took. */
  acceptedBytes = 0;
  /** DATA that the peer may send before it gets credit. */
  receivedBytes = 0;
  acknowledgedBytes = 0;
  resetCode: number | undefined;
  headersSent = false;
  /** The owner has ended its side. That end may still be queued. */
  finished = false;
  remoteEnded = false;
  over = false;
  #localEnded = false;
  #windowBytes: number;
  #trailers: HeaderList | undefined;

  constructor(session: ModelSession, id: number, windowBytes: number) {
    this.session = session;
    this.id = id;
    this.#windowBytes = windowBytes;
  }

  get queuedBytes(): number {
    return this.over ? 0 : this.handed.length - this.acceptedBytes;
  }

  /** Everything about the stream that peers can know. */
  get key(): string {
    const { handed, acceptedBytes, receivedBytes, acknowledgedBytes } = this;
    const flags = +this.finished + 2 * +this.remoteEnded + 4 * +this.over;
    return `${this.sent}|${handed}|${acceptedBytes}/${this.#windowBytes}|${acknowledgedBytes}/${receivedBytes}|${flags}`;
  }

  sendHeaders(headers: HeaderList, endStream: boolean): void {
    if (this.over) return;
    const { wires, role } = this.session;
    wires.expect(role === "server", "request headers on an open stream");
    wires.expect(!this.headersSent, "response headers twice");
    wires.expect(!this.finished, "response headers after the end of the stream");
    this.headersSent = true;
    this.finished = endStream;
    this.sent.push(endStream ? `TO${outlineOf(headers)}` : "H");
    if (endStream) this.#endLocal();
  }

  sendData(chunk: LentBytes, endStream: boolean): number {
    if (this.over) return 0;
    const { wires, role } = this.session;
    wires.expect(!this.finished, "DATA after END_STREAM");
    wires.expect(role === "client" || this.headersSent, "DATA before the response headers");
    wires.expect(chunk.length > 0 || endStream, "DATA without bytes and without END_STREAM");
    this.finished = endStream;
    for (let i = 0; i < chunk.length; i++) this.handed += String.fromCharCode(chunk.readUInt8(i));
    return this.#flush();
  }

  sendTrailers(trailers: HeaderList): void {
    if (this.over) return;
    const { wires } = this.session;
    wires.expect(this.headersSent, "trailers before the response headers");
    wires.expect(!this.finished, "trailers after the end of the stream");
    this.finished = true;
    this.#trailers = trailers;
    this.#flush();
  }

  reset(code: number): void {
    if (this.over) return;
    this.resetCode = code;
    this.sent.push(`R${code}`);
    this.#close();
  }

  acknowledge(bytes: number): void {
    this.acknowledgedBytes += bytes;
    const isGiven = this.acknowledgedBytes <= this.receivedBytes;
    this.session.wires.expect(isGiven, "more credit than bytes were received");
  }

  // The peer's doing.

  /** The peer gives credit. */
  credit(bytes: number): void {
    this.#windowBytes += bytes;
    const accepted = this.#flush();
    if (accepted > 0) this.listener?.onWritable(accepted);
  }

  recvHeaders(headers: HeaderList, endStream: boolean): void {
    this.session.answered = true;
    if (endStream) this.#endRemote();
    this.listener?.onHeaders(headers, endStream);
  }

  recvData(bytes: Uint8Array, endStream: boolean): void {
    this.receivedBytes += bytes.length;
    if (endStream) this.#endRemote();
    if (bytes.length === 0) this.listener?.onData(NOTHING, endStream);
    else {
      MEMORY.set(bytes);
      this.listener?.onData(lend(MEMORY, 0, bytes.length), endStream);
      MEMORY.fill(GARBAGE, 0, bytes.length);
    }
  }

  recvTrailers(trailers: HeaderList): void {
    this.#endRemote();
    this.listener?.onTrailers(trailers);
  }

  /** The stream is over for a reason that is not ours. */
  fail(end: StreamEnd): void {
    if (this.over) return;
    this.#close();
    this.listener?.onReset(end);
  }

  #flush(): number {
    if (this.over) return 0;
    const bytes = Math.min(this.#windowBytes, this.handed.length - this.acceptedBytes);
    this.#windowBytes -= bytes;
    this.acceptedBytes += bytes;
    if (this.finished && this.acceptedBytes === this.handed.length && !this.#localEnded) {
      if (this.#trailers !== undefined) this.sent.push(`T${outlineOf(this.#trailers)}`);
      this.#endLocal();
    }
    return bytes;
  }

  #endLocal(): void {
    this.#localEnded = true;
    if (this.remoteEnded) this.#close();
    // RFC 9113 §8.1: the response is complete, and the rest of the request does not matter.
    else if (this.session.role === "server") this.reset(ErrorCode.NO_ERROR);
  }

  #endRemote(): void {
    this.remoteEnded = true;
    if (this.#localEnded) this.#close();
  }

  #close(): void {
    this.over = true;
    this.session.forget(this);
  }
}

export class ModelSession implements ClientSession {
  readonly role: "client" | "server";
  readonly wires: Wires;
  readonly peer = { remoteAddress: "192.0.2.1:1", localAddress: "192.0.2.2:1" };
  listener: ClientSessionListener | ServerSessionListener | undefined;
  answered = false;
  readonly streamLimit = 100;
  /** The server's SETTINGS have come. */
  ready: boolean;
  closed = false;
  /** All streams that were opened. */
  readonly opened: ModelStream[] = [];
  /** The peer takes so many bytes of each stream before it gives credit. */
  readonly #windowBytes: number;
  readonly #open = new Set<ModelStream>();
  #drained = false;
  #goneAway = false;

  readonly #onOpened: () => void;

  constructor(
    role: "client" | "server",
    wires: Wires,
    windowBytes: number,
    onOpened: () => void = () => {},
  ) {
    this.role = role;
    this.wires = wires;
    this.ready = role === "server";
    this.#windowBytes = windowBytes;
    this.#onOpened = onOpened;
  }

  get key(): string {
    const flags = [this.ready, this.answered, this.closed, this.#drained, this.#goneAway];
    return flags.map(Number).join("");
  }

  get openStreamCount(): number {
    return this.#open.size;
  }

  get nowMs(): number {
    return this.wires.clock.nowMs();
  }

  get accepting(): boolean {
    return this.ready && !this.closed && !this.#drained && !this.#goneAway;
  }

  get availableStreamCount(): number {
    return this.accepting ? this.streamLimit - this.#open.size : 0;
  }

  get atStreamLimit(): boolean {
    return this.#open.size >= this.streamLimit;
  }

  openStream(_headers: HeaderList, _endStream: boolean, listener: StreamListener): ModelStream {
    this.wires.expect(this.availableStreamCount > 0, "a stream on a session without room");
    return this.add(listener);
  }

  add(listener: StreamListener | undefined): ModelStream {
    const stream = new ModelStream(this, 2 * this.opened.length + 1, this.#windowBytes);
    stream.listener = listener;
    this.opened.push(stream);
    this.#open.add(stream);
    this.#onOpened();
    return stream;
  }

  drain(): void {
    if (this.closed) return;
    this.#drained = true;
    this.#closeIfDrained();
  }

  destroy(code: number, message: string): void {
    if (this.closed) return;
    this.closed = true;
    this.wires.post(() => this.#finish({ kind: "destroyed", code, message }));
  }

  ping(): void {}

  watchStreams(): void {
    this.wires.expect(false, "a watch where room is never scarce");
  }

  forget(stream: ModelStream): void {
    this.#open.delete(stream);
    if (this.#drained || this.#goneAway) this.#closeIfDrained();
  }

  // The peer's doing.

  /** The server's SETTINGS arrive. */
  becomeReady(): void {
    this.ready = true;
    (this.listener as ClientSessionListener).onAvailable();
  }

  /** Connecting fails, or the connection breaks. */
  die(): void {
    this.closed = true;
    const kind = this.ready ? "socket" : "connect";
    this.#finish({ kind, code: ErrorCode.NO_ERROR, message: "gone", reason: "gone" });
  }

  /** GOAWAY that takes no stream at all. */
  goAway(): void {
    this.#goneAway = true;
    this.listener?.onGoAway(0, ErrorCode.NO_ERROR, "");
    for (const stream of [...this.#open]) stream.fail(LEFT_BEHIND);
    this.#closeIfDrained();
  }

  #closeIfDrained(): void {
    if (this.#open.size > 0 || this.closed) return;
    this.closed = true;
    this.wires.post(() => this.#finish({ kind: "closed", code: 0, message: "drained" }));
  }

  #finish(end: SessionEnd): void {
    for (const stream of [...this.#open]) stream.fail(LOST);
    this.listener?.onClosed(end);
  }
}

const LOST: StreamEnd = streamEnd("session", ErrorCode.NO_ERROR, false);
const LEFT_BEHIND: StreamEnd = streamEnd("goaway", ErrorCode.NO_ERROR, true);

/** RST_STREAM from the peer. */
export function resetBy(code: number): StreamEnd {
  return streamEnd("reset", code, code === ErrorCode.REFUSED_STREAM);
}

function streamEnd(kind: StreamEnd["kind"], code: number, unprocessed: boolean): StreamEnd {
  return { kind, code, unprocessed, message: `${kind} ${code}`, reason: kind };
}
