// The owner of the connection under test: it behaves like a relay (passes DATA on, gives credit
// when it has left) and now and then like a relay in trouble (slow, early, resetting). It checks
// what it is told.

import type { Connection } from "../../src/h2/connection.ts";
import type { ConnectionEnd, ConnectionEvents } from "../../src/h2/events.ts";
import type { H2Stream, StreamEndInfo, StreamEvents } from "../../src/h2/stream.ts";
import { CLOSED } from "../../src/h2/stream-state.ts";
import { HeaderError, HeaderField, type HeaderList, listBytes } from "../../src/wire/field.ts";
import { keep, type LentBytes } from "../../src/wire/lent-bytes.ts";
import type { Dice } from "./dice.ts";
import type { Witness } from "./witness.ts";

/** What a stream's owner does with it. */
type Character = "echo" | "slow" | "early" | "talker" | "resetter" | "careless";
const CHARACTERS: readonly Character[] = [
  "echo",
  "echo",
  "echo",
  "slow",
  "early",
  "talker",
  "resetter",
  "careless",
];

const STATUS_200 = new HeaderField(":status", "200");
const TYPE = new HeaderField("content-type", "application/grpc");
/** More than this one stream's owner never has queued by its own doing. */
const MAX_TALK_BYTES = 200_000;
const TALK: Buffer = Buffer.alloc(MAX_TALK_BYTES, "The quick brown fox jumps over the lazy dog. ");

export class FuzzOwner implements ConnectionEvents<string> {
  readonly dice: Dice;
  readonly witness: Witness;
  readonly streams: Set<OwnedStream> = new Set();
  connection!: Connection<string>;
  dirty = false;
  /** There is DATA enough for an early write. */
  bulky = false;
  closed: ConnectionEnd | undefined;
  goAways = 0;
  /** Streams that were told their end, whatever end. */
  endedCount = 0;

  constructor(dice: Dice, witness: Witness) {
    this.dice = dice;
    this.witness = witness;
  }

  onDirty(): void {
    this.dirty = true;
  }

  onBulk(): void {
    this.bulky = true;
  }

  onLoneEnd(): void {}

  onStream(stream: H2Stream<string>, headers: HeaderList, endStream: boolean): StreamEvents {
    const { witness } = this;
    if (this.closed !== undefined) throw witness.broken("a request after the end");
    const names = headers.map(({ name }) => name);
    if (!names.includes(":method")) throw witness.broken("a request without :method");
    const owned = new OwnedStream(this, stream, this.dice.pick(CHARACTERS));
    owned.headersSeen = true;
    owned.peerEnded = endStream;
    if (this.dice.below(4) > 0) owned.answer();
    return owned;
  }

  onGoAway(): void {
    this.goAways++;
  }

  onLargeRequest(): undefined {}

  onRefused(): void {
    if (this.closed !== undefined) throw this.witness.broken("a refusal after the end");
  }

  onAvailable(): void {
    if (this.connection.availableStreamCount === 0) throw this.witness.broken("none available");
  }

  onClosed(end: ConnectionEnd): void {
    if (this.closed !== undefined) throw this.witness.broken("closed twice");
    this.closed = end;
    for (const stream of this.streams) {
      if (stream.stream.state !== CLOSED) throw this.witness.broken("an open stream at the end");
    }
  }

  /** Opens a stream to the peer, if there is one to be had. */
  open(): void {
    const { dice, connection, witness } = this;
    if (connection.availableStreamCount === 0) return;
    const fields = [
      new HeaderField(":method", dice.chance(9) ? "HEAD" : "POST"),
      new HeaderField(":scheme", "http"),
      new HeaderField(":path", `/fuzz.Service/Method${dice.below(5)}`),
      ...randomFields(dice),
    ];
    const endStream = dice.chance(4);
    let owned: OwnedStream | undefined;
    const expected = witness.stream(this.#nextId());
    expected.expected.push(fields);
    const late: StreamEvents = {
      onHeaders: (headers, end) => owned?.onHeaders(headers, end),
      onData: (chunk, end) => owned?.onData(chunk, end),
      onTrailers: () => owned?.onTrailers(),
      onWritable: (bytes) => owned?.onWritable(bytes),
      onReset: (end) => owned?.onReset(end),
    };
    let stream: H2Stream<string> | undefined;
    const isTaken = takes(fields, () => {
      stream = connection.openStream(fields, endStream, late);
    });
    if (!isTaken || stream === undefined) {
      expected.expected.pop();
      this.#ids -= 2;
      return;
    }
    if (stream.id !== expected.id) throw witness.broken(`stream ${stream.id} was opened`);
    owned = new OwnedStream(this, stream, dice.pick(CHARACTERS));
    owned.headersGiven = true;
    owned.ended = endStream;
    if (!endStream) owned.talk(dice.skewed(60_000));
  }

  #ids = -1;
  #nextId(): number {
    this.#ids += 2;
    return this.#ids;
  }

