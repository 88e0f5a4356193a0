import { describe, expect, it } from "vitest";
import { Timer, TimerWheel } from "../../src/time/timer-wheel.ts";

/** Turns of the wheel: 2048 slots of 4 ms. */
const TURN_MS = 8_192;

function makeWheel(startMs = 0): {
  wheel: TimerWheel;
  fired: string[];
  timer(name: string, onFire?: (timer: Timer) => void): Timer;
} {
  const fired: string[] = [];
  return {
    wheel: new TimerWheel(startMs),
    fired,
    timer: (name, onFire) =>
      new Timer({
        onTimer(timer): void {
          fired.push(name);
          onFire?.(timer);
        },
      }),
  };
}

describe("TimerWheel", () => {
  it.each([0, 1, 3.999, 4, 4.001, 100, 8_188, 8_192, 8_193, 20_000, 1_000_000])(
    "fires a timer that is due at %d ms not earlier, and at most one tick later",
    (dueMs) => {
      const { wheel, fired, timer } = makeWheel();
      wheel.schedule(timer("a"), dueMs);
      let nowMs = 0;
      while (fired.length === 0) {
        nowMs += 1;
        wheel.advance(nowMs);
      }
      expect(nowMs).toBeGreaterThanOrEqual(dueMs);
      expect(nowMs).toBeLessThanOrEqual(Math.max(Math.ceil(dueMs) + 3, 4));
      expect(wheel.size).toBe(0);
    },
  );

  it("fires a timer whose time has passed at the next advance that crosses a tick", () => {
    const { wheel, fired, timer } = makeWheel(1_000);
    wheel.schedule(timer("late"), 10);
    wheel.advance(1_003);
    expect(fired).toEqual([]);
    wheel.advance(1_004);
    expect(fired).toEqual(["late"]);
  });

  it("fires once, and again only when it is scheduled again", () => {
    const { wheel, fired, timer } = makeWheel();
    const again = timer("a");
    wheel.schedule(again, 8);
    wheel.advance(100);
    wheel.advance(200);
    expect([fired, again.scheduled]).toEqual([["a"], false]);
    wheel.schedule(again, 208);
    wheel.advance(300);
    expect(fired).toEqual(["a", "a"]);
  });

  it("fires after one long sleep whatever was due on the way, several turns of the wheel too", () => {
    const { wheel, fired, timer } = makeWheel();
    for (const dueMs of [4, 500, TURN_MS - 4, TURN_MS, TURN_MS + 4, 3 * TURN_MS, 5 * TURN_MS + 4])
      wheel.schedule(timer(`${dueMs}`), dueMs);
    wheel.advance(5 * TURN_MS);
    expect(fired.map(Number).sort((a, b) => a - b)).toEqual([
      4,
      500,
      TURN_MS - 4,
      TURN_MS,
      TURN_MS + 4,
      3 * TURN_MS,
    ]);
    expect(wheel.size).toBe(1);
  });

  it("keeps a timer of a later turn where a timer of this turn shares the slot", () => {
    const { wheel, fired, timer } = makeWheel();
    wheel.schedule(timer("later"), 40 + TURN_MS);
    wheel.schedule(timer("now"), 40);
    wheel.schedule(timer("latest"), 40 + 2 * TURN_MS);
    wheel.advance(40);
    expect(fired).toEqual(["now"]);
    wheel.advance(40 + TURN_MS - 4);
    expect(fired).toEqual(["now"]);
    wheel.advance(40 + TURN_MS);
    expect(fired).toEqual(["now", "later"]);
  });

  it("moves a timer that is scheduled twice", () => {
    const { wheel, fired, timer } = makeWheel();
    const moved = timer("a");
    wheel.schedule(moved, 8);
    wheel.schedule(moved, 80);
    expect(wheel.size).toBe(1);
    wheel.advance(40);
    expect(fired).toEqual([]);
    wheel.advance(80);
    expect(fired).toEqual(["a"]);
  });

  it("fires all that are due though each cancels the next but one, behind many that are not", () => {
    const { wheel, fired, timer } = makeWheel();
    const timers: Timer[] = [];
    for (let i = 0; i < 9; i++) {
      const cancelled = (): void => {
        const next = timers[i - 1];
        if (next !== undefined) wheel.cancel(next);
      };
      timers.push(timer(`${i}`, cancelled));
    }
    for (const due of timers) wheel.schedule(due, 40);
    for (let i = 0; i < 20_000; i++) wheel.schedule(timer("later"), 40 + TURN_MS);
    wheel.advance(40);
    // The latest is first in its slot.
    expect(fired).toEqual(["8", "6", "4", "2", "0"]);
    wheel.advance(40 + TURN_MS);
    expect(fired).toHaveLength(20_005);
  });

  it.each(["first", "middle", "last"])("cancels the %s of timers in one slot", (name) => {
    const { wheel, fired, timer } = makeWheel();
    const timers = new Map(["first", "middle", "last"].map((key) => [key, timer(key)]));
    for (const each of timers.values()) wheel.schedule(each, 40);
    wheel.cancel(timers.get(name)!);
    wheel.cancel(timers.get(name)!);
    expect([wheel.size, timers.get(name)!.scheduled]).toEqual([2, false]);
    wheel.advance(40);
    expect(fired.sort()).toEqual(["first", "last", "middle"].filter((key) => key !== name));
  });

  it("lets a timer cancel others of its slot while it fires", () => {
    const { wheel, fired, timer } = makeWheel();
    const others = [timer("b"), timer("c")];
    const killer = timer("a", () => {
      for (const other of others) wheel.cancel(other);
    });
    wheel.schedule(others[0]!, 40);
    wheel.schedule(others[1]!, 40);
    wheel.schedule(killer, 40);
    wheel.advance(100);
    expect([fired, wheel.size]).toEqual([["a"], 0]);
  });

  it("lets a timer schedule itself for the past without firing for ever", () => {
    const { wheel, fired, timer } = makeWheel();
    wheel.schedule(
      timer("a", (self) => wheel.schedule(self, 0)),
      4,
    );
    wheel.advance(1_000);
    expect(fired).toEqual(["a"]);
    wheel.advance(1_004);
    expect(fired).toEqual(["a", "a"]);
  });

  it("lets a timer move another one of its slot while it fires", () => {
    const { wheel, fired, timer } = makeWheel();
    const other = timer("b");
    wheel.schedule(other, 40);
    wheel.schedule(
      timer("a", () => wheel.schedule(other, 2_000)),
      40,
    );
    wheel.advance(1_000);
    expect(fired).toEqual(["a"]);
    wheel.advance(2_000);
    expect(fired).toEqual(["a", "b"]);
  });

  it("fires at the next call what an owner that threw kept from firing", () => {
    const { wheel, fired, timer } = makeWheel();
    const fault = (): never => {
      throw new Error("owner's fault");
    };
    wheel.schedule(timer("same slot"), 40);
    wheel.schedule(timer("bad", fault), 40);
    wheel.schedule(timer("next slot"), 44);
    expect(() => wheel.advance(60)).toThrow("owner's fault");
    expect(wheel.nextWakeMs()).toBe(40);
    wheel.advance(60);
    expect(fired).toEqual(["bad", "same slot", "next slot"]);
  });

  it("does not go back", () => {
    const { wheel, fired, timer } = makeWheel(1_000);
    wheel.schedule(timer("a"), 1_100);
    wheel.advance(500);
    wheel.advance(1_050);
    expect(fired).toEqual([]);
    wheel.advance(1_100);
    expect(fired).toEqual(["a"]);
  });

  it.each([4, 100, 8_000, 8_192])(
    "names %d ms as the time to wake for a timer due then",
    (dueMs) => {
      const { wheel, timer } = makeWheel();
      expect(wheel.nextWakeMs()).toBeUndefined();
      wheel.schedule(timer("a"), dueMs);
      expect(wheel.nextWakeMs()).toBe(dueMs);
    },
  );

  it("names a time to wake within one turn for a timer that is further off", () => {
    const { wheel, timer } = makeWheel();
    wheel.schedule(timer("a"), 10 * TURN_MS + 400);
    let wakes = 0;
    for (let wakeMs = wheel.nextWakeMs(); wakeMs !== undefined; wakeMs = wheel.nextWakeMs()) {
      expect(wakeMs).toBeLessThanOrEqual((wakes + 1) * TURN_MS);
      wheel.advance(wakeMs);
      wakes++;
    }
    expect(wakes).toBe(11);
  });

  it("fires what an ordered list of the same timers would, whatever is scheduled, moved and cancelled", () => {
    let seed = 42;
    const random = (below: number): number => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return seed % below;
    };
    const { wheel, fired, timer } = makeWheel();
    const timers = Array.from({ length: 200 }, (_, i) => timer(`${i}`));
    const due = new Map<string, number>();
    let nowMs = 0;
    for (let step = 0; step < 3_000; step++) {
      const index = random(timers.length);
      const subject = timers[index]!;
      if (random(3) === 0) {
        wheel.cancel(subject);
        due.delete(`${index}`);
      } else {
        const dueMs = nowMs + random(3 * TURN_MS);
        wheel.schedule(subject, dueMs);
        due.set(`${index}`, Math.max(Math.ceil(dueMs / 4), Math.floor(nowMs / 4) + 1) * 4);
      }
      nowMs += random(20);
      wheel.advance(nowMs);
      const expected = [...due].filter(([, dueMs]) => dueMs <= Math.floor(nowMs / 4) * 4);
      for (const [name] of expected) due.delete(name);
      expect(fired.splice(0).sort()).toEqual(expected.map(([name]) => name).sort());
      expect(wheel.size).toBe(due.size);
    }
  });
});
