// The other end of the connection under test: it says what a correct peer could say next, and knows
// only what it has seen on the wire. Frames that belong together (a header block) come as one
// group.

import { HpackEncoder } from "../../src/h2/hpack/encoder.ts";
import { HeaderField, type HeaderList } from "../../src/wire/field.ts";
import {
  type Frame,
  frames,
  headerBlock,
  SETTINGS,
  type SettingName,
  settingsOf,
} from "../support/frames.ts";
import type { Dice } from "./dice.ts";
import { randomFields } from "./owner.ts";
import type { Witness } from "./witness.ts";

interface PeerStream {
  readonly id: number;
  headersSent: boolean;
  sentEnd: boolean;
  gotEnd: boolean;
  /** Reset by either side. */
  reset: boolean;
  /** What we may still add to our window for it. */
  updates: number;
  /** The next byte of our DATA on it. */
  offset: number;
}

const METHOD = new HeaderField(":method", "POST");
const SCHEME = new HeaderField(":scheme", "http");
const PATH = new HeaderField(":path", "/fuzz.Service/Echo");
const MAX_BODY = 100_000;
const BODY: Buffer = Buffer.alloc(MAX_BODY, "0123456789abcdefghijklmnopqrstuvwxyz-");

export class LegalPeer {
  readonly streams: PeerStream[] = [];
  readonly #dice: Dice;
  readonly #witness: Witness;
  readonly #role: "client" | "server";
  readonly #encoder: HpackEncoder | undefined;
  readonly #scratch: Buffer = Buffer.allocUnsafe(65_536);
  #nextId = 1;
  #settingsToAck: Frame[] = [];
  #pingsToAck: Buffer[] = [];
  #goneAway = false;
  #sawGoAway = false;
  #windowUpdates = 65_535;
  /** The largest stream window that our SETTINGS ever gave. */
  #initialWindow = 65_535;
  #othersLimit = 0xffffffff;
  #reductionDue = false;

  /** @param role of this peer */
  constructor(role: "client" | "server", dice: Dice, witness: Witness) {
    this.#role = role;
    this.#dice = dice;
    this.#witness = witness;
    this.#encoder = dice.chance(3) ? undefined : new HpackEncoder();
    witness.onOutput = (frame) => this.#hear(frame);
  }

  /** The first flight. */
  open(): (Frame | Buffer)[] {
    const settings = this.#settings(this.#dice.chance(2));
    return this.#role === "client" ? [frames.preface(), settings] : [settings];
  }

  /**
   * Room for everything that the other side may have waiting on the connection and the streams
   * named.
   */
  generosity(streamIds: readonly number[]): Frame[] {
    const grants: Frame[] = [];
    const grant = (id: number, window: number): void => {
      // A negative window has to be made up for as well.
      if (window < 500_000) grants.push(frames.windowUpdate(id, 1_000_000 - window));
    };
    const witness = this.#witness;
    grant(0, 65_535 + witness.creditBytes - witness.dataBytes);
    for (const id of streamIds) {
      const seen = witness.stream(id);
      grant(id, witness.initialWindow + seen.creditBytes - seen.dataBytes);
    }
    return grants;
  }

