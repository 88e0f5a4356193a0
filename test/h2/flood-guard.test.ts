// What the owner of a connection is told when a peer sent too much for nothing, and to the token
// when that is.

import { describe, expect, it } from "vitest";
import type { H2Error } from "../../src/h2/error.ts";
import { FloodGuard } from "../../src/h2/flood-guard.ts";
import { DEFAULT_LIMITS } from "../../src/h2/limits.ts";
import { TokenBucket } from "../../src/h2/token-bucket.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";

const LIMITS = {
  ...DEFAULT_LIMITS,
  ...{ resetBurst: 2, resetsPerSecond: 1, provokedResetBurst: 2, provokedResetsPerSecond: 3 },
  ...{ settingsBurst: 2, settingsPerSecond: 4, pingBurst: 2, pingsPerSecond: 5 },
  ...{ idleFrameBurst: 2, idleFramesPerSecond: 6 },
};

describe("a token bucket", () => {
  it("gives a token that was earned exactly, and no second one", () => {
    const bucket = new TokenBucket(1, 1, 0, 5_000);
    expect(bucket.take(5_000, 0)).toBe(true);
    expect(bucket.take(5_999, 0)).toBe(false);
    expect(bucket.take(6_000, 0)).toBe(true);
    expect(bucket.take(6_000, 0)).toBe(false);
  });
});

describe("a flood guard", () => {
  it.each<[string, string, number, (guard: FloodGuard) => void]>([
    ["RST_STREAM", "resetsPerSecond", 1, (guard) => guard.countReset()],
    ["stream errors", "provokedResetsPerSecond", 3, (guard) => guard.countProvokedReset()],
    ["SETTINGS", "settingsPerSecond", 4, (guard) => guard.countSettings()],
    ["PING", "pingsPerSecond", 5, (guard) => guard.countPing()],
    ["PRIORITY", "idleFramesPerSecond", 6, (guard) => guard.countIdleFrame("PRIORITY")],
  ])("that is told of too many %s says so, with the limit %s", (what, name, value, count) => {
    const guard = new FloodGuard(LIMITS, 0, 0);
    count(guard);
    count(guard);
    let error: H2Error | undefined;
    try {
      count(guard);
    } catch (thrown) {
      error = thrown as H2Error;
    }
    expect(error).toMatchObject({
      scope: "connection",
      code: ErrorCode.ENHANCE_YOUR_CALM,
      message: `too many: ${what}, our limit is ${value} a second (${name})`,
      limit: { name, value },
    });
  });

  it("takes the third PING too soon for too many, where their interval is bound", () => {
    const bound = new FloodGuard(LIMITS, 0, 10_000);
    const free = new FloodGuard(LIMITS, 0, 0);
    for (let i = 0; i < 3; i++) for (const guard of [bound, free]) guard.countQuestion();
    expect(() => free.countQuestion()).not.toThrow();
    bound.sentHeaders++;
    for (let i = 0; i < 3; i++) bound.countQuestion();
    bound.sentFrames++;
    for (let i = 0; i < 3; i++) bound.countQuestion();
    expect(() => bound.countQuestion()).toThrow(
      expect.objectContaining({ code: ErrorCode.ENHANCE_YOUR_CALM, message: "too_many_pings" }),
    );
  });
});
