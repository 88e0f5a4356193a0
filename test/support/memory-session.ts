// One end of one connection of the in-memory transport: HTTP/2's rules with objects for frames.

import type { ResolvedSessionOptions } from "../../src/transport/defaults.ts";
import type {
  ClientSession,
  ClientSessionListener,
  PeerInfo,
  ServerSessionListener,
  SessionEnd,
  StreamEnd,
  StreamListener,
  StreamWatcher,
} from "../../src/transport/transport.ts";
import { ErrorCode, errorCodeName } from "../../src/wire/error-code.ts";
import {
  type HeaderList,
  listBytes,
  listTooLarge,
  UNANNOUNCED_MAX_LIST_BYTES,
} from "../../src/wire/field.ts";
import type { MemoryNetwork } from "./memory-network.ts";
import { checkFields } from "./memory-queue.ts";
import { MemoryStream } from "./memory-stream.ts";

/** The announcement of a drain that refuses nothing yet (RFC 9113 §6.8). */
const EVERY_STREAM = 0x7fffffff;

export type MemoryFrame =
  | {
      readonly type: "settings";
      readonly maxConcurrentStreams: number;
      readonly streamWindowBytes: number;
      readonly connectionWindowBytes: number;
      readonly maxHeaderListBytes: number;
    }
  | {
      readonly type: "headers";
      readonly streamId: number;
      readonly headers: HeaderList;
      readonly endStream: boolean;
    }
  | {
      readonly type: "data";
      readonly streamId: number;
      readonly chunk: Buffer;
      readonly endStream: boolean;
    }
  | { readonly type: "reset"; readonly streamId: number; readonly code: number }
  | { readonly type: "windowUpdate"; readonly streamId: number; readonly bytes: number }
  | {
      readonly type: "goaway";
      readonly lastStreamId: number;
      readonly code: number;
      readonly debug: string;
    }
  | { readonly type: "ping"; readonly onAcknowledged: () => void }
  | { readonly type: "pingAck"; readonly onAcknowledged: () => void }
  | { readonly type: "eof" };

export class MemorySession implements ClientSession {
  readonly role: "client" | "server";
  readonly peer: PeerInfo;
  /** The credit of the connection. Streams draw on it. */
  sendWindowBytes = 65_535;
  answered = false;
  other: MemorySession | undefined;
  /** The listener. It is set at once for a client, and by `onSession` for a server. */
  listener: ClientSessionListener | ServerSessionListener | undefined;
  readonly #network: MemoryNetwork;
  readonly #options: ResolvedSessionOptions;
  readonly #streams = new Map<number, MemoryStream>();
  #peerStreamWindowBytes = 65_535;
  #peerMaxStreams = 0;
  #peerMaxHeaderListBytes = UNANNOUNCED_MAX_LIST_BYTES;
  #nextStreamId = 1;
  #lastPeerStreamId = 0;
  #goAway: "none" | "announced" | "final" = "none";
  #peerGoAway = false;
  #closed = false;
  #lastAvailable = 0;
  #watcher: StreamWatcher | undefined;

  constructor(
    role: "client" | "server",
    peer: PeerInfo,
    network: MemoryNetwork,
    options: ResolvedSessionOptions,
  ) {
    this.role = role;
    this.peer = peer;
    this.#network = network;
    this.#options = options;
    network.sessions.add(this);
  }

  get openStreamCount(): number {
    return this.#streams.size;
  }

  get nowMs(): number {
    return this.#options.clock.nowMs();
  }

  get accepting(): boolean {
    return (
      !this.#closed && this.other !== undefined && this.#goAway === "none" && !this.#peerGoAway
    );
  }

