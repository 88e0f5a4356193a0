// How the balancers that keep all addresses connected spread calls over those that are ready.

import { describe, expect, it } from "vitest";
import type { BalancerFactory } from "../../../src/client/balance/balancer.ts";
import { BALANCERS } from "../../../src/client/balance/built-in.ts";
import { Random } from "../../fuzz/random.ts";
import { FakeAddresses } from "../../support/balancing.ts";

function readyAt(make: BalancerFactory, ...addresses: string[]): FakeAddresses {
  const set = new FakeAddresses(make, ...addresses);
  for (const each of set.all) each.become("ready");
  set.done();
  return set;
}

function picks(set: FakeAddresses, count: number): string {
  return Array.from({ length: count }, () => set.pick()?.charAt(0) ?? "-").join("");
}

describe.each(["roundRobin", "leastRequest"] as const)("%s", (name) => {
  it("connects all, again as soon as one is idle, and lets calls wait for the first", () => {
    const set = new FakeAddresses(BALANCERS[name], "a:1", "b:1");
    expect([set.done(), set.pick()]).toEqual([["connect a:1", "connect b:1"], undefined]);
    set.become("ready", "b:1");
    expect(picks(set, 3)).toBe("bbb");
    set.become("transientFailure", "a:1");
    set.become("idle", "a:1");
    expect(set.done()).toEqual(["connect a:1"]);
  });

  it("sends nothing where nothing can go", () => {
    const set = readyAt(BALANCERS[name], "a:1", "b:1", "c:1");
    set.become("transientFailure", "b:1");
    set.list("a:1", "b:1");
    expect(picks(set, 4)).toBe("aaaa");
  });
});

describe("roundRobin", () => {
  it("takes turns, beginning anywhere, and goes on when one leaves or comes", () => {
    const set = readyAt(BALANCERS.roundRobin, "a:1", "b:1", "c:1");
    set.draws = [0.5];
    expect(picks(set, 4)).toBe("bcab");
    set.become("transientFailure", "c:1");
    expect(picks(set, 4)).toBe("abab");
    set.become("ready", "c:1");
    expect(picks(set, 3)).toBe("cab");
  });

  it("goes by weight where weights differ, smoothly, and keeps what each has saved up", () => {
    const set = readyAt(BALANCERS.roundRobin, "a:1*5", "b:1*1", "c:1*1");
    expect(picks(set, 7)).toBe("aabacaa");
    expect(picks(set, 3)).toBe("aab");
    set.changed();
    expect(picks(set, 4)).toBe("acaa");
    set.list("a:1*1", "b:1*1", "c:1*1");
    expect(picks(set, 3)).toMatch(/^(abc|bca|cab)$/);
  });

  it("takes weights that are no integers", () => {
    const set = readyAt(BALANCERS.roundRobin, "a:1*0.5", "b:1*0.25", "c:1*0.25");
    expect([...picks(set, 4)].sort().join("")).toBe("aabc");
  });
});

describe("leastRequest", () => {
  it("gives the call to the less busy of two different ones, the first drawn if they are equal", () => {
    const set = readyAt(BALANCERS.leastRequest, "a:1", "b:1", "c:1");
    set.get("a:1").inFlight = 1;
    set.draws = [0, 0];
    expect(set.pick()).toBe("b:1");
    set.draws = [0.9, 0];
    expect(set.pick()).toBe("c:1");
    set.draws = [0.4, 0.9];
    expect(set.pick()).toBe("b:1");
    set.get("b:1").inFlight = 1;
    set.draws = [0.4, 0.9];
    expect(set.pick()).toBe("b:1");
  });

  it("goes by weight: twice the weight, twice the calls under way", () => {
    const set = readyAt(BALANCERS.leastRequest, "a:1*2", "b:1");
    const counts: Record<string, number> = { "a:1": 0, "b:1": 0 };
    const random = new Random(3);
    for (let i = 0; i < 300; i++) {
      set.draws = [random.below(1_000_000) / 1_000_000, random.below(1_000_000) / 1_000_000];
      const address = set.pick() ?? "";
      set.get(address).inFlight++;
      counts[address] = (counts[address] ?? 0) + 1;
    }
    expect(counts).toEqual({ "a:1": 200, "b:1": 100 });
  });

  it("leaves a slow address alone, to which roundRobin gives its share", () => {
    const shares = (["roundRobin", "leastRequest"] as const).map((name) => {
      const addresses = Array.from({ length: 10 }, (_, i) => `${i}:1`);
      const set = readyAt(BALANCERS[name], ...addresses);
      const random = new Random(5);
      let ofSlow = 0;
      for (let i = 0; i < 1_000; i++) {
        set.draws = [random.below(1_000_000) / 1_000_000, random.below(1_000_000) / 1_000_000];
        const address = set.pick() ?? "";
        set.get(address).inFlight++;
        if (address === "0:1") ofSlow++;
        // Each of the others answers soon; the slow one takes a hundred times as long.
        for (const each of set.all) {
          const isDue = each.address === "0:1" ? i % 100 === 0 : i % 2 === 0;
          if (isDue) each.inFlight = Math.max(0, each.inFlight - 1);
        }
      }
      return ofSlow;
    });
    expect(shares[0]).toBe(100);
    expect(shares[1]).toBeLessThan(30);
  });
});
