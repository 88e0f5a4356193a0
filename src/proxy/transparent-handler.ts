// Makes a handler from a director, and starts the relay.

import { checkNumber, shown } from "../check/check.ts";
import { type OptionTable, optionTable } from "../check/options.ts";
import { warn } from "../check/warn.ts";
import { ErrorReason, failure, type GrpcError } from "../grpc/error.ts";
import { tolerant } from "../grpc/message-writer.ts";
import { Metadata } from "../grpc/metadata.ts";
import { isMethodPath } from "../grpc/method-path.ts";
import { Status } from "../grpc/status.ts";
import { fromUserCode } from "../grpc/user-error.ts";
import type { CallContext, ContextListener } from "../server/call-context.ts";
import { answerDirectly, type StreamHandler } from "../server/interceptor.ts";
import type { Server } from "../server/server.ts";
import type { ServerCall } from "../server/server-call.ts";
import { ServerStream } from "../server/server-stream.ts";
import { HeaderField } from "../wire/field.ts";
import { type StreamDirector, StreamParameters } from "./director.ts";
import { CallPeeker, type PeekLimits } from "./peeker.ts";
import { Relay, type RelayListener } from "./relay.ts";

export interface TransparentHandlerOptions {
  /** How many bytes of messages a director may look at per call. @default 4_194_304 */
  readonly maxPeekBytes?: number;
  /**
   * How long a director may wait in `peek` for a message, in milliseconds; Infinity for as long as
   * the call lasts. @default 60_000
   */
  readonly peekTimeoutMs?: number;
}

const HANDLER_OPTIONS: OptionTable = optionTable<TransparentHandlerOptions>(
  "options of transparentHandler",
  {
    maxPeekBytes: (name, value) => checkNumber(name, value, 0),
    peekTimeoutMs: (name, value) => checkNumber(name, value, 1),
  },
);

/**
 * A handler that passes every call on to the destinations that `director` names. It serves as the
 * server's `unknownServiceHandler`, to proxy all methods that are not registered, or as the handler
 * of single methods (`registerService`).
 * @throws {TypeError | RangeError} naming the option, what was expected and what came
 */
export function transparentHandler(
  director: StreamDirector,
  options: TransparentHandlerOptions = {},
): StreamHandler {
  if (typeof director !== "function") {
    throw new TypeError(`director: expected a function, got ${typeof director}`);
  }
  HANDLER_OPTIONS.check(options);
  const limits: PeekLimits = {
    maxPeekBytes: options.maxPeekBytes ?? 4_194_304,
    peekTimeoutMs: options.peekTimeoutMs ?? 60_000,
  };
  return Object.assign(
    (stream: ServerStream): Promise<void> => {
      const call = stream.takeOver();
      return settled(stream, call, (listener) =>
        direct(director, call, stream.context, stream.hasRead, limits, listener),
      );
    },
    {
      [answerDirectly]: (call: ServerCall): void => {
        direct(director, call, call.context, false, limits, ANSWER_CLIENT);
      },
    },
  );
}

/**
 * Passes every call of these methods on to the destinations that `director` names.
 * @throws {Error} when the service is registered already
 */
export function registerService(
  server: Server,
  director: StreamDirector,
  serviceName: string,
  ...methodNames: string[]
): void {
  const handler = transparentHandler(director);
  server.register(serviceName, Object.fromEntries(methodNames.map((method) => [method, handler])));
}

/**
 * Registers handlers that answer calls of a service themselves, or pass them on by `handleStream`.
 * Methods of the service without a handler go to the unknown-service handler.
 * @throws {Error} when the service is registered already
 */
export function registerStreamHandlers(
  server: Server,
  serviceName: string,
  handlers: Readonly<Record<string, StreamHandler>>,
): void {
  server.register(serviceName, handlers);
}

/**
 * Relays the call `stream` to the destinations of `params`, as `fullMethodName`. The promise
 * resolves when the relay ended with OK; the client is told when the handler returns. Otherwise the
 * promise rejects with the error. Messages that were read from the stream are not relayed. Give
 * them to destinations as `message`, which takes the place of all messages that were read, or of
 * the client's first message when none was read.
 * @throws {TypeError} when something was sent on the stream, it is relayed already, or its handler
 *   has ended
 */
export function handleStream(
  stream: ServerStream,
  fullMethodName: string,
  params: StreamParameters,
): Promise<void> {
  if (!(stream instanceof ServerStream)) {
    throw new TypeError("handleStream: expected the ServerStream that the handler was given");
  }
  if (!isMethodPath(fullMethodName)) {
    throw new TypeError(
      `handleStream: expected "/package.Service/Method", got ${JSON.stringify(fullMethodName)}`,
    );
  }
  requireParameters(params);
  const call = stream.takeOver();
  return settled(stream, call, (listener) => {
    let relay: Relay;
    try {
      const path = pathOf(call, fullMethodName);
      relay = new Relay(call, stream.context, path, params, !stream.hasRead, listener);
    } catch (error) {
      listener.onRefused(call, fromUserCode("director", error));
      return;
    }
    relay.start();
  });
}

