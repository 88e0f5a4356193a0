// How an options object is refused: what was expected, what came, and what was probably meant.

import { describe, expect, it } from "vitest";
import { checkBoolean, checkNumber, checkOneOf } from "../../src/check/check.ts";
import { anything, optionTable } from "../../src/check/options.ts";

interface Inner {
  readonly policy?: string;
  readonly maxLagBytes?: number;
}

interface Outer {
  readonly timeoutMs?: number;
  readonly waitForReady?: boolean;
  readonly lag?: Inner;
}

const inner = optionTable<Inner>(
  "lag",
  {
    policy: (name, value) => checkOneOf(name, value, ["drop", "fail"]),
    maxLagBytes: (name, value) => checkNumber(name, value, 0),
  },
  {
    named: (option) => `lag.${option}`,
    instead: { backpressure: "no policy" },
    together: ({ policy, maxLagBytes }) => {
      if (policy === "drop" && maxLagBytes === undefined) throw new TypeError("how much?");
    },
  },
);

const table = optionTable<Outer>("options of call", {
  timeoutMs: (name, value) => checkNumber(name, value, 0),
  waitForReady: checkBoolean,
  lag: inner,
});

describe("optionTable()", () => {
  it.each([
    {},
    { timeoutMs: 0, waitForReady: false, lag: { policy: "fail" } },
    { timeoutMs: undefined, lag: undefined },
    Object.create({ timeoutMs: 5 }),
    new (class {
      timeoutMs = 1;
      describe(): string {
        return "a method is no option";
      }
    })(),
    { [Symbol("of somebody else")]: 1 },
  ])("takes what it knows: %#", (options) => {
    expect(() => table.check(options)).not.toThrow();
  });

  it.each<[unknown, string]>([
    [null, "options of call: expected an object, got null"],
    [[], "options of call: expected an object, got an array"],
    ["x", 'options of call: expected an object, got "x"'],
    [{ timeoutMs: "1s" }, 'timeoutMs: expected a number from 0 up, got "1s"'],
    [{ timeoutMs: null }, "timeoutMs: expected a number from 0 up, got null"],
    [Object.create({ timeoutMs: -1 }), "timeoutMs: expected a number from 0 up, got -1"],
    [{ waitForReady: "false" }, 'waitForReady: expected true or false, got "false"'],
    [{ lag: true }, "lag: expected an object, got true"],
    [{ lag: { policy: "dorp" } }, 'lag.policy: expected one of drop, fail, got "dorp"'],
    [{ lag: { policy: "drop" } }, "how much?"],
    [{ lag: { backpressure: true } }, "lag: expected no policy, got backpressure"],
  ])("refuses a value that an option cannot have: %#", (options, message) => {
    expect(() => table.check(options)).toThrow(message);
  });

  const expected = "options of call: expected one of timeoutMs, waitForReady, lag, got";
  it.each<[Record<string, unknown>, string]>([
    [{ colour: "red" }, `${expected} "colour"`],
    [{ colour: undefined }, `${expected} "colour"`],
    [{ __proto__: null, constructor: 1 }, `${expected} "constructor"`],
    [{ timeuotMs: 1 }, `${expected} "timeuotMs"; did you mean timeoutMs?`],
    [{ timeoutms: 1 }, `${expected} "timeoutms"; did you mean timeoutMs?`],
    [{ timeout: 1 }, `${expected} "timeout"; did you mean timeoutMs?`],
    [{ lga: {} }, `${expected} "lga"; did you mean lag?`],
    [{ policy: "drop" }, `${expected} "policy"; did you mean lag.policy?`],
    [{ polcy: "drop" }, `${expected} "polcy"; did you mean lag.policy?`],
    [
      { lag: { polcy: "drop" } },
      'lag: expected one of policy, maxLagBytes, got "polcy"; did you mean policy?',
    ],
  ])("refuses an unknown option, and says what was probably meant: %#", (options, message) => {
    expect(() => table.check(options)).toThrow(new TypeError(message));
  });

  it("names the only option without a choice", () => {
    const one = optionTable<{ maxPeekBytes?: number }>("options", { maxPeekBytes: anything });
    expect(() => one.check({ peek: 1 })).toThrow('options: expected maxPeekBytes, got "peek"');
  });
});
