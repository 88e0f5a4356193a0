// The part that both sides of a node:http2 session share: its end, its drain, its timeouts, and who
// is told of them.

import type { Http2Session } from "node:http2";
import type { Socket } from "node:net";
import { Timer, type TimerOwner } from "../../time/timer-wheel.ts";
import { ErrorCode, errorCodeName } from "../../wire/error-code.ts";
import { StreamMap } from "../../wire/stream-map.ts";
import { MAX_WINDOW_BYTES, type ResolvedSessionOptions } from "../defaults.ts";
import { errorText } from "../error-text.ts";
import type { WatchedSession } from "../session-keepalive.ts";
import { StallWatch, TOOK_NOTHING } from "../stall-watch.ts";
import { StreamStalls } from "../stream-stalls.ts";
import type {
  PeerInfo,
  ReachedLimit,
  Refusal,
  SessionEnd,
  SessionListener,
  StreamEnd,
} from "../transport.ts";
import { isGivenUp, SESSIONS_GO_DEAF } from "./deafness.ts";
import { type Lifeline, lifelineOf } from "./native-session.ts";
import { joinRounds, leaveRounds, type RoundTaker } from "./rounds.ts";
import type { NodeStream, StreamOwner } from "./stream.ts";

/** How long a peer may leave its end open after the session is over, in milliseconds. */
const LINGER_MS = 1_000;

/** The texts of an event, with and without the peer. */
type Told = Pick<StreamEnd, "message" | "reason">;

interface GoAway {
  readonly lastStreamId: number;
  readonly code: number;
}

/**
 * The stage of our own end of a session. `goAway` has the end that the peer has announced.
 *
 * - `"standing"`: streams come and go.
 * - `"draining"`: we have announced GOAWAY. Streams may finish, and the last one ends the session.
 * - `"ending"`: we end it because of `end`. node:http2 is told in an immediate; its `close` does
 *   the rest.
 * - `"over"`: streams and owner have been told. `end` is our reason; `undefined` when we did not
 *   end it.
 */
type Life =
  | { readonly kind: "standing" }
  | { readonly kind: "draining" }
  | { readonly kind: "ending"; readonly end: SessionEnd }
  | { readonly kind: "over"; readonly end: SessionEnd | undefined };

const STANDING: Life = { kind: "standing" };
const DRAINING: Life = { kind: "draining" };

export abstract class NodeSession implements StreamOwner, TimerOwner, RoundTaker, WatchedSession {
  peer: PeerInfo;
  remoteAddress: string;
  readonly holdBytes: number;
  readonly maxHeaderListBytes: number;
  lifeline: Lifeline | undefined;
  protected readonly node: Http2Session;
  /** The socket that we may destroy. A session that a user opened keeps its socket to itself. */
  protected readonly socket: Socket | undefined;
  protected readonly options: ResolvedSessionOptions;
  protected readonly streams: StreamMap<NodeStream> = new StreamMap();
  protected goAway: GoAway | undefined;
  protected life: Life = STANDING;
  /** Others have streams on the session, so we may not end its connection. */
  private shared = false;
  private lostStream = false;
  /** Bytes that had been read when it was last looked, and when that was. */
  private seenBytes = 0;
  private seenMs = 0;
  /** The error that node:http2 reported before the session closed. */
  protected error: Error | undefined;
  private readonly settingsTimer = new Timer(this);
  private readonly lingerTimer = new Timer(this);
  /** Of a connection that is ours alone. */
  private stallWatch: StallWatch | undefined;
  private readonly streamStalls: StreamStalls<NodeStream> | undefined;

  constructor(
    node: Http2Session,
    socket: Socket | undefined,
    peer: PeerInfo,
    options: ResolvedSessionOptions,
  ) {
    this.node = node;
    this.socket = socket;
    this.peer = peer;
    this.remoteAddress = peer.remoteAddress;
    this.options = options;
    this.maxHeaderListBytes = options.maxHeaderListBytes;
    this.streamStalls = StreamStalls.of(options.streamStallTimeoutMs, options.clock, this);
    // Half a window: nghttp2 sends WINDOW_UPDATE when half a window was consumed. Credit that is
    // held before that point prevents it.
    this.holdBytes = Math.max(1, options.streamWindowBytes >> 1);
    node.on("error", (error) => {
      this.error ??= error;
    });
    node.on("goaway", (code, lastStreamId, debugData) => {
      this.recvGoAway(code, lastStreamId, debugData);
    });
    node.on("localSettings", () => this.dropSettingsTimer());
    node.on("close", () => {
      this.finish();
      // By then the streams that node:http2 never reported are freed.
      setImmediate(() => {
        this.lifeline = undefined;
      });
    });
  }

