import { once } from "node:events";
import { expect, it } from "vitest";
import { checkNumber, checkObject, shown, tell } from "../../src/check/check.ts";

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
