import { describe, expect, it } from "vitest";
import { formatTimeout, parseTimeout } from "../../src/grpc/timeout.ts";
import { Random } from "./random.ts";

describe("parseTimeout", () => {
  it.each([
    ["1H", 3_600_000],
    ["1M", 60_000],
    ["1S", 1_000],
    ["1m", 1],
    ["1u", 0.001],
    ["1n", 0.000_001],
    ["0n", 0],
    ["0H", 0],
    ["00000001S", 1_000],
    ["99999999n", 99.999_999],
    ["99999999m", 99_999_999],
    ["99999999H", 359_999_996_400_000],
  ])("reads %s as %d ms", (text, ms) => expect(parseTimeout(text)).toBe(ms));

  it.each([
    "",
    "1",
    "S",
    "123456789S",
    "1s",
    "1h",
    "1ms",
    "1 S",
    " 1S",
    "1S ",
    "-1S",
    "+1S",
    "1.5S",
    "1e3S",
    "0x1S",
    "1:S",
    "/1S",
    "\u0661S",
    "1Sn",
    "1X",
    "1\u0000",
  ])("refuses %j", (text) => expect(parseTimeout(text)).toBeUndefined());
});

describe("formatTimeout", () => {
  it.each([
    [0, "0n"],
    [-1, "0n"],
    [-0, "0n"],
    [Number.NEGATIVE_INFINITY, "0n"],
    [Number.NaN, "0n"],
    [0.000_001, "1n"],
    [0.000_000_1, "1n"],
    [1, "1000000n"],
    [99.999_999, "99999999n"],
    [99.999_999_5, "100000u"],
    [100, "100000u"],
    [99_999.999, "99999999u"],
    [100_000, "100000m"],
    [99_999_999, "99999999m"],
    [99_999_999.1, "100000S"],
    [100_000_000, "100000S"],
    [99_999_999_000, "99999999S"],
    [99_999_999_001, "1666667M"],
    [5_999_999_940_000, "99999999M"],
    [5_999_999_940_001, "1666667H"],
    [359_999_996_400_000, "99999999H"],
    [1e300, "99999999H"],
    [Number.POSITIVE_INFINITY, "99999999H"],
  ])("writes %d ms as %s", (ms, text) => expect(formatTimeout(ms)).toBe(text));

  it("rounds up even where the fraction is less than multiplying can show", () => {
    const ms = nextUp(0.072_984);
    expect(ms * 1_000_000).toBe(72_984);
    expect(formatTimeout(ms)).toBe("72985n");
  });

  it("never gets shorter than what it was given, by less than one unit too long", () => {
    const random = new Random(1);
    for (let round = 0; round < 20_000; round++) {
      const magnitude = 10 ** (random.integer(20) - 6);
      const ms = (magnitude * (1 + random.integer(1_000_000_007))) / 1_000_000_007;
      const text = formatTimeout(ms);
      expect(text).toMatch(/^[0-9]{1,8}[HMSmun]$/);
      const back = parseTimeout(text) ?? Number.NaN;
      const unit = parseTimeout(`1${text.slice(-1)}`) ?? Number.NaN;
      if (!(back >= ms && back - ms <= unit * 1.000_001)) {
        throw new Error(`${ms} ms became ${text}, which is ${back} ms`);
      }
    }
  });

  it("writes what it reads back as the same time", () => {
    const random = new Random(2);
    for (let round = 0; round < 5_000; round++) {
      const text = `${random.integer(100_000_000)}${"HMSmun".charAt(random.integer(6))}`;
      const ms = parseTimeout(text) ?? Number.NaN;
      expect(parseTimeout(formatTimeout(ms))).toBe(ms);
    }
  });
});

/** The double next above a positive one. */
function nextUp(value: number): number {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE(value);
  bytes.writeBigUInt64BE(bytes.readBigUInt64BE() + 1n);
  return bytes.readDoubleBE();
}
