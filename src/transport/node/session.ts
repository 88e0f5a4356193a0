// What both sides of a node:http2 session share: who is told what when it ends, drains or times
// out.

import type { Http2Session } from "node:http2";
import type { Socket } from "node:net";
import { Timer, type TimerOwner } from "../../time/timer-wheel.ts";
import { ErrorCode, errorCodeName } from "../../wire/error-code.ts";
import { StreamMap } from "../../wire/stream-map.ts";
import { MAX_WINDOW_BYTES, type ResolvedSessionOptions } from "../defaults.ts";
import { errorText } from "../error-text.ts";
import type { WatchedSession } from "../session-keepalive.ts";
import type { PeerInfo, Refusal, SessionEnd, SessionListener, StreamEnd } from "../transport.ts";
import { isGivenUp, SESSIONS_GO_DEAF } from "./deafness.ts";
import { type Lifeline, lifelineOf } from "./native-session.ts";
import { joinRounds, leaveRounds, type RoundTaker } from "./rounds.ts";
import type { NodeStream, StreamOwner } from "./stream.ts";

/** How long a peer may leave its end open after the session is over, in milliseconds. */
const LINGER_MS = 1_000;

/** What happened, with and without the peer. */
type Told = Pick<StreamEnd, "message" | "reason">;

interface GoAway {
  readonly lastStreamId: number;
  readonly code: number;
}

