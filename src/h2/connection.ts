// One HTTP/2 connection (RFC 9113), either side, sans-I/O: bytes and the time come in, events and
// bytes go out. It must not know sockets, timers or clocks. inbound.ts and outbound.ts are its two
// halves. This file has the life of the connection and the answer to every error.

import { ErrorCode } from "../wire/error-code.ts";
import type { HeaderList } from "../wire/field.ts";
import { SENT } from "../wire/message-rules.ts";
import { breach, goneBefore, orderlyEnd, resetByPeer, told } from "./ends.ts";
import { connectionError, H2Error, overLimit } from "./error.ts";
import type { ConnectionEnd, ConnectionEvents, ConnectionOptions } from "./events.ts";
import { writeFirstFlight } from "./first-flight.ts";
import { FloodGuard } from "./flood-guard.ts";
import { FrameReader } from "./frame-reader.ts";
import { GoAways } from "./goaways.ts";
import { HpackError } from "./hpack/error.ts";
import { Inbound, type InboundHost } from "./inbound.ts";
import { InboundData } from "./inbound-data.ts";
import { IGNORE, InboundHeaders, type StreamAcceptor } from "./inbound-headers.ts";
import { Opening, type OpeningHost } from "./opening.ts";
import { Outbound } from "./outbound.ts";
import type { Output } from "./output.ts";
import { Pings } from "./pings.ts";
import type { OtherProtocol } from "./preface.ts";
import { newStreamWindow, openConnectionWindow, settleStreamWindow } from "./recv-window.ts";
import type { Role } from "./settings.ts";
import { H2Stream, NO_EVENTS, type StreamEndInfo, type StreamEvents } from "./stream.ts";
import { CLOSED, nextState, RECV_END_STREAM } from "./stream-state.ts";
import { RESET_RECEIVED, RESET_SENT, type StreamsWatcher, StreamTable } from "./stream-table.ts";
import { type GrowthHost, WindowGrowth } from "./window-growth.ts";

