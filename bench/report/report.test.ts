import { describe, expect, it } from "vitest";
import {
  type BenchRecord,
  parseRecord,
  RECORD_VERSION,
  type Round,
  type ScenarioRecord,
} from "../record.ts";
import { SCENARIOS } from "../scenarios.ts";
import { htmlReport } from "./html.ts";
import { markdownReport } from "./markdown.ts";
import { formatNumber, formatSpread, summarise } from "./summary.ts";
import { linearTicks, logTicks } from "./svg.ts";

const LATENCY = { meanUs: 120, p50Us: 100, p90Us: 150, p99Us: 400, p999Us: 900, highestUs: 2_000 };

function round(cpuUs: number): Round {
  return {
    unitsPerSecond: 1e6 / cpuUs,
    callsPerSecond: 1e6 / cpuUs,
    cpuUserUs: cpuUs * 0.75,
    cpuSystemUs: cpuUs * 0.25,
    latency: LATENCY,
    rssBytes: 50 * 1_048_576,
    bytesEach: 2_048,
  };
}

const RESULTS: ScenarioRecord["results"] = {
  fast: { status: "ok", rounds: [round(4), round(8), round(4.4)] },
  base: { status: "ok", rounds: [round(8), round(16), round(8)] },
  wrong: { status: "failed", reason: "9 x grpc-status 14 <b>a|b</b>", rounds: [round(0.1)] },
};

const RECORD: BenchRecord = {
  version: RECORD_VERSION,
  command: "npm run bench -- --base base",
  startedAt: "2026-01-02T03:04:05.000Z",
  seconds: 12,
  roundSeconds: 1,
  baseId: "base",
  environment: {
    cpuModel: "Some CPU <fast>",
    cpuCount: 2,
    memoryBytes: 2 ** 33,
    kernel: "Linux 6",
    node: "v20.0.0",
    commit: "abc",
    placement: "not pinned",
    versions: { nghttpx: "nghttpx nghttp2/1.52.0" },
  },
  subjects: [
    { id: "fast", title: "the fast one", family: "relay", status: "ok", defects: ["is <odd>"] },
    { id: "base", title: "the base", family: "native", status: "ok", defects: [] },
    { id: "wrong", title: "the wrong one", family: "node", status: "ok", defects: [] },
    {
      id: "gone",
      title: "not here",
      family: "native",
      status: "skipped",
      reason: "not installed",
      defects: [],
    },
  ],
  scenarios: SCENARIOS.map((scenario) => {
    return { scenario, backend: scenario.backend, load: "generator" as const, results: RESULTS };
  }),
};

describe("summarise()", () => {
  const rows = summarise(RECORD)[0]!.rows;

  it("gives a subject with failures no figures, however fast it was", () => {
    const wrong = rows.find((row) => row.subject.id === "wrong");
    expect(wrong?.failure).toMatch(/^failed: 9 x grpc-status 14/);
    expect(wrong).toMatchObject({ cpuUs: undefined, unitsPerSecond: undefined, ratio: undefined });
  });

  it("takes ratios round by round", () => {
    const fast = rows.find((row) => row.subject.id === "fast");
    expect(fast?.ratio).toMatchObject({ median: 0.5, lowest: 0.5, highest: 0.55 });
  });

  it("lists only subjects that took part", () => {
    expect(rows.map((row) => row.subject.id)).toEqual(["fast", "base", "wrong"]);
  });
});

describe("htmlReport()", () => {
  const html = htmlReport(RECORD);

  it("loads nothing from anywhere", () => {
    expect(html).toMatch(/content="default-src 'none'; style-src 'unsafe-inline'; img-src data:"/);
    expect(html).not.toMatch(/https?:|<script|<img|@import|url\(/);
  });

  it("escapes what it did not write itself", () => {
    expect(html).not.toMatch(/<b>a\|b|<odd>|<fast>/);
    expect(html).toContain("Some CPU &lt;fast&gt;");
  });

  it("has a picture for every scenario and the scaling curve", () => {
    const sections = html.split("<section>").slice(1, -1);
    expect(sections).toHaveLength(1 + SCENARIOS.length);
    for (const section of sections) expect(section).toMatch(/<svg [^>]*role="img"/);
  });

  it("draws no number that is none", () => {
    expect(html).not.toMatch(/NaN|undefined|Infinity/);
  });
});

describe("markdownReport()", () => {
  const markdown = markdownReport(RECORD);

  it("has a table for every scenario, with as many cells as heads", () => {
    for (const line of markdown.split("\n").filter((one) => one.startsWith("| the fast one"))) {
      const table = markdown.slice(0, markdown.indexOf(line)).split("\n");
      const head = table.findLast((one) => one.startsWith("| subject")) ?? "";
      expect(line.split(" | ")).toHaveLength(head.split(" | ").length);
    }
    expect(markdown.match(/^\| subject/gm)).toHaveLength(SCENARIOS.length);
  });

  it("keeps a reason from breaking its table", () => {
    expect(markdown).toContain("grpc-status 14 &lt;b>a\\|b&lt;/b>");
  });

  it("says what was skipped and what is defective", () => {
    expect(markdown).toContain("- gone: skipped, not installed");
    expect(markdown).toContain("- fast: defect: is <odd>");
  });
});

describe("parseRecord()", () => {
  it("reads back what --json wrote", () => {
    expect(parseRecord(JSON.stringify(RECORD))).toEqual(RECORD);
  });

  it.each([
    ["", /not a JSON file/],
    ["{}", /not a record of this harness/],
    ['{"version":99,"scenarios":[]}', /expected a record of version 1, got 99/],
  ])("refuses %j", (text, expected) => {
    expect(() => parseRecord(text)).toThrow(expected);
  });
});

describe("numbers", () => {
  it.each([
    [0.456, "0.46"],
    [12.34, "12.3"],
    [123_456.7, "123,457"],
    [Number.NaN, "-"],
    [undefined, "-"],
  ])("%d is shown as %s", (value, expected) => {
    expect(formatNumber(value)).toBe(expected);
  });

  it("show half the range in percent of the median", () => {
    expect(formatSpread({ median: 10, lowest: 9, highest: 13 })).toBe("10.0 ±20%");
    expect(formatSpread({ median: 10, lowest: 10, highest: 10 })).toBe("10.0");
  });

  it.each([
    [7.3, 4, [0, 2, 4, 6, 8]],
    [300, 4, [0, 100, 200, 300]],
    [0, 4, [0, 1]],
  ])("have round ticks up to %d", (highest, count, expected) => {
    expect(linearTicks(highest, count)).toEqual(expected);
  });

  it("have logarithmic ticks that enclose the range", () => {
    expect(logTicks(3, 45)).toEqual([2, 5, 10, 20, 50]);
    expect(logTicks(0.5, 60_000)).toEqual([0.1, 1, 10, 100, 1_000, 10_000, 100_000]);
  });
});