/**
 * How far the end of a session is, as far as it is ours. What the peer has announced stands beside
 * it, in `goAway`.
 *
 * - `"standing"`: streams come and go.
 * - `"draining"`: we have announced GOAWAY. Its streams may finish, and the last one ends it.
 * - `"ending"`: `end` is why we end it. node:http2 is told in an immediate; its `close` does the
 *   rest.
 * - `"over"`: streams and owner are told, or were. `end` is why we ended it; `undefined` when we
 *   did not.
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
  /** Ours to destroy; a session that a user opened keeps its socket to itself. */
  protected readonly socket: Socket | undefined;
  protected readonly options: ResolvedSessionOptions;
  protected readonly streams: StreamMap<NodeStream> = new StreamMap();
  protected goAway: GoAway | undefined;
  protected life: Life = STANDING;
  /** Others have streams on it, so its connection is not ours to end. */
  private shared = false;
  private lostStream = false;
  /** Bytes that had been read when it was last looked, and when that was. */
  private seenBytes = 0;
  private seenMs = 0;
  /** What node:http2 said before the session closed. */
  protected error: Error | undefined;
  private readonly settingsTimer = new Timer(this);
  private readonly lingerTimer = new Timer(this);

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
    // Half a window, because nghttp2 sends WINDOW_UPDATE when half a window was consumed: held
    // before that, none is sent.
    this.holdBytes = Math.max(1, options.streamWindowBytes >> 1);
    node.on("error", (error) => {
      this.error ??= error;
    });
    node.on("goaway", (code, lastStreamId, debugData) => {
      this.recvGoAway(code, lastStreamId, debugData);
    });
    node.on("localSettings", () => options.clock.cancel(this.settingsTimer));
    node.on("close", () => {
      this.finish();
      // By then those streams are freed that node:http2 never told of.
      setImmediate(() => {
        this.lifeline = undefined;
      });
    });
  }

  abstract readonly opensStreams: boolean;
  protected abstract readonly listener: SessionListener;
  /** The stream cannot have been processed by the peer. */
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
    // SETTINGS has no say in the connection's window (RFC 9113 §6.9.2).
    this.node.setLocalWindowSize(Math.min(this.options.connectionWindowBytes, MAX_WINDOW_BYTES));
    if (this.node.pendingSettingsAck) {
      this.options.clock.schedule(this.settingsTimer, this.options.settingsTimeoutMs);
    }
    if (SESSIONS_GO_DEAF) joinRounds(this);
  }

  /** From now on its end is the end of our streams on it alone. */
  share(): void {
    this.shared = true;
  }

  drain(): void {
    if (this.life.kind !== "standing") return;
    this.life = DRAINING;
    // In one step (RFC 9113 §6.8 would like two): behind any GOAWAY that node:http2 can send,
    // nghttp2 ignores new streams, so GOAWAY(2^31-1) would lose them. Those under way now are above
    // the last stream id: the client may open them again. Not close(): node:http2 would send no
    // PING after it.
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
      // node:http2 sends no PING after the peer's GOAWAY. Silence would look like a dead peer, and
      // cost the streams that finish.
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
    // On a session that takes no more streams it proves nothing, unless one is open. One that was
    // handed over may be such.
    const proven = this.socket !== undefined && !this.shared && this.takesStreams;
    if (!proven && !this.streams.toArray().some((stream) => stream.isOpenOnWire)) return;
    // Nothing will ever come of the streams of others either.
    this.shared = false;
    this.end(this.breachEnd());
  }

  /** The session's end when node:http2 does not say how the peer broke the protocol. */
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
    // Where there was no connection yet, nobody waits for GOAWAY.
    if (connecting || end.kind === "connect") this.socket?.destroy();
    else this.linger();
  }

  private leave(): void {
    this.finish((stream) => stream.leave());
    // GOAWAY; the connection closes when the streams of the others have ended.
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

  /** Why we ended the session, when it was us. */
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
    this.endIfDrained();
  }

  protected endIfDrained(): void {
    if (this.streams.size > 0 || !this.endsWithStreams) return;
    // In an immediate: closed in the same turn, the session would lose a response that is still
    // being written.
    setImmediate(() => {
      // An end of our own comes in an immediate, too, and has to find the session as it is:
      // closed, it would wait for the peer.
      if (this.streams.size > 0 || !this.endsWithStreams) return;
      if (this.shared) {
        this.leave();
        return;
      }
      this.node.close();
      this.linger();
    });
  }

  /** Nothing but its last streams keeps it. */
  private get endsWithStreams(): boolean {
    const { kind } = this.life;
    return kind === "draining" || (kind === "standing" && this.goAway !== undefined);
  }

  /** A peer that reads nothing or never closes its end keeps no connection of ours. */
  private linger(): void {
    if (this.socket !== undefined && !this.lingerTimer.scheduled) {
      this.options.clock.schedule(this.lingerTimer, LINGER_MS);
    }
  }

  onTimer(timer: Timer): void {
    if (timer === this.lingerTimer) {
      this.socket?.destroy();
    } else if (timer === this.settingsTimer) {
      const rule = "did not acknowledge SETTINGS";
      const limit = { name: "settingsTimeoutMs", value: this.options.settingsTimeoutMs };
      this.refused({ scope: "connection", streamId: 0, rule, limit });
      this.end({ kind: "timeout", code: ErrorCode.SETTINGS_TIMEOUT, ...this.told(rule) });
    }
  }

  private recvGoAway(code: number, lastStreamId: number, debugData: Uint8Array | undefined): void {
    if (this.isOver) return;
    this.goAway = { code, lastStreamId };
    const text = debugData === undefined ? "" : Buffer.from(debugData).toString("latin1");
    this.listener.onGoAway(lastStreamId, code, text);
    this.endIfDrained();
  }

  /** Tells its streams, by `tell`, and then its owner. Once, whatever comes first. */
  protected finish(tell: (stream: NodeStream) => void = tellClosed): void {
    const { life, ownEnd } = this;
    if (life.kind === "over") return;
    this.life = { kind: "over", end: ownEnd };
    for (const stream of this.streams.toArray()) tell(stream);
    const { clock } = this.options;
    clock.cancel(this.settingsTimer);
    clock.cancel(this.lingerTimer);
    leaveRounds(this);
    this.cleanUp();
    const end = ownEnd ?? this.lossEnd(life.kind === "draining");
    if (end.kind === "protocol") {
      // Nothing of node:http2 says what rule it was, beyond nghttp2's own words.
      const rule = end.reason ?? end.message;
      this.refused({ scope: "connection", streamId: 0, rule, limit: undefined });
    }
    this.listener.onClosed(end);
  }

  /**
   * The part of it that we hold to a bound, or that node:http2 tells: nghttp2 resets malformed
   * requests without a word to us.
   */
  refused(refusal: Refusal): void {
    this.listener.onRefused(refusal);
  }

  protected cleanUp(): void {}

  /**
   * Why it ended, when it was not us.
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
