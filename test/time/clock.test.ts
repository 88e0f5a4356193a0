import { AsyncLocalStorage } from "node:async_hooks";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Clock } from "../../src/time/clock.ts";
import { Timer } from "../../src/time/timer-wheel.ts";
import { closeAtEnd } from "../support/cleanup.ts";
import { FakeClock } from "../support/clock.ts";

function recorder(fired: string[]): (name: string, onFire?: () => void) => Timer {
  return (name, onFire) =>
    new Timer({
      onTimer(): void {
        fired.push(name);
        onFire?.();
      },
    });
}

/** As it is in a new process. */
async function newSystemClock(): Promise<Clock> {
  vi.resetModules();
  return (await import("../../src/time/clock.ts")).systemClock;
}

describe("the system's clock", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it.each([0, 1, 4, 250, 8_191, 60_000, 3_600_000])(
    "fires a timer of %d ms not early and hardly late",
    async (delayMs) => {
      const clock = await newSystemClock();
      const fired: string[] = [];
      const startMs = clock.nowMs();
      clock.schedule(recorder(fired)("a"), delayMs);
      if (delayMs > 0) vi.advanceTimersByTime(delayMs - 1);
      expect(fired).toEqual([]);
      vi.advanceTimersByTime(6);
      expect(fired).toEqual(["a"]);
      expect(clock.nowMs() - startMs).toBeGreaterThanOrEqual(delayMs);
    },
  );

  it("fires a timer that is nearer than the one it sleeps for in time", async () => {
    const clock = await newSystemClock();
    const fired: string[] = [];
    const timer = recorder(fired);
    clock.schedule(timer("far"), 1_000);
    clock.schedule(timer("near"), 100);
    vi.advanceTimersByTime(106);
    expect(fired).toEqual(["near"]);
    vi.advanceTimersByTime(900);
    expect(fired).toEqual(["near", "far"]);
  });

  it("fires in time after a long time without timers", async () => {
    const clock = await newSystemClock();
    const fired: string[] = [];
    vi.advanceTimersByTime(1_000_000);
    clock.schedule(recorder(fired)("a"), 100);
    vi.advanceTimersByTime(106);
    expect(fired).toEqual(["a"]);
  });

  it("does not fire what was cancelled", async () => {
    const clock = await newSystemClock();
    const fired: string[] = [];
    const timer = recorder(fired)("a");
    clock.schedule(timer, 100);
    clock.cancel(timer);
    vi.advanceTimersByTime(1_000);
    expect(fired).toEqual([]);
  });

  it("sleeps when nothing is scheduled", async () => {
    const clock = await newSystemClock();
    const timer = recorder([])("a");
    clock.schedule(timer, 100);
    clock.cancel(timer);
    vi.advanceTimersByTime(1_000);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("has one timer of Node's however many are scheduled", async () => {
    const clock = await newSystemClock();
    const timer = recorder([]);
    for (let i = 0; i < 1_000; i++) clock.schedule(timer("a"), 100 + i);
    expect(vi.getTimerCount()).toBe(1);
  });

  it("goes on after an owner threw", async () => {
    const clock = await newSystemClock();
    const fired: string[] = [];
    const timer = recorder(fired);
    clock.schedule(
      timer("bad", () => {
        throw new Error("owner's fault");
      }),
      100,
    );
    clock.schedule(timer("good"), 500);
    expect(() => vi.advanceTimersByTime(200)).toThrow("owner's fault");
    vi.advanceTimersByTime(400);
    expect(fired).toEqual(["bad", "good"]);
  });

  it("schedules from within a timer", async () => {
    const clock = await newSystemClock();
    const fired: string[] = [];
    const timer = recorder(fired);
    clock.schedule(
      timer("first", () => clock.schedule(timer("second"), 50)),
      100,
    );
    vi.advanceTimersByTime(106);
    expect(fired).toEqual(["first"]);
    vi.advanceTimersByTime(56);
    expect(fired).toEqual(["first", "second"]);
  });

  it("takes a delay beyond what setTimeout can", async () => {
    const clock = await newSystemClock();
    const fired: string[] = [];
    clock.schedule(recorder(fired)("a"), 2 ** 33);
    vi.advanceTimersByTime(100_000);
    expect(fired).toEqual([]);
  });
});

describe("the system's clock in a process", () => {
  it("does not keep it alive, and reads monotonic milliseconds", async () => {
    const clock = await newSystemClock();
    const first = clock.nowMs();
    clock.schedule(recorder([])("a"), 3_600_000);
    expect(clock.nowMs()).toBeGreaterThanOrEqual(first);
    // A Timeout that was not unref'd would be listed.
    expect(
      process.getActiveResourcesInfo().filter((name) => name === "Timeout").length,
    ).toBeLessThanOrEqual(1);
  });
});

describe("FakeClock", () => {
  it("fires in the order of time, each timer at its own", () => {
    const clock = new FakeClock(0);
    const fired: string[] = [];
    const at = (name: string): Timer => recorder(fired)(name, () => fired.push(`${clock.nowMs()}`));
    clock.schedule(at("b"), 200);
    clock.schedule(at("a"), 100);
    clock.schedule(at("c"), 20_000);
    clock.advance(300);
    expect(fired).toEqual(["a", "100", "b", "200"]);
    expect([clock.nowMs(), clock.timerCount]).toEqual([300, 1]);
    clock.advance(19_700);
    expect(fired.slice(4)).toEqual(["c", "20000"]);
  });

  it("fires within one advance what its timers schedule", () => {
    const clock = new FakeClock();
    const fired: string[] = [];
    const timer = recorder(fired);
    clock.schedule(
      timer("a", () => clock.schedule(timer("b"), 100)),
      100,
    );
    clock.advance(200);
    expect(fired).toEqual(["a", "b"]);
  });
});

it("a timer of the process is not in the async context of whoever came first", async () => {
  const store = new AsyncLocalStorage<string>();
  const clock = await newSystemClock();
  const found = await new Promise((resolve) => {
    const timer = new Timer({ onTimer: () => resolve(store.getStore() ?? "nothing") });
    // It lets the process end; something has to keep the test.
    const holding = setInterval(() => {}, 1_000);
    closeAtEnd(() => clearInterval(holding));
    store.run("somebody's", () => clock.schedule(timer, 1));
  });
  expect(found).toBe("nothing");
});
