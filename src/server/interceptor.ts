// Handlers, and what may stand in front of them.

import type { ServerCall } from "./server-call.ts";
import type { ServerStream } from "./server-stream.ts";

/**
 * Answers a call. Returning ends it with OK, throwing with the error: a `GrpcError` with its
 * status, anything else with UNKNOWN, as in Go. The type parameters are the messages that the
 * server's codec gives and takes.
 */
// Written as a method, so that handlers for any message types fit into one registry.
export type StreamHandler<Request = unknown, Response = unknown> = {
  handle(stream: ServerStream<Request, Response>): void | Promise<void>;
}["handle"];

/**
 * A handler that has this property can answer a call without a `ServerStream` and without a
 * promise; it is asked to when no interceptor stands in front of it.
 */
export const answerDirectly: unique symbol = Symbol("answerDirectly");

export type DirectHandler = StreamHandler & {
  readonly [answerDirectly]?: (call: ServerCall) => void;
};

/** What an interceptor can know of the call before it lets it through. */
export interface StreamServerInfo {
  /** `/pkg.Service/Method` */
  readonly fullMethod: string;
  /**
   * A handler or director is registered for it; otherwise it goes to the unknown-service handler.
   */
  readonly registered: boolean;
}

/**
 * Stands in front of every call, the first one outermost. It calls `handler` to let the call
 * through, with the same stream or one that `withContext` made; the promise settles when the call
 * has been answered by it. Throwing refuses the call, or changes its error.
 */
export type StreamInterceptor = (
  stream: ServerStream,
  info: StreamServerInfo,
  handler: StreamHandler,
) => void | Promise<void>;

/** One handler that runs `interceptors` around `handler`. */
export function chainInterceptors(
  interceptors: readonly StreamInterceptor[],
  info: StreamServerInfo,
  handler: StreamHandler,
): StreamHandler {
  return interceptors.reduceRight<StreamHandler>(
    (next, interceptor) => (stream) => interceptor(stream, info, next),
    handler,
  );
}
