import { describe, expect, it } from "vitest";
import { ErrorCode, errorCodeName } from "../../src/wire/error-code.ts";

describe("errorCodeName", () => {
  it.each(Object.entries(ErrorCode))("names %s for 0x%i as RFC 9113 §7 does", (name, code) => {
    expect(errorCodeName(code)).toBe(name);
  });

  it("numbers the codes of RFC 9113 §7 without gaps", () => {
    expect(Object.values(ErrorCode)).toEqual(Array.from({ length: 14 }, (_, i) => i));
  });

  it.each([
    [14, "error code 0xe"],
    [0x4d, "error code 0x4d"],
    [0xffffffff, "error code 0xffffffff"],
  ])("says the number of %i, which has no name", (code, text) => {
    expect(errorCodeName(code)).toBe(text);
  });
});
