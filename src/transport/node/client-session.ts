// The client side of one node:http2 session. It opens no stream that nghttp2 would queue: such a
// stream looks open, moves nothing and cannot be cancelled.

import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
} from "node:http2";
import { connect as connectSocket, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { Timer } from "../../time/timer-wheel.ts";
import { ErrorCode } from "../../wire/error-code.ts";
import type { HeaderList } from "../../wire/field.ts";
import { SENT } from "../../wire/message-rules.ts";
import type { StreamMap } from "../../wire/stream-map.ts";
import { formatAddress } from "../address.ts";
import { tlsConnectOptions } from "../client-tls.ts";
import {
  DEFAULT_CONNECT_TIMEOUT_MS,
  type ResolvedSessionOptions,
  resolveSessionOptions,
} from "../defaults.ts";
import { errorText } from "../error-text.ts";
import { FailedSession } from "../failed-session.ts";
import { type KeepaliveTerms, resolveKeepalive } from "../keepalive.ts";
import { peerInfo } from "../peer-info.ts";
import { SessionKeepalive } from "../session-keepalive.ts";
import { currentTls } from "../tls.ts";
import {
  type ClientSession,
  type ClientSessionListener,
  type ConnectOptions,
  HeaderError,
  type PeerInfo,
  type SessionEnd,
  type Stream,
  type StreamListener,
  type StreamWatcher,
} from "../transport.ts";
import { type ClientStreamOwner, NodeClientStream } from "./client-stream.ts";
import {
  checkSent,
  isSingleValueRefusal,
  PRESETS_PRIORITY,
  REQUEST_TAKES_LISTS,
  toJoinedNodeObject,
  toNodeList,
  toNodeObject,
} from "./header-lists.ts";
import { NodeSession } from "./session.ts";
import { nodeSessionOptions } from "./session-options.ts";

/**
 * Stream ids end at 2^31 - 1 (RFC 9113 §5.1.1). A session near that id drains, so that another one
 * takes over.
 */
const LAST_STREAM_ID = 0x7fff0000;

// Node 20 copies the options and adds missing ones, which costs more than the rest of its work with
// them. Newer Node warns of `weight`.
const PRIORITY = PRESETS_PRIORITY
  ? { weight: 16, parent: 0, exclusive: false, silent: false }
  : undefined;
const WITH_BODY = { endStream: false, ...PRIORITY };
const WITHOUT_BODY = { endStream: true, ...PRIORITY };

/** How often a session is checked for reads: node:http2 tells only how many bytes were read. */
const LOOK_MS = 500;

export class NodeClientSession extends NodeSession implements ClientSession, ClientStreamOwner {
  readonly opensStreams = true;
  answered = false;
  protected readonly listener: ClientSessionListener;
  declare protected readonly node: ClientHttp2Session;
  declare protected readonly streams: StreamMap<NodeClientStream>;
  /** The server's SETTINGS have arrived. */
  private ready = false;
  private peerMaxConcurrentStreams = 0;
  private watcher: StreamWatcher | undefined;
  private readonly connectTimer = new Timer(this);
  private keepalive: SessionKeepalive | undefined;
  /** How many bytes had been read when an answer became due. */
  private dueBytes = 0;

  constructor(
    node: ClientHttp2Session,
    socket: Socket | undefined,
    peer: PeerInfo,
    options: ResolvedSessionOptions,
    listener: ClientSessionListener,
  ) {
    super(node, socket, peer, options);
    this.listener = listener;
    node.on("remoteSettings", () => this.recvSettings());
    // Nobody would own a pushed stream. ENABLE_PUSH 0 makes a push a connection error, except on a
    // session of the user.
    node.on("stream", refusePush);
  }

  get availableStreamCount(): number {
    if (!this.ready || !this.accepting) return 0;
    return Math.max(0, this.peerMaxConcurrentStreams - this.streams.size);
  }

  get streamLimit(): number {
    return this.peerMaxConcurrentStreams;
  }

  get atStreamLimit(): boolean {
    return this.ready && this.streams.size >= this.peerMaxConcurrentStreams;
  }

  override get accepting(): boolean {
    return this.ready && super.accepting;
  }

  openStream(headers: HeaderList, endStream: boolean, listener: StreamListener): Stream {
    if (this.availableStreamCount === 0)
      throw new Error(`${this.remoteAddress} takes no stream now`);
    checkSent(SENT.request(headers), this.node);
    const node = this.request(headers, endStream);
    const stream = new NodeClientStream(node, this, listener, endStream);
    this.streams.set(stream.id, stream);
    this.watcher?.onStreamOpened(listener);
    this.sent();
    if (stream.id > LAST_STREAM_ID) this.drain();
    return stream;
  }

  private request(headers: HeaderList, endStream: boolean): ClientHttp2Stream {
    const options = endStream ? WITHOUT_BODY : WITH_BODY;
    try {
      const list = REQUEST_TAKES_LISTS ? toNodeList(headers) : toNodeObject(headers);
      return this.node.request(list, options);
    } catch (error) {
      if (isSingleValueRefusal(error)) {
        return this.node.request(toJoinedNodeObject(headers), options);
      }
      throw new HeaderError(error instanceof Error ? error.message : String(error), {
        cause: error,
      });
    }
  }

  override forget(stream: NodeClientStream): void {
    const wasFull = this.streams.size >= this.peerMaxConcurrentStreams;
    super.forget(stream);
    this.watcher?.onStreamEnded(stream.opener);
    const isRoomNew = wasFull && this.availableStreamCount > 0;
    if (isRoomNew || (this.watcher !== undefined && this.accepting)) this.listener.onAvailable();
  }

  watchStreams(watcher: StreamWatcher | undefined): void {
    this.watcher = watcher;
    if (watcher === undefined) return;
    for (const { opener } of this.streams.toArray()) watcher.onStreamOpened(opener);
  }

  /** @param timeoutMs the time for everything up to the server's SETTINGS */
  connecting(
    timeoutMs: number,
    keepalive: KeepaliveTerms,
    path: string | undefined,
    socket: Socket,
  ): void {
    this.options.clock.schedule(this.connectTimer, timeoutMs);
    const expectsTls = "encrypted" in socket;
    // A TLS handshake may be over for us, but not for the server. Then node:http2 hears no error of
    // the socket, for example that our certificate is refused: it listens only while it has the
    // socket. Without a listener a late error would end the process.
    socket.on("error", (error) => {
      if (!this.ready) this.end(this.connectFailure(errorText(error, this.remoteAddress), error));
    });
    this.node.on("connect", () => {
      if (this.node.destroyed) return;
      if (expectsTls && this.node.alpnProtocol !== "h2") {
        this.end(this.connectFailure("the server did not choose h2 by ALPN"));
        return;
      }
      this.peer = peerInfo(socket, path, "client");
      this.started();
      this.watch(keepalive);
      this.watchStalls(socket);
    });
    this.noticeClose();
  }

  /**
   * node:http2 closes a session by itself when a frame cannot be sent, and tells nobody. The
   * session would stand for ever and take no stream.
   */
  private noticeClose(): void {
    const node = this.node;
    const close = node.close;
    node.close = (callback) => {
      close.call(node, callback);
      // node:http2 also closes it when the socket is gone, and then destroys the session in the
      // same turn.
      setImmediate(() => {
        if (this.life.kind !== "standing" || this.goAway !== undefined || node.destroyed) return;
        const told = this.told("lost: node:http2 closed the session");
        this.end({ kind: "socket", code: ErrorCode.INTERNAL_ERROR, ...told });
      });
    };
  }

  /**
   * Takes over a session that a user opened.
   * @param keepalive `undefined` if the owner of the session decides about its PINGs
   */
  adopt(keepalive: KeepaliveTerms | undefined): void {
    const node = this.node;
    if (node.destroyed || node.closed) {
      // A closing session stands until its owner's streams have ended, but takes none of ours.
      this.life = { kind: "ending", end: this.connectFailure("the session was closed before") };
      setImmediate(() => this.finish());
    } else if (node.connecting) {
      node.on("connect", () => {
        if (node.destroyed) return;
        this.learnPeer();
        this.started();
        if (keepalive !== undefined) this.watch(keepalive);
      });
    } else {
      this.learnPeer();
      this.started();
      if (keepalive !== undefined) this.watch(keepalive);
      // SETTINGS may have come before this call. SETTINGS come before any acknowledgement of a
      // PING.
      node.ping((error) => {
        if (error === null) this.recvSettings();
      });
    }
  }

  // For the keepalive

  private watch(terms: KeepaliveTerms): void {
    this.keepalive = new SessionKeepalive(terms, this.options.clock, this, LOOK_MS);
    if (this.ready) this.keepalive.start();
  }

  sent(): void {
    const { keepalive } = this;
    if (keepalive === undefined || keepalive.isDue) return;
    this.dueBytes = this.readBytes;
    keepalive.sent();
  }

  heard(): void {
    this.answered = true;
    const { keepalive } = this;
    // This report may come after the read, and something may have been sent in between.
    if (keepalive?.isDue && this.readBytes !== this.dueBytes) keepalive.heard();
  }

  private learnPeer(): void {
    const { socket } = this.node;
    this.peer = peerInfo(socket, undefined, "client");
    this.remoteAddress = this.peer.remoteAddress;
  }

  private recvSettings(): void {
    if (this.node.destroyed) return;
    const { availableStreamCount: before, peerMaxConcurrentStreams: limitBefore } = this;
    this.peerMaxConcurrentStreams =
      this.node.remoteSettings.maxConcurrentStreams ?? Number.MAX_SAFE_INTEGER;
    if (!this.ready) {
      this.ready = true;
      this.options.clock.cancel(this.connectTimer);
      this.keepalive?.start();
    }
    const isLimitNew = this.peerMaxConcurrentStreams !== limitBefore;
    const isRoomNew = (before === 0 || isLimitNew) && this.availableStreamCount > 0;
    if (isRoomNew || (isLimitNew && this.watcher !== undefined)) this.listener.onAvailable();
  }

  override drain(): void {
    if (this.node.connecting) {
      const told = this.told("not needed any more");
      this.end({ kind: "closed", code: ErrorCode.NO_ERROR, ...told });
    } else {
      super.drain();
    }
  }

  /**
   * nghttp2 sends GOAWAY before requests that wait, and the server may then refuse those. If some
   * still wait, GOAWAY comes with the end of the session.
   */
  protected override announceDrain(): void {
    setImmediate(() => {
      const { closed, destroyed, state } = this.node;
      if (!closed && !destroyed && state.outboundQueueSize === 0) super.announceDrain();
    });
  }

  protected isUnprocessed(id: number): boolean {
    return this.goAway !== undefined && id > this.goAway.lastStreamId;
  }

  override onTimer(timer: Timer): void {
    if (timer === this.connectTimer) this.end(this.connectFailure("timed out"));
    else super.onTimer(timer);
  }

  protected override cleanUp(): void {
    this.options.clock.cancel(this.connectTimer);
    this.keepalive?.stop();
  }

  protected override lossEnd(wasDraining: boolean): SessionEnd {
    if (this.ready) return super.lossEnd(wasDraining);
    const { error } = this;
    return error === undefined
      ? this.connectFailure("connection closed before SETTINGS")
      : this.connectFailure(errorText(error, this.remoteAddress), error);
  }

  protected override breachEnd(): SessionEnd {
    return this.ready ? super.breachEnd() : this.connectFailure("the server broke the protocol");
  }

  private connectFailure(reason: string, cause?: unknown): SessionEnd {
    const message = `${this.remoteAddress} not connected: ${reason}`;
    const end = { kind: "connect", code: ErrorCode.NO_ERROR, message, reason } as const;
    return cause === undefined ? end : { ...end, cause };
  }
}

function refusePush(stream: ClientHttp2Stream): void {
  stream.on("error", () => {});
  setImmediate(() => stream.close(ErrorCode.REFUSED_STREAM));
}

export function connect(options: ConnectOptions, listener: ClientSessionListener): ClientSession {
  const resolved = resolveSessionOptions(options);
  const keepalive = resolveKeepalive(options.keepalive);
  const { address } = options;
  const path = "path" in address ? address.path : undefined;
  const peer = { remoteAddress: formatAddress(address), localAddress: "" };
  let socket: Socket;
  try {
    const tls = currentTls(options.tls);
    socket =
      tls === undefined ? connectSocket(address) : connectTls(tlsConnectOptions(address, tls));
  } catch (error) {
    return new FailedSession(peer, resolved.clock, error, listener);
  }
  // Goes into requests without `:authority`. Not the host: node:http2 parses it as a URL, and
  // throws for names that the resolver should refuse.
  const node = connectHttp2(options.tls === undefined ? "http://localhost" : "https://localhost", {
    ...nodeSessionOptions(resolved),
    createConnection: () => socket,
  });
  const session = new NodeClientSession(node, socket, peer, resolved, listener);
  const { connectTimeoutMs = DEFAULT_CONNECT_TIMEOUT_MS } = options;
  session.connecting(connectTimeoutMs, keepalive, path, socket);
  return session;
}
