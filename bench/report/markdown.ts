// The whole record as Markdown.

import type { BenchRecord } from "../record.ts";
import { formatNumber, summarise } from "./summary.ts";
import { markdownTable } from "./tables.ts";

export function markdownReport(record: BenchRecord): string {
  const parts = [environmentLines(record).join("\n")];
  for (const summary of summarise(record)) {
    parts.push(markdownTable(summary, record.baseId));
  }
  const notes = noteLines(record);
  if (notes.length > 0) parts.push(["### Notes", "", ...notes].join("\n"));
  return `${parts.join("\n\n")}\n`;
}

export function environmentLines(record: BenchRecord): string[] {
  const { environment } = record;
  const gibibytes = Math.round(environment.memoryBytes / 2 ** 30);
  const versions = Object.entries(environment.versions).map(([name, version]) =>
    version.includes(name) ? version : `${name} ${version}`,
  );
  return [
    `- command: \`${record.command}\``,
    `- ${record.startedAt.slice(0, 16).replace("T", " ")} UTC, commit ${environment.commit}`,
    `- ${environment.cpuCount} x ${environment.cpuModel}, ${gibibytes} GiB, ${environment.kernel}, Node ${environment.node}`,
    `- ${environment.placement}; rounds of ${record.roundSeconds} s; medians, ± half the range`,
    ...(versions.length > 0 ? [`- ${versions.join("; ")}`] : []),
  ];
}

export function noteLines(record: BenchRecord): string[] {
  const lines: string[] = [];
  for (const subject of record.subjects) {
    if (subject.status === "failed") lines.push(`- ${subject.id}: **failed**, ${subject.reason}`);
    if (subject.status === "skipped") lines.push(`- ${subject.id}: skipped, ${subject.reason}`);
    for (const defect of subject.defects) lines.push(`- ${subject.id}: defect: ${defect}`);
  }
  const check = record.crossCheck;
  if (check !== undefined) {
    lines.push(
      `- h2load against our generator, direct, one call at a time: median ${formatNumber(check.h2loadP50Us)} and ` +
        `${formatNumber(check.generatorP50Us)} us; calls counted of those served: ${check.h2loadCalls} of ` +
        `${check.h2loadServed}, and ${check.generatorCalls} of ${check.generatorServed} (without its first and last)`,
    );
  }
  return lines;
}
