// The seam between the proxy and HTTP/2. Everything above this folder sees HTTP/2 through these
// interfaces only; every implementation passes the same contract suite
// (test/transport/contract.ts).
//
// Callbacks are synchronous and in wire order. There is one listener object per stream side: no
// emitter, no Node stream, no closure per frame, no promise per frame.

import type { Socket } from "node:net";
import type { Clock } from "../time/clock.ts";
import type { HeaderList } from "../wire/field.ts";
import type { LentBytes } from "../wire/lent-bytes.ts";
import type { KeepaliveOptions, ServerKeepaliveOptions } from "./keepalive.ts";
import type { ClientTlsOptions, ServerTlsOptions, TlsInfo } from "./tls.ts";

/**
 * Why a stream ended before both sides had completed it.
 *
 * - `"reset"`: the peer sent RST_STREAM with `code`.
 * - `"goaway"`: the peer sent GOAWAY and the stream is above its last stream id, or the peer's
 *   GOAWAY carried an error.
 * - `"session"`: the connection died: socket reset, PING or SETTINGS timeout, `Session.destroy`.
 * - `"protocol"`: the peer broke the protocol on this stream, and the transport reset it with
 *   `code`.
 * - `"stalled"`: the peer gave no room to DATA that waited, for `streamStallTimeoutMs`, and the
 *   transport reset the stream with `code`.
 */
type StreamEndKind = "reset" | "goaway" | "session" | "protocol" | "stalled";

export interface StreamEnd {
  readonly kind: StreamEndKind;
  /** The HTTP/2 error code that was received or sent; any 32-bit number (see `ErrorCode`). */
  readonly code: number;
  /**
   * The peer cannot have processed the stream, so the request may be sent again elsewhere:
   * REFUSED_STREAM, or an id above GOAWAY's last stream id (RFC 9113 §8.7).
   */
  readonly unprocessed: boolean;
  /** Lower case, names the peer: `10.0.0.7:50051 reset stream 5: REFUSED_STREAM`. */
  readonly message: string;
  /**
   * The same without the peer: `reset stream 5: REFUSED_STREAM`. For kinds other than `"session"`
   * the text is ours, and the other side of a proxy may read all of it.
   */
  readonly reason: string;
}

/**
 * The events of a stream, for its owner. The transport calls the methods, never from within the
 * owner's own call.
 */
export interface StreamListener {
  /** Whom the stream serves, for a `StreamWatcher`. The transport does not look at it. */
  readonly fairnessKey?: object | string | undefined;
  /**
   * Client side only: the response headers. 1xx responses are skipped. With `endStream` it is a
   * Trailers-Only response.
   */
  onHeaders(headers: HeaderList, endStream: boolean): void;
  /**
   * DATA as it arrived. `chunk` is a view of the memory that the socket gave. It must not be
   * written to, and code that uses it after the callback has to `keep` it (`wire/lent-bytes.ts`).
   * It is empty only together with `endStream`. No byte is given back to the peer's window before
   * `Stream.acknowledge`.
   */
  onData: (chunk: LentBytes, endStream: boolean) => void;
  /**
   * The trailing field section; the peer's side of the stream has ended. Always after every byte of
   * DATA.
   */
  onTrailers(trailers: HeaderList): void;
  /** `bytes` that `sendData` had to queue were accepted for the socket since the last call. */
  onWritable(bytes: number): void;
  /**
   * The stream is over although not both sides completed it. Called at most once; nothing follows.
   */
  onReset(end: StreamEnd): void;
}

/**
 * One side of one HTTP/2 stream. After the stream has ended (both sides completed, `reset`,
 * `onReset`) every method is a harmless no-op, so an owner never has to know which of two crossing
 * events was first.
 */
export interface Stream {
  readonly id: number;
  readonly session: Session;
  /** Bytes taken by `sendData` that the transport has not yet accepted for the socket. */
  readonly queuedBytes: number;
  /**
   * Server side: the response headers, `:status` first; with `endStream` a Trailers-Only response.
   * @throws {HeaderError} for a field that may not be sent or a list larger than the peer takes;
   *   nothing was sent, the session and its other streams are untouched
   */
  sendHeaders(headers: HeaderList, endStream: boolean): void;
  /**
   * Queues `chunk` by reference: the bytes must not change any more, unless they are lent. Returns
   * how many bytes were accepted for the socket at once; `onWritable` reports the rest. `chunk` may
   * be empty together with `endStream`. This method never refuses. The owner bounds the queue, by
   * not acknowledging bytes that it could not pass on.
   */
  sendData: (chunk: LentBytes, endStream: boolean) => number;
  /**
   * The trailing field section with END_STREAM, after all queued DATA. On the server side, when the
   * client has not ended its side yet, RST_STREAM(NO_ERROR) follows (RFC 9113 §8.1, gRPC "Early
   * server closure").
   * @throws {HeaderError} as `sendHeaders`
   */
  sendTrailers(trailers: HeaderList): void;
  /**
   * Ends the stream at once with RST_STREAM(`code`). Queued DATA is dropped, and no callback
   * follows. Never sends END_STREAM first.
   */
  reset(code: number): void;
  /**
   * Gives `bytes` of received DATA back to the peer's stream window. The transport refills the
   * connection window on receipt, so one stalled stream cannot starve the others. So a stream can
   * hold no more than its own window.
   */
  acknowledge(bytes: number): void;
}

