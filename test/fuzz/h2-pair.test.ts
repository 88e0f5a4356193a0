// Two of our connections talk to each other, doing at random what owners may do, over a wire that
// cuts the bytes anywhere. Neither may ever find fault with the other, and what one side sends
// whole the other gets whole.
//
// By hand for longer: FUZZ_ROUNDS=20000 npx vitest run test/fuzz/h2-pair.test.ts

import { describe, expect, it } from "vitest";
import { type StreamLog, Wire } from "../h2/wire.ts";
import { fieldsOf, request, response, trailers } from "../support/frames.ts";
import { lent } from "../support/lent.ts";
import { Random } from "./random.ts";

const ROUNDS = Number(process.env["FUZZ_ROUNDS"] ?? 150);
const FIRST_SEED = Number(process.env["FUZZ_SEED"] ?? 1);
/** Seconds of work, and hours by hand. */
const LIMIT_MS = 24 * 3_600_000;

interface Sent {
  readonly log: StreamLog;
  chunks: Buffer[];
  ended: boolean;
}

/** One direction of the wire: bytes that were written and not yet delivered. */
class Pipe {
  bytes: Buffer = Buffer.alloc(0);
  readonly from: Wire;
  readonly to: Wire;

  constructor(from: Wire, to: Wire) {
    this.from = from;
    this.to = to;
  }

  move(random: Random, all: boolean): void {
    this.bytes = Buffer.concat([this.bytes, this.from.turn()]);
    const length = all ? this.bytes.length : random.below(this.bytes.length + 1);
    if (length > 0) this.to.recv(Buffer.from(this.bytes.subarray(0, length)));
    this.bytes = this.bytes.subarray(length);
  }
}

class Game {
  readonly random: Random;
  readonly client: Wire;
  readonly server: Wire;
  readonly pipes: readonly [Pipe, Pipe];
  readonly sent = new Map<StreamLog, Sent>();
  /** Received and not yet acknowledged. */
  readonly owed = new Map<StreamLog, number>();

  constructor(seed: number) {
    this.random = new Random(seed);
    const options = (): ConstructorParameters<typeof Wire>[1] => ({
      handshake: false,
      streamWindowBytes: this.random.pick([700, 5_000, 65_535, 200_000]),
      connectionWindowBytes: this.random.pick([65_535, 100_000]),
      headerTableBytes: this.random.pick([0, 100, 4_096, 9_000]),
      maxConcurrentStreams: this.random.pick([2, 10]),
      highWaterBytes: this.random.pick([500, 20_000, 1 << 20]),
      lending: this.random.chance(2),
    });
    this.client = new Wire("client", options());
    this.server = new Wire("server", options());
    this.pipes = [new Pipe(this.client, this.server), new Pipe(this.server, this.client)];
    this.server.onRequest = (log) => this.#begin(log);
  }

