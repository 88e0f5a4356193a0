// A scenario as a table, with the columns that matter for its measurements. Markdown for the
// README, HTML for the report.

import type { Unit } from "../scenarios.ts";
import {
  formatKibibytes,
  formatMebibytes,
  formatNumber,
  formatRatio,
  formatSpread,
  type ScenarioSummary,
  type SummaryRow,
} from "./summary.ts";

export interface Column {
  readonly head: string;
  cell(row: SummaryRow): string;
}

function ratioColumn(base: string | undefined, of: string): Column {
  return {
    head: base === undefined ? `${of} ratio` : `${of} / ${base}`,
    cell: (row) => (row.isBase ? "1 (base)" : formatRatio(row.ratio)),
  };
}

function perUnit(unit: Unit): string {
  return unit === "MiB" ? "MiB" : unit;
}

export function columnsOf(summary: ScenarioSummary, baseId: string | undefined): Column[] {
  const { scenario } = summary.record;
  switch (scenario.measures) {
    case "throughput": {
      const unit = perUnit(scenario.unit);
      return [
        { head: `CPU us/${unit}`, cell: (row) => formatSpread(row.cpuUs) },
        {
          head: "user + system",
          cell: (row) =>
            row.cpuUserUs === undefined
              ? "-"
              : `${formatNumber(row.cpuUserUs.median)} + ${formatNumber(row.cpuSystemUs?.median)}`,
        },
        ratioColumn(baseId, "CPU"),
        {
          head: unit === "MiB" ? "MiB/s" : `${unit}s/s`,
          cell: (row) => formatSpread(row.unitsPerSecond),
        },
        { head: "mean us", cell: (row) => formatNumber(row.meanUs?.median) },
        { head: "p50 us", cell: (row) => formatNumber(row.p50Us?.median) },
        { head: "p99 us", cell: (row) => formatNumber(row.p99Us?.median) },
        { head: "p99.9 us", cell: (row) => formatNumber(row.p999Us?.median) },
        { head: "RSS MiB", cell: (row) => formatMebibytes(row.rssBytes) },
      ];
    }
    case "latency":
      return [
        { head: "calls/s", cell: (row) => formatNumber(row.unitsPerSecond?.median) },
        { head: "mean us", cell: (row) => formatSpread(row.meanUs) },
        { head: "p50 us", cell: (row) => formatSpread(row.p50Us) },
        { head: "p90 us", cell: (row) => formatNumber(row.p90Us?.median) },
        { head: "p99 us", cell: (row) => formatSpread(row.p99Us) },
        { head: "p99.9 us", cell: (row) => formatNumber(row.p999Us?.median) },
        { head: "worst us", cell: (row) => formatNumber(row.highestUs?.median) },
        { head: "CPU us/call", cell: (row) => formatSpread(row.cpuUs) },
        ratioColumn(baseId, "CPU"),
      ];
    case "memory":
      return [
        {
          head: scenario.streamsPerConnection > 0 ? "KiB/stream" : "KiB/connection",
          cell: (row) => formatKibibytes(row.bytesEach),
        },
        ratioColumn(baseId, "memory"),
        { head: "RSS MiB with all of them", cell: (row) => formatMebibytes(row.rssBytes) },
      ];
  }
}

/** The source of the load, in words for the line above a table. */
export function conditionsOf(summary: ScenarioSummary): string {
  const { backend, load, ratePerSecond } = summary.record;
  const rate = ratePerSecond === undefined ? "" : `, ${formatNumber(ratePerSecond)} calls/s`;
  return `${backend} backend, load by ${load === "h2load" ? "h2load" : "our generator"}${rate}`;
}

export function markdownTable(summary: ScenarioSummary, baseId: string | undefined): string {
  const { scenario } = summary.record;
  const columns = columnsOf(summary, baseId);
  const lines = [
    `### ${scenario.id}`,
    "",
    `${scenario.title}; ${conditionsOf(summary)}.`,
    "",
    `| subject | ${columns.map((column) => column.head).join(" | ")} |`,
    `|---|${"--:|".repeat(columns.length)}`,
  ];
  for (const row of summary.rows) {
    const cells =
      row.failure === undefined
        ? columns.map((column) => column.cell(row))
        : [escapeCell(row.failure), ...columns.slice(1).map(() => "")];
    lines.push(`| ${row.subject.title} | ${cells.join(" | ")} |`);
  }
  return `${lines.join("\n")}\n`;
}

function escapeCell(text: string): string {
  return text.replaceAll("<", "&lt;").replaceAll("|", "\\|").replaceAll("\n", " ");
}
