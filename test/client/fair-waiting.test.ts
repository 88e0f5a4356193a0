// Calls of several sources that want more streams of a backend than it allows.

import { describe, expect, it } from "vitest";
import type { DialOptions } from "../../src/client/dial-options.ts";
import type { StreamRequest } from "../../src/client/stream-request.ts";
import { Subchannel } from "../../src/client/subchannel/subchannel.ts";
import type { StreamListener } from "../../src/transport/transport.ts";
import { PATH } from "../support/relay-fixture.ts";
import { type StubConn, type StubSession, stubConn } from "../support/stub-session.ts";

const ONE = { maxConnectionsPerAddress: 1 };

class Scene {
  readonly stub: StubConn;
  /** The calls that have a stream, in the order in which they got it. */
  readonly opened: string[] = [];
  readonly failed: string[] = [];
  readonly #requests = new Map<string, StreamRequest>();

  constructor(streamLimit: number, options: DialOptions = ONE) {
    this.stub = stubConn(options);
    this.stub.conn.connect();
    this.ready(0, streamLimit);
  }

  session(index: number): StubSession {
    return this.stub.sessions[index]!;
  }

  ready(index: number, streamLimit: number): void {
    this.session(index).streamLimit = streamLimit;
    this.session(index).becomeReady();
  }

  /** Asks for a stream, for the source that the first letter names. */
  call(name: string): void {
    const request = {
      ...{ waitForReady: false, waitingAt: -1, method: PATH, hashKey: undefined, name },
      ...{ fairnessKey: name[0] === "-" ? undefined : name[0], refusedOn: undefined },
      requestHeaders: () => [],
      onOpened: () => this.opened.push(name),
      onOpenFailed: ({ reason }: { reason: string }) => this.failed.push(`${name} ${reason}`),
    } as unknown as StreamRequest;
    this.#requests.set(name, request);
    this.stub.conn.open(request);
  }

  calls(source: string, count: number): void {
    for (let i = 1; i <= count; i++) this.call(`${source}${i}`);
  }

