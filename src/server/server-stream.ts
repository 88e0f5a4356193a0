// The call for handlers and interceptors: Go's `grpc.ServerStream`.

import type { GrpcError } from "../grpc/error.ts";
import { tolerant } from "../grpc/message-writer.ts";
import type { Metadata } from "../grpc/metadata.ts";
import type { CallContext } from "./call-context.ts";
import { MessageCall, type MessageCallOptions } from "./message-call.ts";
import type { ServerCall } from "./server-call.ts";

/**
 * Which party answers the call. The call itself ignores everything after its end.
 *
 * - `"undecided"`: nobody yet. Nothing was read or written.
 * - `"messages"`: the handler, message by message, through `messages`.
 * - `"relayed"`: the relay. Relay and handler are at work, and nothing can be read or written here
 *   any more. `hasRead` says whether messages were read before.
 * - `"relayEnded"`: the relay has ended, with `error` or with OK, and the handler has not. When the
 *   handler has ended, too, `answer` tells the client the outcome.
 * - `"handlerEnded"`: the handler has ended and the relay has not. The relay answers when it ends.
 */
type Answering =
  | { readonly kind: "undecided" }
  | { readonly kind: "messages"; readonly messages: MessageCall }
  | { readonly kind: "relayed"; readonly hasRead: boolean }
  | {
      readonly kind: "relayEnded";
      readonly answer: (outcome: GrpcError | undefined) => void;
      readonly error: GrpcError | undefined;
    }
  | { readonly kind: "handlerEnded" };

const UNDECIDED: Answering = { kind: "undecided" };
const HANDLER_ENDED: Answering = { kind: "handlerEnded" };

/** The state that all views of one call share. */
class StreamCore {
  readonly call: ServerCall;
  readonly options: MessageCallOptions;
  answering: Answering = UNDECIDED;
  /** The handler has returned or thrown, and no relay had taken the call. */
  isOver = false;

  constructor(call: ServerCall, options: MessageCallOptions) {
    this.call = call;
    this.options = options;
  }

  /** The relay has taken the call. */
  get isRelayed(): boolean {
    const { kind } = this.answering;
    return kind !== "undecided" && kind !== "messages";
  }

  /** @throws {TypeError} when the call is relayed */
  messageCall(): MessageCall {
    if (this.answering.kind === "messages") return this.answering.messages;
    if (this.isRelayed) throw relayedAlready();
    const messages = new MessageCall(this.call, this.options);
    this.answering = { kind: "messages", messages };
    return messages;
  }
}

function relayedAlready(): TypeError {
  return new TypeError(
    "expected a stream that is not relayed, got one that was given to handleStream",
  );
}

/**
 * One call, for stream handlers and interceptors. Requests are read with `recvMessage` or by
 * iterating; responses are written with `sendMessage`. The call ends when the handler ends: with OK
 * when it returns, or with the error that it throws.
 *
 * With the codec of `newCodec()` messages are `Frame`s. With `codecWithParent(codec)` they are the
 * messages of that codec.
 */
export class ServerStream<Request = unknown, Response = unknown> {
  /** Metadata, deadline, cancellation and peer of the call. */
  readonly context: CallContext;
  readonly #core: StreamCore;

  private constructor(core: StreamCore, context: CallContext) {
    this.#core = core;
    this.context = context;
  }

  /** @internal */
  static create(call: ServerCall, options: MessageCallOptions): ServerStream {
    return new ServerStream(new StreamCore(call, options), call.context);
  }

  /** Full method name: `/pkg.Service/Method`. */
  get method(): string {
    return this.#core.call.head.method;
  }

