// Finds the answer to a request: a refusal, a status, or a handler behind its interceptors.

import { shown } from "../check/check.ts";
import { warn } from "../check/warn.ts";
import { ErrorReason, failure, type GrpcError } from "../grpc/error.ts";
import { isReceivedMethodPath } from "../grpc/method-path.ts";
import { Status } from "../grpc/status.ts";
import { fromUserCode } from "../grpc/user-error.ts";
import { refused } from "../observe/channels.ts";
import { currentScope } from "../observe/scope.ts";
import type { Stream, StreamListener } from "../transport/transport.ts";
import { ErrorCode } from "../wire/error-code.ts";
import type { HeaderList } from "../wire/field.ts";
import { isTold, publishStart } from "./call-events.ts";
import {
  answerDirectly,
  chainInterceptors,
  type DirectHandler,
  type StreamHandler,
  type StreamInterceptor,
} from "./interceptor.ts";
import type { MessageCallOptions } from "./message-call.ts";
import type { OpenCalls } from "./open-calls.ts";
import { RefusedRequest } from "./refused-request.ts";
import { ServiceRegistry } from "./registry.ts";
import { RecentHeads, type RequestHead } from "./request-head.ts";
import { ServerCall } from "./server-call.ts";
import { ServerStream } from "./server-stream.ts";

interface DispatcherOptions extends MessageCallOptions {
  /** Answers methods that are not registered. */
  readonly unknownServiceHandler: StreamHandler | undefined;
  readonly interceptors: readonly StreamInterceptor[];
}

export class Dispatcher {
  readonly registry: ServiceRegistry = new ServiceRegistry();
  readonly #calls: OpenCalls;
  readonly #options: DispatcherOptions;
  readonly #heads = new RecentHeads();

  constructor(calls: OpenCalls, options: DispatcherOptions) {
    this.#calls = calls;
    this.#options = options;
  }

  headOf(headers: HeaderList): RequestHead {
    return this.#heads.of(headers);
  }

  /** A request has come on a stream of its own. Returns the listener of the stream. */
  onRequest(stream: Stream, head: RequestHead, endStream: boolean): StreamListener {
    const refusal = head.refusal();
    if (refusal !== undefined) return this.#refuse(stream, head, endStream, refusal);
    const timeoutMs = head.timeoutMs();
    const call = new ServerCall(stream, head, this.#calls, timeoutMs ?? Number.POSITIVE_INFINITY);
    // A request without messages may end with its headers; no data event follows then.
    call.requestEnded = endStream;
    this.#calls.add(call);
    if (isTold()) {
      currentScope().runInAsyncScope(this.#beginTold, this, call, timeoutMs);
    } else {
      this.#begin(call, timeoutMs);
    }
    return call;
  }

  /** The request is not gRPC. */
  #refuse(stream: Stream, head: RequestHead, endStream: boolean, rule: string): RefusedRequest {
    if (refused.hasSubscribers) {
      const { remoteAddress: peer } = stream.session.peer;
      refused.publish({ scope: "stream", side: "downstream", peer, streamId: stream.id, rule });
    }
    const request = new RefusedRequest(stream, this.#calls.clock);
    request.answer(rule, endStream, head.httpMethod === "HEAD");
    return request;
  }

  #beginTold(call: ServerCall, timeoutMs: number | undefined): void {
    publishStart(call);
    // Set after the event, because a subscriber may have entered a context for the call.
    call.scope = currentScope();
    this.#begin(call, timeoutMs);
  }

  #begin(call: ServerCall, timeoutMs: number | undefined): void {
    const { cutOff } = this.#calls;
    // The client may send the call elsewhere. A status would not say so.
    if (cutOff !== undefined) call.finishByReset(cutOff, ErrorCode.REFUSED_STREAM);
    else if (timeoutMs === undefined) call.finishError(malformedTimeout(call.head.timeout));
    else this.#dispatch(call);
  }

  #dispatch(call: ServerCall): void {
    const { unknownServiceHandler, interceptors } = this.#options;
    const registered = this.registry.lookUp(call.method);
    const handler: DirectHandler | undefined = registered ?? unknownServiceHandler;
    if (!isReceivedMethodPath(call.method)) {
      call.finishError(malformedPath(call.method));
    } else if (handler === undefined) {
      call.finishError(this.#unimplemented(call.method));
    } else if (interceptors.length > 0) {
      const info = { fullMethod: call.method, registered: registered !== undefined };
      this.#run(chainInterceptors(interceptors, info, handler), call);
    } else {
      const direct = handler[answerDirectly];
      if (direct === undefined) this.#run(handler, call);
      else direct(call);
    }
  }

  /**
   * Runs the handler in a scope of the call: stores that user code enters there
   * (`AsyncLocalStorage.enterWith`) do not reach the next call on the socket.
   */
  #run(handler: StreamHandler, call: ServerCall): void {
    const scope = call.scope ?? currentScope();
    scope.runInAsyncScope(this.#runHandler, this, handler, call);
  }

  #runHandler(handler: StreamHandler, call: ServerCall): void {
    const stream = ServerStream.create(call, this.#options);
    let pending: void | Promise<void>;
    try {
      pending = handler(stream);
    } catch (error) {
      stream.finish(fromUserCode("handler", error), false);
      return;
    }
    if (pending === undefined) stream.finish(undefined, false);
    else {
      Promise.resolve(pending).then(
        (returned: unknown) => {
          if (returned !== undefined) warnOfDirector(returned);
          stream.finish(undefined, true);
        },
        (error: unknown) => stream.finish(fromUserCode("handler", error), true),
      );
    }
  }

  /** The text is that of grpc-go. */
  #unimplemented(method: string): GrpcError {
    const slash = method.lastIndexOf("/");
    const service = method.slice(1, slash);
    const what = this.registry.hasService(service)
      ? `unknown method ${method.slice(slash + 1)} for service ${service}`
      : `unknown service ${service}`;
    return failure(Status.UNIMPLEMENTED, what, { reason: ErrorReason.UNIMPLEMENTED });
  }
}

/**
 * Warns of a director in the place of a handler: its calls would end with OK and nothing in them.
 */
function warnOfDirector(returned: unknown): void {
  warn(
    "handler",
    `handler returned ${shown(returned)}, which nobody reads`,
    "a director becomes a handler by transparentHandler(director)",
  );
}

/** The text is that of grpc-go. */
function malformedPath(path: string): GrpcError {
  return failure(Status.UNIMPLEMENTED, `malformed method name: ${JSON.stringify(path)}`, {
    reason: ErrorReason.INVALID_PATH,
    source: "downstream",
  });
}

function malformedTimeout(text: string | undefined): GrpcError {
  return failure(
    Status.INTERNAL,
    `malformed grpc-timeout: expected 1 to 8 digits and one of H M S m u n, got ${JSON.stringify(text)}`,
    { reason: ErrorReason.INVALID_TIMEOUT, source: "downstream" },
  );
}
