// A server's end of a connection. Its events go to the listener that came with the connection.

import type { Socket } from "node:net";
import type { ConnectionEnd } from "../../h2/events.ts";
import type { H2Stream } from "../../h2/stream.ts";
import type { HeaderList } from "../../wire/field.ts";
import { NO_HTTP2 } from "../handshakes.ts";
import type { ServerKeepaliveTerms } from "../keepalive.ts";
import { SessionKeepalive, type WatchedSession } from "../session-keepalive.ts";
import type {
  PeerInfo,
  Refusal,
  ServerSessionListener,
  Session,
  StreamListener,
} from "../transport.ts";
import { type EngineSessionOptions, SocketSession } from "./session.ts";
import type { SocketReader } from "./socket-reader.ts";

interface EngineServerOptions extends EngineSessionOptions, ServerKeepaliveTerms {
  readonly handshakeTimeoutMs: number;
}

export class ServerSession extends SocketSession implements WatchedSession {
  private listener: ServerSessionListener | undefined;
  private readonly keepalive: SessionKeepalive;
  private readonly handshakeTimeoutMs: number;

  constructor(
    socket: Socket,
    reader: SocketReader | undefined,
    peer: PeerInfo,
    options: EngineServerOptions,
  ) {
    super("server", socket, reader, peer, options);
    const lookMs = Number.POSITIVE_INFINITY;
    this.keepalive = new SessionKeepalive(options.keepalive, this.clock, this, lookMs);
    this.handshakeTimeoutMs = options.handshakeTimeoutMs;
  }

  /**
   * The socket is connected: gets the listener and sends the first flight. If the client may speak
   * another protocol, the first flight waits for its preface.
   * @param handshakeLeftMs the rest of the client's time to begin
   */
  open(onSession: (session: Session) => ServerSessionListener, handshakeLeftMs: number): void {
    this.watchSocket();
    this.listener = onSession(this);
    // A TLS client has agreed on h2 already.
    this.start(this.peer.tls !== undefined, handshakeLeftMs);
    this.keepalive.start();
  }

  override onClosed(): void {
    super.onClosed();
    this.keepalive.stop();
  }

  onStream(stream: H2Stream<Session>, headers: HeaderList, endStream: boolean): StreamListener {
    if (this.listener === undefined) throw new TypeError("the session is not open");
    return this.listener.onStream(stream, headers, endStream);
  }

  onLargeRequest(stream: H2Stream<Session>, refusal: Refusal): StreamListener | undefined {
    return this.listener?.onLargeRequest?.(stream, refusal);
  }

  onGoAway(lastStreamId: number, code: number, debugData: string): void {
    this.listener?.onGoAway(lastStreamId, code, debugData);
  }

  onRefused(refusal: Refusal): void {
    this.listener?.onRefused(refusal);
  }

  onAvailable(): void {}

  protected override onSilentClient(): void {
    this.refuseSlow(NO_HTTP2, { name: "handshakeTimeoutMs", value: this.handshakeTimeoutMs });
  }

  protected tellClosed(end: ConnectionEnd): void {
    this.listener?.onClosed(end);
  }
}
