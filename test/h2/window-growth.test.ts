// Receive windows that grow with the path: two connections with a path between them whose time is
// the test's own.

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { BdpEstimator } from "../../src/h2/bdp-estimator.ts";
import { Connection } from "../../src/h2/connection.ts";
import type { ConnectionEvents } from "../../src/h2/events.ts";
import { DEFAULT_LIMITS } from "../../src/h2/limits.ts";
import type { H2Stream, StreamEvents } from "../../src/h2/stream.ts";
import { WindowBudget } from "../../src/h2/window-budget.ts";
import { decodeFrames, fieldsOf, request, response } from "../support/frames.ts";

const MIB = 1_048_576;
const CHUNK = Buffer.alloc(MIB);
/** As transports begin. */
const WINDOW_BYTES = 131_072;
const CONNECTION_BYTES = 4 * MIB;

/** Sends all that it may. */
class Source implements StreamEvents {
  stream: H2Stream<string> | undefined;
  left: number;

  constructor(bytes: number) {
    this.left = bytes;
  }

  fill(): void {
    const { stream } = this;
    while (stream !== undefined && stream.queuedBytes < MIB && this.left > 0) {
      const bytes = Math.min(this.left, CHUNK.length);
      this.left -= bytes;
      stream.sendData(CHUNK.subarray(0, bytes), this.left === 0);
    }
  }

  onHeaders(): void {}
  onData(): void {}
  onTrailers(): void {}
  onWritable(): void {
    this.fill();
  }
  onReset(): void {}
}

/** Takes what comes, unless it is stalled. */
class Sink implements StreamEvents {
  stream: H2Stream<string> | undefined;
  receivedBytes = 0;
  stalled = false;

  onHeaders(): void {}
  onData(chunk: { readonly length: number }): void {
    this.receivedBytes += chunk.length;
    if (!this.stalled) this.stream?.acknowledge(chunk.length);
  }
  onTrailers(): void {}
  onWritable(): void {}
  onReset(): void {}
}

class End implements ConnectionEvents<string> {
  readonly connection: Connection<string>;
  readonly pings: number[] = [];
  isDirty = false;
  /** Of the server: what the next requests are answered with. */
  readonly next: Source[] = [];

  constructor(role: "client" | "server", budget: WindowBudget) {
    this.connection = new Connection(
      role,
      role,
      {
        maxConcurrentStreams: 1_000,
        streamWindowBytes: WINDOW_BYTES,
        connectionWindowBytes: CONNECTION_BYTES,
        maxHeaderListBytes: 16_384,
        headerTableBytes: 4_096,
        limits: DEFAULT_LIMITS,
        windowBudget: budget,
        minPingIntervalMs: 300_000,
      },
      this,
      0,
    );
    this.connection.written(0, 1 << 30);
    this.connection.start();
  }

  /** What it has to say now. */
  turn(nowMs: number): Buffer {
    const parts: Buffer[] = [];
    do {
      this.isDirty = false;
      this.connection.turn();
      parts.push(...this.connection.output.take().map((piece) => Buffer.from(piece)));
      this.connection.output.settle(0);
      this.connection.written(0, 1 << 30);
    } while (this.isDirty);
    const bytes = Buffer.concat(parts);
    // Those that receive DATA say little.
    if (bytes.length < 10_000 && bytes.length > 0 && bytes[0] !== 0x50) {
      const asked = decodeFrames(bytes).filter((frame) => frame.name === "PING" && !frame.has(1));
      for (const _ of asked) this.pings.push(nowMs);
    }
    return bytes;
  }

  onDirty(): void {
    this.isDirty = true;
  }
  onBulk(): void {}
  onLoneEnd(): void {}
  onStream(stream: H2Stream<string>): StreamEvents {
    const source = this.next.shift() ?? new Source(0);
    source.stream = stream;
    stream.sendHeaders(fieldsOf(response()), false);
    source.fill();
    return source;
  }
  onLargeRequest(): undefined {}
  onGoAway(): void {}
  onRefused(): void {}
  onAvailable(): void {}
  onClosed(): void {}
}

