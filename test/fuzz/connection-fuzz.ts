// One fuzzed connection: a peer that is correct, nearly correct or noise, an owner that behaves
// like a relay, and the checks.

import { Connection } from "../../src/h2/connection.ts";
import { DEFAULT_LIMITS, type EngineLimits } from "../../src/h2/limits.ts";
import { CLOSED } from "../../src/h2/stream-state.ts";
import { WindowBudget } from "../../src/h2/window-budget.ts";
import { frames } from "../support/frames.ts";
import { readLent } from "../support/lent.ts";
import { Dice } from "./dice.ts";
import { LegalPeer } from "./legal-peer.ts";
import { Mutator, noise } from "./mutate.ts";
import { FuzzOwner } from "./owner.ts";
import { Witness } from "./witness.ts";

/** `legal` peers break no rule, so nothing may be held against them. */
export type Kind = "legal" | "mutated" | "noise";

export interface Outcome {
  /** Frames in both directions. */
  readonly frames: number;
  readonly end: "alive" | "error" | "closed";
  /** Responses (server) or requests (client) that our side completed. */
  readonly completed: number;
}

/** Turns that one settling may take: what is queued is bounded, so is what it takes to send it. */
const MAX_TURNS = 2_000;

/**
 * What our side may reset a correct peer's stream with: its owner's doing, the end of a response,
 * limits.
 */
const HARMLESS_CODES: readonly number[] = [0, 7, 8, 11];

const TIGHT_LIMITS: EngineLimits = {
  ...DEFAULT_LIMITS,
  maxContinuationFrames: 2,
  maxHeaderBlockBytes: 4_000,
  resetBurst: 10,
  provokedResetBurst: 5,
  settingsBurst: 3,
  pingBurst: 5,
  idleFrameBurst: 30,
  maxQueuedControlBytes: 2_000,
};

class Fuzzed {
  readonly dice: Dice;
  readonly witness: Witness;
  readonly owner: FuzzOwner;
  readonly peer: LegalPeer;
  readonly connection: Connection<string>;
  nowMs = 1_000;
  readonly highWaterBytes: number;
  /** The socket takes nothing at the moment; what was written before waits in it. */
  blocked = false;
  readonly #inSocket: Buffer[] = [];

  constructor(role: "client" | "server", kind: Kind, dice: Dice) {
    this.dice = dice;
    const options = {
      maxConcurrentStreams: dice.pick([1, 3, 100, 1_000]),
      streamWindowBytes: dice.pick([1, 100, 16_384, 65_535, 262_144]),
      connectionWindowBytes: dice.pick([65_535, 65_535, 100_000, 4_194_304]),
      maxHeaderListBytes: dice.pick([1_000, 16_384, 65_536]),
      headerTableBytes: dice.pick([0, 100, 4_096, 4_096, 20_000]),
      // A correct peer stays below the limits that are the default; the others meet them now and
      // then.
      limits: kind !== "legal" && dice.chance(4) ? TIGHT_LIMITS : DEFAULT_LIMITS,
      windowBudget: new WindowBudget(dice.pick([0, 0, 100_000, 10_000_000])),
    };
    this.highWaterBytes = dice.pick([1, 1_000, 65_536, 262_144]);
    this.witness = new Witness({ role, ...options });
    this.owner = new FuzzOwner(dice, this.witness);
    this.connection = new Connection<string>(role, "owner", options, this.owner, this.nowMs);
    this.owner.connection = this.connection;
    this.peer = new LegalPeer(role === "server" ? "client" : "server", dice, this.witness);
    this.connection.written(0, this.highWaterBytes);
    if (role === "server" && dice.chance(2)) this.connection.awaitClient();
    else this.connection.start();
    this.turn();
  }

  /** Feeds `bytes` as the network might cut them. */
  feed(bytes: Buffer): void {
    const { dice } = this;
    let most = dice.chance(3) ? 40 + dice.skewed(3_000) : bytes.length;
    if (bytes.length < 400 && dice.chance(8)) most = 1;
    for (let at = 0; at < bytes.length; at += most) {
      const chunk = bytes.subarray(at, at + most);
      if (this.connection.ended === undefined) this.witness.received(chunk);
      if (dice.chance(2)) this.connection.receive(chunk, this.nowMs);
      else readLent(chunk, (memory, end) => this.connection.receive(memory, this.nowMs, end, true));
      if (this.owner.bulky) this.#write();
      if (most > 1 && dice.chance(4)) this.turn();
    }
  }

  /** One turn of the event loop, with a socket behind it that may be slow. */
  turn(): void {
    const { connection, owner } = this;
    owner.dirty = false;
    connection.turn();
    this.#write();
    owner.check();
  }

