import { describe, expect, it } from "vitest";
import { DEFAULT_LIMITS, resolveLimits } from "../../src/h2/limits.ts";

describe("resolveLimits()", () => {
  it("takes the defaults but for what is said", () => {
    expect(resolveLimits({})).toEqual(DEFAULT_LIMITS);
    expect(resolveLimits({ pingBurst: 7 })).toEqual({ ...DEFAULT_LIMITS, pingBurst: 7 });
  });

  it.each([0, -1, 1.5, Number.NaN])("refuses %d", (resetBurst) => {
    expect(() => resolveLimits({ resetBurst })).toThrow(
      new RangeError(`resetBurst: expected an integer from 1 up, got ${resetBurst}`),
    );
  });

  it("refuses a limit that it does not know", () => {
    expect(() => resolveLimits({ pingBurstt: 7 } as never)).toThrow(
      /^limits: expected one of maxContinuationFrames, .*, got "pingBurstt"$/,
    );
  });
});
