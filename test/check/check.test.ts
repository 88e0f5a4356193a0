import { once } from "node:events";
import { expect, it } from "vitest";
import { checkInteger, checkNumber, checkObject, shown, tell } from "../../src/check/check.ts";

it("shows what came: text quoted, anything large by its kind", () => {
  const came = [
    "5",
    5,
    null,
    undefined,
    [1],
    {},
    new Map(),
    Object.create(null),
    () => 1,
    Symbol("s"),
  ];
  expect(came.map(shown)).toEqual([
    '"5"',
    "5",
    "null",
    "undefined",
    "an array",
    "an object (Object)",
    "an object (Map)",
    "an object (no class)",
    "a function",
    "Symbol(s)",
  ]);
});

it.each([null, [], "x", 5])("takes %j for no object", (value) => {
  expect(() => checkObject("lag", value)).toThrow(`lag: expected an object, got ${shown(value)}`);
});

it.each(["5", Number.NaN, -1, null])("takes %j for no number from 0 up", (value) => {
  expect(() => checkNumber("graceMs", value, 0)).toThrow(
    "graceMs: expected a number from 0 up, got",
  );
});

it.each(["5", Number.NaN, 0.9, 2.1, Number.POSITIVE_INFINITY, null])(
  "takes %j for no number from 1 to 2",
  (value) => {
    expect(() => checkNumber("jitter", value, 1, 2)).toThrow(
      new RangeError(`jitter: expected a number from 1 to 2, got ${shown(value)}`),
    );
  },
);

it.each(["5", Number.NaN, 0, 4, 1.5, Number.POSITIVE_INFINITY, null])(
  "takes %j for no integer from 1 to 3",
  (value) => {
    expect(() => checkInteger("count", value, 1, 3)).toThrow(
      new RangeError(`count: expected an integer from 1 to 3, got ${shown(value)}`),
    );
  },
);

it("takes what is in the range, its ends too", () => {
  for (const value of [1, 1.5, 2]) checkNumber("jitter", value, 1, 2);
  checkNumber("timeoutMs", Number.POSITIVE_INFINITY, 0);
  for (const value of [1, 2, 3]) checkInteger("count", value, 1, 3);
  checkInteger("count", Number.MAX_SAFE_INTEGER, 0);
  expect(() => checkInteger("count", -1, 0)).toThrow("expected an integer from 0 up, got -1");
});

it.each([new Error("oops"), "oops"])(
  "warns of a callback that throws %s, and goes on",
  async (thrown) => {
    const warned = once(process, "warning");
    tell("onConnectionError", () => {
      throw thrown;
    });
    const [warning] = await warned;
    expect(warning).toMatchObject({
      name: "GrpcRelayWarning",
      message: "onConnectionError must not throw",
    });
    expect(warning.detail).toContain("oops");
  },
);
