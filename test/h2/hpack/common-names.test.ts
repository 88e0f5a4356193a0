import { describe, expect, it } from "vitest";
import { findCommonName } from "../../../src/h2/hpack/common-names.ts";
import { KNOWN_NAMES } from "../../../src/h2/hpack/known-names.ts";

const find = (name: string): string | undefined => {
  const bytes = Buffer.from(`>${name}<`, "latin1");
  return findCommonName(bytes, 1, 1 + name.length);
};

describe("findCommonName", () => {
  it.each([
    ...KNOWN_NAMES.keys(),
    "te",
    "grpc-status",
    "grpc-encoding",
    "grpc-accept-encoding",
    "x-forwarded-for",
  ])("finds %s, so that no other name has its slot", (name) => {
    expect(find(name)).toBe(name);
  });

  it.each(["", "t", "x", "te ", "grpc-statuS", "grpc_status", "grpc-timeou", "hrpc-timeout"])(
    "does not know %j",
    (name) => {
      expect(find(name)).toBeUndefined();
    },
  );
});
