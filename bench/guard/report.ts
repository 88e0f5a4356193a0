// The findings of the guard, as a table and as an exit code.

import type { Environment } from "../record.ts";
import { formatNumber } from "../report/summary.ts";
import { FEWEST_ROUNDS, type GuardRound, RATIO_LIMIT, type RowVerdict } from "./verdict.ts";

/** The shape of `--guard BASE --json FILE`. */
export interface GuardRecord {
  readonly command: string;
  readonly startedAt: string;
  readonly seconds: number;
  readonly baseRevision: string;
  readonly baseCommit: string;
  readonly rounds: number;
  readonly roundSeconds: number;
  readonly ratioLimit: number;
  readonly environment: Environment;
  readonly rows: readonly GuardRowRecord[];
}

export interface GuardRowRecord {
  readonly id: string;
  readonly unit: string;
  readonly rounds: readonly GuardRound[];
  /** The verdict; `undefined` when the row could not be measured. */
  readonly verdict: RowVerdict | undefined;
  readonly failure: string | undefined;
}

/** Whether every row was measured, and none is slower. */
export function passes(record: GuardRecord): boolean {
  return record.rows.every(({ verdict }) => verdict !== undefined && verdict.verdict !== "slower");
}

export function guardReport(record: GuardRecord): string {
  const { environment, rounds, roundSeconds, baseRevision, baseCommit } = record;
  const base = baseCommit.startsWith(baseRevision) ? "" : ` (${baseRevision})`;
  const lines = [
    `CPU time of ${environment.commit} to that of ${baseCommit.slice(0, 12)}${base}; ${rounds} paired rounds of ${roundSeconds} s twice each, median and 95 % interval; limit ${RATIO_LIMIT}x`,
    `${environment.cpuCount} x ${environment.cpuModel}, Node ${environment.node}; ${environment.placement}`,
    "",
    "| row | base, CPU us | now, CPU us | ratio | 95 % interval | verdict |",
    "|---|--:|--:|--:|--:|---|",
    ...record.rows.map(line),
    "",
  ];
  if (rounds < FEWEST_ROUNDS) {
    lines.push(`Fewer than ${FEWEST_ROUNDS} rounds: this shows that it works, and nothing else.`);
  }
  lines.push(passes(record) ? "The guard passes." : "The guard FAILS.");
  return `${lines.join("\n")}\n`;
}

function line({ id, unit, verdict, failure }: GuardRowRecord): string {
  if (verdict === undefined) return `| ${id} | | | | | **not measured**: ${failure} |`;
  const { baseUs, currentUs, ratio, lowest, highest } = verdict;
  const interval = `${lowest.toFixed(3)} - ${highest.toFixed(3)}`;
  const said = verdict.verdict === "slower" ? "**slower**" : verdict.verdict;
  return `| ${id}, per ${unit} | ${formatNumber(baseUs)} | ${formatNumber(currentUs)} | ${ratio.toFixed(3)}x | ${interval} | ${said} |`;
}
