// One HTTP/2 connection on one socket: passes bytes from the socket to the connection, and its
// output to the socket once per turn, and runs the timers. The connection knows what the bytes
// mean.

import type { Socket } from "node:net";
import { Connection } from "../../h2/connection.ts";
import type { ConnectionEnd, ConnectionEvents, ConnectionOptions } from "../../h2/events.ts";
import type { Role } from "../../h2/settings.ts";
import type { H2Stream } from "../../h2/stream.ts";
import type { Clock } from "../../time/clock.ts";
import { Timer } from "../../time/timer-wheel.ts";
import { ErrorCode } from "../../wire/error-code.ts";
import type { HeaderList } from "../../wire/field.ts";
import { countRead } from "../count-read.ts";
import type { ResolvedSessionOptions } from "../defaults.ts";
import { errorText } from "../error-text.ts";
import { StallWatch, TOOK_NOTHING } from "../stall-watch.ts";
import { GAVE_NO_ROOM, StreamStalls } from "../stream-stalls.ts";
import type {
  PeerInfo,
  ReachedLimit,
  Refusal,
  Session,
  SessionEnd,
  StreamListener,
} from "../transport.ts";
import type { ByteSink, SocketReader } from "./socket-reader.ts";
import { awaitRead, awaitTurn, endRead, hurry, type TurnTaker } from "./turn-queue.ts";

/**
 * DATA of one socket that may wait in user space, beside the kernel's buffer. More than a few
 * frames here only delay the small calls behind them. Less costs bulk transfers a turn per write.
 */
const DATA_HIGH_WATER_BYTES = 262_144;

/**
 * How long a closing socket waits for the peer's FIN. Also how long a connection that ended badly
 * waits for its GOAWAY to be taken.
 */
const LINGER_MS = 1_000;

/**
 * How long a socket that is closed in order may make no progress with the last responses. Node
 * reports only whole writes as progress. So the slowest reader that is waited for takes
 * `DATA_HIGH_WATER_BYTES` in this time: 13 KiB a second.
 */
const DELIVERY_MS = 20_000;

/** How long the PING of an orderly end may take before the end goes on without it. */
const DRAIN_PING_MS = 1_000;

/**
 * The state of the socket. `connection.ended` says whether the HTTP/2 connection on it has ended.
 *
 * - `"connecting"`: not connected. Nothing is read or written. `destroy` ends it.
 * - `"open"`: the socket is read, and writes the output of the connection.
 * - `"lingering"`: the connection has ended, and all output was written. Further input is read and
 *   dropped, or the system would withdraw our GOAWAY. The socket closes at the peer's FIN. It also
 *   closes at `timer`, if no progress was made since `backlogBytes` were left to write.
 * - `"closed"`: the socket is gone, and the owner is told.
 */
type SocketState =
  | { readonly kind: "connecting" }
  | { readonly kind: "open" }
  | Lingering
  | { readonly kind: "closed" };

interface Lingering {
  readonly kind: "lingering";
  readonly timer: Timer;
  backlogBytes: number;
}

const CONNECTING: SocketState = { kind: "connecting" };
const OPEN: SocketState = { kind: "open" };
const CLOSED: SocketState = { kind: "closed" };

/** All sessions of a transport share these. */
export type EngineBounds = Pick<ConnectionOptions, "limits" | "windowBudget">;

/**
 * One object for all sessions of a listener. Copies would differ in shape, and each call reads the
 * options.
 */
export interface EngineSessionOptions extends ResolvedSessionOptions, EngineBounds {}

/**
 * The part that both ends of a connection share: the socket, and when it is read, written and given
 * up.
 */
