import { describe, expect, it } from "vitest";
import { isStatus, Status, statusName } from "../../src/grpc/status.ts";

describe("Status", () => {
  it("has the seventeen codes of gRPC in their order", () => {
    expect(Object.entries(Status)).toEqual([
      ["OK", 0],
      ["CANCELLED", 1],
      ["UNKNOWN", 2],
      ["INVALID_ARGUMENT", 3],
      ["DEADLINE_EXCEEDED", 4],
      ["NOT_FOUND", 5],
      ["ALREADY_EXISTS", 6],
      ["PERMISSION_DENIED", 7],
      ["RESOURCE_EXHAUSTED", 8],
      ["FAILED_PRECONDITION", 9],
      ["ABORTED", 10],
      ["OUT_OF_RANGE", 11],
      ["UNIMPLEMENTED", 12],
      ["INTERNAL", 13],
      ["UNAVAILABLE", 14],
      ["DATA_LOSS", 15],
      ["UNAUTHENTICATED", 16],
    ]);
  });

  it("names every code by its own key", () => {
    for (const [name, code] of Object.entries(Status)) expect(statusName(code)).toBe(name);
  });

  it.each([17, 42, -1])("names %d, which is no status, by its number", (code) => {
    expect(statusName(code)).toBe(`CODE_${code}`);
  });

  it.each([0, 1, 16])("accepts %d as a status", (code) => expect(isStatus(code)).toBe(true));

  it.each([-1, 17, 1.5, Number.NaN, Number.POSITIVE_INFINITY])("refuses %d as a status", (code) =>
    expect(isStatus(code)).toBe(false),
  );
});
