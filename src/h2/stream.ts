// One stream: its state, windows and send queue, and the methods its owner calls. It must not know
// frames or other streams.

import type { HeaderList } from "../wire/field.ts";
import type { LentBytes } from "../wire/lent-bytes.ts";
import { NO_QUEUE, type SendQueue } from "./send-queue.ts";
import type { StreamSendWindow } from "./send-window.ts";
import { OPEN, type StreamState } from "./stream-state.ts";
import type { WindowShare } from "./window-budget.ts";
import type { GrowingStream } from "./window-growth.ts";

/**
 * Why a stream ended early. `unprocessed`: the peer cannot have acted on it (RFC 9113 §8.7). Only
 * the binding uses the last kind.
 */
export interface StreamEndInfo {
  readonly kind: "reset" | "goaway" | "session" | "protocol" | "stalled";
  readonly code: number;
  readonly unprocessed: boolean;
  /** Names the peer. */
  readonly message: string;
  /** The same without the peer. */
  readonly reason: string;
}

/** Tells the owner of a stream of its events, synchronously and in wire order. */
export interface StreamEvents {
  onHeaders(headers: HeaderList, endStream: boolean): void;
  onData: (chunk: LentBytes, endStream: boolean) => void;
  onTrailers(trailers: HeaderList): void;
  onWritable(bytes: number): void;
  onReset(end: StreamEndInfo): void;
}

/** Where the calls of an owner go: the sending half of the connection. */
export interface StreamHost<Owner> {
  sendHeaders(stream: H2Stream<Owner>, headers: HeaderList, endStream: boolean): void;
  sendData: (stream: H2Stream<Owner>, chunk: LentBytes, endStream: boolean) => number;
  sendTrailers(stream: H2Stream<Owner>, trailers: HeaderList): void;
  reset(stream: H2Stream<Owner>, code: number): void;
  acknowledge(stream: H2Stream<Owner>, bytes: number): void;
}

/** Stands in until the owner has returned the listener of a new stream. */
export const NO_EVENTS: StreamEvents = {
  onHeaders: ignore,
  onData: ignore,
  onTrailers: ignore,
  onWritable: ignore,
  onReset: ignore,
};

function ignore(): void {}

/** `Owner` is what the binding calls the session; this layer only hands it on. */
export class H2Stream<Owner> implements GrowingStream, StreamSendWindow {
  readonly id: number;
  readonly session: Owner;
  private readonly host: StreamHost<Owner>;

  // Everything below belongs to the connection.

  listener: StreamEvents;
  state: StreamState = OPEN;
  /** No callback may follow. */
  silent = false;

  /** The final header section was received, sent. */
  headersReceived = false;
  headersSent = false;
  /** END_STREAM waits behind the queue, or is sent. */
  endQueued = false;
  /** A request with HEAD: the response's content-length says nothing about its DATA. */
  isHead = false;
  /** DATA still to come by the peer's content-length; -1 when it did not say. */
  contentLeft = -1;

  sendWindow: number;
  recvWindow: number;
  windowBytes: number;
  windowShare: WindowShare | undefined = undefined;
  unacknowledgedBytes = 0;
  creditBytes = 0;
  receivedBytes = 0;

  queuedBytes = 0;
  /** Made for the first DATA that has to wait, which most streams never have. */
  queue: SendQueue = NO_QUEUE;
  /** Sent when the queue is empty. */
  trailers: HeaderList | undefined = undefined;

  /** The write with which it sent DATA last, and how much. */
  shareWrite = -1;
  shareBytes = 0;

  /** Links of the scheduler's list. */
  isReady = false;
  readyPrevious: H2Stream<Owner> | undefined = undefined;
  readyNext: H2Stream<Owner> | undefined = undefined;

  constructor(
    id: number,
    session: Owner,
    host: StreamHost<Owner>,
    listener: StreamEvents,
    sendWindow: number,
    recvWindow: number,
    windowBytes: number,
  ) {
    this.id = id;
    this.session = session;
    this.host = host;
    this.listener = listener;
    this.sendWindow = sendWindow;
    this.recvWindow = recvWindow;
    this.windowBytes = windowBytes;
  }

  sendHeaders(headers: HeaderList, endStream: boolean): void {
    this.host.sendHeaders(this, headers, endStream);
  }

  sendData(chunk: LentBytes, endStream: boolean): number {
    return this.host.sendData(this, chunk, endStream);
  }

  sendTrailers(trailers: HeaderList): void {
    this.host.sendTrailers(this, trailers);
  }

  reset(code: number): void {
    this.host.reset(this, code);
  }

  acknowledge(bytes: number): void {
    this.host.acknowledge(this, bytes);
  }
}
