// One call of `grpc.health.v1.Health/Watch`, from its request to its end. It knows no address.

import { ErrorReason, failure, GrpcError } from "../../grpc/error.ts";
import type { Frame } from "../../grpc/frame.ts";
import { MessageParser } from "../../grpc/message-parser.ts";
import { judgeResponse } from "../../grpc/response-head.ts";
import { Status, statusName } from "../../grpc/status.ts";
import { statusFromHttpStatus } from "../../grpc/status-mapping.ts";
import { parseStatus } from "../../grpc/trailers.ts";
import type { ClientSession, Stream, StreamEnd } from "../../transport/transport.ts";
import { ErrorCode } from "../../wire/error-code.ts";
import type { HeaderList } from "../../wire/field.ts";
import type { LentBytes } from "../../wire/lent-bytes.ts";
import { NO_CALL, type SideStream } from "../subchannel/side-stream.ts";
import { parseServingStatus } from "./health-message.ts";

/** The largest answer, in bytes. It has 2 today; there is room for fields to come. */
const MAX_ANSWER_BYTES = 1_024;

/** How many answers may come in a minute. Beyond that the server does not tell of its health. */
const MAX_ANSWERS_PER_MINUTE = 600;

/** How much of a server's text a reason repeats, in characters. */
const MAX_SHOWN_TEXT = 256;

/** Is told about the call. Nothing follows after its end. */
interface WatchOwner {
  /** Now, in milliseconds. */
  nowMs(): number;
  /** @param status any 32-bit number */
  onStatus(status: number): void;
  /** The call has ended: the server does not know the method. */
  onUnimplemented(): void;
  /** The call has ended otherwise. @param reason for people, one line */
  onFailed(reason: string): void;
  /** The call has ended, because its session is lost or takes no more calls. */
  onLeft(): void;
}

export class HealthWatch implements SideStream {
  readonly fairnessKey: typeof NO_CALL = NO_CALL;
  readonly #headers: HeaderList;
  readonly #request: Buffer;
  readonly #owner: WatchOwner;
  readonly #parser = new MessageParser({ maxMessageBytes: MAX_ANSWER_BYTES, source: "upstream" });
  #stream: Stream | undefined;
  #session: ClientSession | undefined;
  #minuteMs = 0;
  #answersInMinute = 0;

  /** @param request the message, with its prefix */
  constructor(headers: HeaderList, request: Buffer, owner: WatchOwner) {
    this.#headers = headers;
    this.#request = request;
    this.#owner = owner;
  }

  get isOpen(): boolean {
    return this.#stream !== undefined;
  }

  /** The server allows so many streams on the session of the call. */
  get streamLimit(): number | undefined {
    return this.#session?.streamLimit;
  }

  /** @throws {HeaderError} when the server does not take such headers */
  open(session: ClientSession): void {
    this.#session = session;
    this.#minuteMs = this.#owner.nowMs();
    this.#stream = session.openStream(this.#headers, false, this);
    this.#stream.sendData(this.#request, true);
  }

  /** Ends the call. Nothing is told. */
  cancel(): void {
    this.#end(ErrorCode.CANCEL);
  }

  onSessionLeft(): void {
    if (this.#end(ErrorCode.CANCEL)) this.#owner.onLeft();
  }

  onHeaders(headers: HeaderList, endStream: boolean): void {
    const head = judgeResponse(headers);
    if (typeof head === "object") {
      const { httpStatus } = head;
      this.#over(statusFromHttpStatus(Number(httpStatus)), `with HTTP status ${httpStatus}`);
    } else if (endStream || head !== "open") this.onTrailers(headers);
  }

  onData(chunk: LentBytes, endStream: boolean): void {
    this.#stream?.acknowledge(chunk.length);
    this.#parser.push(chunk);
    let status: number | undefined;
    try {
      // Of all answers that came together, the last one holds.
      for (let next = this.#parser.next(); next !== undefined; next = this.#parser.next()) {
        status = this.#read(next);
      }
    } catch (error) {
      this.#fail(GrpcError.from(error).details);
      return;
    }
    if (endStream) this.onTrailers([]);
    else if (status !== undefined) this.#owner.onStatus(status);
  }

  /** @throws {GrpcError} for an answer that does not count */
  #read({ payload, compressed }: Frame): number {
    const nowMs = this.#owner.nowMs();
    if (nowMs - this.#minuteMs >= 60_000) {
      this.#minuteMs = nowMs;
      this.#answersInMinute = 0;
    }
    if (++this.#answersInMinute > MAX_ANSWERS_PER_MINUTE) {
      throw badAnswer(`more than ${MAX_ANSWERS_PER_MINUTE} answers in a minute`);
    }
    const status = compressed ? undefined : parseServingStatus(payload);
    if (status === undefined) throw badAnswer("expected a HealthCheckResponse, got something else");
    return status;
  }

  onTrailers(trailers: HeaderList): void {
    const received = parseStatus(trailers);
    if (received === undefined) this.#over(Status.UNKNOWN, "without grpc-status");
    else {
      const { status, details } = received;
      const text = details === "" ? "" : `: ${details.slice(0, MAX_SHOWN_TEXT)}`;
      this.#over(status, `with ${statusName(status)}${text}`);
    }
  }

  onWritable(): void {}

  onReset({ kind, reason }: StreamEnd): void {
    this.#stream = undefined;
    // The session tells of its own end.
    if (kind === "session" || kind === "goaway") this.#owner.onLeft();
    else this.#owner.onFailed(`its health is not known: the server ${reason}`);
  }

  #over(status: Status, how: string): void {
    this.#end(ErrorCode.NO_ERROR);
    if (status === Status.UNIMPLEMENTED) this.#owner.onUnimplemented();
    else this.#owner.onFailed(`its health is not known: the server ended the watch ${how}`);
  }

  #fail(what: string): void {
    this.#end(ErrorCode.CANCEL);
    this.#owner.onFailed(`its health is not known: ${what}`);
  }

  /** Ends the stream, unless it has ended by itself. @returns false if it was not open */
  #end(code: number): boolean {
    const stream = this.#stream;
    this.#stream = undefined;
    stream?.reset(code);
    return stream !== undefined;
  }
}

function badAnswer(details: string): GrpcError {
  return failure(Status.INTERNAL, details, { reason: ErrorReason.UPSTREAM_PROTOCOL });
}
