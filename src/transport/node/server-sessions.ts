// Makes sessions of ours from the events of a node:http2 server, and finds the socket of a session
// and the session of a stream.

import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import type { ResolvedSessionOptions } from "../defaults.ts";
import { peerInfo } from "../peer-info.ts";
import type { ListenerEvents } from "../transport.ts";
import { receivedFields } from "./header-lists.ts";
import { NodeServerSession, type ServerTerms } from "./server-session.ts";
import { END_STREAM_FLAG } from "./stream.ts";

/**
 * The session of ours that last took a node:http2 session; several relays may be attached to one
 * server.
 */
const takenBy = new WeakMap<ServerHttp2Session, NodeServerSession>();

export class ServerSessions {
  readonly #options: ResolvedSessionOptions;
  readonly #events: ListenerEvents;
  readonly #path: string | undefined;
  /** `undefined` where the owner of the server decides. */
  readonly #terms: ServerTerms | undefined;
  readonly #taken = new WeakMap<ServerHttp2Session, NodeServerSession>();
  readonly #shared = new WeakSet<ServerHttp2Session>();
  /**
   * node:http2 hides the socket of a session, but the socket must be destroyed when a peer stops
   * reading.
   */
  readonly #sockets = new WeakMap<ServerHttp2Session, Socket>();
  /** The session of this socket is made while the event that announced the socket runs. */
  #accepted: Socket | undefined;

  constructor(
    options: ResolvedSessionOptions,
    events: ListenerEvents,
    path: string | undefined,
    terms: ServerTerms | undefined,
  ) {
    this.#options = options;
    this.#events = events;
    this.#path = path;
    this.#terms = terms;
  }

  accepted(socket: Socket | undefined): void {
    this.#accepted = socket;
  }

  begun(node: ServerHttp2Session): void {
    if (this.#accepted !== undefined) this.#sockets.set(node, this.#accepted);
    this.#accepted = undefined;
  }

  /** The session has streams that are not ours. */
  share(node: ServerHttp2Session): void {
    this.#shared.add(node);
    this.#taken.get(node)?.share();
  }

  /**
   * Makes a session of ours from it, and tells the owner.
   * @param handshakeLeftMs the rest of the client's time to begin; `undefined` if it has begun
   */
  take(node: ServerHttp2Session, handshakeLeftMs?: number): NodeServerSession {
    const socket = this.#sockets.get(node);
    // A socket that fails after its session has released it must not end the process.
    socket?.on("error", () => {});
    const peer = peerInfo(socket ?? node.socket, this.#path, "server");
    const session = new NodeServerSession(node, socket, peer, this.#options, this.#events);
    if (this.#terms !== undefined) session.watch(this.#terms, handshakeLeftMs);
    this.#taken.set(node, session);
    const other = takenBy.get(node);
    takenBy.set(node, session);
    other?.share();
    if (other !== undefined || this.#shared.has(node)) session.share();
    return session;
  }

  recvStream(
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    flags: number,
    rawHeaders: string[],
  ): void {
    const node = stream.session;
    if (node === undefined || node.destroyed) {
      stream.on("error", () => {});
      return;
    }
    // The session comes from a server, so it is a server session.
    const session =
      this.#taken.get(node as ServerHttp2Session) ?? this.take(node as ServerHttp2Session);
    const endStream = (flags & END_STREAM_FLAG) !== 0;
    session.recvStream(stream, receivedFields(rawHeaders, headers), endStream);
  }
}
