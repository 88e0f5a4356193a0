import { describe, expect, it } from "vitest";
import { parseCpuList, planCpus } from "./cpus.ts";
import { cpuBetween, parsePsLine, parseStat, treeOf, usageOfTree } from "./usage.ts";

describe("parseStat()", () => {
  it("reads parent and CPU time although the command holds spaces and parentheses", () => {
    const line = `42 (a (b) c) S 7 42 42 0 -1 4194304 1 2 3 4 150 25 9 9 20 0 11 0 100 200 300`;
    expect(parseStat(line)).toMatchObject({
      pid: 42,
      parent: 7,
      userUs: 1_500_000,
      systemUs: 250_000,
    });
  });
});

describe("parsePsLine()", () => {
  it.each([
    ["  42     7  2048 0:01.50 0:02.00", 1_500_000, 500_000],
    ["42 7 2048 1:00:00.25 1:00:01.25", 3_600_250_000, 1_000_000],
    ["42 7 2048 1-00:00:01.00 1-00:00:01.00", 86_401_000_000, 0],
  ])("reads %j", (text, userUs, systemUs) => {
    const row = parsePsLine(text);
    expect(row).toMatchObject({ pid: 42, parent: 7, rssBytes: 2_097_152 });
    expect(row.userUs).toBeCloseTo(userUs, 0);
    expect(row.systemUs).toBeCloseTo(systemUs, 0);
  });
});

describe("treeOf()", () => {
  it("finds children of children, and nobody else", () => {
    const row = (pid: number, parent: number) => {
      return { pid, parent, userUs: 0, systemUs: 0, rssBytes: 0 };
    };
    const rows = [row(1, 0), row(10, 1), row(11, 10), row(12, 11), row(20, 1)];
    expect([...treeOf(10, rows)].map(({ pid }) => pid)).toEqual([10, 11, 12]);
  });
});

describe("usageOfTree()", () => {
  it("grows by what this process uses", () => {
    const before = usageOfTree(process.pid);
    const cpuBefore = process.cpuUsage();
    while (process.cpuUsage(cpuBefore).user < 60_000);
    const after = usageOfTree(process.pid);
    const usedUs = after.cpuUs - before.cpuUs;
    expect(usedUs).toBeGreaterThan(40_000);
    expect(usedUs).toBeLessThan(2_000_000);
    expect(after.rssBytes).toBeGreaterThan(10_000_000);
  });
});

describe("cpuBetween()", () => {
  const usage = (cpuUs: number, userUs: number, systemUs: number) => {
    return { cpuUs, userUs, systemUs, rssBytes: 0 };
  };

  it("divides the exact total as the ticks divide it", () => {
    const used = cpuBetween(usage(1_000, 0, 0), usage(41_000, 30_000, 10_000));
    expect(used).toEqual({ userUs: 30_000, systemUs: 10_000 });
  });

  it("never makes a part negative when ticks are corrected backwards", () => {
    const used = cpuBetween(usage(50_000, 40_000, 10_000), usage(60_000, 30_000, 30_000));
    expect(used).toEqual({ userUs: 0, systemUs: 10_000 });
  });
});

describe("planCpus()", () => {
  it.each([
    [[0, 1], { subject: "1", backend: "0", load: "0" }],
    [[0, 1, 2, 3], { subject: "3", backend: "2", load: "0,1" }],
    [[5], { subject: undefined, backend: undefined, load: undefined }],
  ])("gives the subject of %j a processor of its own where there is one", (cpus, expected) => {
    expect(planCpus(cpus, true)).toMatchObject(expected);
  });

  it("pins nothing without taskset", () => {
    expect(planCpus([0, 1], false)).toMatchObject({ subject: undefined, load: undefined });
  });

  it("reads the kernel's lists", () => {
    expect(parseCpuList("0-2,5,7-8\n")).toEqual([0, 1, 2, 5, 7, 8]);
  });
});
