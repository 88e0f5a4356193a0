// The record as one HTML page: pictures, tables, conditions. The page loads nothing. It is light or
// dark by the reader's setting.

import type { Spread } from "../measure/statistics.ts";
import { spreadOf } from "../measure/statistics.ts";
import { type BenchRecord, cpuUs } from "../record.ts";
import { type Bar, barChart } from "./bar-chart.ts";
import { lineChart, type Position, type Series } from "./line-chart.ts";
import { environmentLines, noteLines } from "./markdown.ts";
import { type ScenarioSummary, type SummaryRow, summarise } from "./summary.ts";
import { escapeText } from "./svg.ts";
import { columnsOf, conditionsOf } from "./tables.ts";

export function htmlReport(record: BenchRecord): string {
  const summaries = summarise(record);
  const throughput = summaries.filter(
    ({ record: { scenario } }) => scenario.measures === "throughput",
  );
  const latency = summaries.filter(({ record: { scenario } }) => scenario.measures === "latency");
  const memory = summaries.filter(({ record: { scenario } }) => scenario.measures === "memory");
  const sections = [
    section("Scaling: CPU time per call over concurrency", "lines", [
      scalingChart(record, throughput),
    ]),
    ...throughput.map((summary) => throughputSection(summary, record.baseId)),
    ...latency.map((summary) => latencySection(summary, record.baseId)),
    ...memory.map((summary) => memorySection(summary, record.baseId)),
    notesSection(record),
  ];
  return page(record, sections.join("\n"));
}

function section(
  title: string,
  kind: "bars" | "lines",
  figures: readonly string[],
  after = "",
): string {
  const shown = figures.filter((figure) => figure !== "");
  if (shown.length === 0 && after === "") return "";
  const body = shown.map((one) => `<figure class="${kind}">${one}</figure>`).join("\n");
  return `<section><h2>${escapeText(title)}</h2>\n<div class="figures">${body}</div>\n${after}</section>`;
}

function figure(caption: string, picture: string): string {
  return picture === "" ? "" : `<figcaption>${escapeText(caption)}</figcaption>${picture}`;
}

function barsOf(
  summary: ScenarioSummary,
  value: (row: SummaryRow) => Spread | undefined,
  part?: (row: SummaryRow) => Spread | undefined,
): Bar[] {
  return summary.rows.map((row) => ({
    label: row.subject.title,
    family: row.subject.family,
    failure: row.failure,
    spread: value(row),
    part: part?.(row)?.median,
  }));
}

function throughputSection(summary: ScenarioSummary, baseId: string | undefined): string {
  const { scenario } = summary.record;
  const unit = scenario.measures === "throughput" ? scenario.unit : "call";
  const measured = { ...summary, rows: summary.rows.filter((row) => row.subject.id !== "direct") };
  const cpu = barsOf(
    measured,
    (row) => row.cpuUs,
    (row) => row.cpuUserUs,
  );
  const rate = barsOf(summary, (row) => row.unitsPerSecond);
  const rateUnit = unit === "MiB" ? "MiB/s" : `${unit}s/s`;
  return section(
    `${scenario.id}: ${scenario.title}`,
    "bars",
    [
      figure(
        `CPU time per ${unit}, user and (paler) system: less is better`,
        barChart({ title: scenario.id, unit: `us/${unit}`, bars: cpu, cut: true }),
      ),
      figure(
        `${rateUnit}: more is better`,
        barChart({ title: scenario.id, unit: rateUnit, bars: rate, cut: false }),
      ),
    ],
    table(summary, baseId),
  );
}

const QUANTILES: readonly [string, (row: SummaryRow) => Spread | undefined][] = [
  ["p50", (row) => row.p50Us],
  ["p90", (row) => row.p90Us],
  ["p99", (row) => row.p99Us],
  ["p99.9", (row) => row.p999Us],
  ["worst", (row) => row.highestUs],
];