  /** What is said next. */
  next(): Frame[] {
    const dice = this.#dice;
    if (this.#settingsToAck.length > 0 && !dice.chance(4)) return [this.#settingsAck()];
    if (this.#pingsToAck.length > 0 && dice.chance(2)) {
      return [frames.pingAck(this.#pingsToAck.shift() as Buffer)];
    }
    const kind = dice.below(100);
    if (kind < 22) return this.#begin();
    if (kind < 60) return this.#data();
    if (kind < 72) return this.#trailers();
    if (kind < 76) return this.#reset();
    if (kind < 88) return this.#windowUpdate();
    if (kind < 91) return [frames.ping(dice.bytes(8))];
    if (kind < 93) return [this.#settings(true)];
    if (kind < 95) return [frames.priority(1 + 2 * dice.below(50), 0, 1 + dice.below(256))];
    if (kind < 97) {
      return [frames.raw(10 + dice.below(240), dice.below(256), dice.below(9), "?")];
    }
    if (kind < 98 && dice.chance(6)) return this.#goAway();
    return this.#data();
  }

  #hear(frame: Frame): void {
    const id = frame.streamId;
    if (frame.type === 4 && !frame.has(1)) {
      this.#settingsToAck.push(frame);
      for (const [name, value] of settingsOf(frame)) {
        if (name === "MAX_CONCURRENT_STREAMS") this.#othersLimit = value;
      }
    } else if (frame.type === 6 && !frame.has(1)) this.#pingsToAck.push(Buffer.from(frame.payload));
    else if (frame.type === 7) this.#sawGoAway = true;
    else if (frame.type === 1 && this.#role === "server") this.#join(frame);
    const stream = this.#find(id);
    if (stream === undefined) return;
    if (frame.type === 3) stream.reset = true;
    if (frame.endStream) stream.gotEnd = true;
    this.#tidy();
  }

  #find(id: number): PeerStream | undefined {
    return this.streams.find((stream) => stream.id === id);
  }

  /** A server's peer learns of a stream. */
  #join(frame: Frame): void {
    if (this.#find(frame.streamId) !== undefined || this.#goneAway) return;
    if (frame.streamId < this.#nextId) return;
    this.#nextId = frame.streamId + 2;
    this.#add(frame.streamId);
  }

  #add(id: number): PeerStream {
    const stream: PeerStream = {
      id,
      headersSent: false,
      sentEnd: false,
      gotEnd: false,
      reset: false,
      updates: this.#initialWindow,
      offset: 0,
    };
    this.streams.push(stream);
    return stream;
  }

  /** Streams that are over are forgotten. */
  #tidy(): void {
    for (let i = this.streams.length - 1; i >= 0; i--) {
      const stream = this.streams[i] as PeerStream;
      if (stream.reset || (stream.gotEnd && stream.sentEnd)) this.streams.splice(i, 1);
    }
  }

  #anyStream(fits: (stream: PeerStream) => boolean): PeerStream | undefined {
    const fitting = this.streams.filter(fits);
    return fitting.length === 0 ? undefined : this.#dice.pick(fitting);
  }

  #begin(): Frame[] {
    if (this.#role === "client") return this.#request();
    const stream = this.#anyStream(({ headersSent }) => !headersSent);
    return stream === undefined ? this.#windowUpdate() : this.#response(stream);
  }

  #request(): Frame[] {
    const dice = this.#dice;
    if (this.streams.length >= this.#othersLimit || this.#sawGoAway) return this.#data();
    const stream = this.#add(this.#nextId);
    this.#nextId += 2 * (dice.chance(30) ? dice.between(1, 5) : 1);
    stream.headersSent = true;
    stream.sentEnd = dice.chance(4);
    const fields = [METHOD, SCHEME, PATH, ...randomFields(dice)];
    const group = this.#block(stream.id, fields, stream.sentEnd);
    this.#tidy();
    return group;
  }

  #response(stream: PeerStream): Frame[] {
    const dice = this.#dice;
    if (dice.chance(10)) return this.#block(stream.id, [new HeaderField(":status", "100")], false);
    stream.headersSent = true;
    stream.sentEnd = dice.chance(6);
    const fields = [
      new HeaderField(":status", dice.chance(9) ? "404" : "200"),
      ...randomFields(dice),
    ];
    const group = this.#block(stream.id, fields, stream.sentEnd);
    this.#tidy();
    return group;
  }

  #data(): Frame[] {
    const dice = this.#dice;
    const stream = this.#anyStream(({ headersSent, sentEnd }) => headersSent && !sentEnd);
    if (stream === undefined) return this.#harmless();
    const window = Math.max(0, Math.min(16_384, this.#witness.peerWindow(stream.id)));
    let length = Math.min(window, dice.skewed(16_384));
    const padded = length > 1 && dice.chance(6) ? dice.below(Math.min(256, length)) : undefined;
    if (padded !== undefined) length -= padded + 1;
    stream.sentEnd = dice.chance(6);
    if (length === 0 && padded === undefined) stream.sentEnd ||= dice.chance(2);
    const at = stream.offset % (MAX_BODY - 16_384);
    stream.offset += length;
    const endStream = stream.sentEnd;
    this.#tidy();
    const options = padded === undefined ? { endStream } : { endStream, padded };
    return [frames.data(stream.id, BODY.subarray(at, at + length), options)];
  }

  /** Without a stream to send on: something harmless. */
  #harmless(): Frame[] {
    return this.#role === "client" && this.streams.length < this.#othersLimit && !this.#sawGoAway
      ? this.#request()
      : [frames.priority(3, 0)];
  }