  abstract readonly opensStreams: boolean;
  protected abstract readonly listener: SessionListener;
  /** The peer cannot have processed the stream. */
  protected abstract isUnprocessed(id: number): boolean;

  get openStreamCount(): number {
    return this.streams.size;
  }

  get nowMs(): number {
    return this.options.clock.nowMs();
  }

  get accepting(): boolean {
    return this.takesStreams;
  }

  private get takesStreams(): boolean {
    if (this.life.kind !== "standing" || this.goAway !== undefined) return false;
    return !this.node.closed && !this.node.destroyed;
  }

  /** The connection is up: windows can be set and timers run. */
  protected started(): void {
    this.lifeline = lifelineOf(this.node);
    this.seenMs = this.nowMs;
    // SETTINGS cannot change the window of the connection (RFC 9113 §6.9.2).
    this.node.setLocalWindowSize(Math.min(this.options.connectionWindowBytes, MAX_WINDOW_BYTES));
    this.awaitSettingsAck();
    this.streamStalls?.begin();
    if (SESSIONS_GO_DEAF) joinRounds(this);
  }

  protected awaitSettingsAck(): void {
    if (!this.node.pendingSettingsAck) return;
    this.options.clock.schedule(this.settingsTimer, this.options.settingsTimeoutMs);
  }

  protected dropSettingsTimer(): void {
    this.options.clock.cancel(this.settingsTimer);
  }

  /** From now on an end of the session ends only our streams on it. */
  share(): void {
    this.shared = true;
  }

  /** From now on the session ends when `socket` takes nothing; called where we own it. */
  protected watchStalls(socket: Socket): void {
    const { stallTimeoutMs, clock } = this.options;
    this.stallWatch = new StallWatch(stallTimeoutMs, clock, socket, this);
  }

  backlogged(): void {
    this.stallWatch?.begin();
  }

  get maySend(): boolean {
    return this.streams.size > 0;
  }

  onStalled(): void {
    const limit = { name: "stallTimeoutMs", value: this.options.stallTimeoutMs };
    this.endSlow(TOOK_NOTHING, limit, ErrorCode.ENHANCE_YOUR_CALM);
  }

  /** The peer did not do in time what it had to do. */
  protected endSlow(rule: string, limit: ReachedLimit, code: number): void {
    this.refused({ scope: "connection", streamId: 0, rule, limit });
    this.end({ kind: "timeout", code, ...this.told(rule) });
  }

  // What the watch of the streams sees

  starved(): readonly NodeStream[] {
    return this.streams.toArray().filter((stream) => stream.unwrittenBytes > 0);
  }

  sentMark(stream: NodeStream): number {
    return stream.writtenBytes;
  }

  onStreamStalled(stream: NodeStream): void {
    stream.endStalled(this.options.streamStallTimeoutMs);
  }

  drain(): void {
    if (this.life.kind !== "standing") return;
    this.life = DRAINING;
    // In one step, although RFC 9113 §6.8 would like two. Behind any GOAWAY that node:http2 can
    // send, nghttp2 ignores new streams, so GOAWAY(2^31-1) would lose them. Streams under way now
    // are above the last stream id: the client may open them again. Not close(): node:http2 would
    // send no PING after it.
    this.announceDrain();
    this.endIfDrained();
  }

  protected announceDrain(): void {
    if (!this.node.closed && !this.node.destroyed) this.node.goaway(ErrorCode.NO_ERROR);
  }

  destroy(code: number, message: string): void {
    this.end({ kind: "destroyed", code, message });
  }

  ping(onAcknowledged: () => void): void {
    if (this.isOver || this.node.destroyed) return;
    if (this.node.closed) {
      // node:http2 sends no PING after the peer's GOAWAY. An unanswered ping would look like a dead
      // peer, and cost the streams that finish.
      setImmediate(onAcknowledged);
      return;
    }
    this.node.ping((error) => {
      if (error === null) onAcknowledged();
      else if (this.node.closed && !this.node.destroyed) onAcknowledged();
    });
  }

