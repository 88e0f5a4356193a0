import { describe, expect, it } from "vitest";
import {
  pushbackOf,
  RETRY_POLICY,
  RETRY_THROTTLING,
  RetryThrottle,
  retryDelayMs,
} from "../../src/client/retry-policy.ts";
import { HeaderField } from "../../src/wire/field.ts";

const POLICY = {
  maxAttempts: 5,
  initialBackoffMs: 100,
  maxBackoffMs: 500,
  backoffMultiplier: 2,
  retryableStatuses: [14],
} as const;

describe("a retry policy", () => {
  it.each([
    [{ maxAttempts: 1 }, "retryPolicy.maxAttempts: expected an integer from 2 to 5, got 1"],
    [{ maxAttempts: 6 }, "retryPolicy.maxAttempts: expected an integer from 2 to 5, got 6"],
    [{ initialBackoffMs: 0 }, "retryPolicy.initialBackoffMs: expected a number above 0, got 0"],
    [{ maxBackoffMs: "1" }, 'retryPolicy.maxBackoffMs: expected a number above 0, got "1"'],
    [
      { backoffMultiplier: Number.POSITIVE_INFINITY },
      "retryPolicy.backoffMultiplier: expected a number above 0, got Infinity",
    ],
    [
      { retryableStatuses: [] },
      "retryPolicy.retryableStatuses: expected an array of one or more statuses from 1 to 16, got an empty one",
    ],
    [{ retryableStatuses: [0] }, "statuses from 1 to 16, got one with 0"],
    [{ retryableStatuses: [14, 17] }, "statuses from 1 to 16, got one with 17"],
    [{ retryableStatuses: [14, "13"] }, 'statuses from 1 to 16, got one with "13"'],
    [{ retryableStatuses: ["UNAVAILABLE"] }, 'got one with "UNAVAILABLE"'],
    [{ retryableStatuses: [null] }, "got one with null"],
    [{ retryableStatuses: [[14]] }, "got one with an array"],
    [{ retryableStatuses: 14 }, "statuses from 1 to 16, got 14"],
    [{ maxAttempts: undefined }, "retryPolicy: expected maxAttempts, got none"],
    [{ retryableStatuses: undefined }, "retryPolicy: expected retryableStatuses, got none"],
  ])("is refused with %j", (change, text) => {
    expect(() => RETRY_POLICY.check({ ...POLICY, ...change })).toThrow(text);
  });

  it("is taken as it is in gRFC A6", () => {
    expect(() => RETRY_POLICY.check(POLICY)).not.toThrow();
  });

  it.each([
    [0, 0.5, 100],
    [1, 0.5, 200],
    [2, 0.5, 400],
    [3, 0.5, 500],
    [4, 0.5, 500],
    [0, 0, 80],
    [3, 0.999_999_999, 600],
  ])("waits, at step %d and with chance %d, %d ms", (step, chance, ms) => {
    expect(retryDelayMs(POLICY, step, () => chance)).toBeCloseTo(ms, 4);
  });
});

describe("pushback", () => {
  it.each([
    [undefined, undefined],
    ["0", 0],
    ["1500", 1_500],
    ["2147483647", 2_147_483_647],
    ["2147483648", "never"],
    ["99999999999", "never"],
    ["-1", "never"],
    ["01", "never"],
    ["1s", "never"],
    ["", "never"],
  ])("%j is %j", (value, expected) => {
    const other = new HeaderField("grpc-status", "14");
    const fields =
      value === undefined ? [other] : [other, new HeaderField("grpc-retry-pushback-ms", value)];
    expect(pushbackOf(fields)).toBe(expected);
  });
});

describe("throttling", () => {
  it.each([
    [{ maxTokens: 0, tokenRatio: 1 }, "retryThrottling.maxTokens: expected a number above 0"],
    [{ maxTokens: 1_001, tokenRatio: 1 }, "up to 1000, got 1001"],
    [{ maxTokens: "9", tokenRatio: 1 }, 'up to 1000, got "9"'],
    [{ maxTokens: 1, tokenRatio: 0 }, "retryThrottling.tokenRatio: expected a number above 0"],
    [{ maxTokens: 1 }, "retryThrottling: expected tokenRatio, got none"],
  ])("is refused with %j", (options, text) => {
    expect(() => RETRY_THROTTLING.check(options)).toThrow(text);
  });

  it("allows retries while more than half of the tokens are left", () => {
    const throttle = new RetryThrottle({ maxTokens: 4, tokenRatio: 0.5 });
    throttle.onFailure();
    expect(throttle.allows).toBe(true);
    throttle.onFailure();
    expect(throttle.allows).toBe(false);
    throttle.onSuccess();
    expect(throttle.allows).toBe(true);
  });

  it("has neither less than none nor more than all", () => {
    const throttle = new RetryThrottle({ maxTokens: 2, tokenRatio: 1 });
    for (let i = 0; i < 5; i++) throttle.onFailure();
    throttle.onSuccess();
    expect(throttle.allows).toBe(false);
    throttle.onSuccess();
    expect(throttle.allows).toBe(true);
    for (let i = 0; i < 5; i++) throttle.onSuccess();
    throttle.onFailure();
    expect(throttle.allows).toBe(false);
  });
});