/** Why a session ended. `"closed"` is the orderly end: drained and nothing lost. */
type SessionEndKind =
  | "closed"
  | "connect"
  | "goaway"
  | "socket"
  | "protocol"
  | "timeout"
  | "destroyed";

export interface SessionEnd {
  readonly kind: SessionEndKind;
  /** The HTTP/2 error code sent or received with GOAWAY; NO_ERROR if there was none. */
  readonly code: number;
  /** Names the peer. */
  readonly message: string;
  /**
   * The text of `message` without the peer, if `message` names it. With a `cause` it is the text of
   * the system or of TLS, for operators only.
   */
  readonly reason?: string;
  readonly cause?: unknown;
}

/** The two ends of a connection. */
export interface PeerInfo {
  /**
   * `192.0.2.1:50051`, `[2001:db8::1]:50051` or `unix:/path`; `unix:` alone for an unnamed peer.
   * `unknown` for a TCP peer that had reset its connection before its address could be read.
   */
  readonly remoteAddress: string;
  readonly localAddress: string;
  /**
   * Present when a balancer has told the others by the PROXY protocol: its own address, as
   * `remoteAddress`.
   */
  readonly proxyAddress?: string;
  /** Present when the connection is TLS. */
  readonly tls?: TlsInfo;
}

/** One HTTP/2 connection, either side. */
export interface Session {
  readonly peer: PeerInfo;
  readonly openStreamCount: number;
  /**
   * The time of the current event. Reading the clock for each event costs more than most events.
   */
  readonly nowMs: number;
  /**
   * No GOAWAY was sent or received and the connection stands: streams may be opened or accepted.
   */
  readonly accepting: boolean;
  /**
   * Orderly end: announces GOAWAY, accepts or opens no more streams, closes when the last open one
   * has ended. A server session announces in two steps (RFC 9113 §6.8), so that a request under way
   * is not lost.
   */
  drain(): void;
  /**
   * Ends the connection now with GOAWAY(`code`); open streams are told `onReset` with kind
   * `"session"`.
   */
  destroy(code: number, message: string): void;
  /** Sends PING; `onAcknowledged` runs when it is acknowledged, never if the session dies first. */
  ping(onAcknowledged: () => void): void;
}

export interface ClientSession extends Session {
  /**
   * How many streams may be opened now. 0 before the server's SETTINGS have arrived, and at its
   * MAX_CONCURRENT_STREAMS.
   */
  readonly availableStreamCount: number;
  /**
   * As many streams are open as the server's MAX_CONCURRENT_STREAMS allows: more of them need
   * another session. `availableStreamCount` is 0 for other reasons, too.
   */
  readonly atStreamLimit: boolean;
  /** The server's MAX_CONCURRENT_STREAMS; 0xffffffff if it has set none. Known when `accepting`. */
  readonly streamLimit: number;
  /** The server has sent response headers on some stream. */
  readonly answered: boolean;
  /**
   * Sends the request headers. Only while `availableStreamCount` is above 0.
   * @param headers pseudo-header fields first
   * @throws {HeaderError} for a field that may not be sent or a list larger than the peer takes;
   *   the session and its other streams are untouched
   */
  openStream(headers: HeaderList, endStream: boolean, listener: StreamListener): Stream;
  /**
   * Tells `watcher` of the streams that are open now, and of those that begin and end from now on.
   * It takes the place of the one before; `undefined` ends the watch.
   */
  watchStreams(watcher: StreamWatcher | undefined): void;
}

/**
 * Sees the streams of a client session come and go. It is told within the calls of owners, too, so
 * it must only take note.
 */
export interface StreamWatcher {
  /** The stream of `listener` is open; it is part of `openStreamCount`, or about to be. */
  onStreamOpened(listener: StreamListener): void;
  /**
   * The stream of `listener` has left `openStreamCount`. `ClientSessionListener.onAvailable`
   * follows.
   */
  onStreamEnded(listener: StreamListener): void;
}

/** A bound of ours that a peer exceeded: the option or limit that sets it, and its value. */
export interface ReachedLimit {
  readonly name: string;
  readonly value: number;
}

