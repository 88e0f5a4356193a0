// The server side of one node:http2 session.

import { constants, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { Timer } from "../../time/timer-wheel.ts";
import type { HeaderList } from "../../wire/field.ts";
import type { ResolvedSessionOptions } from "../defaults.ts";
import type { ListenerEvents, PeerInfo, ServerSessionListener } from "../transport.ts";
import { NodeServerStream } from "./server-stream.ts";
import { NodeSession } from "./session.ts";
import { onError } from "./stream.ts";

/** The last stream id there can be: GOAWAY with it announces the end without refusing anything yet (RFC 9113 §6.8). */
const HIGHEST_STREAM_ID = 0x7fffffff;

export class NodeServerSession extends NodeSession {
  protected readonly listener: ServerSessionListener;
  readonly #announceTimer = new Timer(this);

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

  recvStream(node: ServerHttp2Stream, headers: HeaderList, endStream: boolean): void {
    // Attached whatever happens next: an 'error' without a listener would end the process.
    if (node.destroyed || node.closed || this.isOver) {
      // The client has taken it back before anyone was told.
      node.on("error", onError);
      node.destroy();
      return;
    }
    const stream = new NodeServerStream(node, this, endStream);
    this.streams.add(stream);
    stream.listen(this.listener.onStream(stream, headers, endStream));
  }

  protected announceDrain(): void {
    const { node } = this;
    node.goaway(constants.NGHTTP2_NO_ERROR, HIGHEST_STREAM_ID);
    // Streams that the client opened before it saw that arrive before this PING's acknowledgement.
    this.announceLater(this.#announceTimer);
    node.ping(() => this.#announce());
  }

  #announce(): void {
    this.options.clock.cancel(this.#announceTimer);
    if (this.announced || this.isOver || this.node.destroyed) return;
    this.announced = true;
    // Not close(): node:http2 would send no PING after it.
    if (!this.node.closed) this.node.goaway(constants.NGHTTP2_NO_ERROR);
    this.endIfDrained();
  }

  protected isUnprocessed(): boolean {
    // A client's GOAWAY speaks of pushed streams.
    return false;
  }

  override onTimer(timer: Timer): void {
    if (timer === this.#announceTimer) this.#announce();
    else super.onTimer(timer);
  }

  protected override cleanUp(): void {
    this.options.clock.cancel(this.#announceTimer);
  }
}