  #trailers(): Frame[] {
    const stream = this.#anyStream(({ headersSent, sentEnd }) => headersSent && !sentEnd);
    if (stream === undefined) return this.#begin();
    stream.sentEnd = true;
    const group = this.#block(stream.id, randomFields(this.#dice), true);
    this.#tidy();
    return group;
  }

  #reset(): Frame[] {
    const stream = this.#anyStream(() => true);
    if (stream === undefined) return this.#windowUpdate();
    stream.reset = true;
    this.#tidy();
    return [frames.rst(stream.id, this.#dice.pick([0, 1, 2, 7, 8, 0xdead]))];
  }

  #windowUpdate(): Frame[] {
    const dice = this.#dice;
    const increment = 1 + dice.skewed(200_000);
    const stream = dice.chance(3) ? undefined : this.#anyStream(() => true);
    if (stream === undefined) {
      if (this.#windowUpdates + increment > 0x7fffffff) return [];
      this.#windowUpdates += increment;
      return [frames.windowUpdate(0, increment)];
    }
    if (stream.updates + increment > 0x7fffffff) return [];
    stream.updates += increment;
    return [frames.windowUpdate(stream.id, increment)];
  }

  #settings(random: boolean): Frame {
    const dice = this.#dice;
    if (!random) return frames.settings();
    const settings: { [name in SettingName | number]?: number } = {};
    if (dice.chance(3)) settings.HEADER_TABLE_SIZE = dice.pick([0, 60, 200, 4_096, 65_536]);
    if (dice.chance(3) && this.#role === "client") settings.ENABLE_PUSH = dice.below(2);
    if (dice.chance(4)) settings.MAX_CONCURRENT_STREAMS = dice.pick([0, 1, 5, 100, 0xffffffff]);
    if (dice.chance(3)) {
      const window = dice.pick([0, 1, 100, 10_000, 65_535, 1_000_000]);
      settings.INITIAL_WINDOW_SIZE = window;
      // With some room, so that what was granted on top of the smaller window does not overflow.
      this.#initialWindow = Math.max(this.#initialWindow, window);
      for (const stream of this.streams) stream.updates += 1_000_000;
    }
    if (dice.chance(4)) settings.MAX_FRAME_SIZE = dice.pick([16_384, 20_000, 0xffffff]);
    if (dice.chance(4)) settings.MAX_HEADER_LIST_SIZE = dice.below(100_000);
    if (dice.chance(4)) settings[0x1234] = dice.below(0xffffffff);
    // Now and then one identifier twice.
    const twice = { [SETTINGS.HEADER_TABLE_SIZE]: dice.pick([0, 50]) };
    const before = frames.settings(dice.chance(6) ? twice : {}).payload;
    return frames.raw(4, 0, 0, Buffer.concat([before, frames.settings(settings).payload]));
  }

  #settingsAck(): Frame {
    const settings = this.#settingsToAck.shift() as Frame;
    for (const [name, value] of settingsOf(settings)) {
      if (name !== "HEADER_TABLE_SIZE") continue;
      this.#encoder?.setPeerMaxTableBytes(value);
      if (value < 4_096) this.#reductionDue = true;
    }
    return frames.settingsAck();
  }

  #goAway(): Frame[] {
    if (this.#goneAway) return [];
    this.#goneAway = true;
    const last = this.#role === "server" ? this.#nextId : 0;
    return [frames.goaway(last, 0, "bye")];
  }

  /** HEADERS with everything that may stand in it, and CONTINUATION as it comes. */
  #block(streamId: number, fields: HeaderList, endStream: boolean): Frame[] {
    const dice = this.#dice;
    const block = this.#encode(fields);
    const options = {
      endStream,
      ...(dice.chance(10) ? { padded: dice.below(100) } : {}),
      ...(dice.chance(10) ? { priority: { dependsOn: 0, weight: 1 + dice.below(256) } } : {}),
    };
    const most = 16_384 - 300;
    let cut =
      block.length <= most && !dice.chance(10)
        ? block.length
        : Math.min(most, dice.below(block.length + 1));
    const group = [
      frames.headers(streamId, block.subarray(0, cut), {
        ...options,
        endHeaders: cut === block.length,
      }),
    ];
    while (cut < block.length) {
      const end = Math.min(block.length, cut + (group.length > 6 ? most : 1 + dice.below(most)));
      group.push(
        frames.continuation(streamId, block.subarray(cut, end), {
          endHeaders: end === block.length,
        }),
      );
      cut = end;
    }
    return group;
  }

  #encode(fields: HeaderList): Buffer {
    if (this.#encoder === undefined) {
      // Without a table a size update to 0 is right whenever one is due.
      const update = Buffer.from(this.#reductionDue ? [0x20] : []);
      this.#reductionDue = false;
      return Buffer.concat([update, headerBlock(fields)]);
    }
    const most = this.#encoder.maxEncodedBytes(fields);
    const target = most <= this.#scratch.length ? this.#scratch : Buffer.allocUnsafe(most);
    return Buffer.from(target.subarray(0, this.#encoder.encode(fields, target, 0)));
  }
}
