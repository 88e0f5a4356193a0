// The owner of sessions and streams in tests. It records events and waits for them. It also holds
// the transport to the seam's promises about callbacks, whatever the test itself looks at.

import type {
  ClientSessionListener,
  Refusal,
  ServerSessionListener,
  Session,
  SessionEnd,
  Stream,
  StreamEnd,
  StreamListener,
} from "../../src/transport/transport.ts";
import { errorCodeName } from "../../src/wire/error-code.ts";
import type { HeaderList } from "../../src/wire/field.ts";
import { keep, type LentBytes } from "../../src/wire/lent-bytes.ts";
import { pairsOf } from "./frames.ts";
import { WAIT_LIMIT_MS } from "./patience.ts";

/** More than 0 while a method of a stream or session runs that was called through `guard`. */
let ownCalls = 0;

/**
 * Returns `target` with watched methods. A callback that comes from within one of them is a
 * violation.
 */
export function guard<T extends object>(target: T): T {
  return new Proxy(target, {
    get(_, property): unknown {
      const value: unknown = Reflect.get(target, property, target);
      if (typeof value !== "function") return value;
      return (...args: unknown[]): unknown => {
        ownCalls++;
        try {
          return value.apply(target, args) as unknown;
        } finally {
          ownCalls--;
        }
      };
    },
  });
}

/**
 * The base of every recorder: a log, a bounded wait for a change of the log, and promises broken so
 * far.
 */
export abstract class Recorder {
  readonly log: string[] = [];
  readonly violations: string[] = [];
  /** The action of the owner within the callback. It gets the recorded entry. */
  reaction: ((entry: string) => void) | undefined;
  readonly #waiting = new Set<() => void>();

  protected record(entry: string): void {
    if (ownCalls > 0) this.violations.push(`${entry} came from within the owner's own call`);
    this.log.push(entry);
    this.reaction?.(entry);
    for (const attempt of [...this.#waiting]) attempt();
  }

  /** Waits until `check` gives something. It is called again whenever anything is recorded. */
  until<T>(what: string, check: () => T | undefined): Promise<T> {
    const failure = new Error();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(attempt);
        failure.message = `waited in vain for ${what}; recorded:\n  ${this.log.join("\n  ")}`;
        reject(failure);
      }, WAIT_LIMIT_MS);
      const attempt = (): void => {
        const result = check();
        if (result === undefined) return;
        clearTimeout(timer);
        this.#waiting.delete(attempt);
        resolve(result);
      };
      this.#waiting.add(attempt);
      attempt();
    });
  }
}

export interface StreamRecorderOptions {
  /** Give credit back for what arrives at once. @default false */
  readonly acknowledge?: boolean;
}

/** One side of one stream. */
export class StreamRecorder extends Recorder implements StreamListener {
  acknowledge: boolean;
  /** Server side: the request's headers. Client side: the response's. */
  headers: HeaderList | undefined;
  trailers: HeaderList | undefined;
  readonly chunks: Buffer[] = [];
  receivedBytes = 0;
  writableBytes = 0;
  reset: StreamEnd | undefined;
  /** Whether the peer has ended its side in order. */
  ended = false;
  #stream: Stream | undefined;
  readonly #side: "client" | "server";

  constructor(side: "client" | "server", options: StreamRecorderOptions = {}) {
    super();
    this.#side = side;
    this.acknowledge = options.acknowledge ?? false;
  }

