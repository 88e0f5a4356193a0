// The server side of one node:http2 session.

import type { ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { Timer } from "../../time/timer-wheel.ts";
import { ErrorCode } from "../../wire/error-code.ts";
import type { HeaderList } from "../../wire/field.ts";
import { RECEIVED } from "../../wire/message-rules.ts";
import { PingStrikes, TOO_MANY_PINGS } from "../../wire/ping-strikes.ts";
import type { ResolvedSessionOptions } from "../defaults.ts";
import { NO_HTTP2 } from "../handshakes.ts";
import type { ServerKeepaliveTerms } from "../keepalive.ts";
import { SessionKeepalive } from "../session-keepalive.ts";
import type { ListenerEvents, PeerInfo, ServerSessionListener } from "../transport.ts";
import { NodeServerStream, type ServerStreamOwner } from "./server-stream.ts";
import { NodeSession } from "./session.ts";
import { onError, resetBare } from "./stream.ts";

/** What a server of ours asks of its clients, beside the options that both sides have. */
export interface ServerTerms extends ServerKeepaliveTerms {
  readonly handshakeTimeoutMs: number;
}

/** Looks at when a session has read something, within one interval. */
const LOOKS = 64;
const LEAST_LOOK_MS = 500;

export class NodeServerSession extends NodeSession implements ServerStreamOwner {
  readonly opensStreams = false;
  protected readonly listener: ServerSessionListener;
  private lastStreamId = 0;
  /** Set when the drain was announced. */
  private lastTakenId: number | undefined;
  private keepalive: SessionKeepalive | undefined;
  /** Runs until the client's SETTINGS have come. */
  private handshakeTimer: Timer | undefined;
  private handshakeTimeoutMs = 0;
  /** HEADERS and DATA that were sent. */
  private sentCount = 0;

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

  /**
   * Gives the client its time to begin, asks it by PING, and counts its own.
   * @param handshakeLeftMs `undefined` if it has begun
   */
  watch(terms: ServerTerms, handshakeLeftMs: number | undefined): void {
    const { keepalive, minPingIntervalMs, handshakeTimeoutMs } = terms;
    if (this.socket !== undefined) this.watchStalls(this.socket);
    this.handshakeTimeoutMs = handshakeTimeoutMs;
    if (handshakeLeftMs !== undefined) this.awaitClient(handshakeLeftMs);
    const lookMs = Math.max(LEAST_LOOK_MS, keepalive.intervalMs / LOOKS);
    this.keepalive = new SessionKeepalive(keepalive, this.options.clock, this, lookMs);
    this.keepalive.start();
    if (minPingIntervalMs === 0) return;
    const strikes = new PingStrikes(minPingIntervalMs);
    this.node.on("ping", () => {
      if (!strikes.take(this.nowMs, this.sentCount)) return;
      // Not within nghttp2's receive function, as its end.
      setImmediate(() => this.endTooManyPings());
    });
  }

  /** The time for the acknowledgement of our SETTINGS begins when the client's have come. */
  private awaitClient(handshakeLeftMs: number): void {
    const { clock } = this.options;
    const timer = new Timer(this);
    this.handshakeTimer = timer;
    this.dropSettingsTimer();
    clock.schedule(timer, handshakeLeftMs);
    this.node.once("remoteSettings", () => {
      clock.cancel(timer);
      if (!this.isOver) this.awaitSettingsAck();
    });
  }

  override onTimer(timer: Timer): void {
    if (timer !== this.handshakeTimer) {
      super.onTimer(timer);
      return;
    }
    const limit = { name: "handshakeTimeoutMs", value: this.handshakeTimeoutMs };
    this.endSlow(NO_HTTP2, limit, ErrorCode.SETTINGS_TIMEOUT);
  }

  /** `destroy` says its code, and nothing else. */
  private endTooManyPings(): void {
    if (this.isOver || this.node.destroyed) return;
    const code = ErrorCode.ENHANCE_YOUR_CALM;
    this.node.goaway(code, 0, Buffer.from(TOO_MANY_PINGS));
    this.end({ kind: "protocol", code, ...this.told(TOO_MANY_PINGS) });
  }

  sent(): void {
    this.sentCount++;
  }

  protected override cleanUp(): void {
    this.keepalive?.stop();
    if (this.handshakeTimer !== undefined) this.options.clock.cancel(this.handshakeTimer);
  }

  override drain(): void {
    // The id that node:http2 announces: no stream above it is begun any more.
    this.lastTakenId ??= this.lastStreamId;
    super.drain();
  }

  recvStream(node: ServerHttp2Stream, headers: HeaderList, endStream: boolean): void {
    // Attached in any case: an 'error' without a listener would end the process.
    if (node.destroyed || node.closed || this.isOver) {
      // The client has reset the stream before anyone was told of it.
      node.on("error", onError);
      node.destroy();
      return;
    }
    const id = node.id ?? 0;
    if (this.lastTakenId !== undefined && id > this.lastTakenId) {
      // nghttp2 ignores the stream once our GOAWAY is sent, which cannot happen while it reads. The
      // client will open the stream elsewhere.
      node.on("error", onError);
      setImmediate(resetBare, node, ErrorCode.REFUSED_STREAM);
      return;
    }
    this.lastStreamId = id;
    const { problem, list } = RECEIVED.request(headers);
    if (problem !== undefined) {
      // nghttp2 accepts some malformed header lists.
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
    // GOAWAY of a client is about pushed streams.
    return false;
  }
}
