// How the receive windows of one connection grow with its path. A sample begins when much of a
// window goes back to the peer, which it never does for small calls.
//
// - The window of a stream grows when its owner takes the bytes that come, so a stalled one keeps
//   its size. The growth is counted in the budget until the stream has ended and its owner has
//   taken everything.
// - The window of the connection grows with the estimate and is not counted: its credit goes back
//   on receipt, so it makes nobody hold anything.

import { BdpEstimator } from "./bdp-estimator.ts";
import type { ConnectionRecvWindow, StreamRecvWindow } from "./recv-window.ts";
import { widenConnectionWindow, widenStreamWindow } from "./recv-window.ts";
import { remoteIsOpen, type StreamState } from "./stream-state.ts";
import type { WindowBudget, WindowShare } from "./window-budget.ts";

/** A stream whose window may grow. */
export interface GrowingStream extends StreamRecvWindow {
  readonly state: StreamState;
  /** Its growth, if it has grown. */
  windowShare: WindowShare | undefined;
}

export interface GrowthHost {
  /** The time as it came with the last chunk. */
  readonly nowMs: number;
  ping(onAcknowledged: () => void): void;
  /** Gives the peer `bytes` more on the connection. */
  announceConnectionCredit(bytes: number): void;
}

interface Estimates {
  /** The window that one stream can make use of. */
  readonly ofStream: BdpEstimator;
  /** The same for all streams together. */
  readonly ofConnection: BdpEstimator;
}

export class WindowGrowth {
  private readonly host: GrowthHost;
  private readonly connection: ConnectionRecvWindow;
  private readonly streamWindowBytes: number;
  private readonly budget: WindowBudget;
  /** Made when credit goes back for the first time, which it never does for a few small calls. */
  private estimates: Estimates | undefined = undefined;
  /** A PING is under way: two at once might count as one too many (gRFC A8). */
  private isAsking = false;
  /**
   * DATA of the connection that had come when the last PING was acknowledged. Only more DATA makes
   * servers forget that PING, so without more there is no other one (gRFC A8).
   */
  private answeredAtBytes = -1;
  /** The stream that the sample under way is of, too. */
  private sampled: GrowingStream | undefined = undefined;

  constructor(
    host: GrowthHost,
    connection: ConnectionRecvWindow,
    streamWindowBytes: number,
    budget: WindowBudget,
  ) {
    this.host = host;
    this.connection = connection;
    this.streamWindowBytes = streamWindowBytes;
    this.budget = budget;
  }

  /** DATA of `credit` bytes has come in on the connection, and its credit goes back. */
  onConnectionCredit(credit: number): void {
    if (!this.isAsking) this.ask(undefined, credit);
  }

  /**
   * The owner of `stream` has taken what it got, and `credit` goes back. The window grows to twice
   * its size at once at the most, so that it gets no more than it makes use of.
   * @returns credit to announce on top, 0 for none
   */
  onStreamCredit(stream: GrowingStream, credit: number): number {
    if (!this.isAsking) this.ask(stream, credit);
    const { windowBytes } = stream;
    const wanted = Math.min(this.known.ofStream.bytes, 2 * windowBytes) - windowBytes;
    if (wanted <= 0 || this.budget.freeBytes <= 0) return 0;
    stream.windowShare ??= this.budget.begin(stream);
    const extra = this.budget.extend(stream.windowShare, wanted);
    widenStreamWindow(stream, extra);
    return extra;
  }

  private get known(): Estimates {
    this.estimates ??= {
      ofStream: new BdpEstimator(this.streamWindowBytes),
      ofConnection: new BdpEstimator(this.connection.connectionWindowBytes),
    };
    return this.estimates;
  }

  private ask(stream: GrowingStream | undefined, credit: number): void {
    const { connection } = this;
    if (connection.receivedBytes === this.answeredAtBytes) return;
    const { ofStream, ofConnection } = this.known;
    const { nowMs } = this.host;
    if (stream !== undefined && ofStream.begin(stream.receivedBytes - credit, nowMs)) {
      this.sampled = stream;
    }
    const isOfAll = ofConnection.begin(connection.receivedBytes - credit, nowMs);
    if (!isOfAll && this.sampled === undefined) return;
    this.isAsking = true;
    this.host.ping(() => this.onAnswer());
  }

  private onAnswer(): void {
    const { connection, sampled } = this;
    const { ofStream, ofConnection } = this.known;
    const { nowMs } = this.host;
    this.isAsking = false;
    this.answeredAtBytes = connection.receivedBytes;
    this.sampled = undefined;
    if (sampled !== undefined) ofStream.acknowledged(sampled.receivedBytes, nowMs);
    if (!ofConnection.acknowledged(connection.receivedBytes, nowMs)) return;
    this.host.announceConnectionCredit(widenConnectionWindow(connection, ofConnection.bytes));
  }

  /** Gives back what `stream` has grown by, when nothing more can come and nothing is held. */
  settle(stream: GrowingStream, share: WindowShare): void {
    if (remoteIsOpen(stream.state) || stream.unacknowledgedBytes > 0) return;
    this.budget.end(share);
    stream.windowShare = undefined;
  }
}
