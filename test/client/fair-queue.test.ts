import { describe, expect, it } from "vitest";
import { FairQueue } from "../../src/client/fair-queue.ts";

class Caller {
  waitingAt = -1;
  readonly name: string;
  readonly fairnessKey: string | undefined;
  constructor(name: string, key: string | undefined = name[0]) {
    this.name = name;
    this.fairnessKey = key;
  }
}

function queueOf(...names: string[]): { queue: FairQueue<Caller>; callers: Caller[] } {
  const queue = new FairQueue<Caller>();
  const callers = names.map((name) => new Caller(name));
  for (const caller of callers) queue.push(caller);
  return { queue, callers };
}

/** Takes all out by their turns. */
function drain(queue: FairQueue<Caller>): string[] {
  const names: string[] = [];
  for (let next = queue.peekAll(); next !== undefined; next = queue.peekAll()) {
    expect(queue.take(next)).toBe(true);
    names.push(next.name);
  }
  expect(queue.size).toBe(0);
  return names;
}

describe("FairQueue", () => {
  it("lets the sources take turns, and keeps the order within each", () => {
    const { queue } = queueOf("a1", "a2", "a3", "b1", "b2", "c1");
    expect(drain(queue)).toEqual(["a1", "b1", "c1", "a2", "b2", "a3"]);
  });

  it("serves one that waits alone, again and again", () => {
    const { queue, callers } = queueOf("a1");
    expect([queue.size, queue.peek(), queue.first(5), queue.toArray()]).toEqual([
      1,
      callers[0],
      callers,
      callers,
    ]);
    expect(queue.take(callers[0]!)).toBe(true);
    expect([queue.remove(callers[0]!), callers[0]!.waitingAt, queue.size]).toEqual([false, -1, 0]);
    queue.push(callers[0]!);
    expect([queue.remove(callers[0]!), queue.peek(), queue.peekAll()]).toEqual([
      true,
      undefined,
      undefined,
    ]);
  });

  it("takes out those that leave, and forgets a source without calls", () => {
    const { queue, callers } = queueOf("a1", "a2", "b1", "c1");
    const [, a2, b1] = callers as [Caller, Caller, Caller];
    expect([queue.remove(b1), queue.remove(b1), queue.take(b1)]).toEqual([true, false, false]);
    expect(queue.remove(a2)).toBe(true);
    queue.push(b1);
    expect(drain(queue)).toEqual(["a1", "c1", "b1"]);
    expect(queue.remove(new Caller("z1"))).toBe(false);
    expect(queue.take(new Caller("a9"))).toBe(false);
  });

  it("passes over a line that is set aside, and its turn comes where all may", () => {
    const { queue, callers } = queueOf("a1", "a2", "b1", "b2");
    const [a1] = callers as [Caller];
    expect(queue.peekAside()).toBeUndefined();
    queue.setAside(a1);
    queue.push(new Caller("a3"));
    expect([queue.peek()?.name, queue.peekAside()?.name, queue.peekAll()?.name]).toEqual([
      "b1",
      "a1",
      "b1",
    ]);
    queue.take(callers[2]!);
    expect([queue.peek()?.name, queue.peekAll()?.name]).toEqual(["b2", "a1"]);
    queue.readmit("a");
    queue.readmit("b");
    queue.readmit("nobody");
    expect(queue.peekAside()).toBeUndefined();
    expect(drain(queue)).toEqual(["b2", "a1", "a2", "a3"]);
  });

  it("sets a call aside that waits alone, and one that is gone not at all", () => {
    const { queue, callers } = queueOf("a1");
    queue.setAside(callers[0]!);
    expect([queue.peek(), queue.peekAside(), queue.peekAll()]).toEqual([
      undefined,
      ...twice(callers),
    ]);
    queue.remove(callers[0]!);
    queue.setAside(callers[0]!);
    expect([queue.size, queue.peekAside()]).toEqual([0, undefined]);
  });

  it("lists calls as the turns would have them", () => {
    const { queue, callers } = queueOf("a1", "a2", "a3", "b1", "b2", "c1");
    queue.setAside(callers[5]!);
    const names = (items: Caller[]) => items.map(({ name }) => name);
    expect(names(queue.first(4))).toEqual(["a1", "b1", "c1", "a2"]);
    expect(names(queue.first(2))).toEqual(["a1", "b1"]);
    expect(names(queue.toArray())).toEqual(["a1", "a2", "a3", "b1", "b2", "c1"]);
    expect(new FairQueue<Caller>().first(3)).toEqual([]);
  });

  it("keeps the last places for sources that have fewer than their share", () => {
    const { queue } = queueOf("a1");
    const refused = (name: string): boolean => {
      const caller = new Caller(name);
      queue.push(caller);
      const isOver = queue.isOver(10, caller);
      if (isOver) queue.remove(caller);
      return isOver;
    };
    for (let i = 2; i <= 9; i++) expect(refused(`a${i}`)).toBe(false);
    expect(refused("a10")).toBe(true);
    expect(refused("b1")).toBe(false);
    expect([refused("b2"), refused("c1"), queue.size]).toEqual([true, true, 10]);
  });

  it("keeps no place where all calls are our own", () => {
    const queue = new FairQueue<Caller>();
    const own = Array.from({ length: 3 }, () => new Caller("own", undefined));
    own[0] = new Caller("own");
    Object.assign(own[0], { fairnessKey: undefined });
    for (const caller of own) Object.assign(caller, { fairnessKey: undefined });
    const over = own.map((caller) => {
      queue.push(caller);
      return queue.isOver(2, caller);
    });
    expect(over).toEqual([false, false, true]);
  });

  it("agrees with a model over many arrivals, departures and turns", () => {
    const queue = new FairQueue<Caller>();
    let lines: Caller[][] = [];
    let seed = 11;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    for (let step = 0; step < 20_000; step++) {
      const choice = random(4);
      const all = lines.flat();
      if (choice < 2 && all.length < 100) {
        const caller = new Caller(`${"abcdefgh"[random(8)]}${step}`);
        queue.push(caller);
        const line = lines.find(([first]) => first?.fairnessKey === caller.fairnessKey);
        if (line === undefined) lines.push([caller]);
        else line.push(caller);
      } else if (choice === 2 && all.length > 0) {
        const leaver = all[random(all.length)]!;
        expect(queue.remove(leaver)).toBe(true);
        lines = lines.map((line) => line.filter((caller) => caller !== leaver));
      } else {
        const next = queue.peek();
        expect(next).toBe(lines[0]?.[0]);
        if (next !== undefined) queue.take(next);
        const [line, ...others] = lines;
        if (line !== undefined) lines = [...others, line.slice(1)];
      }
      lines = lines.filter((line) => line.length > 0);
      if (queue.size !== lines.flat().length) expect.fail(`step ${step}: size ${queue.size}`);
    }
  });

  it("takes no longer for a turn when 10,000 calls of 1,000 sources wait", () => {
    const time = (sources: number, each: number): number => {
      const queue = new FairQueue<Caller>();
      for (let i = 0; i < sources * each; i++) queue.push(new Caller("call", `${i % sources}`));
      const startedMs = performance.now();
      for (let turn = 0; turn < 100_000; turn++) {
        const next = queue.peekAll()!;
        if (turn % 3 === 0) queue.setAside(next);
        queue.take(next);
        queue.push(next);
        queue.readmit(next.fairnessKey);
      }
      return performance.now() - startedMs;
    };
    time(10, 10);
    // With work for each line or call it would be 100 times as long.
    expect(time(1_000, 10)).toBeLessThan(20 * time(10, 10) + 100);
  });
});

function twice(callers: Caller[]): Caller[] {
  return [callers[0]!, callers[0]!];
}
