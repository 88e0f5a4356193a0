// Valid connections, mutated, and plain noise, into both sides of the sans-I/O connection. Whatever comes in: no exception, nothing
// but whole frames goes out, what is kept is bounded, and a broken connection is ended.
//
// By hand for longer: FUZZ_ROUNDS=200000 npx vitest run test/fuzz/h2-mutations.test.ts --testTimeout=0

import { describe, expect, it } from "vitest";
import { DEFAULT_LIMITS } from "../../src/h2/limits.ts";
import { type StreamLog, Wire } from "../h2/wire.ts";
import {
  type Frame,
  fieldsOf,
  frames,
  headerBlock,
  request,
  response,
  trailers,
} from "../support/frames.ts";
import { Random } from "./random.ts";

const ROUNDS = Number(process.env["FUZZ_ROUNDS"] ?? 1_500);
const FIRST_SEED = Number(process.env["FUZZ_SEED"] ?? 1);
const FRAMES_PER_ROUND = 24;

/** A frame that is valid more often than not. */
function someFrame(random: Random, role: "client" | "server"): Frame | Frame[] {
  const id = 1 + 2 * random.below(6) + (random.chance(30) ? 1 : 0);
  switch (random.below(16)) {
    case 0:
    case 1:
    case 2: {
      const fields = role === "server" ? request("/a/B", ["x", "y"]) : response(["x", "y"]);
      const frame = frames.headers(id, fields, random.chance(4) ? { padded: random.below(9) } : {});
      return random.chance(2) ? frame : frame.end();
    }
    case 3: {
      const block = headerBlock(role === "server" ? request("/a/B") : trailers(0));
      const cut = random.below(block.length);
      return [
        frames.headers(id, block.subarray(0, cut), { endHeaders: false }),
        frames.continuation(id, block.subarray(cut)),
      ];
    }
    case 4:
      return frames.headers(id, trailers(0)).end();
    case 5:
    case 6:
    case 7:
    case 8: {
      const options = random.chance(3) ? { padded: random.below(20) } : {};
      const data = frames.data(id, random.bytes(random.below(200)), options);
      return random.chance(3) ? data.end() : data;
    }
    case 9:
      return frames.windowUpdate(random.chance(2) ? 0 : id, random.below(100_000));
    case 10:
      return frames.rst(id, random.below(14));
    case 11:
      return frames.settings({
        INITIAL_WINDOW_SIZE: random.below(70_000),
        HEADER_TABLE_SIZE: random.below(5_000),
        MAX_CONCURRENT_STREAMS: random.below(10),
      });
    case 12:
      return random.chance(2) ? frames.ping(random.bytes(8)) : frames.pingAck(random.bytes(8));
    case 13:
      return frames.priority(id, random.below(9));
    case 14:
      return frames.raw(
        random.below(256),
        random.below(256),
        random.below(12),
        random.bytes(random.below(40)),
      );
    default:
      return random.chance(8)
        ? frames.goaway(random.below(20), random.below(14), "debug")
        : frames.settingsAck();
  }
}

function mutate(random: Random, bytes: Buffer): Buffer {
  for (let i = random.below(4); i > 0 && bytes.length > 0; i--) {
    const at = random.below(bytes.length);
    const kind = random.below(4);
    if (kind === 0) bytes[at] = random.below(256);
    else if (kind === 1) bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
    else if (kind === 2) {
      const cut = Math.min(bytes.length, at + random.below(12));
      bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(cut)]);
    } else
      bytes = Buffer.concat([
        bytes.subarray(0, at),
        random.bytes(random.below(12)),
        bytes.subarray(at),
      ]);
  }
  return bytes;
}

/** Does something an owner may do at any time. */
function act(random: Random, wire: Wire): void {
  const log: StreamLog | undefined = wire.streams[random.below(wire.streams.length)];
  if (wire.role === "client" && random.chance(3) && wire.connection.availableStreamCount > 0) {
    wire.open(random.chance(3));
    return;
  }
  if (log === undefined) return;
  const { stream } = log;
  switch (random.below(7)) {
    case 0:
      stream.acknowledge(random.below(500));
      break;
    case 1:
      if (wire.role === "server" && !stream.headersSent)
        stream.sendHeaders(fieldsOf(response()), random.chance(4));
      break;
    case 2:
    case 3:
      if (stream.headersSent) stream.sendData(random.bytes(random.below(3_000)), random.chance(6));
      break;
    case 4:
      if (stream.headersSent) stream.sendTrailers(fieldsOf(trailers(0)));
      break;
    case 5:
      if (random.chance(3)) stream.reset(random.below(14));
      break;
    default:
      if (random.chance(20)) wire.connection.drain();
      else if (random.chance(10)) wire.connection.ping(() => {});
  }
}

function play(seed: number, role: "client" | "server", noise: boolean): void {
  const random = new Random(seed);
  const wire = new Wire(role, {
    highWaterBytes: random.chance(2) ? 5_000 : 1 << 20,
    streamWindowBytes: random.chance(2) ? 300 : 65_535,
    maxConcurrentStreams: 5,
    limits: { provokedResetBurst: 20, resetBurst: 20, idleFrameBurst: 100 },
  });
  let ended = 0;
  for (let i = 0; i < FRAMES_PER_ROUND; i++) {
    const made = noise ? [] : [someFrame(random, role)].flat();
    let bytes = noise ? random.bytes(random.below(100)) : frames.bytes(...made);
    if (!noise && random.chance(3)) bytes = mutate(random, bytes);
    while (bytes.length > 0) {
      const cut = random.chance(3) ? 1 + random.below(bytes.length) : bytes.length;
      wire.recv(bytes.subarray(0, cut));
      bytes = bytes.subarray(cut);
    }
    act(random, wire);
    if (random.chance(3)) wire.sent();
    wire.nowMs += random.below(20);
    expect(wire.connection.openStreamCount).toBeLessThanOrEqual(role === "server" ? 5 : 1_000);
    expect(wire.connection.output.byteCount).toBeLessThan(DEFAULT_LIMITS.maxQueuedControlBytes);
    if (wire.connection.ended !== undefined && ended++ > 2) break;
  }
  wire.sent();
  wire.connection.abort({ kind: "socket", code: 0, message: "gone" }, false);
  wire.sent();
  expect(wire.log.filter((line) => line.startsWith("closed"))).toHaveLength(1);
  expect(wire.connection.openStreamCount).toBe(0);
  for (const { log } of wire.streams) {
    const resets = log.filter((line) => line.startsWith("reset"));
    expect(resets.length).toBeLessThanOrEqual(1);
    if (resets.length === 1) expect(log.at(-1)).toBe(resets[0]);
  }
}

describe.each(["server", "client"] as const)("a %s", (role) => {
  it.each([
    ["mutated connections", false],
    ["noise", true],
  ])("survives %s", (_, noise) => {
    for (let seed = FIRST_SEED; seed < FIRST_SEED + ROUNDS; seed++) {
      try {
        play(seed, role, noise);
      } catch (error) {
        throw new Error(`FUZZ_SEED=${seed}: ${error}`, { cause: error });
      }
    }
  });
});
