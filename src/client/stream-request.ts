// The interfaces by which a call gets its stream.

import type { RequestOrigin } from "../grpc/request-headers.ts";
import type { Clock } from "../time/clock.ts";
import type { Stream } from "../transport/transport.ts";
import type { PickInfo } from "./balance/balancer.ts";
import type { StreamOpener } from "./subchannel/stream-opener.ts";
import type { Waiting } from "./waiting-queue.ts";

/**
 * Request bytes kept until the backend answers, so that a call that the backend cannot have
 * processed is sent again (gRFC A6 "transparent retries"). A call with more bytes is not
 * repeatable; nearly every unary call has fewer.
 */
export const MAX_REPLAY_BYTES = 65_536;

/** Asks for a stream to a backend. */
export interface StreamRequest extends StreamOpener, Waiting, PickInfo {
  /** Wait through failures to connect instead of failing with them (gRPC "wait for ready"). */
  readonly waitForReady: boolean;
}

/** Opens streams to one backend: a `ClientConn`. */
export interface StreamSource {
  /** The backend's address as text, for messages. */
  readonly target: string;
  /**
   * The fields of requests that name the backend. They may change until the first stream is open.
   */
  readonly origin: RequestOrigin;
  readonly clock: Clock;
  /** Opens a stream for `request`, now if there is room, otherwise when there is. */
  open(request: StreamRequest): void;
  /** `request` no longer wants a stream. No callback follows. */
  abandon(request: StreamRequest): void;
  /** Resets `stream`, which this source opened. */
  reset(stream: Stream, code: number): void;
}