  // What the keepalive sees

  get lastReadMs(): number {
    const { readBytes } = this;
    if (readBytes !== this.seenBytes) {
      this.seenBytes = readBytes;
      this.seenMs = this.nowMs;
    }
    return this.seenMs;
  }

  protected get readBytes(): number {
    return (this.socket ?? this.node.socket)?.bytesRead ?? 0;
  }

  /** Behind the peer's GOAWAY node:http2 sends no PING. */
  get canPing(): boolean {
    const { kind } = this.life;
    if (this.node.closed || this.node.destroyed) return false;
    return this.goAway === undefined && (kind === "standing" || kind === "draining");
  }

  onSilent(): void {
    const told = this.told("did not answer PING");
    this.end({ kind: "timeout", code: ErrorCode.NO_ERROR, ...told });
  }

  takeRound(): boolean {
    if (SESSIONS_GO_DEAF) this.endIfDeaf();
    return SESSIONS_GO_DEAF;
  }

  private endIfDeaf(): void {
    if (this.life.kind === "ending" || !isGivenUp(this.node)) return;
    // On a session that takes no more streams this proves nothing, unless a stream is open. A
    // session that was handed over may take no more streams.
    const proven = this.socket !== undefined && !this.shared && this.takesStreams;
    if (!proven && !this.streams.toArray().some((stream) => stream.isOpenOnWire)) return;
    // The streams of others will get nothing any more either.
    this.shared = false;
    this.end(this.breachEnd());
  }

  /** The end of the session when node:http2 does not name the broken rule. */
  protected breachEnd(): SessionEnd {
    return {
      kind: "protocol",
      code: ErrorCode.PROTOCOL_ERROR,
      ...this.told("broke the protocol"),
    };
  }

  protected end(end: SessionEnd): void {
    if (this.life.kind === "ending" || this.isOver) return;
    this.life = { kind: "ending", end };
    if (this.node.connecting) this.destroyNode(end);
    // Not within nghttp2's receive function, as with the reset of a stream.
    else setImmediate(() => this.destroyNode(end));
  }

  private destroyNode(end: SessionEnd): void {
    if (this.shared) {
      this.leave();
      return;
    }
    const connecting = this.node.connecting;
    if (end.code === ErrorCode.NO_ERROR) this.node.destroy();
    else this.node.destroy(new Error(end.message), end.code);
    // Without a connection nobody waits for GOAWAY.
    if (connecting || end.kind === "connect") this.socket?.destroy();
    else this.linger();
  }

  private leave(): void {
    this.finish((stream) => stream.leave());
    // Sends GOAWAY. The connection closes when the streams of others have ended.
    if (!this.node.destroyed) this.node.close();
  }

  sessionEndOf(id: number): StreamEnd | undefined {
    const { goAway } = this;
    const unprocessed = this.isUnprocessed(id);
    if (goAway !== undefined && (goAway.code !== ErrorCode.NO_ERROR || unprocessed)) {
      if (!unprocessed) this.lostStream = true;
      return {
        kind: "goaway",
        code: goAway.code,
        unprocessed,
        ...this.told(`announced GOAWAY: ${errorCodeName(goAway.code)}`),
      };
    }
    if (!this.node.destroyed && !this.isOver) return undefined;
    this.lostStream = true;
    const { ownEnd } = this;
    const { message, reason = message } = ownEnd ?? this.loss();
    const code = ownEnd?.code ?? ErrorCode.NO_ERROR;
    return { kind: "session", code, unprocessed: false, message, reason };
  }

  protected get isOver(): boolean {
    return this.life.kind === "over";
  }

  /** Our reason for the end, if we ended the session. */
  protected get ownEnd(): SessionEnd | undefined {
    const { life } = this;
    return life.kind === "ending" || life.kind === "over" ? life.end : undefined;
  }

  private loss(): Told {
    const { error, remoteAddress } = this;
    const reason = error === undefined ? "connection closed" : errorText(error, remoteAddress);
    return { message: `${this.remoteAddress} lost: ${reason}`, reason };
  }

  protected told(reason: string): Told {
    return { message: `${this.remoteAddress} ${reason}`, reason };
  }