/** Something from the peer that a session refused. */
export interface Refusal {
  /** The scope that ends: the connection, or one stream, which its owner may never have seen. */
  readonly scope: "connection" | "stream";
  /** 0 for the connection. */
  readonly streamId: number;
  /**
   * One line without the peer: the broken rule, or the exceeded bound. It may show what the peer
   * sent.
   */
  readonly rule: string;
  /** Present for a bound of ours. */
  readonly limit: ReachedLimit | undefined;
}

export interface SessionListener {
  /**
   * Called at once. The effects on the session and its streams are reported by their own events.
   */
  onRefused(refusal: Refusal): void;
  /**
   * The peer announced GOAWAY: it takes no stream above `lastStreamId`. Streams it will not process
   * are reset after this.
   */
  onGoAway(lastStreamId: number, code: number, debugData: string): void;
  /** The session is over; every stream has been told before. Called exactly once. */
  onClosed(end: SessionEnd): void;
}

export interface ClientSessionListener extends SessionListener {
  /**
   * `availableStreamCount` rose from 0: the server's SETTINGS arrived, a stream ended, or the limit
   * was raised. It is also told, while the count is above 0, after another limit has come. Of a
   * watched session it is told of each other limit, and after each end of a stream, also while the
   * count is 0: there may be room elsewhere for a call that this allows.
   */
  onAvailable(): void;
}

export interface ServerSessionListener extends SessionListener {
  /** A request arrived. Its listener is returned before anything else can happen on the stream. */
  onStream(stream: Stream, headers: HeaderList, endStream: boolean): StreamListener;
  /**
   * A request arrived whose header list is over `maxHeaderListBytes`; its fields are lost. Returns
   * the listener of the stream when it was answered; otherwise, and in a transport that does not
   * ask, the stream is reset with ENHANCE_YOUR_CALM.
   */
  onLargeRequest?(stream: Stream, refusal: Refusal): StreamListener | undefined;
}

/** Limits and windows of one session. Every implementation documents which of them it supports. */
export interface SessionOptions {
  /** Streams the peer may have open towards us (SETTINGS_MAX_CONCURRENT_STREAMS). @default 1_000 */
  readonly maxConcurrentStreams?: number;
  /** Receive window of each stream in bytes: what one stalled call can hold. @default 131_072 */
  readonly streamWindowBytes?: number;
  /** Receive window of the connection in bytes. @default 4_194_304 */
  readonly connectionWindowBytes?: number;
  /**
   * Largest header list taken from the peer, by the count of RFC 9113 §6.5.2 (name + value + 32 per
   * field). @default 65_536
   */
  readonly maxHeaderListBytes?: number;
  /** Dynamic HPACK table that the peer may use towards us, in bytes. @default 4_096 */
  readonly headerTableBytes?: number;
  /**
   * How long header fields may take from their first octet to the last, in milliseconds. Nothing
   * else can come on the connection meanwhile, so it ends then. Only on the engine. @default 10_000
   */
  readonly headerTimeoutMs?: number;
  /**
   * How long the peer may take to acknowledge our SETTINGS, in milliseconds. RFC 9113 §6.5.3 says
   * "immediately". But some peers (gRPC C-core before 1.43) acknowledge with the next bytes that
   * they have to send: a backend with its first answer. Of a client it begins when its own SETTINGS
   * have come. @default 60_000
   */
  readonly settingsTimeoutMs?: number;
  /**
   * How long the socket may take no byte although something waits for the peer, in milliseconds;
   * then the connection ends. Infinity for never. It may be an eighth more. A peer that reads ever
   * so slowly is not stalled. Nor is one that gives no window to a stream whose reader pauses: it
   * reads the connection. So only a peer counts whose process, machine or network stands still, or
   * who wants to hold our memory. The keepalive of a server looks after two hours, and not while
   * the client goes on sending. 60 s is what nginx allows (`send_timeout`); grpc-go lets the system
   * end the connection after 20 s (TCP_USER_TIMEOUT).
   * @default 60_000
   */
  readonly stallTimeoutMs?: number;
  /**
   * How long nothing of a single stream may go out although DATA of it waits, because the peer
   * gives no window to the stream or to the connection, in milliseconds; then the stream is reset
   * with ENHANCE_YOUR_CALM, and others go on. Infinity for never. It may be an eighth more. A peer
   * that takes ever so little is not stalled. By default nothing is bound: a reader may pause a
   * stream for as long as it likes, as watchers do that work on what they have got, and no window
   * is how it says so. What a paused stream costs is bounded: the receive window of its sender, and
   * the deadline of its call. A bound is for servers whose clients are strangers. The node
   * transport sees only what has gone out as a whole, and cannot tell a window from a socket.
   * @default Infinity
   */
  readonly streamStallTimeoutMs?: number;
  /** @internal For tests. @default the clock of the process */
  readonly clock?: Clock;
}

