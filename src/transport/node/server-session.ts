// The server side of one node:http2 session.

import type { ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { ErrorCode } from "../../wire/error-code.ts";
import type { HeaderList } from "../../wire/field.ts";
import { RECEIVED } from "../../wire/message-rules.ts";
import type { ResolvedSessionOptions } from "../defaults.ts";
import type { ListenerEvents, PeerInfo, ServerSessionListener } from "../transport.ts";
import { NodeServerStream } from "./server-stream.ts";
import { NodeSession } from "./session.ts";
import { onError, resetBare } from "./stream.ts";

export class NodeServerSession extends NodeSession {
  readonly opensStreams = false;
  protected readonly listener: ServerSessionListener;
  private lastStreamId = 0;
  /** Once the drain was announced. */
  private lastTakenId: number | undefined;

  constructor(
    node: ServerHttp2Session,
    socket: Socket | undefined,
    peer: PeerInfo,
    options: ResolvedSessionOptions,
    events: ListenerEvents,
  ) {
    super(node, socket, peer, options);
    this.listener = events.onSession(this);
    this.started();
  }

  override drain(): void {
    // As node:http2 announces it: nothing above it is begun any more.
    this.lastTakenId ??= this.lastStreamId;
    super.drain();
  }

  recvStream(node: ServerHttp2Stream, headers: HeaderList, endStream: boolean): void {
    // Attached whatever happens next: an 'error' without a listener would end the process.
    if (node.destroyed || node.closed || this.isOver) {
      // The client has taken it back before anyone was told.
      node.on("error", onError);
      node.destroy();
      return;
    }
    const id = node.id ?? 0;
    if (this.lastTakenId !== undefined && id > this.lastTakenId) {
      // nghttp2 ignores it once our GOAWAY is sent, which it is not while it reads: the client will
      // open it elsewhere.
      node.on("error", onError);
      setImmediate(resetBare, node, ErrorCode.REFUSED_STREAM);
      return;
    }
    this.lastStreamId = id;
    const { problem, list } = RECEIVED.request(headers);
    if (problem !== undefined) {
      // nghttp2 lets some header lists pass that are malformed.
      this.refused({ scope: "stream", streamId: id, rule: problem, limit: undefined });
      node.on("error", onError);
      setImmediate(resetBare, node, ErrorCode.PROTOCOL_ERROR);
      return;
    }
    const stream = new NodeServerStream(node, this, endStream);
    this.streams.set(stream.id, stream);
    stream.listen(this.listener.onStream(stream, list, endStream));
  }

  protected isUnprocessed(): boolean {
    // A client's GOAWAY speaks of pushed streams.
    return false;
  }
}
