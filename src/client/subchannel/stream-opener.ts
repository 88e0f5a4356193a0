// A call as the address sees it that opens a stream for it.

import type { GrpcError } from "../../grpc/error.ts";
import type { Session, Stream, StreamListener } from "../../transport/transport.ts";
import type { HeaderList } from "../../wire/field.ts";

/** A call that gets its stream from a subchannel. */
export interface StreamOpener extends StreamListener {
  /** The session that has refused the call already, without beginning it. Another is preferred. */
  readonly refusedOn: Session | undefined;
  /**
   * The request headers. They are asked for at the moment they are sent, because `grpc-timeout` is
   * the time that remains then.
   */
  requestHeaders(): HeaderList;
  /** The stream is open and its headers are sent. From now on the stream's own events follow. */
  onOpened(stream: Stream): void;
  /** There will be no stream. */
  onOpenFailed(error: GrpcError): void;
}
