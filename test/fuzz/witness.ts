// Watches both directions of one connection from outside and knows, by its own bookkeeping, what
// our side may send. It shares no frame, window or header code with src/h2. A broken rule is thrown
// as an Error that shows the latest frames.

import { Frame, printFrame, settingsOf } from "../support/frames.ts";
import { PlainHpackDecoder } from "./plain-hpack.ts";

const PREFACE_BYTES = 24;
const MAX_WINDOW = 0x7fffffff;
/** What windows grow to. */
const LARGEST_GROWN = 16_777_216;
const TRACE_LENGTH = 40;

/** One stream as it looks from outside. */
export class SeenStream {
  readonly id: number;
  // Sent by our side.
  headerBlocks = 0;
  finalHeaders = false;
  dataBytes = 0;
  ended = false;
  reset = false;
  resetCode = -1;
  /** Sum of the peer's WINDOW_UPDATEs. */
  creditBytes = 0;
  // Received by our side.
  receivedBytes = 0;
  /** Sum of our WINDOW_UPDATEs. */
  announcedBytes = 0;
  peerReset = false;
  /** Header lists that our owner gave and the wire has not shown yet. */
  readonly expected: (readonly { readonly name: string; readonly value: string }[])[] = [];
  /** What our owner gave as DATA, where contents are checked: the next bytes to be seen. */
  contents: Buffer[] = [];

  constructor(id: number) {
    this.id = id;
  }
}

/**
 * Cuts a byte stream into frames; DATA is counted when its header is there, because that is when a
 * receiver counts it.
 */
class Cutter {
  pending: Buffer = Buffer.alloc(0);
  skipBytes = 0;
  headSeen = false;

  constructor(prefaceBytes: number) {
    this.skipBytes = prefaceBytes;
  }

  cut(
    chunk: Buffer,
    onHead: (frame: Frame, length: number) => void,
    onFrame: (frame: Frame) => void,
  ): void {
    let bytes = this.pending.length === 0 ? chunk : Buffer.concat([this.pending, chunk]);
    const skip = Math.min(this.skipBytes, bytes.length);
    this.skipBytes -= skip;
    bytes = bytes.subarray(skip);
    let at = 0;
    while (bytes.length - at >= 9) {
      const length = bytes.readUIntBE(at, 3);
      const type = bytes.readUInt8(at + 3);
      const flags = bytes.readUInt8(at + 4);
      const id = bytes.readUInt32BE(at + 5) & MAX_WINDOW;
      const payload = bytes.subarray(at + 9, at + 9 + length);
      const frame = new Frame(type, flags, id, payload);
      if (!this.headSeen) {
        this.headSeen = true;
        onHead(frame, length);
      }
      if (bytes.length - at < 9 + length) break;
      this.headSeen = false;
      onFrame(frame);
      at += 9 + length;
    }
    this.pending = bytes.subarray(at);
  }
}

export interface WitnessOptions {
  readonly role: "client" | "server";
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  /** What windows of streams may grow by. */
  readonly windowBudget: { readonly limitBytes: number };
}

export class Witness {
  readonly streams: Map<number, SeenStream> = new Map();
  /** Frames received and sent, whatever became of them. */
  frameCount = 0;
  /** What our side sent last. */
  goAwayCode: number | undefined;
  settingsAcks = 0;
  readonly pingAcks: string[] = [];
  /** PINGs of our side that nobody has answered. */
  readonly openPings: Buffer[] = [];
  /** Sent by our side on the connection. */
  dataBytes = 0;
  creditBytes = 0;
  /** What our side may believe about the peer, as of its last acknowledgement. */
  initialWindow = 65_535;
  maxConcurrentStreams = 0xffffffff;
  receivedBytes = 0;
  announcedBytes = 0;
  highestPeerId = 0;
  highestOwnId = 0;
  /** The input has left the frame format: nothing is known of it any more. */
  inputBroken = false;
  inputBlockOpen = false;

  readonly #options: WitnessOptions;
  readonly #input: Cutter;
  readonly #output: Cutter;
  readonly #hpack = new PlainHpackDecoder();
  readonly #settings: [string, number][][] = [];
  readonly #pings: string[] = [];
  readonly #lines: (() => string)[] = [];
  #first = true;
  #block: { readonly first: Frame; readonly pieces: Buffer[] } | undefined;
  #onOutput: ((frame: Frame) => void) | undefined;

  constructor(options: WitnessOptions) {
    this.#options = options;
    this.#input = new Cutter(options.role === "server" ? PREFACE_BYTES : 0);
    this.#output = new Cutter(options.role === "client" ? PREFACE_BYTES : 0);
  }

  /** Tells the peer of every frame that our side sends. */
  set onOutput(listener: (frame: Frame) => void) {
    this.#onOutput = listener;
  }

  /** The input stands between two frames, outside a header block. */
  get inputIsWhole(): boolean {
    return (
      !this.inputBroken &&
      this.#input.skipBytes === 0 &&
      this.#input.pending.length === 0 &&
      !this.inputBlockOpen
    );
  }