  #write(): void {
    const { connection } = this;
    this.owner.bulky = false;
    const { output } = connection;
    if (output.byteCount > 0) {
      const announced = output.byteCount;
      const pieces = output.take();
      let bytes = 0;
      for (const piece of pieces) bytes += piece.length;
      if (bytes !== announced)
        throw this.witness.broken(`${announced} bytes announced, ${bytes} taken`);
      this.#inSocket.push(...pieces);
      if (!this.blocked) this.#drain();
      output.settle(this.#backlogBytes());
    }
    connection.written(this.#backlogBytes(), this.highWaterBytes);
  }

  unblock(): void {
    this.blocked = false;
    this.#drain();
    this.connection.output.releaseWritten(0);
    this.connection.written(0, this.highWaterBytes);
  }

  #drain(): void {
    if (this.#inSocket.length === 0) return;
    const bytes = Buffer.concat(this.#inSocket);
    this.#inSocket.length = 0;
    this.witness.sent(bytes);
  }

  #backlogBytes(): number {
    return this.#inSocket.reduce((sum, piece) => sum + piece.length, 0);
  }

  /** Everything that can still happen by itself happens. */
  settle(): void {
    const { owner, connection, witness } = this;
    this.unblock();
    for (let turns = 0; ; turns++) {
      if (turns === MAX_TURNS) throw witness.broken("it does not come to rest");
      owner.settle();
      this.turn();
      if (connection.ended !== undefined) return;
      const open = [...owner.streams].filter(({ ended, queuedBytes }) => !ended || queuedBytes > 0);
      const ids = open.map(({ stream }) => stream.id);
      const grants = frames.bytes(...this.peer.generosity(ids));
      if (grants.length > 0) this.feed(grants);
      else if (!owner.dirty) break;
    }
    for (const { stream } of owner.streams) {
      if (stream.queuedBytes > 0) throw witness.broken(`stream ${stream.id} still has DATA queued`);
      if (!stream.endQueued) throw witness.broken(`stream ${stream.id} has not ended`);
    }
  }

  /** A PING is answered, or the connection has ended with GOAWAY. */
  prove(): void {
    const opaque = "provelif";
    this.feed(frames.ping(opaque).bytes());
    this.turn();
    const alive = this.witness.pingAcks.includes(opaque);
    if (!alive && this.connection.ended === undefined)
      throw this.witness.broken("PING is not answered");
  }

  /** The socket ends; afterwards nothing happens any more. */
  finish(): void {
    const { connection, owner, witness } = this;
    this.unblock();
    connection.abort({ kind: "socket", code: 0, message: "gone" }, false);
    this.turn();
    if (owner.closed === undefined) throw witness.broken("the end was not told");
    if (connection.openStreamCount !== 0) throw witness.broken("streams are left");
    for (const { stream } of owner.streams) {
      if (stream.state !== CLOSED) throw witness.broken(`stream ${stream.id} is left`);
      stream.sendHeaders([], false);
      stream.sendData(Buffer.from("x"), true);
      stream.acknowledge(1);
      stream.reset(8);
    }
    connection.receive(frames.ping().bytes(), this.nowMs);
    connection.ping(() => {});
    connection.drain();
    this.turn();
    if (connection.output.byteCount !== 0) throw witness.broken("something was written at the end");
  }
}

/** Runs one connection. @throws {Error} for whatever is wrong with it, naming the seed */
export function fuzzConnection(seed: number, role: "client" | "server", kind: Kind): Outcome {
  const dice = new Dice(seed);
  let fuzzed: Fuzzed | undefined;
  try {
    fuzzed = new Fuzzed(role, kind, dice);
    return run(fuzzed, role, kind);
  } catch (error) {
    if (error instanceof Error) error.message = `seed ${seed}, ${kind} ${role}: ${error.message}`;
    throw error;
  }
}

function run(fuzzed: Fuzzed, role: "client" | "server", kind: Kind): Outcome {
  const { dice, peer, owner, connection, witness } = fuzzed;
  const mutator = new Mutator(dice);
  // How often something is wrong: seldom enough for depth, often enough for breadth.
  const badOnceIn = kind === "legal" ? Number.POSITIVE_INFINITY : dice.pick([3, 10, 40, 150]);
  if (kind !== "noise" || dice.below(4) > 0) {
    const first = peer.open();
    fuzzed.feed(
      frames.bytes(...(kind !== "legal" && dice.chance(12) ? mutator.mutate(first) : first)),
    );
  }
  const steps = dice.pick([10, 60, 250, 600]);
  for (let step = 0; step < steps && connection.ended === undefined; step++) {
    fuzzed.nowMs += dice.chance(3) ? dice.below(60) : 0;
    if (dice.chance(25)) {
      if (fuzzed.blocked) fuzzed.unblock();
      else fuzzed.blocked = dice.chance(3);
    }
    if (role === "client" && dice.chance(4)) owner.open();
    owner.step();
    if (kind === "noise" && dice.chance(2)) {
      fuzzed.feed(noise(dice));
    } else {
      let group: (Buffer | ReturnType<typeof frames.data>)[] = peer.next();
      mutator.remember(group);
      if (badOnceIn !== Number.POSITIVE_INFINITY && dice.chance(badOnceIn))
        group = mutator.mutate(group);
      fuzzed.feed(frames.bytes(...group));
    }
    if (dice.below(3) > 0) fuzzed.turn();
  }
  // Owners go on acting until they are told of the end.
  if (dice.chance(2)) owner.giveUp();
  const whole = witness.inputIsWhole;
  if (connection.ended === undefined && whole) {
    fuzzed.settle();
    if (connection.ended === undefined) fuzzed.prove();
  }
  fuzzed.unblock();
  if (kind === "legal") expectNoBlame(fuzzed);
  const end = connection.ended === undefined ? "alive" : witness.goAwayCode ? "error" : "closed";
  fuzzed.finish();
  let completed = 0;
  for (const stream of witness.streams.values()) if (stream.ended) completed++;
  return { frames: witness.frameCount, end, completed };
}

/** A correct peer is not accused of anything. */
function expectNoBlame({ witness, connection }: Fuzzed): void {
  if (connection.ended?.kind === "protocol") {
    throw witness.broken(`a correct peer was sent away: ${connection.ended.message}`);
  }
  for (const { id, reset, resetCode } of witness.streams.values()) {
    if (reset && !HARMLESS_CODES.includes(resetCode)) {
      throw witness.broken(`stream ${id} of a correct peer was reset with ${resetCode}`);
    }
  }
}
