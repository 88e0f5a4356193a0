import { describe, expect, it } from "vitest";
import {
  bootstrapInterval,
  Histogram,
  latencyFigures,
  median,
  pairedRatio,
  quantile,
  seededRandom,
  spreadOf,
} from "./statistics.ts";

/** A normal variate by Box and Muller: mean 0, standard deviation 1. */
function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

describe("median() and quantile()", () => {
  it.each([
    [[3], 3],
    [[4, 1, 3], 3],
    [[4, 1, 3, 2], 2.5],
  ])("of %j is %d", (values, expected) => {
    expect(median(values)).toBe(expected);
  });

  it("of nothing is not a number", () => {
    expect(median([])).toBeNaN();
  });

  it("lies between the two nearest ranks", () => {
    expect(quantile([10, 20, 30, 40, 50], 0.9)).toBeCloseTo(46);
  });

  it("leaves the list that it was given in its order", () => {
    const values = [3, 1, 2];
    median(values);
    expect(values).toEqual([3, 1, 2]);
  });
});

describe("spreadOf()", () => {
  it("ignores rounds without a figure", () => {
    expect(spreadOf([2, Number.NaN, 6, 4])).toEqual({ median: 4, lowest: 2, highest: 6 });
  });

  it("of no figure is nothing", () => {
    expect(spreadOf([Number.NaN])).toBeUndefined();
  });
});

describe("pairedRatio()", () => {
  it("compares round with round, so that a slow round of both does not count", () => {
    // The machine was four times slower in round 2. A ratio of medians would also say 2, but with a
    // spread of 8.
    expect(pairedRatio([2, 8, 2.2], [1, 4, 1.1])).toEqual({ median: 2, lowest: 2, highest: 2 });
  });

  it("leaves out rounds in which one of the two was not measured", () => {
    expect(pairedRatio([2, undefined, 9], [1, 3, undefined])).toEqual({
      median: 2,
      lowest: 2,
      highest: 2,
    });
  });

  it("says nothing about a base that used nothing", () => {
    expect(pairedRatio([2], [0])).toBeUndefined();
  });
});

describe("bootstrapInterval()", () => {
  const options = { confidence: 0.95, resamples: 2_000, random: seededRandom(1) };
  const mean = (values: readonly number[]): number =>
    values.reduce((sum, value) => sum + value, 0) / values.length;

  it("of values that are all alike is that value", () => {
    expect(bootstrapInterval([3, 3, 3], median, options)).toEqual([3, 3]);
  });

  it("of a mean is as wide as theory says", () => {
    const random = seededRandom(7);
    const values = Array.from({ length: 400 }, () => random());
    const [lowest, highest] = bootstrapInterval(values, mean, options);
    // The interval is 1.96 standard errors to either side. An even spread over 1 has a standard
    // deviation of 1 / sqrt(12).
    const expected = (2 * 1.96) / Math.sqrt(12 * values.length);
    expect(highest - lowest).toBeGreaterThan(0.85 * expected);
    expect(highest - lowest).toBeLessThan(1.15 * expected);
    expect((lowest + highest) / 2).toBeCloseTo(mean(values), 2);
  });

  it("holds the true median about as often as it says", () => {
    const random = seededRandom(99);
    let held = 0;
    for (let trial = 0; trial < 300; trial++) {
      const values = Array.from({ length: 15 }, () => normal(random));
      const [lowest, highest] = bootstrapInterval(values, median, { ...options, resamples: 400 });
      if (lowest <= 0 && highest >= 0) held++;
    }
    expect(held / 300).toBeGreaterThan(0.9);
  });

  it("throws RangeError without values", () => {
    expect(() => bootstrapInterval([], median, options)).toThrow(RangeError);
  });
});

describe("seededRandom()", () => {
  it("gives the same numbers for the same seed, and others for another", () => {
    const ten = (seed: number): number[] => Array.from({ length: 10 }, seededRandom(seed));
    expect(ten(5)).toEqual(ten(5));
    expect(ten(5)).not.toEqual(ten(6));
  });

  it("gives numbers from 0 up to but not including 1, evenly", () => {
    const random = seededRandom(3);
    const tenths = new Array<number>(10).fill(0);
    for (let i = 0; i < 100_000; i++) tenths[Math.floor(10 * random())]!++;
    expect(tenths).toHaveLength(10);
    for (const count of tenths) expect(Math.abs(count - 10_000)).toBeLessThan(400);
  });
});

describe("Histogram", () => {
  it.each([0.5, 0.9, 0.99, 0.999])("is within 2 %% of the exact quantile %d", (q) => {
    const histogram = new Histogram();
    const values: number[] = [];
    // A deterministic spread over five decades.
    for (let i = 0; i < 20_000; i++) values.push(3 * 10 ** (((i * 7_919) % 20_000) / 4_000));
    for (const value of values) histogram.record(value);
    values.sort((a, b) => a - b);
    const exact = values[Math.ceil(q * values.length) - 1]!;
    expect(histogram.quantileUs(q) / exact).toBeGreaterThan(0.98);
    expect(histogram.quantileUs(q) / exact).toBeLessThan(1.02);
  });

  it("knows count, mean and highest exactly", () => {
    const histogram = new Histogram();
    for (const value of [1, 2, 1_000_000]) histogram.record(value);
    expect(histogram.count).toBe(3);
    expect(histogram.meanUs).toBeCloseTo(333_334.33);
    expect(histogram.quantileUs(1)).toBe(1_000_000);
  });

  it("has no figures when it is empty", () => {
    expect(latencyFigures(new Histogram())).toBeUndefined();
  });
});