  get stream(): Stream {
    if (this.#stream === undefined) throw new Error("the stream does not exist yet");
    return this.#stream;
  }

  attach(stream: Stream): void {
    this.#stream = guard(stream);
  }

  /** The events, with neighbouring DATA as one: the transport may cut DATA as it likes. */
  get outline(): string[] {
    const outline: string[] = [];
    let bytes: number | undefined;
    for (const entry of this.log) {
      const data = /^data\((\d+)(, END)?\)$/.exec(entry);
      if (data !== null) {
        if (bytes !== undefined) outline.pop();
        bytes = (bytes ?? 0) + Number(data[1]);
        outline.push(`data(${bytes}${data[2] ?? ""})`);
      } else if (!entry.startsWith("writable")) {
        bytes = undefined;
        outline.push(entry);
      }
    }
    return outline;
  }

  get body(): Buffer {
    return Buffer.concat(this.chunks);
  }

  onHeaders(headers: HeaderList, endStream: boolean): void {
    if (this.#side === "server") this.violations.push("onHeaders on the server side");
    if (this.headers !== undefined) this.violations.push("onHeaders twice");
    this.#expectOpen("onHeaders");
    this.headers = headers;
    this.ended = endStream;
    this.record(endStream ? "headers(END)" : "headers");
  }

  onData(chunk: LentBytes, endStream: boolean): void {
    this.#expectOpen("onData");
    if (this.headers === undefined) this.violations.push("onData before onHeaders");
    if (chunk.length === 0 && !endStream) this.violations.push("onData without a byte");
    this.chunks.push(keep(chunk));
    this.receivedBytes += chunk.length;
    this.ended = endStream;
    this.record(`data(${chunk.length}${endStream ? ", END" : ""})`);
    if (this.acknowledge) this.stream.acknowledge(chunk.length);
  }

  onTrailers(trailers: HeaderList): void {
    this.#expectOpen("onTrailers");
    if (this.headers === undefined) this.violations.push("onTrailers before onHeaders");
    this.trailers = trailers;
    this.ended = true;
    this.record("trailers");
  }

  onWritable(bytes: number): void {
    if (this.reset !== undefined) this.violations.push("onWritable after onReset");
    if (bytes <= 0) this.violations.push(`onWritable(${bytes})`);
    this.writableBytes += bytes;
    this.record(`writable(${bytes})`);
  }

  onReset(end: StreamEnd): void {
    if (this.reset !== undefined) this.violations.push("onReset twice");
    if (/\d+\.\d+\.\d+\.\d+|:\d{4,}/.test(end.reason)) {
      this.violations.push(`the reason names the peer: ${end.reason}`);
    }
    this.reset = end;
    this.record(`reset(${end.kind}, ${errorCodeName(end.code)})`);
  }

  untilHeaders(): Promise<HeaderList> {
    return this.until("headers", () => this.headers);
  }

  untilBytes(count: number): Promise<Buffer> {
    return this.until(`${count} bytes`, () =>
      this.receivedBytes >= count ? this.body : undefined,
    );
  }

  untilTrailers(): Promise<HeaderList> {
    return this.until("trailers", () => this.trailers);
  }

  untilEnded(): Promise<true> {
    return this.until("the end of the peer's side", () => this.ended || undefined);
  }

  untilReset(): Promise<StreamEnd> {
    return this.until("onReset", () => this.reset);
  }

  #expectOpen(callback: string): void {
    if (this.reset !== undefined) this.violations.push(`${callback} after onReset`);
    if (this.ended) this.violations.push(`${callback} after the peer's side had ended`);
  }
}

export interface GoAwayRecord {
  readonly lastStreamId: number;
  readonly code: number;
  readonly debugData: string;
}

/** One end of one connection, either side. */
export class SessionRecorder
  extends Recorder
  implements ClientSessionListener, ServerSessionListener
{
  readonly side: "client" | "server";
  /** The streams. Server side: in the order of arrival. Client side: in the order of opening. */
  readonly streams: StreamRecorder[] = [];
  readonly goAways: GoAwayRecord[] = [];
  readonly refusals: Refusal[] = [];
  availableCount = 0;
  end: SessionEnd | undefined;
  readonly #options: StreamRecorderOptions;
  #session: Session | undefined;
  #claimed = 0;

  constructor(side: "client" | "server", options: StreamRecorderOptions = {}) {
    super();
    this.side = side;
    this.#options = options;
  }

  attach(session: Session): void {
    this.#session = session;
  }

  /** A recorder for a stream that the client opens; the session looks after its promises. */
  newStream(options: StreamRecorderOptions = this.#options): StreamRecorder {
    const recorder = new StreamRecorder(this.side, options);
    this.streams.push(recorder);
    return recorder;
  }

  onStream(stream: Stream, headers: HeaderList, endStream: boolean): StreamListener {
    this.#expectAlive("onStream");
    const recorder = this.newStream();
    recorder.attach(stream);
    recorder.headers = headers;
    recorder.ended = endStream;
    if (stream.session !== this.#session) this.violations.push("stream.session is another one");
    this.record(`stream(${stream.id}) ${pairsOf(headers).find(([name]) => name === ":path")?.[1]}`);
    return recorder;
  }

  onAvailable(): void {
    this.#expectAlive("onAvailable");
    this.availableCount++;
    this.record("available");
  }

  onGoAway(lastStreamId: number, code: number, debugData: string): void {
    this.#expectAlive("onGoAway");
    this.goAways.push({ lastStreamId, code, debugData });
    this.record(`goaway(${lastStreamId}, ${errorCodeName(code)})`);
  }

  /** Refusals are not in the log: the log is the same for every transport. */
  onRefused(refusal: Refusal): void {
    this.#expectAlive("onRefused");
    this.refusals.push(refusal);
  }

  onClosed(end: SessionEnd): void {
    this.#expectAlive("onClosed");
    const { openStreamCount } = this.#session ?? { openStreamCount: 0 };
    if (openStreamCount !== 0)
      this.violations.push(`onClosed with ${openStreamCount} open streams`);
    this.end = end;
    this.record(`closed(${end.kind}, ${errorCodeName(end.code)})`);
  }

  /** The next stream that the client opened. */
  nextStream(): Promise<StreamRecorder> {
    const index = this.#claimed++;
    return this.until(`stream number ${index + 1}`, () => this.streams[index]);
  }

  untilAvailable(count = 1): Promise<true> {
    return this.until(
      `onAvailable ${count} times`,
      () => this.availableCount >= count || undefined,
    );
  }

  untilGoAway(count = 1): Promise<GoAwayRecord> {
    return this.until(`GOAWAY ${count}`, () => this.goAways[count - 1]);
  }

  untilClosed(): Promise<SessionEnd> {
    return this.until("onClosed", () => this.end);
  }

  /** Promises of the seam that were broken on this session or one of its streams. */
  get allViolations(): string[] {
    return [...this.violations, ...this.streams.flatMap((stream) => stream.violations)];
  }

  #expectAlive(callback: string): void {
    if (this.end !== undefined) this.violations.push(`${callback} after onClosed`);
  }
}
