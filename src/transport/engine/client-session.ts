// A client's end of a connection, from before its socket is connected. Until the server's SETTINGS
// have come, an end counts as a failure to connect.

import type { Socket } from "node:net";
import type { ConnectionEnd } from "../../h2/events.ts";
import { Timer } from "../../time/timer-wheel.ts";
import { ErrorCode } from "../../wire/error-code.ts";
import type { HeaderList } from "../../wire/field.ts";
import type { KeepaliveTerms } from "../keepalive.ts";
import { SessionKeepalive, type WatchedSession } from "../session-keepalive.ts";
import type {
  ClientSession,
  ClientSessionListener,
  PeerInfo,
  Refusal,
  Stream,
  StreamListener,
  StreamWatcher,
} from "../transport.ts";
import { type EngineSessionOptions, SocketSession } from "./session.ts";
import type { SocketReader } from "./socket-reader.ts";

interface EngineClientOptions extends EngineSessionOptions {
  /** The time for everything up to the server's SETTINGS. */
  readonly connectTimeoutMs: number;
  readonly keepalive: KeepaliveTerms;
}

export class EngineClientSession extends SocketSession implements ClientSession, WatchedSession {
  private readonly listener: ClientSessionListener;
  private readonly keepalive: SessionKeepalive;
  private connectTimer: Timer | undefined;
  /** How many HEADERS and DATA frames had been received when an answer became due. */
  private receivedFrames = 0;
  /** How many DATA frames had been sent when the last turn was over. */
  private sentFrames = 0;

  constructor(
    socket: Socket,
    reader: SocketReader | undefined,
    peer: PeerInfo,
    options: EngineClientOptions,
    listener: ClientSessionListener,
  ) {
    super("client", socket, reader, peer, options);
    this.listener = listener;
    this.keepalive = new SessionKeepalive(
      options.keepalive,
      this.clock,
      this,
      Number.POSITIVE_INFINITY,
    );
    this.connectTimer = new Timer(this);
    this.clock.schedule(this.connectTimer, options.connectTimeoutMs);
    this.watchSocket();
  }

  /** The socket is connected and, with TLS, has agreed on h2. */
  connected(peer: PeerInfo): void {
    if (this.connection.ended !== undefined) return;
    this.peer = peer;
    this.start(true);
  }

  /** The connection cannot be made. */
  failed(reason: string, cause?: Error): void {
    const message = `cannot connect to ${this.peer.remoteAddress}: ${reason}`;
    const end = { kind: "connect", code: ErrorCode.NO_ERROR, message, reason } as const;
    this.abort(cause === undefined ? end : { ...end, cause }, false);
  }

  get availableStreamCount(): number {
    return this.connection.availableStreamCount;
  }

  get atStreamLimit(): boolean {
    return this.connection.atStreamLimit;
  }

  get streamLimit(): number {
    return this.connection.streamLimit;
  }

  get answered(): boolean {
    return this.connection.answered;
  }

  openStream(headers: HeaderList, endStream: boolean, listener: StreamListener): Stream {
    const stream = this.connection.openStream(headers, endStream, listener);
    if (!this.keepalive.isDue) this.expectAnswer();
    return stream;
  }

  watchStreams(watcher: StreamWatcher | undefined): void {
    this.connection.watchStreams(watcher);
  }

  // For the keepalive

  private expectAnswer(): void {
    this.receivedFrames = this.connection.guard.receivedFrames;
    this.keepalive.sent();
  }

  // The connection

  onStream(): StreamListener {
    throw new TypeError("a client session has no incoming streams");
  }

  onLargeRequest(): undefined {}

  onGoAway(lastStreamId: number, code: number, debugData: string): void {
    this.listener.onGoAway(lastStreamId, code, debugData);
  }

  onRefused(refusal: Refusal): void {
    this.listener.onRefused(refusal);
  }

  onAvailable(): void {
    this.listener.onAvailable();
  }

  override onClosed(): void {
    super.onClosed();
    this.dropConnectTimer();
    this.keepalive.stop();
  }

  protected tellClosed(end: ConnectionEnd): void {
    this.listener.onClosed(end);
  }

  protected override onRead(): void {
    const { connection, keepalive } = this;
    if (this.connectTimer !== undefined && connection.settingsReady) {
      this.dropConnectTimer();
      keepalive.start();
    }
    if (keepalive.isDue && connection.guard.receivedFrames !== this.receivedFrames) {
      keepalive.heard();
    }
  }

  protected override onTurn(): void {
    const { sentFrames } = this.connection.guard;
    if (sentFrames === this.sentFrames) return;
    this.sentFrames = sentFrames;
    if (!this.keepalive.isDue) this.expectAnswer();
  }

  /** Until the server's SETTINGS have come, every loss of the socket is a failure to connect. */
  protected override onSocketLost(problem: string, cause: Error | undefined): void {
    if (this.connection.settingsReady) super.onSocketLost(problem, cause);
    else this.failed(problem, cause);
  }

  override onTimer(timer: Timer): void {
    if (timer === this.connectTimer) {
      this.failed("timed out");
    } else super.onTimer(timer);
  }

  private dropConnectTimer(): void {
    if (this.connectTimer === undefined) return;
    this.clock.cancel(this.connectTimer);
    this.connectTimer = undefined;
  }
}
