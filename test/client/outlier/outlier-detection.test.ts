// Which addresses are ejected, for how long, and when they return. Clock and draws are of the test.

import { describe, expect, it } from "vitest";
import { AddressRecord, OutlierDetection } from "../../../src/client/outlier/outlier-detection.ts";
import type { OutlierDetectionOptions } from "../../../src/client/outlier/outlier-options.ts";
import { FakeClock } from "../../support/clock.ts";

const INTERVAL_MS = 10_000;

function detection(count: number, options: OutlierDetectionOptions, random = () => 0.5) {
  const clock = new FakeClock();
  const owner = {
    ...{ clock, random },
    records: Array.from({ length: count }, () => new AddressRecord()),
    log: [] as string[],
    onEjection(record: AddressRecord, reason: string): void {
      owner.log.push(`${owner.records.indexOf(record)} ${reason}`);
    },
  };
  const outliers = new OutlierDetection(options, owner);
  const ejected = (): number[] =>
    owner.records.flatMap(({ ejectedAtMs }, at) => (ejectedAtMs === undefined ? [] : [at]));
  /** So many of 100 calls fail on the address. */
  const calls = (at: number, failures: number, all = 100): void => {
    for (let call = 0; call < all; call++) outliers.count(owner.records[at]!, call < failures);
  };
  return { clock, owner, outliers, ejected, calls, done: () => owner.log.splice(0) };
}

const IN_A_ROW = { consecutiveFailures: { threshold: 3 } };

describe("consecutive failures", () => {
  it("eject at once, by default after five", () => {
    const { calls, done, outliers, owner } = detection(2, { consecutiveFailures: {} });
    calls(1, 4, 5);
    calls(1, 4, 4);
    expect(done()).toEqual([]);
    calls(1, 1, 1);
    expect(done()).toEqual(["1 ejected: 5 calls in a row have failed"]);
    expect(owner.records.map((record) => outliers.ejectedForMs(record))).toEqual([
      undefined,
      30_000,
    ]);
  });

  it("do not count while the address is ejected, and it returns when an interval ends", () => {
    const { calls, clock, done, ejected, outliers, owner } = detection(2, IN_A_ROW);
    clock.advance(4_000);
    calls(0, 3, 3);
    calls(0, 50);
    expect([done().length, owner.records[0]!.volume]).toEqual([1, 3]);
    clock.advance(3 * INTERVAL_MS - 4);
    expect(ejected()).toEqual([0]);
    clock.advance(8);
    expect([ejected(), done()]).toEqual([[], ["0 its ejection is over"]]);
    expect(outliers.ejectedForMs(owner.records[0]!)).toBeUndefined();
  });

  it("lengthen each ejection up to the limit, and intervals without one shorten the next", () => {
    const times = { baseEjectionTimeMs: 30_000, maxEjectionTimeMs: 70_000 };
    const { calls, clock, outliers, owner } = detection(2, { ...IN_A_ROW, ...times });
    const [record] = owner.records;
    const lengths: (number | undefined)[] = [];
    const eject = (): void => {
      calls(0, 3, 3);
      lengths.push(outliers.ejectedForMs(record!));
    };
    for (let turn = 0; turn < 4; turn++) {
      eject();
      while (record!.ejectedAtMs !== undefined) clock.advance(1_000);
    }
    clock.advance(3 * INTERVAL_MS + 100);
    eject();
    expect(lengths).toEqual([30_000, 60_000, 70_000, 70_000, 60_000]);
  });

  it("may last longer than maxEjectionTimeMs the first time (gRFC A50)", () => {
    const { calls, outliers, owner } = detection(2, { ...IN_A_ROW, maxEjectionTimeMs: 1_000 });
    calls(0, 3, 3);
    expect(outliers.ejectedForMs(owner.records[0]!)).toBe(30_000);
  });

  it("leave an address alone as often as the draw says", () => {
    const draws = [0.5, 0.49];
    const { calls, ejected } = detection(
      2,
      { consecutiveFailures: { threshold: 3, enforcementPercentage: 50 } },
      () => draws.shift()!,
    );
    calls(0, 3, 3);
    expect(ejected()).toEqual([]);
    calls(0, 3, 3);
    expect(ejected()).toEqual([0]);
  });

  it("eject no more than the cap allows, one at least, and never an address alone", () => {
    const all = (count: number, maxEjectionPercent?: number): number => {
      const options = maxEjectionPercent === undefined ? {} : { maxEjectionPercent };
      const { calls, ejected } = detection(count, { ...IN_A_ROW, ...options });
      for (let at = 0; at < count; at++) calls(at, 3, 3);
      return ejected().length;
    };
    expect([all(1, 100), all(2), all(20), all(21), all(4, 50), all(4, 0), all(4, 100)]).toEqual([
      0, 1, 2, 3, 2, 0, 4,
    ]);
  });

  it("free the longest ejected when the list becomes too short for all of them", () => {
    const { calls, clock, done, ejected, outliers, owner } = detection(4, {
      ...IN_A_ROW,
      maxEjectionPercent: 50,
    });
    calls(1, 3, 3);
    clock.advance(4);
    calls(0, 3, 3);
    done();
    outliers.onList();
    expect(done()).toEqual([]);
    owner.records = owner.records.slice(0, 2);
    outliers.onList();
    expect([ejected(), done()]).toEqual([[0], ["1 too few other addresses are left"]]);
    owner.records = owner.records.slice(0, 1);
    outliers.onList();
    expect(ejected()).toEqual([]);
  });
});