function latencySection(summary: ScenarioSummary, baseId: string | undefined): string {
  const { scenario } = summary.record;
  const positions: Position[] = QUANTILES.map(([label], index) => ({
    label,
    at: index / (QUANTILES.length - 1),
  }));
  const variants = new Map<string, number>();
  const series: Series[] = summary.rows.map((row) => ({
    label: row.subject.title,
    family: row.subject.family,
    variant: nextVariant(variants, row.subject.family),
    values: QUANTILES.map(([, value]) => value(row)),
  }));
  return section(
    `${scenario.id}: ${scenario.title}`,
    "lines",
    [
      figure(
        "Latency distribution",
        lineChart(scenario.id, "us", "share of calls that were faster", positions, series),
      ),
    ],
    table(summary, baseId),
  );
}

function memorySection(summary: ScenarioSummary, baseId: string | undefined): string {
  const { scenario } = summary.record;
  const kibibytes = (spread: Spread | undefined): Spread | undefined =>
    spread === undefined
      ? undefined
      : spreadOf([spread.lowest, spread.median, spread.highest].map((v) => v / 1_024));
  const bars = barsOf(summary, (row) => kibibytes(row.bytesEach));
  return section(
    `${scenario.id}: ${scenario.title}`,
    "bars",
    [
      figure(
        "Resident memory for each: less is better",
        barChart({ title: scenario.id, unit: "KiB", bars, cut: true }),
      ),
    ],
    table(summary, baseId),
  );
}

/** Only scenarios that differ in nothing but connections and streams lie on one curve. */
function scalingChart(record: BenchRecord, summaries: readonly ScenarioSummary[]): string {
  const points = summaries
    .flatMap(({ record: one }) => {
      const { scenario } = one;
      if (scenario.measures !== "throughput" || one.backend !== "lean") return [];
      const { kind, messageBytes, metadataCount, connectionCount, streamsPerConnection } =
        scenario.workload;
      if (kind !== "unary" || messageBytes !== 32 || metadataCount !== 0) return [];
      const label = `${connectionCount.toLocaleString("en-US")} x ${streamsPerConnection}`;
      return [{ one, label, connectionCount, callCount: connectionCount * streamsPerConnection }];
    })
    .sort((a, b) => a.callCount - b.callCount || a.connectionCount - b.connectionCount);
  if (points.length < 2) return "";
  const positions = points.map(({ label }, index) => ({ label, at: index / (points.length - 1) }));
  const variants = new Map<string, number>();
  const series: Series[] = [];
  for (const subject of record.subjects) {
    const values = points.map(({ one }) => {
      const result = one.results[subject.id];
      if (result?.status !== "ok") return undefined;
      return spreadOf(result.rounds.map((round) => cpuUs(round) ?? Number.NaN));
    });
    // The TLS subjects take part in a few scenarios only; so few points make no curve.
    if (values.filter((value) => value !== undefined).length < Math.min(3, points.length)) continue;
    const variant = nextVariant(variants, subject.family);
    series.push({ label: subject.title, family: subject.family, variant, values });
  }
  const picture = lineChart(
    "scaling",
    "us/call",
    "connections x calls under way on each",
    positions,
    series,
  );
  return figure("Unary 32 B; logarithmic, less is better", picture);
}

function nextVariant(variants: Map<string, number>, family: string): number {
  const variant = variants.get(family) ?? 0;
  variants.set(family, variant + 1);
  return variant;
}

function table(summary: ScenarioSummary, baseId: string | undefined): string {
  const columns = columnsOf(summary, baseId);
  const head = ["subject", ...columns.map((column) => column.head)]
    .map((words) => `<th scope="col">${escapeText(words)}</th>`)
    .join("");
  const rows = summary.rows.map((row) => {
    const cells =
      row.failure === undefined
        ? columns.map((column) => `<td>${escapeText(column.cell(row))}</td>`).join("")
        : `<td class="failed" colspan="${columns.length}">${escapeText(row.failure)}</td>`;
    return `<tr><th scope="row" class="${row.subject.family}">${escapeText(row.subject.title)}</th>${cells}</tr>`;
  });
  return (
    `<p class="conditions">${escapeText(conditionsOf(summary))}</p>` +
    `<div class="scroll"><table><thead><tr>${head}</tr></thead><tbody>${rows.join("\n")}</tbody></table></div>`
  );
}

function notesSection(record: BenchRecord): string {
  const notes = noteLines(record);
  return notes.length === 0 ? "" : `<section><h2>Notes</h2>${listOf(notes)}</section>`;
}