export class Connection<Owner>
  implements InboundHost<Owner>, StreamAcceptor, OpeningHost, GrowthHost
{
  /** What to call the other end in messages. */
  peer = "peer";
  /** The peer's first SETTINGS have come. */
  settingsReady = false;
  /** The peer has acknowledged our SETTINGS. */
  settingsAcked = false;
  /**
   * How the connection ended. It is set when nothing more is taken in; the streams and the owner
   * are told in the next `turn`.
   */
  ended: ConnectionEnd | undefined = undefined;
  /** Counts frames against floods. */
  readonly guard: FloodGuard;

  private readonly role: Role;
  private readonly owner: Owner;
  private readonly options: ConnectionOptions;
  private readonly events: ConnectionEvents<Owner>;
  private readonly streams: StreamTable<Owner>;
  private readonly outbound: Outbound<Owner>;
  private readonly headers: InboundHeaders<Owner>;
  private readonly data: InboundData<Owner>;
  private readonly inbound: Inbound<Owner>;
  private readonly reader: FrameReader;

  private readonly opening: Opening;
  private readonly goAways: GoAways;
  /** Somebody may be waiting to open a stream. Only clients open streams. */
  private wasFull: boolean;
  /** Bytes of output that may wait here, beside those that the socket has, before requests wait. */
  private requestRoomBytes = Number.MAX_SAFE_INTEGER;
  private ownerTold = false;
  private doomed: H2Stream<Owner>[] = [];
  private readonly pings = new Pings();

  constructor(
    role: Role,
    owner: Owner,
    options: ConnectionOptions,
    events: ConnectionEvents<Owner>,
    nowMs: number,
  ) {
    this.role = role;
    this.owner = owner;
    this.options = options;
    this.events = events;
    this.opening = new Opening(role, this);
    this.wasFull = role === "client";
    this.streams = new StreamTable(role, options.maxConcurrentStreams);
    this.guard = new FloodGuard(options.limits, nowMs, options.minPingIntervalMs ?? 0);
    const { streams, guard } = this;
    this.outbound = new Outbound(role, streams, guard, events);
    const { outbound } = this;
    this.headers = new InboundHeaders(role, options, this, streams, guard);
    this.data = new InboundData(role, options.connectionWindowBytes, outbound, streams, guard);
    this.inbound = new Inbound(role, this, this.headers, this.data, outbound, streams, guard);
    const { windowBudget, streamWindowBytes } = options;
    if (windowBudget.limitBytes > 0) {
      streams.growth = new WindowGrowth(this, this.data, streamWindowBytes, windowBudget);
    }
    this.goAways = new GoAways(role, outbound.writer);
    this.reader = new FrameReader(this.inbound);
  }

  // For the binding

  get output(): Output {
    return this.outbound.output;
  }

  /** Sends the first flight. */
  start(): void {
    const { writer } = this.outbound;
    writeFirstFlight(writer, this.role, this.options, openConnectionWindow(this.data));
    this.opening.started = true;
    if (this.goAways.isDraining) this.announceDrain();
    for (const onAcknowledged of this.opening.earlyPings ?? []) this.ping(onAcknowledged);
    this.opening.earlyPings = undefined;
    this.events.onDirty();
  }

  /**
   * Instead of `start`, for a server whose clients may speak another protocol. The first flight
   * waits for the preface, so that an HTTP/1 client gets an answer that it can read. HTTP/2 allows
   * the wait (§3.4), because clients speak at once.
   */
  awaitClient(): void {
    this.opening.awaitClient();
    if (this.goAways.isDraining) this.start();
  }

  /**
   * Takes the bytes that the socket gave: `chunk` up to `end`. The owners of streams get views of
   * them.
   * @param isLent the memory will be read into again when this returns
   */
  receive(chunk: Buffer, nowMs: number, end: number = chunk.length, isLent: boolean = false): void {
    if (this.ended !== undefined) return;
    this.data.isLent = isLent;
    this.guard.nowMs = nowMs;
    this.reader.feed(this.opening.read(chunk, end));
    for (let more = true; more; ) {
      try {
        this.reader.run(chunk, end);
        more = false;
      } catch (error) {
        this.raise(error);
      }
    }
    if (this.wantsTurn()) this.events.onDirty();
  }

  /**
   * The work of one turn of the event loop: makes the calls that had to wait, and moves queued DATA
   * into the output. Afterwards the binding writes the output and calls `written`.
   */
  turn(): void {
    if (this.ended === undefined) {
      this.outbound.pump();
      if (this.role === "client") this.tellAvailable();
      this.outbound.closeEarlyEnds();
      if (this.isDrained()) this.end(orderlyEnd(this.peer, this.goAways.receivedCode), undefined);
    }
    if (this.ended !== undefined && !this.ownerTold) this.tellEnd(this.ended);
  }

  private tellAvailable(): void {
    const { isFull } = this;
    const isDue = this.streams.takeNews() || (this.wasFull && !isFull);
    this.wasFull = isFull;
    if (!isDue) return;
    this.events.onAvailable();
    this.outbound.pump();
  }

  /**
   * The socket still has `backlogBytes` to write. Above `highWaterBytes` DATA waits. The binding
   * calls this before anything is sent, after each write, and when the backlog has shrunk.
   */
  written(backlogBytes: number, highWaterBytes: number): void {
    const budgetBytes = Math.max(0, highWaterBytes - backlogBytes - this.output.byteCount);
    this.outbound.budgetBytes = budgetBytes;
    const { maxQueuedControlBytes } = this.options.limits;
    // Requests get half of the bytes that may wait beside DATA. So requests wait before the answers
    // to the peer are too many.
    if (this.role === "client") {
      this.requestRoomBytes = highWaterBytes + maxQueuedControlBytes / 2 - backlogBytes;
      if (this.wasFull && !this.isFull) this.events.onDirty();
    }
    if (budgetBytes > 0 && this.outbound.hasReadyData) this.events.onDirty();
    // DATA stops at the high-water mark. Beyond it only answers grow, to a peer that sends but does
    // not read.
    if (backlogBytes <= highWaterBytes + maxQueuedControlBytes) return;
    const limit = { name: "maxQueuedControlBytes", value: maxQueuedControlBytes };
    this.fail(overLimit(0, `${backlogBytes} bytes are not read`, limit, "bytes beside DATA"));
  }

  /**
   * The transport is gone, or the binding ends the connection for a reason of its own. With
   * `sendGoAway` the peer is told.
   */
  abort(end: ConnectionEnd, sendGoAway: boolean): void {
    // GOAWAY of either side may have announced this end of the socket.
    if (end.kind === "socket" && this.isEndAnnounced())
      this.end(orderlyEnd(this.peer, this.goAways.receivedCode), undefined);
    else this.end(end, sendGoAway ? (end.reason ?? end.message) : undefined);
  }

  /** The stream whose header fields, or frame, have begun and not ended; 0 for none. */
  get openHeaderId(): number {
    return this.headers.openStreamId || this.reader.openStreamId;
  }

  starved(): H2Stream<Owner>[] {
    return this.outbound.starved();
  }

  // For the owner

  get openStreamCount(): number {
    return this.streams.count;
  }

  /** The time that came with the last chunk. */
  get nowMs(): number {
    return this.guard.nowMs;
  }

  /** Client side: the server has sent response headers. */
  get answered(): boolean {
    return this.headers.answered;
  }

  get accepting(): boolean {
    return (
      this.ended === undefined &&
      // A client's connection is established when the server has spoken.
      (this.settingsReady || this.role === "server") &&
      !this.goAways.isAnnounced &&
      this.streams.idsLeft > 0
    );
  }

  get availableStreamCount(): number {
    if (this.isFull) return 0;
    const free = this.inbound.peerSettings.maxConcurrentStreams - this.streams.count;
    return Math.max(0, Math.min(free, this.streams.idsLeft));
  }

  /** As many streams are open as the peer's MAX_CONCURRENT_STREAMS allows (§5.1.2). */
  get atStreamLimit(): boolean {
    return this.streams.count >= this.inbound.peerSettings.maxConcurrentStreams;
  }

  /** The peer's MAX_CONCURRENT_STREAMS. */
  get streamLimit(): number {
    return this.inbound.peerSettings.maxConcurrentStreams;
  }

  /** Client side: tells `watcher` of the streams that are open, and of those that come and go. */
  watchStreams(watcher: StreamsWatcher | undefined): void {
    this.streams.watch(watcher);
  }

  /** No stream can be opened. */
  private get isFull(): boolean {
    return !this.accepting || this.atStreamLimit || this.output.byteCount > this.requestRoomBytes;
  }

  openStream(headers: HeaderList, endStream: boolean, listener: StreamEvents): H2Stream<Owner> {
    if (this.isFull) {
      throw new H2Error("stream", ErrorCode.REFUSED_STREAM, "local", 0, "no stream can be opened");
    }
    const { isHead } = this.outbound.checked(SENT.request(headers));
    const stream = this.createStream(this.streams.takeLocalId(), listener);
    stream.isHead = isHead;
    this.outbound.sendRequest(stream, headers, endStream);
    if (this.isFull) this.wasFull = true;
    return stream;
  }

  /** Announces the end; see `finishDrain`. The connection closes when the last stream has ended. */
  drain(): void {
    if (this.ended !== undefined || this.goAways.isDraining) return;
    this.goAways.isDraining = true;
    // A server's first frame is SETTINGS (§3.4): before it, the drain waits.
    if (this.role === "client" || this.opening.started) this.announceDrain();
    else if (this.opening.awaitsClient) this.start();
  }

  private announceDrain(): void {
    // The acknowledgement of a PING shows that the peer has seen the first step.
    if (this.goAways.announce()) this.ping(() => this.finishDrain());
    this.events.onDirty();
  }

  /**
   * The second step of a server's drain names the last stream that is taken. It follows by itself
   * after one round trip, or when the binding has waited long enough.
   */
  finishDrain(): void {
    if (this.ended !== undefined || !this.opening.started) return;
    if (this.goAways.finish(this.streams.lastPeerId)) this.events.onDirty();
  }

  announceConnectionCredit(bytes: number): void {
    this.outbound.writer.windowUpdate(0, bytes);
    this.events.onDirty();
  }

  ping(onAcknowledged: () => void): void {
    if (this.ended !== undefined) return;
    if (!this.opening.started) {
      this.opening.earlyPings ??= [];
      this.opening.earlyPings.push(onAcknowledged);
      return;
    }
    this.outbound.writer.ping(this.pings.next(onAcknowledged), 0, false);
    this.events.onDirty();
  }

  // For the receiving half

  refusal(): number | undefined {
    if (this.goAways.isFinal) return IGNORE;
    return this.streams.count >= this.options.maxConcurrentStreams
      ? ErrorCode.REFUSED_STREAM
      : undefined;
  }

  acceptStream(
    streamId: number,
    headers: HeaderList,
    endStream: boolean,
    contentLength: number,
    tooLarge: H2Error | undefined,
  ): void {
    const stream = this.createStream(streamId, NO_EVENTS);
    stream.headersReceived = true;
    stream.contentLeft = contentLength;
    if (endStream) stream.state = nextState(stream.state, RECV_END_STREAM);
    if (tooLarge === undefined) {
      stream.listener = this.events.onStream(stream, headers, endStream);
      return;
    }
    const listener = this.events.onLargeRequest(stream, tooLarge);
    if (listener === undefined) throw tooLarge;
    stream.listener = listener;
    this.events.onRefused(tooLarge);
    // An answer costs at least as much as a reset.
    this.guard.countProvokedReset();
  }

  streamReset(stream: H2Stream<Owner>, code: number): void {
    this.outbound.close(stream, RESET_RECEIVED);
    this.tellReset(stream, resetByPeer(this.peer, stream.id, code));
  }

  settingsReceived(isLimitNew: boolean): void {
    this.settingsReady = true;
    if (this.role === "client" && (isLimitNew || this.isFull)) this.wasFull = true;
    if (isLimitNew) this.streams.noteLimit();
  }

  settingsAcknowledged(): void {
    if (this.settingsAcked) {
      throw connectionError(ErrorCode.PROTOCOL_ERROR, "SETTINGS acknowledged that were not sent");
    }
    this.settingsAcked = true;
    const { headerTableBytes, streamWindowBytes } = this.options;
    this.headers.decoder.setMaxTableBytes(headerTableBytes);
    for (const stream of this.streams.all()) settleStreamWindow(stream, streamWindowBytes);
  }

  pingAcknowledged(opaque: Buffer, start: number): void {
    this.pings.acknowledged(opaque, start);
  }

  goAwayReceived(lastStreamId: number, code: number, debugData: string): void {
    const isLower = this.goAways.recv(lastStreamId, code);
    this.events.onGoAway(lastStreamId, code, debugData);
    if (this.role === "client" && isLower) this.giveUpAbove(lastStreamId, code);
    // "After sending the GOAWAY frame for an error condition, the endpoint MUST close the TCP
    // connection" (§5.4.1). A peer that does not would leave the streams below waiting for ever.
    if (code !== ErrorCode.NO_ERROR)
      this.end(orderlyEnd(this.peer, this.goAways.receivedCode), undefined);
  }

  private giveUpAbove(lastStreamId: number, code: number): void {
    for (const stream of this.streams.all()) {
      if (stream.id <= lastStreamId || stream.state === CLOSED) continue;
      this.outbound.close(stream, RESET_RECEIVED);
      this.tellReset(stream, goneBefore(this.peer, stream.id, code));
    }
  }

  // Errors: here, and only here, scope becomes a frame

  private raise(error: unknown): void {
    if (error instanceof HpackError) {
      this.fail(connectionError(ErrorCode.COMPRESSION_ERROR, error.message));
    } else if (!(error instanceof H2Error)) {
      // An owner's code has a defect. The connection cannot know what the owner missed.
      this.fail(new H2Error("connection", ErrorCode.INTERNAL_ERROR, "local", 0, "internal error"));
      throw error;
    } else {
      this.fail(error);
    }
  }

  private fail(error: H2Error): void {
    if (this.ended !== undefined) return;
    if (error.initiator === "peer") this.events.onRefused(error);
    if (error.scope === "connection") {
      const how = told(this.peer, `${breach(error)}: ${error.message}`);
      this.end({ kind: "protocol", code: error.code, ...how, cause: error }, error.message);
      return;
    }
    const { streamId, code } = error;
    this.outbound.writer.rstStream(streamId, code);
    const stream = this.streams.get(streamId);
    if (stream === undefined) {
      this.streams.remember(streamId, RESET_SENT);
    } else {
      this.outbound.close(stream, RESET_SENT);
      const how = told(this.peer, `${breach(error)} on stream ${streamId}: ${error.message}`);
      this.tellReset(stream, { kind: "protocol", code, unprocessed: false, ...how });
    }
    try {
      this.guard.countProvokedReset();
    } catch (flood) {
      this.raise(flood);
    }
  }

  /** @param debugData the text of GOAWAY for the peer; `undefined` to send no GOAWAY */
  private end(end: ConnectionEnd, debugData: string | undefined): void {
    if (this.ended !== undefined) return;
    if (debugData !== undefined && this.opening.started) {
      this.goAways.sendEnd(this.streams.lastPeerId, end.code, debugData);
    }
    this.ended = end;
    this.reader.stop();
    // From here on the streams' methods do nothing.
    this.doomed = this.streams.all();
    for (const stream of this.doomed) this.outbound.close(stream, RESET_SENT);
    this.pings.clear();
    this.events.onDirty();
  }

  private tellEnd(end: ConnectionEnd): void {
    this.ownerTold = true;
    const doomed = this.doomed;
    this.doomed = [];
    const kind = end.kind === "goaway" ? "goaway" : "session";
    const { code, message, reason = message } = end;
    for (const stream of doomed) {
      this.tellReset(stream, { kind, code, unprocessed: false, message, reason });
    }
    this.events.onClosed(end);
  }

  private tellReset(stream: H2Stream<Owner>, end: StreamEndInfo): void {
    if (stream.silent) return;
    stream.silent = true;
    stream.listener.onReset(end);
  }

  /** Either side sent GOAWAY, and nothing is open. */
  private isEndAnnounced(): boolean {
    return this.streams.count === 0 && this.goAways.isAnnounced;
  }

  /** Nothing is open and nothing new can come. */
  private isDrained(): boolean {
    return this.streams.count === 0 && this.goAways.isBinding;
  }

  private wantsTurn(): boolean {
    if (this.output.byteCount > 0 || this.isDrained()) return true;
    return this.streams.hasNews || (this.wasFull && !this.isFull);
  }

  private createStream(id: number, listener: StreamEvents): H2Stream<Owner> {
    const { streamWindowBytes } = this.options;
    const stream = new H2Stream(
      id,
      this.owner,
      this.outbound,
      listener,
      this.inbound.peerSettings.initialWindowBytes,
      newStreamWindow(streamWindowBytes, this.settingsAcked),
      streamWindowBytes,
    );
    this.streams.add(stream);
    return stream;
  }

  refuseProtocol({ rule, code, answer }: OtherProtocol): void {
    if (!this.opening.started) {
      // No GOAWAY can be sent before our SETTINGS either.
      if (answer === undefined) this.start();
      else this.outbound.writer.raw(answer);
    }
    this.fail(connectionError(code, rule));
  }
}
