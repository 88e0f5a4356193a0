import { describe, expect, it } from "vitest";
import { ConnectionBackoff } from "../../../src/client/subchannel/connection-backoff.ts";

/** Exactly between the two ends of the jitter. */
const middle = () => 0.5;

describe("ConnectionBackoff", () => {
  it("has gRPC's numbers: 1 s, times 1.6, up to 120 s", () => {
    const backoff = new ConnectionBackoff({}, middle);
    const waits = Array.from({ length: 13 }, () => Math.round(backoff.nextMs()));
    expect(waits).toEqual([
      1_000, 1_600, 2_560, 4_096, 6_554, 10_486, 16_777, 26_844, 42_950, 68_719, 109_951, 120_000,
      120_000,
    ]);
  });

  it("spreads each wait by 20 % to either side", () => {
    expect(new ConnectionBackoff({}, () => 0).nextMs()).toBe(800);
    expect(new ConnectionBackoff({}, () => 0.999_999_999).nextMs()).toBeCloseTo(1_200, 3);
    for (let i = 0; i < 100; i++) {
      const wait = new ConnectionBackoff().nextMs();
      expect(wait).toBeGreaterThanOrEqual(800);
      expect(wait).toBeLessThan(1_200);
    }
  });

  it("starts over after a success", () => {
    const backoff = new ConnectionBackoff({}, middle);
    backoff.nextMs();
    backoff.nextMs();
    backoff.reset();
    expect(backoff.nextMs()).toBe(1_000);
  });

  it("takes other numbers", () => {
    const backoff = new ConnectionBackoff(
      { initialMs: 10, multiplier: 2, maxMs: 35, jitter: 0 },
      () => 0,
    );
    expect([backoff.nextMs(), backoff.nextMs(), backoff.nextMs(), backoff.nextMs()]).toEqual([
      10, 20, 35, 35,
    ]);
  });
});
