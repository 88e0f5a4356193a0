// The streams of one connection: the open ones, which ids were used, and how the latest ones ended (RFC 9113 §5.1, §5.1.1).

import { StreamMap } from "../wire/stream-map.ts";
import { MAX_STREAM_ID } from "./frame.ts";
import type { Role } from "./settings.ts";
import type { H2Stream } from "./stream.ts";

/** How a stream ended decides what a late frame on it means. */
export const NOT_REMEMBERED = 0;
/** Both sides sent END_STREAM: nothing can follow. */
export const ENDED = 1;
/** The peer may have sent frames before it saw our RST_STREAM: they are ignored. */
export const RESET_SENT = 2;
export const RESET_RECEIVED = 3;
export type HowEnded = 0 | 1 | 2 | 3;

/**
 * Stream numbers whose end is remembered, a power of two. Only frames that were under way when a stream ended need it, so it has
 * to cover what ends in one round trip; 1 KiB.
 */
const REMEMBERED = 256;

export class StreamTable<Owner> {
  /** The highest stream id that the peer has used. */
  lastPeerId = 0;
  private nextLocalId = 1;
  private readonly role: Role;
  private readonly streams = new StreamMap<H2Stream<Owner>>();
  /** The stream's number and, in the lowest two bits, how it ended, at the place of the number. */
  private ended: Uint32Array | undefined = undefined;

  constructor(role: Role) {
    this.role = role;
  }

  get count(): number {
    return this.streams.size;
  }

  get(id: number): H2Stream<Owner> | undefined {
    return this.streams.get(id);
  }

  add(stream: H2Stream<Owner>): void {
    this.streams.set(stream.id, stream);
  }

  /** Forgets a stream that has ended, but not how. */
  remove(stream: H2Stream<Owner>, how: HowEnded): void {
    this.streams.delete(stream.id);
    this.remember(stream.id, how);
  }

  remember(id: number, how: HowEnded): void {
    if (this.ended === undefined) this.ended = new Uint32Array(REMEMBERED);
    const number = id >>> 1;
    this.ended[number & (REMEMBERED - 1)] = (number << 2) | how;
  }

  /** How the stream ended, if it is not too long ago. */
  recall(id: number): HowEnded {
    const number = id >>> 1;
    const entry = this.ended?.[number & (REMEMBERED - 1)] ?? 0;
    return entry >>> 2 === number ? ((entry & 3) as HowEnded) : NOT_REMEMBERED;
  }

  /** No frame but HEADERS and PRIORITY may come on an idle stream; a server's streams are never ours to begin with (no push). */
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
