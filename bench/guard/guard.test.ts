import { describe, expect, it } from "vitest";
import { UsageError } from "../flags.ts";
import { seededRandom } from "../measure/statistics.ts";
import { resolveRevision } from "./checkout.ts";
import { type GuardRecord, type GuardRowRecord, guardReport, passes } from "./report.ts";
import { GUARD_ROWS } from "./rows.ts";
import { FEWEST_ROUNDS, type GuardRound, judge } from "./verdict.ts";

interface Machine {
  readonly rounds?: number;
  /** The largest difference of a process from the mean, to either side. */
  readonly noise?: number;
  readonly seed?: number;
}

/** Rounds of a machine that gets slower and faster. Both sides see the same changes. */
function roundsOf(factor: number, { rounds = 15, noise = 0.03, seed = 1 }: Machine): GuardRound[] {
  const random = seededRandom(seed);
  const differing = (): number => 1 + noise * (2 * random() - 1);
  return Array.from({ length: rounds }, (_, number) => {
    const machine = 2 + Math.sin(number);
    return { baseUs: machine * differing(), currentUs: machine * factor * differing() };
  });
}

describe("judge()", () => {
  it("catches what was made 8 % slower on each of 40 machines that differ by 3 %", () => {
    for (let seed = 1; seed <= 40; seed++) {
      expect(judge(roundsOf(1.08, { seed })).verdict, `seed ${seed}`).toBe("slower");
    }
  });

  it("catches 4 % within 1 % of noise, and 8 % within 3 % although one round in five is an outlier", () => {
    expect(judge(roundsOf(1.04, { noise: 0.01 })).verdict).toBe("slower");
    const rounds = roundsOf(1.08, {}).map((round, number) =>
      number % 5 === 0 ? { ...round, baseUs: round.baseUs * 1.5 } : round,
    );
    expect(judge(rounds).verdict).toBe("slower");
  });

  it("lets equal ones pass on each of 60 machines that differ by 3 %", () => {
    for (let seed = 1; seed <= 60; seed++) {
      expect(judge(roundsOf(1, { seed })).verdict, `seed ${seed}`).not.toBe("slower");
    }
  });

  it("lets equal ones pass although one round in five is an outlier", () => {
    const rounds = roundsOf(1, {}).map((round, number) =>
      number % 5 === 0 ? { ...round, currentUs: round.currentUs * 1.5 } : round,
    );
    expect(judge(rounds).verdict).not.toBe("slower");
  });

  it("says that it cannot tell where the limit is within the interval", () => {
    const { verdict, lowest, highest } = judge(roundsOf(1.02, { noise: 0.05 }));
    expect(verdict).toBe("undecided");
    expect(lowest).toBeLessThan(1.02);
    expect(highest).toBeGreaterThan(1.02);
  });

  it("gives ratio and interval of rounds that agree exactly", () => {
    const rounds = [
      { baseUs: 2, currentUs: 2.2 },
      { baseUs: 4, currentUs: 4.4 },
      { baseUs: 3, currentUs: 3.3 },
    ];
    const { baseUs, currentUs, ratio, lowest, highest, verdict } = judge(rounds);
    expect([baseUs, currentUs, verdict]).toEqual([3, 3.3, "slower"]);
    for (const figure of [ratio, lowest, highest]) expect(figure).toBeCloseTo(1.1);
  });

  it("comes to the same verdict from the same rounds", () => {
    expect(judge(roundsOf(1.01, {}))).toEqual(judge(roundsOf(1.01, {})));
  });

  it.each<[readonly GuardRound[]]>([
    [[]],
    [[{ baseUs: 0, currentUs: 1 }]],
    [[{ baseUs: 1, currentUs: Number.NaN }]],
  ])("throws RangeError for rounds that say nothing: %j", (rounds) => {
    expect(() => judge(rounds)).toThrow(RangeError);
  });
});

describe("the report of the guard", () => {
  const measured = (id: string, factor: number): GuardRowRecord => {
    const rounds = roundsOf(factor, { noise: 0.005 });
    return { id, unit: "call", rounds, verdict: judge(rounds), failure: undefined };
  };
  const record = (rows: readonly GuardRowRecord[], rounds = FEWEST_ROUNDS): GuardRecord => ({
    command: "npm run bench -- --guard main",
    startedAt: "2026-01-01T00:00:00.000Z",
    seconds: 1,
    baseRevision: "main",
    baseCommit: "0123456789abcdef0123456789abcdef01234567",
    rounds,
    roundSeconds: 0.5,
    ratioLimit: 1.02,
    environment: {
      ...{ cpuModel: "Xeon", cpuCount: 2, memoryBytes: 0, kernel: "Linux", node: "v20.20.0" },
      ...{ commit: "fedcba987654", placement: "subject alone on CPU 1", versions: {} },
    },
    rows,
  });

  it("passes when no row is slower", () => {
    const good = record([measured("one", 1), measured("two", 0.9)]);
    expect(passes(good)).toBe(true);
    const text = guardReport(good);
    expect(text).toMatch(
      /\| two, per call \| \d\.\d\d \| \d\.\d\d \| 0\.\d\d\dx \| 0\.\d+ - 0\.\d+ \| pass \|/,
    );
    expect(text).toContain("fedcba987654 to that of 0123456789ab (main)");
    expect(text).toMatch(/The guard passes\.\n$/);
  });

  it("fails when one row is slower", () => {
    const bad = record([measured("one", 1), measured("two", 1.05)]);
    expect(passes(bad)).toBe(false);
    expect(guardReport(bad)).toMatch(/\| two, .*\*\*slower\*\* \|[\s\S]*The guard FAILS\.\n$/);
  });

  it("fails when a row could not be measured, and says why", () => {
    const broken = {
      ...measured("two", 1),
      verdict: undefined,
      failure: "base ended (exit code 1)",
    };
    expect(passes(record([measured("one", 1), broken]))).toBe(false);
    expect(guardReport(record([broken]))).toContain("**not measured**: base ended (exit code 1)");
  });

  it("says when the rounds are too few", () => {
    expect(guardReport(record([measured("one", 1)], 3))).toContain("Fewer than 15 rounds");
    expect(guardReport(record([measured("one", 1)]))).not.toContain("Fewer than");
  });
});

it("guards small calls on few and many connections, large ones, many messages on a stream, and TLS", () => {
  expect(GUARD_ROWS.map(({ id }) => id)).toEqual([
    "unary_32b_8x32",
    "unary_32b_1000x10",
    "unary_1mb_4x4",
    "bidi_100b_1x10x100",
    "unary_32b_8x32_tls",
  ]);
});

it("refuses a revision that git does not know", () => {
  const attempt = (): unknown => resolveRevision("no-such-revision");
  expect(attempt).toThrow(UsageError);
  expect(attempt).toThrow('--guard: git knows no revision "no-such-revision"');
});