/** A client and a server with a path of `roundTripMs` between them, which takes any amount. */
class Path {
  readonly client: End;
  readonly server: End;
  nowMs = 0;
  readonly #halfMs: number;
  readonly #underWay: { readonly to: End; readonly atMs: number; readonly bytes: Buffer }[] = [];

  constructor(roundTripMs: number, budgetBytes = 64 * MIB) {
    this.budget = new WindowBudget(budgetBytes);
    this.client = new End("client", this.budget);
    this.server = new End("server", this.budget);
    this.#halfMs = roundTripMs / 2;
    this.flush();
    this.run(5 * roundTripMs);
  }

  readonly budget: WindowBudget;

  /** Lets a server send `bytes`. */
  download(bytes: number, stalled = false): Sink {
    const sink = new Sink();
    sink.stalled = stalled;
    this.server.next.push(new Source(bytes));
    sink.stream = this.client.connection.openStream(fieldsOf(request("/a/B")), true, sink);
    this.flush();
    return sink;
  }

  run(ms: number): void {
    const untilMs = this.nowMs + ms;
    for (let next = this.#underWay[0]; next !== undefined && next.atMs <= untilMs; ) {
      this.#underWay.shift();
      this.nowMs = next.atMs;
      next.to.connection.receive(next.bytes, this.nowMs);
      this.flush();
      next = this.#underWay[0];
    }
    this.nowMs = untilMs;
  }

  flush(): void {
    for (const [from, to] of [
      [this.client, this.server],
      [this.server, this.client],
    ] as const) {
      const bytes = from.turn(this.nowMs);
      if (bytes.length > 0) this.#underWay.push({ to, atMs: this.nowMs + this.#halfMs, bytes });
    }
  }
}

/** In bytes a second, from now on. */
function speedOf(path: Path, sink: Sink, ms: number): number {
  const before = sink.receivedBytes;
  path.run(ms);
  return ((sink.receivedBytes - before) * 1_000) / ms;
}

describe("one stream over 50 ms", () => {
  it("has a window in each round trip where windows do not grow", () => {
    const path = new Path(50, 0);
    const sink = path.download(100 * MIB);
    path.run(1_000);
    expect(speedOf(path, sink, 1_000)).toBeLessThan(2_700_000);
    expect(path.client.pings).toEqual([]);
  });

  it("goes beyond 100 MB/s within two seconds", () => {
    const path = new Path(50);
    const sink = path.download(4_096 * MIB);
    path.run(2_000);
    expect(speedOf(path, sink, 500)).toBeGreaterThan(100_000_000);
    expect(path.budget.usedBytes).toBeLessThanOrEqual(16 * MIB);
    // One in each round trip at most.
    expect(path.client.pings.length).toBeLessThanOrEqual(50);
    expect(path.server.pings).toEqual([]);
  });

  it("grows within what is left of the budget", () => {
    const path = new Path(50, 300_000);
    const sink = path.download(4_096 * MIB);
    path.run(2_000);
    expect(path.budget.usedBytes).toBe(300_000);
    const speed = speedOf(path, sink, 1_000);
    expect(speed).toBeGreaterThan(7_500_000);
    expect(speed).toBeLessThan(9_000_000);
  });

  it("gives the budget back when the response has ended and was taken", () => {
    const path = new Path(50);
    const sink = path.download(64 * MIB);
    path.run(1_000);
    expect(path.budget.usedBytes).toBeGreaterThan(MIB);
    path.run(3_000);
    expect(sink.receivedBytes).toBe(64 * MIB);
    expect(path.budget.usedBytes).toBe(0);
  });

  it("keeps its share for as long as its owner has not taken all, also after the end", () => {
    const path = new Path(50);
    const sink = path.download(24 * MIB);
    while (sink.receivedBytes < 20 * MIB) path.run(25);
    sink.stalled = true;
    path.run(3_000);
    expect(sink.receivedBytes).toBe(24 * MIB);
    const share = path.budget.usedBytes;
    expect(share).toBeGreaterThan(MIB);
    sink.stream?.reset(0);
    expect(path.budget.usedBytes).toBe(share);
    sink.stream?.acknowledge(24 * MIB);
    expect(path.budget.usedBytes).toBe(0);
  });

  it("gives the budget back when it is reset, and when its response ends after it was taken", () => {
    const path = new Path(50);
    const sink = path.download(4_096 * MIB);
    path.run(1_000);
    expect(path.budget.usedBytes).toBeGreaterThan(MIB);
    sink.stream?.reset(8);
    expect(path.budget.usedBytes).toBe(0);
  });
});