/** Is told how a call with a director went. */
interface DirectedListener extends RelayListener {
  /** The director has returned a promise. */
  onWaiting(): void;
  /** The director has answered, or thrown. */
  onAnswered(): void;
  /** There was no relay: the director refused the call. */
  onRefused(call: ServerCall, error: GrpcError): void;
}

/** Answers the client at once: no handler waits for the relay. */
const ANSWER_CLIENT: DirectedListener = {
  onWaiting: () => {},
  onAnswered: () => {},
  onRelayEnd: (relay, error) => relay.answer(error),
  onRefused: (call, error) => call.finishError(error),
};

/**
 * Runs a relay for a handler that waits for it. The client is answered when the handler has ended.
 */
function settled(
  stream: ServerStream,
  call: ServerCall,
  run: (listener: DirectedListener) => void,
): Promise<void> {
  const promise = new Promise<void>((resolve, reject) => {
    run(new HandlerListener(stream, call, resolve, reject));
  });
  // The call of a handler that does not wait ends with the relay.
  return tolerant(promise);
}

/**
 * Settles the promise of a handler. It waits for the director only as long as the call lives. When
 * the director answers after the end of the call, the destinations that it names are told, but not
 * this handler.
 */
class HandlerListener implements DirectedListener, ContextListener {
  private readonly stream: ServerStream;
  private readonly call: ServerCall;
  private readonly resolve: () => void;
  private readonly reject: (error: GrpcError) => void;

  constructor(
    stream: ServerStream,
    call: ServerCall,
    resolve: () => void,
    reject: (error: GrpcError) => void,
  ) {
    this.stream = stream;
    this.call = call;
    this.resolve = resolve;
    this.reject = reject;
  }

  onWaiting(): void {
    this.stream.context.subscribe(this);
  }

  onAnswered(): void {
    this.stream.context.unsubscribe(this);
  }

  onContextDone(reason: GrpcError): void {
    this.onRefused(this.call, reason);
  }

  onRelayEnd(relay: Relay, error: GrpcError | undefined): void {
    this.tell((outcome) => relay.answer(outcome), error);
  }

  onRefused(call: ServerCall, error: GrpcError): void {
    this.tell((outcome) => {
      // A handler that swallows the refusal and returns means OK.
      if (outcome === undefined) call.finishOk(new Metadata());
      else call.finishError(outcome);
    }, error);
  }

  private tell(
    answer: (outcome: GrpcError | undefined) => void,
    error: GrpcError | undefined,
  ): void {
    this.stream.relayDone(answer, error);
    if (error === undefined) this.resolve();
    else this.reject(error);
  }
}

function direct(
  director: StreamDirector,
  call: ServerCall,
  context: CallContext,
  hasRead: boolean,
  limits: PeekLimits,
  listener: DirectedListener,
): void {
  const peeker = new CallPeeker(call, limits);
  let answer: StreamParameters | Promise<StreamParameters>;
  try {
    answer = director(context, call.method, peeker);
  } catch (error) {
    refuse(call, peeker, listener, error);
    return;
  }
  if (answer instanceof StreamParameters) {
    begin(answer, call, context, hasRead, peeker, listener);
    return;
  }
  listener.onWaiting();
  Promise.resolve(answer).then(
    (params) => {
      listener.onAnswered();
      begin(params, call, context, hasRead, peeker, listener);
    },
    (error: unknown) => {
      listener.onAnswered();
      refuse(call, peeker, listener, error);
    },
  );
}

function refuse(
  call: ServerCall,
  peeker: CallPeeker,
  listener: DirectedListener,
  error: unknown,
): void {
  peeker.close();
  listener.onRefused(call, fromUserCode("director", error));
}

function begin(
  params: StreamParameters,
  call: ServerCall,
  context: CallContext,
  hasRead: boolean,
  peeker: CallPeeker,
  listener: DirectedListener,
): void {
  let relay: Relay;
  try {
    requireParameters(params);
    const path = pathOf(call, call.method);
    // `message` replaces the messages that an interceptor has read, unless the director has looked
    // at the messages behind them.
    const replacesFirst = !hasRead || peeker.used;
    relay = new Relay(call, context, path, params, replacesFirst, listener);
  } catch (error) {
    refuse(call, peeker, listener, error);
    return;
  }
  peeker.close();
  relay.start();
}

/** The client's own field object if it has the same path: HPACK knows it already. */
function pathOf(call: ServerCall, fullMethodName: string): HeaderField {
  const { path } = call.head;
  return path?.value === fullMethodName ? path : new HeaderField(":path", fullMethodName);
}

function requireParameters(params: unknown): asserts params is StreamParameters {
  if (params instanceof StreamParameters) return;
  const text = `director: expected StreamParameters, got ${shown(params)}`;
  warn("director", text, "it has to return a `new StreamParameters({ conn })`, or throw");
  throw failure(Status.INTERNAL, text, { reason: ErrorReason.DIRECTOR });
}