  end(name: string, session = this.session(0)): void {
    session.endStreamOf(this.#requests.get(name) as StreamListener);
  }

  countOf(source: string): number {
    return this.opened.filter((name) => name.startsWith(source)).length;
  }

  get waiting(): number {
    return this.stub.conn.waitingCount;
  }
}

describe("a backend with few streams", () => {
  it("leaves a tenth of them to those who have less, and one at least", () => {
    for (const [limit, most] of [
      [20, 18],
      [10, 9],
      [2, 1],
    ] as const) {
      const scene = new Scene(limit);
      scene.calls("h", limit + 5);
      expect([scene.countOf("h"), scene.waiting]).toEqual([most, limit + 5 - most]);
      scene.call("a1");
      expect(scene.opened.at(-1)).toBe("a1");
    }
  });

  it("lets a lone source have a lone stream", () => {
    const scene = new Scene(1);
    scene.calls("h", 2);
    expect([scene.opened, scene.waiting]).toEqual([["h1"], 1]);
    scene.end("h1");
    expect(scene.opened).toEqual(["h1", "h2"]);
  });

  it("leaves nothing where all calls are our own", () => {
    const scene = new Scene(10);
    scene.calls("-", 11);
    expect([scene.countOf("-"), scene.waiting]).toEqual([10, 1]);
  });

  it("serves another at once while many wait, call after call", () => {
    const scene = new Scene(10);
    scene.calls("h", 50);
    for (let i = 1; i <= 20; i++) {
      scene.call(`a${i}`);
      expect(scene.opened.at(-1)).toBe(`a${i}`);
      scene.end(`a${i}`);
      expect(scene.countOf("h")).toBe(9);
    }
  });

  it("gives a source a stream again whose own has ended", () => {
    const scene = new Scene(10);
    scene.calls("h", 12);
    scene.end("h3");
    expect([scene.opened.at(-1), scene.waiting]).toEqual(["h10", 2]);
  });

  it("has all of its room again when a lower limit was set for a while", () => {
    const scene = new Scene(20);
    for (let i = 1; i <= 8; i++) scene.call(`h${i}`);
    const session = scene.session(0);
    session.streamLimit = 3;
    // So many calls wait that room is counted by the lower limit.
    for (let i = 9; i <= 28; i++) scene.call(`h${i}`);
    expect(scene.waiting).toBe(20);
    session.streamLimit = 20;
    session.listener.onAvailable();
    expect([scene.countOf("h"), scene.waiting]).toEqual([18, 10]);
  });

  it("gives the rest to a source below its share, up to the share", () => {
    const scene = new Scene(30);
    scene.calls("h", 40);
    scene.calls("a", 5);
    // 27 for h; then 3 are left, and the share is 10.
    expect([scene.countOf("h"), scene.countOf("a")]).toEqual([27, 3]);
    for (let i = 1; i <= 20; i++) scene.end(`h${i}`);
    expect(scene.countOf("a")).toBe(5);
    expect(scene.countOf("h")).toBe(40);
  });

  it("takes turns when room comes", () => {
    const scene = new Scene(3);
    for (const name of ["a1", "b1", "c1"]) scene.call(name);
    for (const name of ["a2", "a3", "a4", "b2", "b3"]) scene.call(name);
    for (const name of ["a1", "b1", "c1", "a2", "b2"]) scene.end(name);
    expect(scene.opened.slice(3)).toEqual(["a2", "b2", "b3", "a3"]);
  });

  it("looks again at a source whose share has grown because another left", () => {
    const scene = new Scene(100);
    // Nine sources: 90 streams, and a share of 10 for each and for one more.
    for (const source of "abcdefghi") scene.calls(source, 10);
    scene.call("a11");
    expect(scene.waiting).toBe(1);
    scene.call("j1");
    for (let i = 2; i <= 6; i++) scene.call(`j${i}`);
    expect([scene.countOf("j"), scene.waiting]).toEqual([6, 1]);
    // b leaves but for room that stays scarce.
    for (let i = 1; i <= 6; i++) scene.end(`b${i}`);
    for (let i = 7; i <= 9; i++) scene.call(`j${i}`);
    for (let i = 7; i <= 10; i++) scene.end(`b${i}`);
    expect(scene.opened).toContain("a11");
  });

  it("looks again at a source whose share grows while room stays scarce", () => {
    const scene = new Scene(100);
    scene.calls("a", 12);
    for (const source of "cdefgh") scene.calls(source, 13);
    scene.call("b1");
    scene.call("a13");
    // 91 streams of 8 sources: the share is 100 / 9.
    expect([scene.countOf("a"), scene.waiting]).toEqual([12, 1]);
    scene.end("b1");
    // 90 of 7: 100 / 8.
    expect([scene.countOf("a"), scene.waiting]).toEqual([13, 0]);
  });

  it("looks at few of many sources above their share for each event", () => {
    const scene = new Scene(100);
    const sources = Array.from({ length: 90 }, (_, i) => String.fromCharCode(200 + i));
    for (const source of sources) scene.call(`${source}1`);
    for (const source of sources) scene.call(`${source}2`);
    // 91 sources with one more expected: the share is above one.
    const before = scene.opened.length;
    expect(before).toBeGreaterThan(90);
    for (const source of sources.slice(0, 50)) scene.call(`${source}3`);
    expect(scene.failed).toEqual([]);
    for (const source of sources) scene.end(`${source}1`);
    expect(scene.opened.length).toBeGreaterThan(before + 80);
  });

  it("makes all its connections before it keeps anything", () => {
    const scene = new Scene(10, { maxConnectionsPerAddress: 2 });
    scene.calls("h", 30);
    scene.ready(1, 10);
    // 20 places, 2 of them are kept.
    expect([scene.countOf("h"), scene.stub.sessions.length]).toEqual([18, 2]);
    scene.call("a1");
    expect(scene.opened.at(-1)).toBe("a1");
  });

  it("bounds by maxInFlightPerAddress, too", () => {
    const scene = new Scene(100, { maxInFlightPerAddress: 10 });
    scene.calls("h", 20);
    expect(scene.countOf("h")).toBe(9);
    scene.call("a1");
    expect(scene.opened.at(-1)).toBe("a1");
  });

  it("goes by the limit that the server has set last", () => {
    const scene = new Scene(100);
    scene.calls("h", 20);
    scene.session(0).streamLimit = 25;
    scene.session(0).listener.onAvailable();
    scene.call("h21");
    expect(scene.countOf("h")).toBe(21);
    for (let i = 22; i <= 30; i++) scene.call(`h${i}`);
    expect(scene.countOf("h")).toBe(23);
    scene.session(0).streamLimit = 50;
    scene.session(0).listener.onAvailable();
    expect([scene.countOf("h"), scene.waiting]).toEqual([30, 0]);
  });

  it("that lets no stream be opened keeps nothing", () => {
    const scene = new Scene(4);
    scene.session(0).streamLimit = 0;
    scene.session(0).listener.onAvailable();
    scene.calls("h", 2);
    expect([scene.opened, scene.waiting]).toEqual([[], 2]);
    scene.session(0).streamLimit = 4;
    scene.session(0).listener.onAvailable();
    expect(scene.opened).toEqual(["h1", "h2"]);
  });

  it("counts anew when a connection is lost", () => {
    const scene = new Scene(10, { maxConnectionsPerAddress: 2 });
    scene.calls("h", 30);
    scene.ready(1, 10);
    scene.call("a1");
    const before = scene.session(0);
    before.closed();
    expect(before.watcher === undefined || scene.session(1).watcher !== undefined).toBe(true);
    // 10 streams are gone with it, and another connection is made for those that wait.
    expect([scene.countOf("h"), scene.waiting]).toEqual([19, 11]);
    scene.stub.clock.advance(2_000);
    scene.ready(2, 10);
    expect([scene.countOf("h"), scene.waiting]).toEqual([27, 3]);
    scene.call("b1");
    expect(scene.opened.at(-1)).toBe("b1");
  });

  it("is watched only while room is scarce", async () => {
    const scene = new Scene(20);
    scene.calls("h", 17);
    expect(scene.session(0).watcher).toBeUndefined();
    scene.calls("i", 3);
    expect(scene.session(0).watcher).toBeDefined();
    for (let i = 1; i <= 5; i++) scene.end(`h${i}`);
    scene.call("h18");
    expect(scene.session(0).watcher).toBeUndefined();
    scene.calls("j", 10);
    expect(scene.session(0).watcher).toBeDefined();
    const session = scene.session(0);
    const closed = scene.stub.conn.close();
    expect(session.watcher).toBeUndefined();
    await closed;
  });

  it("has places in the queue for those who have fewer there", () => {
    const scene = new Scene(1, { ...ONE, maxWaitingCalls: 10 });
    scene.calls("h", 12);
    expect([scene.waiting, scene.failed]).toEqual([9, ["h11 QUEUE_FULL", "h12 QUEUE_FULL"]]);
    scene.call("a1");
    expect(scene.waiting).toBe(10);
    scene.call("b1");
    expect(scene.failed.at(-1)).toBe("b1 QUEUE_FULL");
    scene.end("h1");
    scene.end("a1");
    expect(scene.opened).toEqual(["h1", "a1", "h2"]);
  });

  it("can grow less after a failure to connect, until the backoff is over", () => {
    const scene = new Scene(10, { maxConnectionsPerAddress: 2 });
    scene.calls("h", 11);
    scene.session(1).closed();
    expect([scene.countOf("h"), scene.waiting]).toEqual([10, 1]);
    scene.end("h1");
    scene.end("h2");
    // Without another connection there are 10 places, one of them kept.
    expect([scene.countOf("h"), scene.waiting]).toEqual([11, 0]);
    scene.call("h12");
    expect(scene.waiting).toBe(1);
    scene.stub.clock.advance(2_000);
    expect([scene.waiting, scene.countOf("h")]).toEqual([0, 12]);
  });
});

describe("Subchannel.capacity", () => {
  it("is 0 unless it is ready", () => {
    const owner = { isWanted: () => false } as never;
    const source = { reconnects: true, connect: () => undefined as never };
    const options = { maxConnectionsPerAddress: 3, maxInFlightPerAddress: 5 } as never;
    const past = { source, history: undefined as never };
    expect(new Subchannel("a:1", past, options, owner).capacity).toBe(0);
  });
});
