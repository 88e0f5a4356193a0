import { describe, expect, it } from "vitest";
import { StreamMap } from "../../src/wire/stream-map.ts";

describe("StreamMap", () => {
  it("finds what was put in and forgets what was deleted", () => {
    const map = new StreamMap<string>();
    map.set(1, "a");
    map.set(3, "b");
    map.set(3, "c");
    expect([map.get(1), map.get(3), map.get(5), map.size]).toEqual(["a", "c", undefined, 2]);
    map.delete(1);
    map.delete(1);
    expect([map.get(1), map.get(3), map.size]).toEqual([undefined, "c", 1]);
    map.delete(3);
    expect([map.get(3), map.size, map.toArray()]).toEqual([undefined, 0, []]);
  });

  it("agrees with a Map over random sets and deletes, colliding ids among them", () => {
    const map = new StreamMap<number>();
    const model = new Map<number, number>();
    let seed = 1;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    for (let step = 0; step < 60_000; step++) {
      // Ids far apart share a place in every table size; the number of streams rises and falls.
      const id = 1 + 2 * (random(24) + 4_096 * random(24));
      const wanted = 1 + Math.floor(step / 6_000) * 40;
      if (model.size < wanted && random(3) > 0) {
        map.set(id, step);
        model.set(id, step);
      } else {
        const victim = random(2) === 0 ? id : ([...model.keys()][0] ?? id);
        map.delete(victim);
        model.delete(victim);
      }
      if (map.get(id) !== model.get(id) || map.size !== model.size) {
        expect({ step, id, got: map.get(id) }).toEqual({ step, id, got: model.get(id) });
      }
    }
    for (const [id, value] of model) expect(map.get(id)).toBe(value);
    const byId = [...model].sort(([a], [b]) => a - b).map(([, value]) => value);
    expect(map.toArray()).toEqual(byId);
    for (const id of model.keys()) map.delete(id);
    expect(map.size).toBe(0);
  });

  describe("after a burst", () => {
    const map = new StreamMap<number>();
    const table = (): unknown[] => Reflect.get(map, "table") as unknown[];
    const slots = (): number => table().length / 2;

    function burst(count: number): void {
      for (let i = 0; i < count; i++) map.set(2 * i + 1, i);
      for (let i = 0; i < count; i++) map.delete(2 * i + 1);
    }

    it("keeps its table for the next", () => {
      burst(256);
      const before = table();
      for (let i = 0; i < 50; i++) burst(256);
      expect(table()).toBe(before);
      expect(slots()).toBe(512);
    });

    it("gives it up by halves when there is none for as many deletions as it has slots", () => {
      for (let i = 0; i < 400; i++) burst(1);
      expect(slots()).toBe(512);
      for (let i = 0; i < 200; i++) burst(1);
      expect(slots()).toBe(256);
      for (let i = 0; i < 512; i++) burst(1);
      expect(slots()).toBe(16);
    });

    it("keeps no more than 1,024 slots", () => {
      burst(10_000);
      expect(slots()).toBe(1_024);
    });
  });
});