  /** One step of what owners do by themselves. */
  step(): void {
    const { dice } = this;
    if (this.closed === undefined && dice.chance(800)) this.connection.drain();
    if (dice.chance(40)) this.connection.ping(() => {});
    for (const stream of this.streams) if (dice.chance(6)) stream.step();
  }

  /** Some lose patience. */
  giveUp(): void {
    for (const stream of this.streams) if (this.dice.chance(8)) stream.reset();
  }

  /** Everybody answers, ends and gives back what is due. */
  settle(): void {
    for (const stream of this.streams) stream.settle();
  }

  /** Holds the books of all streams against each other. */
  check(): void {
    const { witness, connection } = this;
    let open = 0;
    for (const owned of this.streams) {
      const { stream } = owned;
      if (stream.state === CLOSED) {
        if (stream.queuedBytes !== 0)
          throw witness.broken(`stream ${stream.id} queues when closed`);
        this.streams.delete(owned);
        continue;
      }
      open++;
      owned.check();
    }
    if (open !== connection.openStreamCount) {
      throw witness.broken(`${connection.openStreamCount} streams are open, not ${open}`);
    }
  }
}

/** One stream under an owner's care. */
export class OwnedStream implements StreamEvents {
  readonly stream: H2Stream<string>;
  headersSeen = false;
  headersGiven = false;
  peerEnded = false;
  /** We have said all that we shall say. */
  ended = false;
  over = false;
  /** Received and not yet given back. */
  unpaidBytes = 0;
  /** Queued by `sendData` and not told as written. */
  queuedBytes = 0;
  talkedBytes = 0;

  readonly #owner: FuzzOwner;
  readonly #afterHandshake: boolean;
  readonly #character: Character;

  constructor(owner: FuzzOwner, stream: H2Stream<string>, character: Character) {
    this.#owner = owner;
    this.stream = stream;
    this.#character = character;
    this.#afterHandshake = owner.connection.settingsAcked;
    owner.streams.add(this);
  }

  // What we are told

  onHeaders(_headers: HeaderList, endStream: boolean): void {
    this.#alive("headers");
    if (this.headersSeen) throw this.#broken("headers twice");
    this.headersSeen = true;
    if (endStream) this.#peerEnd();
  }

  onData(chunk: LentBytes, endStream: boolean): void {
    this.#alive("data");
    if (!this.headersSeen) throw this.#broken("data before headers");
    if (chunk.length === 0 && !endStream) throw this.#broken("data of nothing");
    this.unpaidBytes += chunk.length;
    const { dice } = this.#owner;
    if (this.#character === "resetter" && dice.chance(3)) {
      this.reset();
      return;
    }
    if (this.#character === "careless") {
      this.#pay(chunk.length * 2);
    } else if (this.#character !== "slow") {
      this.answer();
      this.#pay(this.#give(chunk));
    }
    if (endStream) this.#peerEnd();
  }

  onTrailers(): void {
    this.#alive("trailers");
    if (!this.headersSeen) throw this.#broken("trailers before headers");
    this.#peerEnd();
  }