describe("the success rate", () => {
  it("ejects the address that is far below the others", () => {
    const { calls, clock, done } = detection(10, { successRate: {} });
    for (let at = 0; at < 10; at++) calls(at, at === 7 ? 60 : at % 3);
    clock.advance(INTERVAL_MS + 4);
    expect(done()).toEqual(["7 ejected: 40 % of its calls succeed, at least 59 % were expected"]);
  });

  it("judges nothing when all are equally bad, or few have enough calls", () => {
    const { calls, clock, done } = detection(10, { successRate: {} });
    for (let at = 0; at < 10; at++) calls(at, 90);
    clock.advance(INTERVAL_MS + 4);
    for (let at = 0; at < 4; at++) calls(at, at === 0 ? 100 : 0);
    for (let at = 4; at < 10; at++) calls(at, 0, 99);
    clock.advance(INTERVAL_MS + 4);
    expect(done()).toEqual([]);
  });
});

describe("the failure percentage", () => {
  it("ejects the addresses above the threshold, once, within the cap", () => {
    const { calls, clock, done } = detection(10, {
      ...{ failurePercentage: {}, successRate: {}, maxEjectionPercent: 20 },
    });
    for (let at = 0; at < 10; at++) calls(at, [0, 85, 86, 100, 100][at] ?? 0);
    clock.advance(INTERVAL_MS + 4);
    expect(done()).toEqual([
      "2 ejected: 86 % of its calls fail",
      "3 ejected: 100 % of its calls fail",
    ]);
  });

  it("judges nothing when few have enough calls, and forgets the interval before", () => {
    const { calls, clock, done } = detection(5, { failurePercentage: {} });
    for (let at = 0; at < 5; at++) calls(at, 0, at === 0 ? 49 : 50);
    calls(4, 50, 50);
    clock.advance(INTERVAL_MS + 4);
    for (let at = 0; at < 5; at++) calls(at, at === 0 ? 30 : 0, 30);
    clock.advance(INTERVAL_MS + 4);
    expect(done()).toEqual([]);
  });
});

it("sets a timer only while there is something to count up or to forgive", () => {
  const { calls, clock, outliers } = detection(2, IN_A_ROW);
  expect(clock.timerCount).toBe(0);
  calls(0, 0, 1);
  expect(clock.timerCount).toBe(1);
  clock.advance(3 * INTERVAL_MS);
  expect(clock.timerCount).toBe(0);
  calls(0, 3, 3);
  clock.advance(20 * INTERVAL_MS);
  expect(clock.timerCount).toBe(0);
  calls(0, 3, 3);
  outliers.close();
  expect(clock.timerCount).toBe(0);
  calls(1, 3, 3);
  expect(clock.timerCount).toBe(0);
});

it("finds the broken ones of 100 addresses over a day, and lets all return", () => {
  const { calls, clock, ejected, owner } = detection(100, { failurePercentage: {} });
  const hour = 3_600_000 / INTERVAL_MS;
  for (let turn = 0; turn < 24 * hour; turn++) {
    const isBroken = turn < 12 * hour;
    for (const at of [3, 50, 99]) calls(at, isBroken ? 50 : 0, 50);
    for (const at of [0, 1, 2, 4, 5]) calls(at, turn % 40, 50);
    clock.advance(INTERVAL_MS);
    if (!isBroken) continue;
    expect([3, 50, 99]).toEqual(expect.arrayContaining(ejected()));
  }
  expect([ejected(), owner.records.map(({ multiplier }) => multiplier)]).toEqual([
    [],
    Array.from({ length: 100 }, () => 0),
  ]);
});