  /**
   * The same call with another context, for interceptors to pass on: other metadata, a shorter
   * deadline.
   */
  withContext(context: CallContext): ServerStream<Request, Response> {
    return new ServerStream(this.#core, context);
  }

  /**
   * The next request message; `undefined` when the client has ended its side. Compressed messages
   * are decompressed (gzip, deflate) before they are decoded; raw frames come as they are.
   * @throws {GrpcError} CANCELLED, DEADLINE_EXCEEDED, or the error of the message
   */
  recvMessage(): Promise<Request | undefined> {
    // The codec decides the type of a message; the user asserts it by the type parameter.
    if (this.#core.isRelayed) return tolerant(Promise.reject(relayedAlready()));
    return tolerant(this.#core.messageCall().recv()) as Promise<Request | undefined>;
  }

  /**
   * Sends one response message, headers first if they have not been sent. The promise resolves when
   * the client has taken enough for the next message. A handler that awaits it is slowed down by a
   * slow client.
   * @throws {GrpcError} when the call is over, or the codec cannot encode the message
   */
  sendMessage(message: Response): Promise<void> {
    if (this.#core.isRelayed) return tolerant(Promise.reject(relayedAlready()));
    return tolerant(this.#core.messageCall().send(message));
  }

  /**
   * Adds to the response headers, also to those of a relayed call.
   * @throws {GrpcError} INTERNAL when they were sent already
   */
  setHeader(metadata: Metadata): void {
    this.#core.call.addHeader(metadata);
  }

  /**
   * Sends the response headers now, instead of with the first message.
   * @throws {GrpcError} INTERNAL when they were sent already
   */
  sendHeader(metadata?: Metadata): void {
    this.#core.messageCall().sendHeader(metadata);
  }

  /**
   * Adds to the trailing metadata, which is sent with the status, also to that of a relayed call.
   */
  setTrailer(metadata: Metadata): void {
    this.#core.call.addTrailer(metadata);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Request, void, undefined> {
    for (
      let message = await this.recvMessage();
      message !== undefined;
      message = await this.recvMessage()
    ) {
      yield message;
    }
  }

  /**
   * @internal For the relay: takes the call over. From then on nothing can be read or written here.
   */
  takeOver(): ServerCall {
    const core = this.#core;
    const { answering, call } = core;
    if (core.isRelayed) {
      throw new TypeError(
        "handleStream: expected a stream that is not relayed yet, got one that is",
      );
    }
    if (core.isOver) {
      throw new TypeError(
        "handleStream: expected a stream whose handler has not ended, got one whose handler has returned or thrown; a handler has to await what it does before",
      );
    }
    if (call.headersSent) {
      throw new TypeError(
        "handleStream: expected a stream without a response, got one whose headers were sent",
      );
    }
    // Messages that were read are gone. The bytes behind them go to the relay.
    const hasRead = answering.kind === "messages" && answering.messages.release();
    core.answering = { kind: "relayed", hasRead };
    return call;
  }

  /** @internal For the relay: messages were read before it took the call over. */
  get hasRead(): boolean {
    const { answering } = this.#core;
    return answering.kind === "relayed" && answering.hasRead;
  }

  /**
   * @internal For the relay: it has ended, with `error` or with OK. A handler that waits for the
   *   relay decides the answer to the client: returning means OK. If the handler does not wait, the
   *   relay's own outcome stands.
   */
  relayDone(answer: (outcome: GrpcError | undefined) => void, error: GrpcError | undefined): void {
    const core = this.#core;
    if (core.answering.kind === "handlerEnded") {
      answer(error);
      return;
    }
    core.answering = { kind: "relayEnded", answer, error };
  }

  /**
   * @internal For the server: the handler has ended. Called once.
   * @param waited the handler returned a promise, so it may have waited for a relay
   */
  finish(error: GrpcError | undefined, waited: boolean): void {
    const core = this.#core;
    const { answering, call } = core;
    switch (answering.kind) {
      case "undecided":
        core.isOver = true;
        if (error === undefined) core.messageCall().finishOk();
        else call.finishError(error);
        return;
      case "messages":
        core.isOver = true;
        if (error === undefined) answering.messages.finishOk();
        else answering.messages.finishError(error);
        return;
      case "relayEnded":
        answering.answer(error ?? (waited ? undefined : answering.error));
        return;
      case "relayed":
      case "handlerEnded":
        core.answering = HANDLER_ENDED;
        // The relay ends its destinations, and then reports this error.
        if (error !== undefined) call.cancel(error);
    }
  }
}
