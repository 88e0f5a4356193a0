// Which address "ringHash" gives a key, and what moves when addresses come and go.

import { describe, expect, it } from "vitest";
import { BALANCERS } from "../../../src/client/balance/built-in.ts";
import { Random } from "../../fuzz/random.ts";
import { FakeAddresses } from "../../support/balancing.ts";

const KEYS = Array.from({ length: 5_000 }, (_, i) => `customer-${i}`);
const TEN = Array.from({ length: 10 }, (_, i) => `10.0.0.${i}:50051`);

function readyAt(...addresses: string[]): FakeAddresses {
  const set = new FakeAddresses(BALANCERS.ringHash, ...addresses);
  for (const each of set.all) each.become("ready");
  return set;
}

const owners = (set: FakeAddresses): (string | undefined)[] =>
  KEYS.map((hashKey) => set.pick({ hashKey }));

function sharesOf(all: readonly (string | undefined)[]): Map<string, number> {
  const shares = new Map<string, number>();
  for (const address of all) shares.set(`${address}`, (shares.get(`${address}`) ?? 0) + 1);
  return shares;
}

describe("ringHash", () => {
  it("gives each address about its share of the keys, and a key always the same one", () => {
    const set = readyAt(...TEN);
    const before = owners(set);
    for (const share of sharesOf(before).values()) {
      expect(share / KEYS.length).toBeGreaterThan(0.07);
      expect(share / KEYS.length).toBeLessThan(0.13);
    }
    // Not the order of the list, nor who asks.
    expect(owners(readyAt(...[...TEN].reverse()))).toEqual(before);
  });

  it("moves nothing but the keys of the one that leaves, and nothing but what the one that comes takes", () => {
    const set = readyAt(...TEN);
    const before = owners(set);
    const [gone = "", ...others] = TEN;
    set.list(...others);
    owners(set).forEach((address, i) => {
      if (before[i] !== gone) expect(address).toBe(before[i]);
    });
    set.list(...TEN);
    set.become("ready", gone);
    expect(owners(set)).toEqual(before);
  });

  it("moves the keys of one that fails to the next on the ring, as if it had left, and connects it again", () => {
    const set = readyAt(...TEN);
    const [gone = "", ...others] = TEN;
    set.become("transientFailure", gone);
    const without = owners(set);
    expect(without).toEqual(owners(readyAt(...others)));
    set.become("idle", gone);
    set.done();
    expect(owners(set)).toEqual(without);
    expect(set.done()).toEqual([`connect ${gone}`]);
  });

  it("goes by weight, and a changed weight moves no more than the difference", () => {
    const set = readyAt("a:1*2", "b:1", "c:1");
    const before = owners(set);
    expect((sharesOf(before).get("a:1") ?? 0) / KEYS.length).toBeCloseTo(0.5, 1);
    set.list("a:1", "b:1", "c:1");
    const after = owners(set);
    expect((sharesOf(after).get("a:1") ?? 0) / KEYS.length).toBeCloseTo(0.33, 1);
    const moved = KEYS.filter((_, i) => before[i] !== after[i]);
    expect(moved.every((key) => before[KEYS.indexOf(key)] === "a:1")).toBe(true);
  });

  it("takes weights of a million and of a millionth", () => {
    const set = readyAt("a:1*1000000", "b:1*1000000", "c:1*0.000001");
    const shares = sharesOf(owners(set));
    expect((shares.get("a:1") ?? 0) / KEYS.length).toBeCloseTo(0.5, 1);
    expect(shares.get("c:1") ?? 0).toBeLessThan(10);
  });

  it("sends calls without a key anywhere", () => {
    const set = readyAt(...TEN);
    const random = new Random(1);
    set.draws = Array.from({ length: 200 }, () => random.below(1_000_000) / 1_000_000);
    const picked = new Set(Array.from({ length: 200 }, () => set.pick()));
    expect(picked.size).toBe(10);
    set.draws = [0.999_999_999];
    expect(TEN).toContain(set.pick());
  });

  it("connects the address of a key when it is first wanted, and the next when that has failed", () => {
    const set = new FakeAddresses(BALANCERS.ringHash, ...TEN);
    const call = { hashKey: "customer-1" };
    expect([set.done(), set.pick(call)]).toEqual([[], undefined]);
    const [first] = set.done();
    expect([set.pick(call), set.done()]).toEqual([undefined, []]);
    const owner = `${first}`.replace("connect ", "");
    set.become("transientFailure", owner);
    expect(set.pick(call)).toBe(undefined);
    const [second] = set.done();
    expect(second).not.toBe(first);
    set.become("ready", `${second}`.replace("connect ", ""));
    expect(`connect ${set.pick(call)}`).toBe(second);
    set.become("idle", owner);
    set.pick(call);
    set.become("ready", owner);
    expect(set.pick(call)).toBe(owner);
  });

  it("connects one address when a connection is wanted without a call", () => {
    const set = new FakeAddresses(BALANCERS.ringHash, ...TEN);
    set.balancer.connect?.();
    expect(set.done()).toEqual([`connect ${TEN[0]}`]);
    for (const each of set.all) each.become("transientFailure");
    set.balancer.connect?.();
    expect([set.done(), set.pick()]).toEqual([[], undefined]);
  });
});
