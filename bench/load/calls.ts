// One call of a load, over and over: it knows the request, the expected reply and the time taken.
// Objects and buffers are made once per slot and reused, because the generator shares the machine
// with the subject.

import type { Stream, StreamEnd, StreamListener } from "../../src/transport/transport.ts";
import { errorCodeName } from "../../src/wire/error-code.ts";
import { fieldValue, type HeaderList } from "../../src/wire/field.ts";
import type { LentBytes } from "../../src/wire/lent-bytes.ts";
import { encodeMessage, messageOfSize, PREFIX_BYTES, withPrefix } from "../backends/message.ts";
import type { MethodName } from "../backends/service.ts";
import type { LoadSession, Opener } from "./sessions.ts";
import type { Workload } from "./workload.ts";

const EMPTY = Buffer.alloc(0);
/** A client stream stops writing while this much is queued in the transport. */
const QUEUE_LIMIT_BYTES = 262_144;

/** The run that owns a slot, as the slot sees it. */
export interface CallReporter {
  /** No call is begun any more; open ones are completed. */
  readonly stopping: boolean;
  completed(slot: CallSlot, startedMs: number, messageCount: number): void;
  failed(slot: CallSlot, reason: string): void;
  /** A message of a stream that stays open came back. */
  echoed(startedMs: number): void;
}

/** The bytes of a workload, shared by all its slots. */
export interface Script {
  readonly method: MethodName;
  readonly headers: HeaderList;
  readonly frame: Buffer;
  readonly frameCount: number;
  readonly replyBytes: number;
  readonly messageCount: number;
}

export function scriptOf(workload: Workload, headersOf: (m: MethodName) => HeaderList): Script {
  const { kind, messageBytes, messagesPerCall } = workload;
  const message = messageOfSize(messageBytes);
  const framedBytes = PREFIX_BYTES + messageBytes;
  switch (kind) {
    case "unary": {
      const frame = withPrefix(message);
      const method = "Unary";
      const headers = headersOf(method);
      return { method, headers, frame, frameCount: 1, replyBytes: framedBytes, messageCount: 1 };
    }
    case "server_stream": {
      const request = { replyCount: messagesPerCall, replyBytes: messageBytes };
      return {
        method: "ServerStream",
        headers: headersOf("ServerStream"),
        frame: withPrefix(encodeMessage(request)),
        frameCount: 1,
        replyBytes: framedBytes * messagesPerCall,
        messageCount: messagesPerCall,
      };
    }
    case "client_stream": {
      const reply = encodeMessage({ replyCount: messagesPerCall });
      return {
        method: "ClientStream",
        headers: headersOf("ClientStream"),
        frame: withPrefix(message),
        frameCount: messagesPerCall,
        replyBytes: PREFIX_BYTES + reply.length,
        messageCount: messagesPerCall,
      };
    }
    case "bidi":
      return {
        method: "Bidi",
        headers: headersOf("Bidi"),
        frame: withPrefix(message),
        frameCount: messagesPerCall,
        replyBytes: framedBytes,
        messageCount: 1,
      };
  }
}

/** The parts that all kinds share: opening, and judging how a call ended. */
export abstract class CallSlot implements StreamListener, Opener {
  protected readonly script: Script;
  protected readonly reporter: CallReporter;
  protected stream: Stream | undefined;
  protected receivedBytes = 0;
  startedMs = 0;

  constructor(script: Script, reporter: CallReporter) {
    this.script = script;
    this.reporter = reporter;
  }

  /** `dueMs` is when the call should have begun, whether or not a stream was free then. */
  start(session: LoadSession, dueMs: number): void {
    this.startedMs = dueMs;
    this.receivedBytes = 0;
    session.open(this);
  }

  openOn(session: LoadSession): void {
    if (session.end !== undefined) {
      this.reporter.failed(this, `session: ${session.end.message}`);
      return;
    }
    this.stream = session.session.openStream(this.script.headers, false, this);
    this.sendRequest(this.stream);
  }

  onHeaders(headers: HeaderList, endStream: boolean): void {
    const status = fieldValue(headers, ":status");
    if (endStream) this.#judge(headers);
    else if (status !== "200") this.#abandon(`HTTP status ${status}`);
  }