  stream(id: number): SeenStream {
    let stream = this.streams.get(id);
    if (stream === undefined) {
      stream = new SeenStream(id);
      this.streams.set(id, stream);
    }
    return stream;
  }

  /** What the peer may still send on `id` by what it has seen of our windows. */
  peerWindow(id: number): number {
    const stream = this.stream(id);
    const connection = 65_535 + this.announcedBytes - this.receivedBytes;
    const own = this.#options.streamWindowBytes + stream.announcedBytes - stream.receivedBytes;
    return Math.min(connection, own);
  }

  /** What the connection under test is about to be fed. */
  received(bytes: Buffer): void {
    if (this.inputBroken) return;
    this.#input.cut(
      bytes,
      (head, length) => {
        if (length > 16_384) this.inputBroken = true;
        if (head.type !== 0) return;
        this.receivedBytes += length;
        this.stream(head.streamId).receivedBytes += length;
      },
      (frame) => this.#onInput(frame),
    );
  }

  #onInput(frame: Frame): void {
    this.frameCount++;
    this.#record("->", frame);
    const { payload, streamId } = frame;
    switch (frame.type) {
      case 1:
        this.inputBlockOpen = !frame.has(4);
        if (streamId % 2 === 1) this.highestPeerId = Math.max(this.highestPeerId, streamId);
        break;
      case 9:
        if (frame.has(4)) this.inputBlockOpen = false;
        break;
      case 3:
        this.stream(streamId).peerReset = true;
        break;
      case 4:
        if (!frame.has(1) && payload.length % 6 === 0) this.#settings.push(settingsOf(frame));
        break;
      case 6:
        if (!frame.has(1) && payload.length === 8) this.#pings.push(payload.toString("latin1"));
        break;
      case 8: {
        if (payload.length !== 4) break;
        const increment = payload.readUInt32BE(0) & MAX_WINDOW;
        if (streamId === 0) this.creditBytes += increment;
        else this.stream(streamId).creditBytes += increment;
      }
    }
  }

  /** What the connection under test has written. */
  sent(bytes: Buffer): void {
    this.#output.cut(
      bytes,
      () => {},
      (frame) => {
        this.frameCount++;
        this.#record("<-", frame);
        this.#onOutputFrame(frame);
        this.#onOutput?.(frame);
      },
    );
    if (this.#output.pending.length > 0) throw this.broken("a frame was cut off");
  }

  #onOutputFrame(frame: Frame): void {
    const { payload, streamId: id } = frame;
    if (this.goAwayCode !== undefined && this.goAwayCode !== 0) {
      throw this.broken(`${frame} after GOAWAY with an error`);
    }
    this.#must(payload.length <= 16_384, frame, "is longer than the peer takes");
    this.#must(!this.#first || (frame.type === 4 && !frame.has(1)), frame, "is the first frame");
    this.#first = false;
    this.#must((this.#block === undefined) === (frame.type !== 9), frame, "breaks a header block");
    switch (frame.type) {
      case 0:
        this.#onData(frame);
        break;
      case 1:
      case 9:
        this.#onHeaders(frame);
        break;
      case 3:
        this.#onReset(frame);
        break;
      case 4:
        this.#must(id === 0, frame, "is on a stream");
        if (frame.has(1)) this.#onSettingsAck(frame);
        else this.#must(this.settingsAcks === 0, frame, "is sent twice");
        break;
      case 6:
        this.#must(id === 0 && payload.length === 8, frame, "is malformed");
        if (!frame.has(1)) this.openPings.push(Buffer.from(payload));
        else {
          const opaque = payload.toString("latin1");
          this.#must(this.#pings.shift() === opaque, frame, "answers no PING, or out of order");
          this.pingAcks.push(opaque);
        }
        break;
      case 7:
        this.#must(id === 0 && payload.length >= 8, frame, "is malformed");
        this.goAwayCode = frame.errorCode;
        break;
      case 8:
        this.#onWindowUpdate(frame);
        break;
      default:
        throw this.broken(`${frame} is never sent by us`);
    }
  }

  /** A stream frame on a stream that is neither idle nor over. */
  #known(frame: Frame): SeenStream {
    const id = frame.streamId;
    const opened = this.#options.role === "server" ? this.highestPeerId : this.highestOwnId;
    this.#must(id % 2 === 1 && id <= opened, frame, "is on an idle stream");
    return this.stream(id);
  }

  #onData(frame: Frame): void {
    const stream = this.#known(frame);
    const length = frame.payload.length;
    this.#must(!stream.ended && !stream.reset, frame, "comes after the end");
    this.#must(stream.finalHeaders, frame, "comes before the headers");
    this.#must(length > 0 || frame.endStream, frame, "says nothing");
    this.#must((frame.flags & ~1) === 0, frame, "has undefined flags");
    stream.dataBytes += length;
    this.dataBytes += length;
    if (length > 0) {
      const window = this.initialWindow + stream.creditBytes - stream.dataBytes;
      this.#must(window >= 0, frame, `overdraws the stream window by ${-window}`);
      const connection = 65_535 + this.creditBytes - this.dataBytes;
      this.#must(connection >= 0, frame, `overdraws the connection window by ${-connection}`);
    }
    for (let at = 0; at < length; ) {
      const [next] = stream.contents;
      if (next === undefined) throw this.broken(`${frame} has contents that nobody gave`);
      const take = Math.min(next.length, length - at);
      const same = next.compare(frame.payload, at, at + take, 0, take) === 0;
      this.#must(same, frame, "has other contents than were given");
      if (take === next.length) stream.contents.shift();
      else stream.contents[0] = next.subarray(take);
      at += take;
    }
    if (frame.endStream) stream.ended = true;
  }

  #onHeaders(frame: Frame): void {
    if (frame.type === 1) {
      this.#block = { first: frame, pieces: [frame.payload] };
      this.#must((frame.flags & ~5) === 0, frame, "has undefined flags");
    } else {
      this.#must(this.#block?.first.streamId === frame.streamId, frame, "is on another stream");
      this.#block?.pieces.push(frame.payload);
    }
    if (!frame.has(4) || this.#block === undefined) return;
    const { first, pieces } = this.#block;
    this.#block = undefined;
    const id = first.streamId;
    if (this.#options.role === "client" && id > this.highestOwnId) {
      this.#must(id === this.highestOwnId + 2 || id === 1, first, "skips a stream id");
      this.highestOwnId = id;
    }
    const stream = this.#known(first);
    this.#must(!stream.ended && !stream.reset, first, "comes after the end");
    stream.headerBlocks++;
    this.#must(!stream.finalHeaders || first.endStream, first, "is neither headers nor trailers");
    let fields: ReturnType<PlainHpackDecoder["decode"]>;
    try {
      fields = this.#hpack.decode(Buffer.concat(pieces));
    } catch (error) {
      throw this.broken(`${first} does not decode: ${error}`, error);
    }
    const want = stream.expected.shift();
    const got = JSON.stringify(fields.map(({ name, value }) => [name, value]));
    const asked = JSON.stringify(want?.map(({ name, value }) => [name, value]));
    this.#must(got === asked, first, `says ${got} instead of ${asked}`);
    const status = fields.find(({ name }) => name === ":status")?.value;
    if (status === undefined || status >= "200") stream.finalHeaders = true;
    if (first.endStream) stream.ended = true;
  }

  #onReset(frame: Frame): void {
    const stream = this.#known(frame);
    this.#must(frame.payload.length === 4, frame, "is malformed");
    stream.reset = true;
    stream.resetCode = frame.errorCode;
  }

  #onSettingsAck(frame: Frame): void {
    this.#must(frame.payload.length === 0, frame, "has a payload");
    const settings = this.#settings.shift();
    if (settings === undefined) throw this.broken(`${frame} answers no SETTINGS`);
    this.settingsAcks++;
    for (const [name, value] of settings) {
      if (name === "INITIAL_WINDOW_SIZE") this.initialWindow = value;
      else if (name === "MAX_CONCURRENT_STREAMS") this.maxConcurrentStreams = value;
      else if (name === "HEADER_TABLE_SIZE") this.#hpack.setLimit(value);
    }
  }

  #onWindowUpdate(frame: Frame): void {
    this.#must(frame.payload.length === 4, frame, "is malformed");
    const increment = frame.payload.readUInt32BE(0);
    this.#must(increment > 0 && increment <= MAX_WINDOW, frame, "is out of range");
    const { connectionWindowBytes, streamWindowBytes, windowBudget } = this.#options;
    const grows = windowBudget.limitBytes > 0;
    if (frame.streamId === 0) {
      this.announcedBytes += increment;
      const window = 65_535 + this.announcedBytes - this.receivedBytes;
      this.#must(
        window <= Math.max(65_535, connectionWindowBytes, grows ? LARGEST_GROWN : 0),
        frame,
        `opens the connection to ${window}`,
      );
      return;
    }
    const stream = this.#known(frame);
    this.#must(!stream.reset, frame, "comes after RST_STREAM");
    stream.announcedBytes += increment;
    const window = streamWindowBytes + stream.announcedBytes - stream.receivedBytes;
    const most = streamWindowBytes + windowBudget.limitBytes;
    this.#must(window <= most, frame, `opens the stream to ${window}`);
  }

  #must(holds: boolean, frame: Frame, problem: string): void {
    if (!holds) throw this.broken(`${frame} ${problem}`);
  }

  #record(arrow: string, frame: Frame): void {
    this.#lines.push(() => `${arrow} ${printFrame(frame)}`);
    if (this.#lines.length > TRACE_LENGTH) this.#lines.shift();
  }

  /** An error that shows what happened last. */
  broken(problem: string, cause?: unknown): Error {
    const trace = this.#lines.map((line) => `  ${line()}`).join("\n");
    return new Error(`${problem}\n${trace}`, { cause });
  }
}