/** Where to listen or connect: a TCP address or the path of a UNIX socket. */
export type SocketAddress =
  | { readonly host: string; readonly port: number }
  | { readonly path: string };

/** A bound socket that this process was started with. */
export interface OpenDescriptor {
  readonly fd: number;
  /**
   * Of a UNIX socket, where the system tells it; empty for one without a name. `undefined` for a
   * TCP socket, and where nothing is known.
   */
  readonly path: string | undefined;
}

export interface ConnectOptions extends SessionOptions {
  readonly address: SocketAddress;
  /**
   * With `tls` the connection is TLS with ALPN `h2`; without, HTTP/2 with prior knowledge. A
   * function is called at each connect.
   */
  readonly tls?: ClientTlsOptions | (() => ClientTlsOptions);
  /**
   * How long connecting, the TLS handshake and the server's SETTINGS may take together. @default
   * 20_000
   */
  readonly connectTimeoutMs?: number;
  /** When PING checks whether the server is still there. */
  readonly keepalive?: KeepaliveOptions;
}

/** Balancers whose connections begin with a PROXY header, version 1 or 2 (proxy-protocol.txt). */
export interface ProxyProtocolOptions {
  /**
   * Where they connect from: IP addresses, with `/BITS` for a network, and `"unix"` for the peers
   * of a UNIX socket. Connections from there have to have a header, and others must have none.
   */
  readonly from: readonly string[];
  /** How long the header may take, in milliseconds. @default 5_000 */
  readonly timeoutMs?: number;
}

export interface ListenOptions extends SessionOptions {
  readonly address: SocketAddress | OpenDescriptor;
  readonly tls?: ServerTlsOptions;
  /** When clients are asked by PING, and how often they may ask. */
  readonly keepalive?: ServerKeepaliveOptions;
  /**
   * How long a client may take from the beginning of its connection until its TLS handshake is
   * done, and its preface and first SETTINGS have come, in milliseconds. @default 10_000
   */
  readonly handshakeTimeoutMs?: number;
  readonly proxyProtocol?: ProxyProtocolOptions;
  /** Brings the connections of `address`, on which another process listens. */
  readonly source?: ConnectionSource;
}

/** Brings connections that another process has accepted. */
export interface ConnectionSource {
  /**
   * Calls `take` with each connection until `end`, in the turn in which the connection came:
   * nothing of it has been read. `take` never throws.
   */
  begin(take: (socket: Socket) => void): void;
  end(): void;
}

/** Decides which connections may come in, before anything of them is read. */
export interface Admission {
  /** @returns whether the connection may stay; otherwise it is closed */
  admit(peer: PeerInfo): boolean;
  /**
   * Counts a connection whose client a balancer has yet to name.
   * @param remoteAddress the balancer's
   * @returns whether it may wait for that; otherwise it is closed
   */
  reserve(remoteAddress: string): boolean;
  /** The client is named and about to be admitted, or never will be. */
  unreserve(): void;
  /** An admitted connection is gone, whatever its end. */
  release(peer: PeerInfo): void;
}

/** The events of a listening socket. */
export interface ListenerEvents {
  /** `undefined` when all connections may come in. */
  readonly admission?: Admission | undefined;
  /** A connection was accepted; its listener is returned before anything else can happen on it. */
  onSession(session: Session): ServerSessionListener;
  /**
   * A connection failed before it was a session (TLS handshake, no `h2`), or the listening socket
   * failed.
   * @param peer the other end of that connection; `undefined` for the listening socket
   * @param limit the bound of ours that it exceeded
   */
  onError(error: Error, peer: string | undefined, limit?: ReachedLimit): void;
}

export interface Listener {
  /** The address that it listens on, with the port that the system chose. */
  readonly address: SocketAddress;
  /**
   * Replaces all TLS options for handshakes that begin from now on; sessions go on.
   * @throws on a listener without TLS, and for options of which no TLS can be made; the former
   *   options stay
   */
  setTls(tls: ServerTlsOptions): void;
  /** Stops accepting; sessions go on. Resolves when the socket is closed. */
  close(): Promise<void>;
}

/**
 * One way of speaking HTTP/2. Users hold the result of `engineTransport`, and see only its name.
 */
export abstract class Transport {
  abstract readonly name: string;
  /** Makes the class nominal: no other object is a transport, whatever properties it has. */
  protected readonly isTransport = true;
  /**
   * @internal Starts connecting. A failure is reported by `listener.onClosed`, kind `"connect"`,
   *   and never thrown. `destroy` gives up.
   */
  abstract connect(options: ConnectOptions, listener: ClientSessionListener): ClientSession;
  /**
   * @internal
   * @throws the system's error (`EADDRINUSE`, ...) when the address cannot be listened on
   */
  abstract listen(options: ListenOptions, events: ListenerEvents): Promise<Listener>;
}

export { HeaderError } from "../wire/field.ts";