  onWritable(bytes: number): void {
    this.#aliveAtAll("writable");
    this.queuedBytes -= bytes;
    if (bytes <= 0 || this.queuedBytes < 0) throw this.#broken(`writable ${bytes}`);
    if (this.#character !== "slow") this.#pay(bytes);
    if (this.#owner.dice.chance(64)) this.reset();
  }

  onReset(end: StreamEndInfo): void {
    this.#aliveAtAll("reset");
    if (end.message === "") throw this.#broken("a reset without a reason");
    this.over = true;
    this.#owner.endedCount++;
  }

  // What we do

  /** Sends the response headers, in one of the possible ways. */
  answer(): void {
    const { dice, connection } = this.#owner;
    if (this.headersGiven || this.over || connection.ended !== undefined) return;
    if (dice.chance(12)) this.#headers([new HeaderField(":status", "103")], false);
    const fields = [STATUS_200, TYPE, ...randomFields(dice)];
    this.headersGiven = true;
    const only = this.#character === "early" && dice.chance(2);
    this.ended = only;
    this.#headers(fields, only);
    if (this.#character === "talker") this.talk(dice.skewed(MAX_TALK_BYTES));
    if (this.#character === "early" && !only) this.#end();
  }

  /** Sends `bytes` of our own. */
  talk(bytes: number): void {
    const length = Math.min(bytes, MAX_TALK_BYTES - this.talkedBytes);
    if (length <= 0) return;
    const from = this.#owner.dice.below(MAX_TALK_BYTES - length + 1);
    this.talkedBytes += length;
    this.#give(TALK.subarray(from, from + length));
  }

  step(): void {
    const { dice } = this.#owner;
    if (this.over) return;
    if (dice.chance(30)) {
      this.reset();
      return;
    }
    this.answer();
    this.#pay(dice.below(this.unpaidBytes + 1));
    if (this.#character === "talker") this.talk(dice.skewed(20_000));
    if (this.peerEnded || dice.chance(5)) this.#end();
  }

  settle(): void {
    this.answer();
    this.#pay(this.unpaidBytes);
    this.#end();
  }

  check(): void {
    const { stream } = this;
    if (this.over) throw this.#broken("is open after the turn that it was reset in");
    if (stream.queuedBytes !== this.queuedBytes) {
      throw this.#broken(`queues ${stream.queuedBytes}, not ${this.queuedBytes}`);
    }
    if (Math.max(stream.sendWindow, stream.recvWindow) > 0x7fffffff) {
      throw this.#broken("has a window over 2^31 - 1");
    }
    // Below 0 only by the acknowledgement of a window smaller than the default (RFC 9113 §6.9.2).
    if (stream.recvWindow < (this.#afterHandshake ? 0 : -65_535)) {
      throw this.#broken(`may receive ${stream.recvWindow}`);
    }
  }

  #give(chunk: LentBytes): number {
    if (this.over || this.ended || !this.headersGiven) return chunk.length;
    if (this.#owner.connection.ended !== undefined) return 0;
    if (chunk.length > 0) this.#owner.witness.stream(this.stream.id).contents.push(keep(chunk));
    const accepted = this.stream.sendData(chunk, false);
    this.queuedBytes += chunk.length - accepted;
    return accepted;
  }

  #headers(fields: HeaderList, endStream: boolean): void {
    if (this.over) return;
    this.#send(fields, () => this.stream.sendHeaders(fields, endStream));
  }

  /** A list that the peer does not take costs the stream. */
  #send(fields: HeaderList, send: () => void): void {
    const { expected } = this.#owner.witness.stream(this.stream.id);
    expected.push(fields);
    if (takes(fields, send)) return;
    expected.pop();
    this.reset();
  }

  /** Trailers or END_STREAM. */
  #end(): void {
    const { dice, witness, connection } = this.#owner;
    if (this.ended || this.over || !this.headersGiven || connection.ended !== undefined) return;
    this.ended = true;
    if (dice.chance(3)) {
      const last = Buffer.from(TALK.subarray(0, dice.skewed(500)));
      if (last.length > 0) witness.stream(this.stream.id).contents.push(last);
      this.queuedBytes += last.length - this.stream.sendData(last, true);
      return;
    }
    const fields = dice.chance(20)
      ? []
      : [new HeaderField("grpc-status", "0"), ...randomFields(dice)];
    this.#send(fields, () => this.stream.sendTrailers(fields));
  }

  #pay(bytes: number): void {
    this.stream.acknowledge(bytes);
    this.unpaidBytes = Math.max(0, this.unpaidBytes - bytes);
  }

  reset(): void {
    if (this.over) return;
    this.over = true;
    this.stream.reset(8);
  }

  #peerEnd(): void {
    this.peerEnded = true;
    if (this.#character !== "slow" && this.#owner.dice.below(8) > 0) {
      this.answer();
      this.#end();
    }
  }

  #alive(what: string): void {
    this.#aliveAtAll(what);
    if (this.peerEnded) throw this.#broken(`${what} after the peer's end`);
  }

  #aliveAtAll(what: string): void {
    if (this.over) throw this.#broken(`${what} after the end`);
    if (this.#owner.closed !== undefined) throw this.#broken(`${what} after the end of it all`);
  }

  #broken(problem: string): Error {
    return this.#owner.witness.broken(`stream ${this.stream.id} ${problem}`);
  }
}

const NAMES = ["x-a", "x-b", "grpc-encoding", "user-agent", "trace-bin", "x-long-name-of-a-field"];

/** A few valid fields, some of them again and again, so that tables fill, hit and evict. */
export function randomFields(dice: Dice): HeaderField[] {
  const fields: HeaderField[] = [];
  for (let left = dice.chance(20) ? 40 : dice.below(4); left > 0; left--) {
    const value = dice.chance(3) ? `v${dice.below(1_000_000)}` : `value-${dice.below(4)}`;
    const long = dice.chance(60) ? "l".repeat(dice.skewed(9_000)) : "";
    fields.push(new HeaderField(dice.pick(NAMES), value + long, dice.chance(10)));
  }
  return fields;
}

/**
 * Runs `send`; false when `fields` are more than the peer takes, and were refused for that alone.
 */
function takes(fields: HeaderList, send: () => void): boolean {
  try {
    send();
    return true;
  } catch (error) {
    if (!(error instanceof HeaderError)) throw error;
    const limit = /of at most (\d+) bytes, which the peer takes/.exec(error.message)?.[1];
    if (limit === undefined || listBytes(fields) <= Number(limit)) throw error;
    return false;
  }
}