  #begin(log: StreamLog): void {
    this.sent.set(log, { log, chunks: [], ended: false });
    this.owed.set(log, 0);
    log.onEvent = (line) => {
      const [what, bytes] = line.split(" ");
      if (what === "data") this.owed.set(log, (this.owed.get(log) ?? 0) + Number(bytes));
    };
  }

  step(resets: boolean): void {
    const { random, client } = this;
    if (random.chance(4)) this.pipes[random.below(2) === 0 ? 0 : 1].move(random, false);
    if (random.chance(12) && client.connection.availableStreamCount > 0) {
      const more = ["x-n", `${random.below(30)}`] as const;
      this.#begin(
        client.open(false, request("/a/B", more, ["x-long", "v".repeat(random.below(300))])),
      );
    }
    if (random.chance(50)) client.connection.ping(() => {});
    const logs = [...client.streams, ...this.server.streams];
    const state = logs.length === 0 ? undefined : this.sent.get(random.pick(logs));
    if (state === undefined) return;
    const { log } = state;
    const isServer = this.server.streams.includes(log);
    switch (random.below(8)) {
      case 0:
        if (isServer && !log.stream.headersSent)
          log.stream.sendHeaders(fieldsOf(response()), false);
        break;
      case 1:
      case 2:
      case 3: {
        if (!log.stream.headersSent || state.ended || log.stream.silent) break;
        const chunk = random.bytes(random.pick([1, 20, 1_000, 5_000, 40_000]));
        state.chunks.push(chunk);
        state.ended = !isServer && random.chance(6);
        if (random.chance(2)) log.stream.sendData(chunk, state.ended);
        else lent(chunk, (view) => log.stream.sendData(view, state.ended));
        break;
      }
      case 4:
        this.#acknowledge(log);
        break;
      case 5:
        if (isServer) this.#finish(state);
        break;
      case 6:
        if (resets && random.chance(4)) log.stream.reset(8);
        break;
      default:
        this.#acknowledge(log);
    }
  }

  #acknowledge(log: StreamLog): void {
    log.stream.acknowledge(this.owed.get(log) ?? 0);
    this.owed.set(log, 0);
  }

  /** Ends what was begun. A server waits for the end of the request, or it would be cut off. */
  #finish(state: Sent): void {
    const { log } = state;
    if (state.ended || log.stream.silent) return;
    const isServer = this.server.streams.includes(log);
    if (isServer && !/END$|^trailers/m.test(log.log.join("\n"))) return;
    if (!log.stream.headersSent) log.stream.sendHeaders(fieldsOf(response()), false);
    state.ended = true;
    if (isServer) log.stream.sendTrailers(fieldsOf(trailers(0)));
    else log.stream.sendData(Buffer.alloc(0), true);
  }

  /** Lets everything come to its end. */
  settle(): void {
    for (let idle = 0, rounds = 0; idle < 4; idle++) {
      if (++rounds > 3_000) throw new Error(`does not settle: ${this.#stuck()}`);
      for (const state of this.sent.values()) {
        this.#finish(state);
        this.#acknowledge(state.log);
      }
      for (const pipe of this.pipes) {
        do pipe.move(this.random, true);
        while (pipe.from.dirty);
      }
      if (this.client.dirty || this.server.dirty || this.client.connection.openStreamCount > 0)
        idle = 0;
      if (this.client.end !== undefined || this.server.end !== undefined) return;
    }
  }

  /** What is left open, for the message of a failure. */
  #stuck(): string {
    const describeSide = (wire: Wire): string =>
      wire.streams
        .filter(({ stream }) => stream.state !== 3)
        .map((entry) => {
          const { stream, log } = entry;
          const { id, state, sendWindow, recvWindow, queuedBytes } = stream;
          const numbers = JSON.stringify({ id, state, sendWindow, recvWindow, queuedBytes });
          return `${wire.role} ${numbers} ended ${this.sent.get(entry)?.ended} sent ${this.sent.get(entry)?.chunks.length} after ${log.slice(-3)}`;
        })
        .join("; ");
    return `${describeSide(this.client)} | ${describeSide(this.server)}`;
  }

  check(resets: boolean): void {
    expect([this.client.end, this.server.end]).toEqual([undefined, undefined]);
    expect(this.client.connection.openStreamCount).toBe(0);
    expect(this.server.connection.openStreamCount).toBe(0);
    if (resets) return;
    expect(this.server.streams.length).toBe(this.client.streams.length);
    this.client.streams.forEach((log, i) => {
      const other = this.server.streams[i];
      if (other === undefined) return;
      expect(other.headers[0]).toHaveLength(8);
      for (const [from, to] of [
        [log, other],
        [other, log],
      ] as const) {
        const sent = Buffer.concat(this.sent.get(from)?.chunks ?? []);
        expect(Buffer.concat(to.chunks).equals(sent)).toBe(true);
        expect(from.stream.queuedBytes).toBe(0);
      }
      expect(log.log.at(-1)).toBe("trailers");
    });
  }
}

describe.each([
  ["complete every call", false],
  ["and reset some calls", true],
])("two connections that %s", (_, resets) => {
  it("never find fault with each other", { timeout: LIMIT_MS }, () => {
    for (let seed = FIRST_SEED; seed < FIRST_SEED + ROUNDS; seed++) {
      const game = new Game(seed);
      try {
        for (let i = 0; i < 400; i++) game.step(resets);
        game.settle();
        game.check(resets);
      } catch (error) {
        throw new Error(`FUZZ_SEED=${seed}: ${error}`, { cause: error });
      }
    }
  });
});