/** A full collection, and time for what follows from it. */
async function collectGarbage(): Promise<void> {
  setFlagsFromString("--expose-gc");
  const collect: () => void = runInNewContext("gc");
  setFlagsFromString("--no-expose-gc");
  collect();
  await new Promise((resolve) => setImmediate(resolve));
}

describe("a budget", () => {
  it("gives no more than it has, and takes back what was given, once", () => {
    const budget = new WindowBudget(100);
    const [one, other] = [budget.begin({}), budget.begin({})];
    expect([budget.extend(one, 60), budget.extend(other, 60)]).toEqual([60, 40]);
    expect([budget.usedBytes, budget.freeBytes]).toEqual([100, 0]);
    budget.end(one);
    budget.end(one);
    expect([budget.usedBytes, budget.freeBytes]).toEqual([40, 60]);
  });

  it("has the share of a stream back that its owner dropped", async () => {
    const budget = new WindowBudget(100);
    (() => {
      budget.extend(budget.begin({ stream: 1 }), 60);
    })();
    for (let i = 0; i < 50 && budget.usedBytes > 0; i++) await collectGarbage();
    expect(budget.usedBytes).toBe(0);
  });
});

describe("windows do not grow", () => {
  it("for a stalled stream, however long the path is", () => {
    const path = new Path(50);
    for (let i = 0; i < 50; i++) path.download(64 * MIB, true);
    path.run(5_000);
    expect(path.budget.usedBytes).toBe(0);
  });

  it("on a path of less than a millisecond", () => {
    const path = new Path(0.5);
    const sink = path.download(256 * MIB);
    path.run(500);
    expect(sink.receivedBytes).toBeGreaterThan(64 * MIB);
    expect(path.budget.usedBytes).toBe(0);
    // Fewer and fewer: 0, 50, 150, 350 ms.
    expect(path.client.pings.length).toBeLessThanOrEqual(4);
  });

  it.each([
    [20, 0],
    [50, 1],
  ])("for small calls, %d at a time, and they cost %d PINGs a mebibyte", (calls, most) => {
    const path = new Path(50);
    for (let i = 0; i < 20; i++) {
      for (let call = 0; call < calls; call++) path.download(1_000);
      path.run(100);
    }
    expect(path.client.pings.length).toBeLessThanOrEqual(most);
    expect(path.budget.usedBytes).toBe(0);
    expect(path.client.connection.openStreamCount).toBe(0);
  });
});

describe("the window of a connection", () => {
  it("grows with many streams of which none uses up its own", () => {
    const path = new Path(50);
    for (let i = 0; i < 20; i++) {
      for (let call = 0; call < 90; call++) path.download(60_000);
      path.run(50);
    }
    expect(path.client.pings.length).toBeGreaterThan(0);
    expect(path.client.pings.length).toBeLessThanOrEqual(20);
    path.run(1_000);
    // Twelve million bytes, all of them under way at once now.
    const sinks = Array.from({ length: 200 }, () => path.download(60_000));
    path.run(51);
    const receivedBytes = sinks.reduce((sum, sink) => sum + sink.receivedBytes, 0);
    expect(receivedBytes).toBeGreaterThan(CONNECTION_BYTES * 1.5);
  });
});