  forget(stream: NodeStream): void {
    this.streams.delete(stream.id);
    if (this.streams.size === 0) this.stallWatch?.pause();
    this.endIfDrained();
  }

  protected endIfDrained(): void {
    if (this.streams.size > 0 || !this.endsWithStreams) return;
    // In an immediate: if the session closed in the same turn, it would lose a response that is
    // still being written.
    setImmediate(() => {
      // Our own end also comes in an immediate. It must find the session not closed, or it would
      // wait for the peer.
      if (this.streams.size > 0 || !this.endsWithStreams) return;
      if (this.shared) {
        this.leave();
        return;
      }
      this.node.close();
      this.linger();
    });
  }

  /** Only its last streams keep the session. */
  private get endsWithStreams(): boolean {
    const { kind } = this.life;
    return kind === "draining" || (kind === "standing" && this.goAway !== undefined);
  }

  /** Closes the connection of a peer that reads nothing or never closes its end. */
  private linger(): void {
    if (this.socket !== undefined && !this.lingerTimer.scheduled) {
      this.options.clock.schedule(this.lingerTimer, LINGER_MS);
    }
  }

  onTimer(timer: Timer): void {
    if (timer === this.lingerTimer) {
      this.socket?.destroy();
    } else if (timer === this.settingsTimer) {
      const limit = { name: "settingsTimeoutMs", value: this.options.settingsTimeoutMs };
      this.endSlow("did not acknowledge SETTINGS", limit, ErrorCode.SETTINGS_TIMEOUT);
    }
  }

  private recvGoAway(code: number, lastStreamId: number, debugData: Uint8Array | undefined): void {
    if (this.isOver) return;
    this.goAway = { code, lastStreamId };
    const text = debugData === undefined ? "" : Buffer.from(debugData).toString("latin1");
    this.listener.onGoAway(lastStreamId, code, text);
    this.endIfDrained();
  }

  /** Tells the streams, by `tell`, and then the owner. Once, whatever the cause. */
  protected finish(tell: (stream: NodeStream) => void = tellClosed): void {
    const { life, ownEnd } = this;
    if (life.kind === "over") return;
    this.life = { kind: "over", end: ownEnd };
    for (const stream of this.streams.toArray()) tell(stream);
    const { clock } = this.options;
    clock.cancel(this.settingsTimer);
    clock.cancel(this.lingerTimer);
    this.stallWatch?.stop();
    this.streamStalls?.stop();
    leaveRounds(this);
    this.cleanUp();
    const end = ownEnd ?? this.lossEnd(life.kind === "draining");
    if (end.kind === "protocol") {
      // node:http2 does not name the rule; it gives only nghttp2's own words.
      const rule = end.reason ?? end.message;
      this.refused({ scope: "connection", streamId: 0, rule, limit: undefined });
    }
    this.listener.onClosed(end);
  }

  /**
   * Reports the refusals that are known here: bounds of ours, and errors of node:http2. nghttp2
   * resets malformed requests without a report.
   */
  refused(refusal: Refusal): void {
    this.listener.onRefused(refusal);
  }

  protected cleanUp(): void {}

  /**
   * The end of a session that we did not end.
   * @param wasDraining we had announced the end
   */
  protected lossEnd(wasDraining: boolean): SessionEnd {
    const { goAway, error } = this;
    if (goAway !== undefined && goAway.code !== ErrorCode.NO_ERROR) {
      const told = this.told(`announced GOAWAY: ${errorCodeName(goAway.code)}`);
      return { kind: "goaway", code: goAway.code, ...told };
    }
    if (error !== undefined) {
      const isProtocol = "code" in error && error.code === "ERR_HTTP2_ERROR";
      return {
        kind: isProtocol ? "protocol" : "socket",
        code: isProtocol ? ErrorCode.PROTOCOL_ERROR : ErrorCode.NO_ERROR,
        ...this.loss(),
        cause: error,
      };
    }
    const orderly = (wasDraining || goAway !== undefined) && !this.lostStream;
    return {
      kind: orderly ? "closed" : "socket",
      code: ErrorCode.NO_ERROR,
      ...(orderly ? this.told("drained") : this.loss()),
    };
  }
}

function tellClosed(stream: NodeStream): void {
  stream.closed();
}