export abstract class SocketSession
  implements Session, ConnectionEvents<Session>, TurnTaker, ByteSink
{
  readonly clock: Clock;
  peer: PeerInfo;

  protected readonly connection: Connection<Session>;
  protected socket: Socket;
  /** Reads the socket, if it is a plain one. */
  private readonly reader: SocketReader | undefined;
  private readonly settingsTimeoutMs: number;
  private isWaitingForTurn = false;
  private isWaitingForRead = false;
  private settingsTimer: Timer | undefined;
  /** `settingsTimer` runs for the preface and SETTINGS of a client. */
  private awaitsClient = false;
  private drainTimer: Timer | undefined;
  private readonly stallTimeoutMs: number;
  /** Made when the socket takes less than it is given for the first time. */
  private stallWatch: StallWatch | undefined;
  private readonly streamStallTimeoutMs: number;
  private readonly streamStalls: StreamStalls<H2Stream<Session>> | undefined;
  private readonly headerTimeoutMs: number;
  private headerTimer: Timer | undefined;
  /** The stream that `headerTimer` runs for; 0 while it does not. */
  private openHeaderId = 0;
  private socketState: SocketState = CONNECTING;

  constructor(
    role: Role,
    socket: Socket,
    reader: SocketReader | undefined,
    peer: PeerInfo,
    options: EngineSessionOptions,
  ) {
    this.clock = options.clock;
    this.reader = reader;
    this.socket = socket;
    this.peer = peer;
    this.settingsTimeoutMs = options.settingsTimeoutMs;
    this.headerTimeoutMs = options.headerTimeoutMs;
    this.stallTimeoutMs = options.stallTimeoutMs;
    this.streamStallTimeoutMs = options.streamStallTimeoutMs;
    this.streamStalls = StreamStalls.of(options.streamStallTimeoutMs, this.clock, this);
    this.connection = new Connection<Session>(role, this, options, this, this.clock.nowMs());
    this.connection.peer = peer.remoteAddress;
  }

  // The seam

  get openStreamCount(): number {
    return this.connection.openStreamCount;
  }

  get nowMs(): number {
    return this.connection.nowMs;
  }

  get accepting(): boolean {
    return this.connection.accepting;
  }

  drain(): void {
    this.connection.drain();
    if (this.drainTimer !== undefined || this.connection.ended !== undefined) return;
    this.drainTimer = new Timer(this);
    this.clock.schedule(this.drainTimer, DRAIN_PING_MS);
  }

  destroy(code: number, message: string): void {
    this.abort({ kind: "destroyed", code, message }, true);
  }

  ping(onAcknowledged: () => void): void {
    this.connection.ping(onAcknowledged);
  }

  // What the keepalive sees

  get lastReadMs(): number {
    return this.connection.nowMs;
  }

  get canPing(): boolean {
    return this.connection.ended === undefined;
  }

  onSilent(): void {
    const reason = "did not answer PING";
    const message = `${this.peer.remoteAddress} ${reason}`;
    this.abort({ kind: "timeout", code: ErrorCode.NO_ERROR, message, reason }, true);
  }

  // The connection

  onDirty(): void {
    if (this.isWaitingForTurn) return;
    this.isWaitingForTurn = true;
    awaitTurn(this);
  }

  onBulk(): void {
    if (this.isWaitingForRead) return;
    this.isWaitingForRead = true;
    awaitRead(this);
  }

  onLoneEnd(): void {
    hurry(this);
  }

  abstract onStream(
    stream: H2Stream<Session>,
    headers: HeaderList,
    endStream: boolean,
  ): StreamListener;
  abstract onLargeRequest(stream: H2Stream<Session>, refusal: Refusal): StreamListener | undefined;
  abstract onGoAway(lastStreamId: number, code: number, debugData: string): void;
  abstract onRefused(refusal: Refusal): void;
  abstract onAvailable(): void;
  /** The session is over, and so is the socket. */
  protected abstract tellClosed(end: ConnectionEnd): void;

  /**
   * The streams have been told. The owner is told when the socket is gone, so that nothing of the
   * session is left then.
   */
  onClosed(): void {
    this.dropSettingsTimer();
    this.stallWatch?.stop();
    this.streamStalls?.stop();
    if (this.drainTimer !== undefined) this.clock.cancel(this.drainTimer);
    if (this.headerTimer !== undefined) this.clock.cancel(this.headerTimer);
  }

  // The socket

  /**
   * The socket is connected: begins to speak, or waits for the client's first bytes.
   * @param handshakeLeftMs of a server: the rest of the client's time to begin
   */
  protected start(speaksFirst: boolean, handshakeLeftMs?: number): void {
    const { socket, reader } = this;
    this.socketState = OPEN;
    if (reader !== undefined) {
      reader.sink = this;
    } else {
      socket.on("data", (chunk: Buffer) => this.onSocketData(chunk, chunk.length, false));
    }
    socket.on("end", () => this.onSocketLost("closed the connection", undefined));
    this.settingsTimer = new Timer(this);
    this.awaitsClient = handshakeLeftMs !== undefined;
    this.clock.schedule(this.settingsTimer, handshakeLeftMs ?? this.settingsTimeoutMs);
    this.streamStalls?.begin();
    this.connection.written(0, DATA_HIGH_WATER_BYTES);
    if (speaksFirst) this.connection.start();
    else this.connection.awaitClient();
  }

  /** Called before the socket is connected, too. */
  protected watchSocket(): void {
    const { socket } = this;
    socket.on("error", (error: Error) => {
      this.onSocketLost(errorText(error, this.peer.remoteAddress), error);
    });
    socket.on("close", () => this.onSocketClosed());
  }

  /** The connection has taken the bytes of a read. */
  protected onRead(): void {}

  /** Everything that waited for the end of the turn is in the output. */
  protected onTurn(): void {}

  onSocketData(chunk: Buffer, end: number, isLent: boolean): void {
    const { connection } = this;
    countRead(end);
    connection.receive(chunk, this.clock.nowMs(), end, isLent);
    if (this.settingsTimer !== undefined) this.lookForSettings(this.settingsTimer);
    const { openHeaderId } = connection;
    if (openHeaderId !== this.openHeaderId) this.watchHeader(openHeaderId);
    this.onRead();
    endRead();
  }

  protected onSocketLost(problem: string, cause: Error | undefined): void {
    const message = `${this.peer.remoteAddress}: ${problem}`;
    this.abort(
      { kind: "socket", code: ErrorCode.NO_ERROR, message, reason: problem, cause },
      false,
    );
  }

  private onSocketClosed(): void {
    if (this.socketState.kind === "lingering") this.clock.cancel(this.socketState.timer);
    this.socketState = CLOSED;
    this.onSocketLost("closed the connection", undefined);
    this.connection.turn();
    this.connection.output.close();
    if (this.connection.ended !== undefined) this.tellClosed(this.connection.ended);
  }

  protected abort(end: SessionEnd, sendGoAway: boolean): void {
    this.connection.abort(end, sendGoAway);
  }

  takeTurn(): void {
    this.isWaitingForTurn = false;
    this.connection.turn();
    this.onTurn();
    if (this.socketState.kind !== "closed") this.write();
  }

  writeEarly(): void {
    this.isWaitingForRead = false;
    if (this.socketState.kind === "closed" || this.connection.ended !== undefined) return;
    this.write();
  }

  private write(): void {
    const { socket, connection } = this;
    const { output } = connection;
    if (!socket.writable) {
      // The peer has ended its side, and node:net has ended ours with it.
      output.discard();
    } else if (output.byteCount > 0) {
      const pieces = output.take();
      if (pieces.length > 1) socket.cork();
      const last = pieces.length - 1;
      // The pieces are written together, so the callback of the last one is enough.
      for (let i = 0; i < last; i++) socket.write(pieces[i] as Buffer);
      socket.write(pieces[last] as Buffer, this.onWritten);
      if (pieces.length > 1) socket.uncork();
      output.settle(socket.writableLength);
    }
    const backlog = socket.writableLength;
    if (backlog > 0) this.watchBacklog();
    connection.written(backlog, DATA_HIGH_WATER_BYTES);
    if (connection.ended !== undefined && this.socketState.kind !== "lingering") this.close();
  }

  /** The socket was given more than it has taken. */
  private watchBacklog(): void {
    if (this.connection.ended !== undefined) return;
    this.stallWatch ??= new StallWatch(this.stallTimeoutMs, this.clock, this.socket, this);
    this.stallWatch.begin();
  }

  get maySend(): boolean {
    return this.socket.writableLength > 0;
  }

  onStalled(): void {
    const limit = { name: "stallTimeoutMs", value: this.stallTimeoutMs };
    this.refuseSlow(TOOK_NOTHING, limit, ErrorCode.ENHANCE_YOUR_CALM);
  }

  // What the watch of the streams sees

  starved(): readonly H2Stream<Session>[] {
    return this.connection.starved();
  }

  /** The write with which the stream sent DATA last. */
  sentMark(stream: H2Stream<Session>): number {
    return stream.shareWrite;
  }

  onStreamStalled(stream: H2Stream<Session>): void {
    if (stream.queuedBytes === 0) return;
    const { id: streamId, listener } = stream;
    const limit = { name: "streamStallTimeoutMs", value: this.streamStallTimeoutMs };
    this.onRefused({ scope: "stream", streamId, rule: GAVE_NO_ROOM, limit });
    const code = ErrorCode.ENHANCE_YOUR_CALM;
    stream.reset(code);
    const reason = `${GAVE_NO_ROOM} on stream ${streamId}`;
    const message = `${this.peer.remoteAddress} ${reason}`;
    listener.onReset({ kind: "stalled", code, unprocessed: false, message, reason });
  }

  /** The socket has written one piece: slabs may be free, and DATA may flow again. */
  private readonly onWritten = (error?: Error | null): void => {
    // A socket that fails drops the writes that wait before the current write. So its backlog says
    // nothing.
    if (error !== undefined && error !== null) return;
    const backlog = this.socket.writableLength;
    this.connection.output.releaseWritten(backlog);
    this.connection.written(backlog, DATA_HIGH_WATER_BYTES);
  };

  /** Ends the socket after the output. */
  private close(): void {
    if (this.socketState.kind === "connecting" || this.connection.ended?.kind === "connect") {
      this.socket.destroy();
      return;
    }
    this.socket.end();
    const lingering: Lingering = {
      kind: "lingering",
      timer: new Timer(this),
      backlogBytes: Number.POSITIVE_INFINITY,
    };
    this.socketState = lingering;
    this.linger(lingering);
  }

  // Timers

  onTimer(timer: Timer): void {
    const { socketState } = this;
    if (socketState.kind === "lingering" && timer === socketState.timer) this.linger(socketState);
    else if (timer === this.drainTimer) this.connection.finishDrain();
    else if (timer === this.settingsTimer) this.onSettingsTimer();
    else if (timer === this.headerTimer) {
      const limit = { name: "headerTimeoutMs", value: this.headerTimeoutMs };
      const rule = `did not complete the header fields of stream ${this.openHeaderId}`;
      this.refuseSlow(rule, limit, ErrorCode.ENHANCE_YOUR_CALM);
    }
  }

  /** Header fields have begun that are not complete, or those before them are. */
  private watchHeader(openHeaderId: number): void {
    this.openHeaderId = openHeaderId;
    if (this.headerTimer !== undefined) this.clock.cancel(this.headerTimer);
    if (openHeaderId === 0 || this.connection.ended !== undefined) return;
    this.headerTimer ??= new Timer(this);
    this.clock.schedule(this.headerTimer, this.headerTimeoutMs);
  }

  private lookForSettings(timer: Timer): void {
    const { settingsAcked, settingsReady } = this.connection;
    if (settingsAcked) {
      this.dropSettingsTimer();
    } else if (settingsReady && this.awaitsClient) {
      this.awaitsClient = false;
      this.clock.schedule(timer, this.settingsTimeoutMs);
    }
  }

  private onSettingsTimer(): void {
    if (this.awaitsClient) {
      this.onSilentClient();
      return;
    }
    const limit = { name: "settingsTimeoutMs", value: this.settingsTimeoutMs };
    this.refuseSlow("did not acknowledge SETTINGS", limit);
  }

  /** The time of a server's client to begin is over. */
  protected onSilentClient(): void {}

  protected refuseSlow(
    rule: string,
    limit: ReachedLimit,
    code: number = ErrorCode.SETTINGS_TIMEOUT,
  ): void {
    this.onRefused({ scope: "connection", streamId: 0, rule, limit });
    const message = `${this.peer.remoteAddress} ${rule}`;
    this.abort({ kind: "timeout", code, message, reason: rule }, true);
  }

  /** A peer that goes on reading the last responses gets the time for it. */
  private linger(lingering: Lingering): void {
    const backlog = this.socket.writableLength;
    if (backlog >= lingering.backlogBytes) {
      this.socket.destroy();
      return;
    }
    lingering.backlogBytes = backlog;
    const isOrderly = this.connection.ended?.kind === "closed";
    this.clock.schedule(lingering.timer, backlog > 0 && isOrderly ? DELIVERY_MS : LINGER_MS);
  }

  private dropSettingsTimer(): void {
    if (this.settingsTimer === undefined) return;
    this.clock.cancel(this.settingsTimer);
    this.settingsTimer = undefined;
  }
}