describe("the estimate", () => {
  it("begins with the window, and doubles what came in a round trip that was full", () => {
    const estimator = new BdpEstimator(1_000);
    expect(estimator.begin(0, 0)).toBe(true);
    expect(estimator.begin(500, 5)).toBe(false);
    expect(estimator.acknowledged(800, 10)).toBe(true);
    expect(estimator.bytes).toBe(1_600);
    expect(estimator.begin(900, 11)).toBe(true);
    expect(estimator.acknowledged(2_300, 21)).toBe(true);
    expect(estimator.bytes).toBe(2_800);
  });

  it("stays when the round trip was not full, and asks later each time", () => {
    const estimator = new BdpEstimator(1_000);
    let nowMs = 0;
    for (const pauseMs of [50, 100, 200, 400, 800, 1_000, 1_000]) {
      expect(estimator.begin(0, nowMs)).toBe(true);
      nowMs += 10;
      expect(estimator.acknowledged(600, nowMs)).toBe(false);
      expect(estimator.begin(600, nowMs + pauseMs - 1)).toBe(false);
      nowMs += pauseMs;
    }
    expect(estimator.bytes).toBe(1_000);
  });

  it("stays when more under way has brought no bandwidth", () => {
    const estimator = new BdpEstimator(1_000);
    estimator.begin(0, 0);
    expect(estimator.acknowledged(1_000, 10)).toBe(true);
    estimator.begin(1_000, 10);
    expect(estimator.acknowledged(3_000, 29)).toBe(false);
    expect(estimator.bytes).toBe(2_000);
  });

  it("asks nothing more when it is as high as it can be, and survives counts that wrap", () => {
    const estimator = new BdpEstimator(1_000);
    estimator.begin(0x7fffffff | 0, 0);
    expect(estimator.acknowledged((0x7fffffff + 10_000_000) | 0, 10)).toBe(true);
    expect(estimator.bytes).toBe(16_777_216);
    expect(estimator.begin(0, 1_000_000)).toBe(false);
  });

  it("is not raised by a window that is larger already", () => {
    const estimator = new BdpEstimator(20_000_000);
    expect(estimator.begin(0, 0)).toBe(false);
    expect(estimator.bytes).toBe(20_000_000);
  });
});

it("no PING of it counts as one too many at a server that bounds them: each follows DATA", () => {
  const path = new Path(50);
  path.download(512 * MIB);
  path.run(3_000);
  const { pings } = path.client;
  expect(pings.length).toBeGreaterThan(3);
  for (const [i, atMs] of pings.entries()) {
    if (i > 0) expect(atMs - (pings[i - 1] as number)).toBeGreaterThanOrEqual(50);
  }
  expect(path.server.connection.ended).toBe(undefined);
});

it("no PING follows another without DATA between them, however slowly the owner takes what came", () => {
  const path = new Path(50);
  const sink = path.download(512 * MIB);
  const [source] = path.server.next;
  path.run(400);
  const { stream } = sink;
  if (stream === undefined || source === undefined) throw new Error("expected a stream");
  expect(stream.windowBytes).toBeGreaterThan(MIB / 2);
  expect(stream.windowBytes).toBeLessThan(8 * MIB);
  source.left = 0;
  while (source.stream !== undefined && source.stream.queuedBytes > 0) path.run(1);
  // What is under way comes, and the server has no more.
  sink.stalled = true;
  path.run(1_000);
  expect(stream.unacknowledgedBytes).toBeGreaterThan(stream.windowBytes * 0.375);
  const before = path.client.pings.length;
  const eighth = Math.ceil(stream.windowBytes / 8);
  for (let i = 0; i < 8; i++) {
    stream.acknowledge(eighth);
    path.flush();
    path.run(2_000);
  }
  expect(path.client.pings.length - before).toBeLessThanOrEqual(1);
  expect(path.server.connection.ended).toBe(undefined);
});