  get availableStreamCount(): number {
    return this.accepting ? Math.max(0, this.#peerMaxStreams - this.#streams.size) : 0;
  }

  get atStreamLimit(): boolean {
    return this.#streams.size >= this.#peerMaxStreams;
  }

  get streamLimit(): number {
    return this.#peerMaxStreams;
  }

  watchStreams(watcher: StreamWatcher | undefined): void {
    this.#watcher = watcher;
    for (const { listener } of this.#streams.values()) {
      if (listener !== undefined) watcher?.onStreamOpened(listener);
    }
  }

  get closed(): boolean {
    return this.#closed;
  }

  openStream(headers: HeaderList, endStream: boolean, listener: StreamListener): MemoryStream {
    this.check(headers);
    if (this.availableStreamCount === 0) throw new Error("openStream while none is available");
    const stream = new MemoryStream(this, this.#nextStreamId, this.#peerStreamWindowBytes);
    this.#nextStreamId += 2;
    stream.listener = listener;
    this.#streams.set(stream.id, stream);
    this.#watcher?.onStreamOpened(listener);
    this.#lastAvailable = this.availableStreamCount;
    stream.sendHeaders(headers, endStream);
    return stream;
  }

  drain(): void {
    if (this.#closed || this.#goAway !== "none") return;
    if (this.other === undefined) {
      this.destroy(ErrorCode.NO_ERROR, "drained before it was connected");
      return;
    }
    if (this.role === "client") {
      this.#sendGoAway("final", ErrorCode.NO_ERROR, "");
      this.#closeIfDrained();
      return;
    }
    this.#sendGoAway("announced", ErrorCode.NO_ERROR, "");
    this.ping(() => {
      if (this.#goAway !== "announced") return;
      this.#sendGoAway("final", ErrorCode.NO_ERROR, "");
      this.#closeIfDrained();
    });
  }

  destroy(code: number, message: string): void {
    if (this.#closed) return;
    this.#sendGoAway("final", code, message);
    this.send({ type: "eof" });
    this.#end({ kind: "destroyed", code, message });
  }

  ping(onAcknowledged: () => void): void {
    if (!this.#closed) this.send({ type: "ping", onAcknowledged });
  }

  // For the network and the streams

  /** @throws {HeaderError} for a list that cannot be sent to the peer */
  check(headers: HeaderList): void {
    checkFields(headers);
    const bytes = listBytes(headers);
    const maxBytes = this.#peerMaxHeaderListBytes;
    if (bytes > maxBytes) throw listTooLarge(bytes, maxBytes);
  }

  /** Both ends exist: each sends its SETTINGS. */
  sendSettings(): void {
    const { maxConcurrentStreams, streamWindowBytes, connectionWindowBytes, maxHeaderListBytes } =
      this.#options;
    this.send({
      type: "settings",
      maxConcurrentStreams,
      streamWindowBytes,
      connectionWindowBytes,
      maxHeaderListBytes,
    });
  }

  send(frame: MemoryFrame): void {
    const { other } = this;
    if (other !== undefined) this.#network.post(() => other.recv(frame));
  }

  /** Called once when the session has ended, before its listener is. */
  onFinished: (() => void) | undefined;

  /** A stream is over. There is room for another, or the session is done. */
  forget(stream: MemoryStream): void {
    if (!this.#streams.delete(stream.id)) return;
    if (stream.listener !== undefined) this.#watcher?.onStreamEnded(stream.listener);
    this.#notifyAvailable(false, this.#watcher !== undefined);
    this.#closeIfDrained();
  }

  cut(): void {
    this.lose("the connection was cut");
    this.other?.lose("the connection was cut");
  }

  /** The connection never came to be. */
  failConnect(message: string, cause?: unknown): void {
    this.#end({ kind: "connect", code: ErrorCode.NO_ERROR, message, cause });
  }

  recv(frame: MemoryFrame): void {
    if (this.#closed) return;
    switch (frame.type) {
      case "settings":
        this.#peerMaxStreams = frame.maxConcurrentStreams;
        this.#peerStreamWindowBytes = frame.streamWindowBytes;
        this.sendWindowBytes = frame.connectionWindowBytes;
        this.#peerMaxHeaderListBytes = frame.maxHeaderListBytes;
        this.#notifyAvailable(true, this.#watcher !== undefined);
        break;
      case "headers":
        this.#recvHeaders(frame.streamId, frame.headers, frame.endStream);
        break;
      case "data": {
        const bytes = frame.chunk.length;
        if (bytes > 0) this.send({ type: "windowUpdate", streamId: 0, bytes });
        this.#streams.get(frame.streamId)?.recvData(frame.chunk, frame.endStream);
        break;
      }
      case "reset":
        this.#streams.get(frame.streamId)?.fail(this.#resetBy(frame.streamId, frame.code));
        break;
      case "windowUpdate":
        if (frame.streamId !== 0) {
          this.#streams.get(frame.streamId)?.recvCredit(frame.bytes);
          break;
        }
        this.sendWindowBytes += frame.bytes;
        for (const stream of [...this.#streams.values()]) stream.recvCredit(0);
        break;
      case "goaway":
        this.#recvGoAway(frame.lastStreamId, frame.code, frame.debug);
        break;
      case "ping":
        this.send({ type: "pingAck", onAcknowledged: frame.onAcknowledged });
        break;
      case "pingAck":
        frame.onAcknowledged();
        break;
      case "eof":
        this.lose("the peer closed the connection");
        break;
      default:
        throw new Error(`no such frame: ${JSON.stringify(frame satisfies never)}`);
    }
  }

  #recvHeaders(streamId: number, headers: HeaderList, endStream: boolean): void {
    const known = this.#streams.get(streamId);
    if (listBytes(headers) > this.#options.maxHeaderListBytes) {
      const code = ErrorCode.ENHANCE_YOUR_CALM;
      this.send({ type: "reset", streamId, code });
      const reason = `sent a header list beyond the limit on stream ${streamId}`;
      const message = `${this.peer.remoteAddress} ${reason}`;
      known?.fail({ kind: "protocol", code, unprocessed: false, message, reason });
      return;
    }
    if (known !== undefined || this.role === "client") {
      if (this.role === "client") this.answered = true;
      known?.recvHeaders(headers, endStream);
      return;
    }
    // The stream is above the last one that our GOAWAY named, or it is one that we reset.
    if (this.#goAway === "final" || streamId <= this.#lastPeerStreamId) return;
    const listener = this.listener as ServerSessionListener;
    const stream = new MemoryStream(this, streamId, this.#peerStreamWindowBytes);
    this.#lastPeerStreamId = streamId;
    this.#streams.set(streamId, stream);
    stream.recvRequest(endStream);
    stream.listener = listener.onStream(stream, headers, endStream);
  }

  #recvGoAway(lastStreamId: number, code: number, debug: string): void {
    this.#peerGoAway = true;
    this.listener?.onGoAway(lastStreamId, code, debug);
    for (const stream of [...this.#streams.values()]) {
      const ours = this.role === "client";
      const unprocessed = ours && stream.id > lastStreamId;
      if (code === ErrorCode.NO_ERROR && !unprocessed) continue;
      stream.fail(
        this.#streamEnd("goaway", code, unprocessed, `sent GOAWAY: ${errorCodeName(code)}`),
      );
    }
    if (code === ErrorCode.NO_ERROR) this.#closeIfDrained();
    else {
      const reason = `sent GOAWAY: ${errorCodeName(code)}`;
      const message = `${this.peer.remoteAddress} ${reason}`;
      this.#finish({ kind: "goaway", code, message, reason });
    }
  }

  #resetBy(streamId: number, code: number): StreamEnd {
    const text = `reset stream ${streamId}: ${errorCodeName(code)}`;
    return this.#streamEnd("reset", code, code === ErrorCode.REFUSED_STREAM, text);
  }

  #streamEnd(kind: StreamEnd["kind"], code: number, unprocessed: boolean, text: string): StreamEnd {
    const message = `${this.peer.remoteAddress} ${text}`;
    return { kind, code, unprocessed, message, reason: text };
  }

  #sendGoAway(stage: "announced" | "final", code: number, debug: string): void {
    this.#goAway = stage;
    const lastStreamId = stage === "announced" ? EVERY_STREAM : this.#lastPeerStreamId;
    this.send({ type: "goaway", lastStreamId, code, debug });
  }

  #closeIfDrained(): void {
    if (this.#closed || this.#streams.size > 0) return;
    if (this.#goAway !== "final" && !this.#peerGoAway) return;
    this.send({ type: "eof" });
    this.#end({ kind: "closed", code: ErrorCode.NO_ERROR, message: "drained" });
  }

  /** Ends the session in the owner's own call. Streams and listener are told by a delivery. */
  #end(end: SessionEnd): void {
    this.#closed = true;
    this.#network.post(() => this.#finish(end));
  }

  lose(why: string): void {
    if (this.#closed) return;
    const drained = this.#goAway !== "none" || this.#peerGoAway;
    const kind = drained && this.#streams.size === 0 ? "closed" : "socket";
    const message = `${this.peer.remoteAddress}: ${why}`;
    this.#finish({ kind, code: ErrorCode.NO_ERROR, message, reason: why });
  }

  #finish(end: SessionEnd): void {
    if (!this.#network.sessions.delete(this)) return;
    this.#closed = true;
    this.onFinished?.();
    for (const stream of [...this.#streams.values()]) {
      stream.fail(this.#streamEnd("session", end.code, false, end.reason ?? end.message));
    }
    this.listener?.onClosed(end);
  }

  /** @param isWatched it is told in any case */
  #notifyAvailable(isNews: boolean, isWatched: boolean): void {
    const rose = (isNews || this.#lastAvailable === 0) && this.availableStreamCount > 0;
    this.#lastAvailable = this.availableStreamCount;
    if ((!rose && !isWatched) || this.role === "server") return;
    const listener = this.listener as ClientSessionListener;
    this.#network.post(() => {
      if ((isWatched && !this.#closed) || this.availableStreamCount > 0) listener.onAvailable();
    });
  }
}
