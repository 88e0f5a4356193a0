// Makes one call at a time over the seam, and keeps the whole answer for the checks.

import type {
  ClientSession,
  ClientSessionListener,
  SessionEnd,
  Stream,
  StreamEnd,
  StreamListener,
  Transport,
} from "../../src/transport/transport.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { fieldValue, HeaderField, type HeaderList } from "../../src/wire/field.ts";
import { keep, type LentBytes } from "../../src/wire/lent-bytes.ts";
import { PREFIX_BYTES, withPrefix } from "../backends/message.ts";
import { type MethodName, methodPath } from "../backends/service.ts";

/** Why a check failed, in words for the report. */
export class CheckFailure extends Error {
  override readonly name = "CheckFailure";
}

export interface ProbeTarget {
  readonly port: number;
  /**
   * PEM of the certificate that the subject must show. Without one the probe speaks plain HTTP/2.
   */
  readonly certificate?: string | undefined;
}

/** One connection to a subject or a backend. */
export class Probe {
  readonly #target: ProbeTarget;
  readonly #session: ClientSession;
  readonly #limitMs: number;

  private constructor(target: ProbeTarget, session: ClientSession, limitMs: number) {
    this.#target = target;
    this.#session = session;
    this.#limitMs = limitMs;
  }

  /** @throws {CheckFailure} when it does not connect in time */
  static async connect(transport: Transport, target: ProbeTarget, limitMs: number): Promise<Probe> {
    let settle: (end: SessionEnd | undefined) => void = () => {};
    const settled = new Promise<SessionEnd | undefined>((resolve) => {
      settle = resolve;
    });
    const listener: ClientSessionListener = {
      onAvailable: () => settle(undefined),
      onGoAway: () => {},
      onRefused: () => {},
      onClosed: (end) => settle(end),
    };
    const session = transport.connect(
      {
        address: { host: "127.0.0.1", port: target.port },
        ...(target.certificate === undefined
          ? {}
          : { tls: { ca: target.certificate, serverName: "localhost" } }),
        connectTimeoutMs: limitMs,
      },
      listener,
    );
    const end = await settled;
    if (end !== undefined) throw new CheckFailure(`cannot connect: ${end.message}`);
    return new Probe(target, session, limitMs);
  }

  call(method: MethodName, metadata: readonly [string, string][] = []): ProbeCall {
    const headers: HeaderList = [
      new HeaderField(":method", "POST"),
      new HeaderField(":scheme", this.#target.certificate === undefined ? "http" : "https"),
      new HeaderField(":path", methodPath(method)),
      new HeaderField(":authority", `localhost:${this.#target.port}`),
      new HeaderField("te", "trailers"),
      new HeaderField("content-type", "application/grpc"),
      ...metadata.map(([name, value]) => new HeaderField(name, value)),
    ];
    return new ProbeCall(this.#session, headers, this.#limitMs);
  }

  close(): void {
    this.#session.destroy(ErrorCode.NO_ERROR, "the check is over");
  }
}

export class ProbeCall implements StreamListener {
  readonly #stream: Stream;
  readonly #limitMs: number;
  readonly #chunks: Buffer[] = [];
  readonly #waiting = new Set<() => void>();
  /** Whether credit is given at once. A check clears it to be a client that does not read. */
  reading = true;
  #owedBytes = 0;
  receivedBytes = 0;
  headers: HeaderList | undefined;
  trailers: HeaderList | undefined;
  trailersOnly = false;
  reset: StreamEnd | undefined;
  /** The response ended with END_STREAM on DATA. */
  cutShort = false;

  constructor(session: ClientSession, headers: HeaderList, limitMs: number) {
    this.#limitMs = limitMs;
    this.#stream = session.openStream(headers, false, this);
  }

  send(message: Buffer): this {
    this.#stream.sendData(withPrefix(message), false);
    return this;
  }

  halfClose(): this {
    this.#stream.sendData(Buffer.alloc(0), true);
    return this;
  }

  cancel(): void {
    this.#stream.reset(ErrorCode.CANCEL);
  }

  readOn(): void {
    this.reading = true;
    this.#stream.acknowledge(this.#owedBytes);
    this.#owedBytes = 0;
  }

  get over(): boolean {
    return this.trailers !== undefined || this.reset !== undefined || this.cutShort;
  }

  /** Complete messages so far, in order. */
  get messages(): Buffer[] {
    const bytes = Buffer.concat(this.#chunks);
    const found: Buffer[] = [];
    let at = 0;
    while (at + PREFIX_BYTES <= bytes.length) {
      const end = at + PREFIX_BYTES + bytes.readUInt32BE(at + 1);
      if (end > bytes.length) break;
      found.push(bytes.subarray(at + PREFIX_BYTES, end));
      at = end;
    }
    return found;
  }

  /** @throws {CheckFailure} saying what had not happened when the time was up */
  async until(what: string, condition: () => boolean): Promise<void> {
    if (condition()) return;
    await new Promise<void>((resolve, reject) => {
      const look = (): void => {
        let failure: unknown;
        try {
          if (!condition()) return;
        } catch (error) {
          failure = error;
        }
        this.#waiting.delete(look);
        clearTimeout(timer);
        if (failure === undefined) resolve();
        else reject(failure);
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(look);
        this.cancel();
        reject(new CheckFailure(`no ${what} within ${this.#limitMs} ms`));
      }, this.#limitMs);
      this.#waiting.add(look);
    });
  }

  /** The end of the call, which must have a status. */
  async status(): Promise<{ code: string; message: string | undefined }> {
    await this.until("end of the call", () => this.over);
    if (this.reset !== undefined) throw new CheckFailure(`stream reset: ${this.reset.message}`);
    const code = fieldValue(this.trailers ?? [], "grpc-status");
    if (code === undefined)
      throw new CheckFailure("the call ended without grpc-status in trailers");
    return { code, message: fieldValue(this.trailers ?? [], "grpc-message") };
  }

  onHeaders(headers: HeaderList, endStream: boolean): void {
    this.headers = headers;
    if (endStream) {
      this.trailers = headers;
      this.trailersOnly = true;
    }
    this.#changed();
  }

  onData(chunk: LentBytes, endStream: boolean): void {
    this.receivedBytes += chunk.length;
    this.#chunks.push(keep(chunk));
    if (this.reading) this.#stream.acknowledge(chunk.length);
    else this.#owedBytes += chunk.length;
    if (endStream) this.cutShort = true;
    this.#changed();
  }

  onTrailers(trailers: HeaderList): void {
    this.trailers = trailers;
    this.#changed();
  }

  onWritable(): void {}

  onReset(end: StreamEnd): void {
    this.reset = end;
    this.#changed();
  }

  #changed(): void {
    for (const look of [...this.#waiting]) look();
  }
}
