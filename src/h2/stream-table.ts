// The streams of one connection: the open ones, the ids that were used, and how the latest ones
// ended (RFC 9113 §5.1, §5.1.1).

import { StreamMap } from "../wire/stream-map.ts";
import { MAX_STREAM_ID } from "./frame.ts";
import type { Role } from "./settings.ts";
import type { H2Stream, StreamEvents } from "./stream.ts";
import { CLOSED, nextState, RECV_END_STREAM } from "./stream-state.ts";
import type { WindowGrowth } from "./window-growth.ts";

/** How a stream ended decides what a late frame on it means. */
export const NOT_REMEMBERED = 0;
/** Both sides sent END_STREAM: nothing can follow. */
export const ENDED = 1;
/** The peer may have sent frames before it saw our RST_STREAM: they are ignored. */
export const RESET_SENT = 2;
export const RESET_RECEIVED = 3;
export type HowEnded = 0 | 1 | 2 | 3;

/**
 * How many stream ends are remembered, powers of two: 1 KiB if nothing was reset, and at most 64
 * KiB. Only frames that were under way when a stream ended need the memory. A peer that has not
 * heard of our resets may send on as many streams as it may have open.
 */
const REMEMBERED = 256;
const MAX_REMEMBERED = 16_384;

/** Is told of the listeners of streams, and must only take note. */
export interface StreamsWatcher {
  onStreamOpened(listener: StreamEvents): void;
  onStreamEnded(listener: StreamEvents): void;
}

export class StreamTable<Owner> {
  /** The highest stream id that the peer has used. */
  lastPeerId = 0;
  private nextLocalId = 1;
  /** Of the receive windows, where they may grow. */
  growth: WindowGrowth | undefined = undefined;
  /** A stream has ended that somebody watches, or the limit is another. */
  hasNews = false;
  private watcher: StreamsWatcher | undefined = undefined;

  private readonly role: Role;
  private readonly streams = new StreamMap<H2Stream<Owner>>();
  private rememberedResets: number;
  /**
   * At the place of a stream's number: the number and, in the lowest two bits, how the stream
   * ended.
   */
  private ended: Uint32Array | undefined = undefined;

  /** @param maxPeerStreams how many streams the peer may have open */
  constructor(role: Role, maxPeerStreams: number) {
    this.role = role;
    this.rememberedResets = REMEMBERED;
    while (this.rememberedResets < maxPeerStreams * 2 && this.rememberedResets < MAX_REMEMBERED) {
      this.rememberedResets *= 2;
    }
  }

  get count(): number {
    return this.streams.size;
  }

  get(id: number): H2Stream<Owner> | undefined {
    return this.streams.get(id);
  }

  add(stream: H2Stream<Owner>): void {
    this.streams.set(stream.id, stream);
    this.watcher?.onStreamOpened(stream.listener);
  }

  /** Tells `watcher` of the open streams, and of those that come and go from now on. */
  watch(watcher: StreamsWatcher | undefined): void {
    this.watcher = watcher;
    if (watcher === undefined) return;
    for (const { listener } of this.all()) watcher.onStreamOpened(listener);
  }

  /** The limit is another, which matters to who watches the streams. */
  noteLimit(): void {
    if (this.watcher !== undefined) this.hasNews = true;
  }

  /** Whether there are news since this was last asked. */
  takeNews(): boolean {
    const taken = this.hasNews;
    this.hasNews = false;
    return taken;
  }

  /** Forgets a stream that has ended, but remembers how it ended. */
  remove(stream: H2Stream<Owner>, how: HowEnded): void {
    this.streams.delete(stream.id);
    this.remember(stream.id, how);
    this.settleWindow(stream);
    if (this.watcher === undefined) return;
    this.hasNews = true;
    this.watcher.onStreamEnded(stream.listener);
  }

  /** The peer's side of `stream` is complete. */
  endRemote(stream: H2Stream<Owner>): void {
    stream.state = nextState(stream.state, RECV_END_STREAM);
    if (stream.state === CLOSED) this.remove(stream, ENDED);
    else this.settleWindow(stream);
  }

  /** Gives back what the receive window of `stream` has grown by, if nothing more can come. */
  settleWindow(stream: H2Stream<Owner>): void {
    // Few windows grow. So calls do not touch another object of their connection.
    if (stream.windowShare !== undefined) this.growth?.settle(stream, stream.windowShare);
  }

  remember(id: number, how: HowEnded): void {
    let { ended } = this;
    if (ended === undefined) ended = this.growEnded(REMEMBERED);
    if (how === RESET_SENT && ended.length < this.rememberedResets) {
      ended = this.growEnded(this.rememberedResets);
    }
    const number = id >>> 1;
    ended[number & (ended.length - 1)] = (number << 2) | how;
  }

  private growEnded(length: number): Uint32Array {
    const { ended } = this;
    const grown = new Uint32Array(length);
    this.ended = grown;
    if (ended === undefined) return grown;
    for (const entry of ended) {
      // The lowest two bits of an entry are never 0.
      if (entry !== 0) grown[(entry >>> 2) & (length - 1)] = entry;
    }
    return grown;
  }

  /** How the stream ended, if that was not too long ago. */
  recall(id: number): HowEnded {
    const number = id >>> 1;
    const { ended } = this;
    if (ended === undefined) return NOT_REMEMBERED;
    const entry = ended[number & (ended.length - 1)] as number;
    return entry >>> 2 === number ? ((entry & 3) as HowEnded) : NOT_REMEMBERED;
  }

  /**
   * Only HEADERS and PRIORITY may come on an idle stream. A server never opens streams to us (no
   * push).
   */
  isIdle(id: number): boolean {
    if ((id & 1) === 0) return true;
    return this.role === "server" ? id > this.lastPeerId : id >= this.nextLocalId;
  }

  /** Streams that can still be opened before the ids run out. */
  get idsLeft(): number {
    return (MAX_STREAM_ID - this.nextLocalId) / 2 + 1;
  }

  takeLocalId(): number {
    const id = this.nextLocalId;
    this.nextLocalId += 2;
    return id;
  }

  /** The open streams, in the order of their ids; a copy. */
  all(): H2Stream<Owner>[] {
    return this.streams.toArray();
  }
}
