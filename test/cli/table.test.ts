import { describe, expect, it } from "vitest";
import { formatTable, median } from "../../src/cli/table.ts";

describe("formatTable", () => {
  it("makes each column as wide as its widest line, and rows as high as their highest cell", () => {
    const table = formatTable(
      ["a", "wide head"],
      [
        [["one", "two two"], ["x"]],
        [["three"], ["y", "", "z"]],
      ],
    );
    expect(table.split("\n")).toEqual([
      "a        wide head",
      "-------  ---------",
      "one      x",
      "two two",
      "three    y",
      "",
      "         z",
    ]);
  });
});

describe("median", () => {
  it.each([
    [[3], 3],
    [[10, 1, 2], 2],
    [[4, 1, 3, 2], 2.5],
    [[100, 9, 10], 10],
  ])("of %j is %d", (values, middle) => {
    expect(median(values)).toBe(middle);
  });
});
