// Handlers, and the interceptors in front of them.

import type { ServerCall } from "./server-call.ts";
import type { ServerStream } from "./server-stream.ts";

/**
 * Answers a call. Returning ends the call with OK. Throwing a `GrpcError` ends it with that status,
 * throwing anything else with UNKNOWN, as in Go. The type parameters are the message types of the
 * server's codec.
 */
// Written as a method, so that handlers for any message types fit into one registry.
export type StreamHandler<Request = unknown, Response = unknown> = {
  handle(stream: ServerStream<Request, Response>): void | Promise<void>;
}["handle"];

/**
 * A handler with this property can answer a call without a `ServerStream` and without a promise. It
 * does so when no interceptor stands in front of it.
 */
export const answerDirectly: unique symbol = Symbol("answerDirectly");

export type DirectHandler = StreamHandler & {
  readonly [answerDirectly]?: (call: ServerCall) => void;
};

/** The facts of a call that an interceptor knows before it lets the call through. */
export interface StreamServerInfo {
  /** `/pkg.Service/Method` */
  readonly fullMethod: string;
  /**
   * A handler or director is registered for the method; otherwise the call goes to the
   * unknown-service handler.
   */
  readonly registered: boolean;
}

/**
 * Stands in front of every call, the first one outermost. An interceptor calls `handler` to let the
 * call through, with the same stream or one from `withContext`. The promise of `handler` settles
 * when the handler has answered the call. Throwing refuses the call, or changes its error.
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