/** The lines are Markdown of the simplest kind: a dash, code, bold. */
function listOf(lines: readonly string[]): string {
  const items = lines.map((entry) => {
    const words = escapeText(entry.replace(/^- /, ""))
      .replace(/`([^`]*)`/g, "<code>$1</code>")
      .replace(/\*\*([^*]*)\*\*/g, "<b>$1</b>");
    return `<li>${words}</li>`;
  });
  return `<ul>${items.join("\n")}</ul>`;
}

function page(record: BenchRecord, body: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>grpc-relay: what a hop costs</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<h1>What a hop costs</h1>
${listOf(environmentLines(record))}
<p class="legend"><span class="relay">grpc-relay</span> <span class="native">proxies in C and C++</span>
<span class="node">other proxies in Node</span> <span class="floor">no proxy, or no HTTP/2</span></p>
</header>
<main>
${body}
</main>
</body>
</html>
`;
}

const STYLE = `
:root { color-scheme: light dark; --paper: #ffffff; --card: #f6f7f9; --ink: #1b1f24; --soft: #5a6370; --grid: #dfe3e8;
  --relay: #1f5fd0; --native: #b4540a; --node: #0b7a68; --floor: #707985; --failed: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171b; --card: #1c2026; --ink: #e7eaee; --soft: #a3adb9; --grid: #323943;
  --relay: #7fb0ff; --native: #f2a65e; --node: #56cdb4; --floor: #98a2ae; --failed: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1360px; padding: 24px; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { margin: 0 0 8px; font-size: 26px; }
h2 { margin: 0 0 12px; font-size: 18px; }
header ul { margin: 0; padding-left: 20px; color: var(--soft); font-size: 13px; }
code { font-size: 12px; overflow-wrap: anywhere; }
section { margin: 24px 0 0; padding: 18px; background: var(--card); border-radius: 8px; }
.figures { display: flex; flex-wrap: wrap; gap: 20px; }
figure { flex: 1 1 520px; max-width: 1000px; min-width: 0; margin: 0; }
figure.bars { max-width: 660px; }
figcaption { margin-bottom: 6px; color: var(--soft); font-size: 13px; }
svg { display: block; width: 100%; height: auto; font: 12px system-ui, sans-serif; }
svg text { fill: var(--ink); }
svg .tick { fill: var(--soft); font-size: 11px; }
svg .value { font-variant-numeric: tabular-nums; }
svg .failed { fill: var(--failed); font-weight: 600; }
.grid { stroke: var(--grid); }
.whisker { stroke: var(--ink); stroke-width: 1.2; }
.break { stroke: var(--card); stroke-width: 3; }
.bar.pale { opacity: 0.5; }
.bar.relay, .dot.relay, svg .end.relay { fill: var(--relay); }
.bar.native, .dot.native, svg .end.native { fill: var(--native); }
.bar.node, .dot.node, svg .end.node { fill: var(--node); }
.bar.floor, .dot.floor, svg .end.floor { fill: var(--floor); }
.line { fill: none; stroke-width: 2; }
.line.relay, .range.relay, .lead.relay { stroke: var(--relay); }
.line.native, .range.native, .lead.native { stroke: var(--native); }
.line.node, .range.node, .lead.node { stroke: var(--node); }
.line.floor, .range.floor, .lead.floor { stroke: var(--floor); }
.range { stroke-width: 1.5; opacity: 0.6; }
.lead { stroke-width: 1; opacity: 0.45; stroke-dasharray: 1 3; }
.legend span { margin-right: 18px; }
.legend span::before { content: ""; display: inline-block; width: 12px; height: 12px; margin-right: 6px; background: currentColor;
  border-radius: 2px; vertical-align: -1px; }
.relay { color: var(--relay); } .native { color: var(--native); } .node { color: var(--node); } .floor { color: var(--floor); }
.conditions { margin: 14px 0 6px; color: var(--soft); font-size: 13px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: 3px 10px; border-bottom: 1px solid var(--grid); text-align: right; white-space: nowrap; }
thead th { color: var(--soft); font-weight: 500; }
tr > :first-child { padding-left: 0; text-align: left; font-weight: 500; }
td.failed { color: var(--failed); text-align: left; white-space: normal; }
`;