  onData(chunk: LentBytes, endStream: boolean): void {
    this.receivedBytes += chunk.length;
    this.stream?.acknowledge(chunk.length);
    if (endStream) this.reporter.failed(this, "no trailers");
    else this.onReply();
  }

  onTrailers(trailers: HeaderList): void {
    this.#judge(trailers);
  }

  onReset(end: StreamEnd): void {
    this.reporter.failed(this, `${end.kind}: ${errorCodeName(end.code)}`);
  }

  onWritable(_bytes: number): void {}

  protected abstract sendRequest(stream: Stream): void;
  /** More of the reply has arrived. */
  protected onReply(): void {}
  /** Why the reply is not the right one, or `undefined`. */
  protected abstract fault(): string | undefined;

  #judge(trailers: HeaderList): void {
    const status = fieldValue(trailers, "grpc-status");
    if (status === "0") {
      const fault = this.fault();
      if (fault === undefined) {
        this.reporter.completed(this, this.startedMs, this.script.messageCount);
      } else this.reporter.failed(this, fault);
      return;
    }
    const message = fieldValue(trailers, "grpc-message") ?? "";
    this.reporter.failed(this, `grpc-status ${status ?? "missing"} ${message}`.trim());
  }

  #abandon(reason: string): void {
    this.stream?.reset(8);
    this.reporter.failed(this, reason);
  }
}

/** Unary, server stream and client stream: all of the request, then all of the reply. */
export class RequestReplyCall extends CallSlot {
  #framesLeft = 0;

  protected sendRequest(stream: Stream): void {
    this.#framesLeft = this.script.frameCount;
    this.#pump(stream);
  }

  override onWritable(): void {
    if (this.#framesLeft > 0 && this.stream !== undefined) this.#pump(this.stream);
  }

  #pump(stream: Stream): void {
    const { frame } = this.script;
    while (this.#framesLeft > 0 && stream.queuedBytes < QUEUE_LIMIT_BYTES) {
      this.#framesLeft--;
      stream.sendData(frame, this.#framesLeft === 0);
    }
  }

  protected fault(): string | undefined {
    const { replyBytes } = this.script;
    return this.receivedBytes === replyBytes
      ? undefined
      : `${this.receivedBytes} reply bytes instead of ${replyBytes}`;
  }
}

/**
 * A stream that stays open, with a fixed number of messages in flight. Each echo triggers the next
 * message.
 */
export class PingPongCall extends CallSlot {
  /** When each message in flight was sent; the echo keeps the order. */
  readonly #sentMs: number[];
  #sentCount = 0;
  #echoCount = 0;
  #halfClosed = false;

  constructor(script: Script, reporter: CallReporter) {
    super(script, reporter);
    this.#sentMs = new Array(script.frameCount).fill(0);
  }

  protected sendRequest(stream: Stream): void {
    this.#sentCount = 0;
    this.#echoCount = 0;
    this.#halfClosed = false;
    for (let i = 0; i < this.script.frameCount; i++) this.#ping(stream, performance.now());
  }

  /** Ends the request side; the call completes when every echo has come back. */
  finish(): void {
    if (this.#halfClosed || this.stream === undefined) return;
    this.#halfClosed = true;
    this.stream.sendData(EMPTY, true);
  }

  protected override onReply(): void {
    const arrived = Math.floor(this.receivedBytes / this.script.replyBytes);
    if (arrived === this.#echoCount || this.stream === undefined) return;
    const nowMs = performance.now();
    while (this.#echoCount < arrived) {
      this.reporter.echoed(this.#sentMs[this.#echoCount % this.#sentMs.length]!);
      this.#echoCount++;
      if (!this.#halfClosed && !this.reporter.stopping) this.#ping(this.stream, nowMs);
    }
  }

  #ping(stream: Stream, nowMs: number): void {
    this.#sentMs[this.#sentCount % this.#sentMs.length] = nowMs;
    this.#sentCount++;
    stream.sendData(this.script.frame, false);
  }

  protected fault(): string | undefined {
    const expected = this.#sentCount * this.script.replyBytes;
    return this.receivedBytes === expected
      ? undefined
      : `${this.receivedBytes} echoed bytes instead of ${expected}`;
  }
}
