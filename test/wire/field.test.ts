import { describe, expect, it } from "vitest";
import { fieldValue, HeaderError, HeaderField } from "../../src/wire/field.ts";

describe("HeaderField", () => {
  it("keeps name and value as they are, and is not sensitive unless told", () => {
    expect(new HeaderField("x-a", "caf\xe9")).toMatchObject({
      name: "x-a",
      value: "caf\xe9",
      sensitive: false,
    });
    expect(new HeaderField("authorization", "secret", true).sensitive).toBe(true);
  });
});

describe("fieldValue", () => {
  const fields = [
    new HeaderField("x-a", "first"),
    new HeaderField("x-b", ""),
    new HeaderField("x-a", "second"),
  ];

  it.each([
    ["x-a", "first"],
    ["x-b", ""],
    ["x-c", undefined],
    ["X-A", undefined],
  ])("gives the first value of %s", (name, value) => {
    expect(fieldValue(fields, name)).toBe(value);
  });

  it("finds nothing in an empty list", () => {
    expect(fieldValue([], "x-a")).toBeUndefined();
  });
});

describe("HeaderError", () => {
  it("is an Error with a name of its own", () => {
    const error = new HeaderError("malformed field name");
    expect(error).toBeInstanceOf(Error);
    expect(`${error}`).toBe("HeaderError: malformed field name");
  });
});
