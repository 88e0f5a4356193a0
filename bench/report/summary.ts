// From rounds to the figures that tables and pictures show: medians, spreads, ratios to the base.

import { pairedRatio, type Spread, spreadOf } from "../measure/statistics.ts";
import {
  type BenchRecord,
  cpuUs,
  type Round,
  type ScenarioRecord,
  type SubjectRecord,
} from "../record.ts";

export interface SummaryRow {
  readonly subject: SubjectRecord;
  readonly isBase: boolean;
  /** Says why there are no figures. */
  readonly failure: string | undefined;
  readonly unitsPerSecond: Spread | undefined;
  readonly cpuUs: Spread | undefined;
  readonly cpuUserUs: Spread | undefined;
  readonly cpuSystemUs: Spread | undefined;
  /** CPU time, or memory in memory scenarios, in multiples of the base's. */
  readonly ratio: Spread | undefined;
  readonly meanUs: Spread | undefined;
  readonly p50Us: Spread | undefined;
  readonly p90Us: Spread | undefined;
  readonly p99Us: Spread | undefined;
  readonly p999Us: Spread | undefined;
  readonly highestUs: Spread | undefined;
  readonly rssBytes: Spread | undefined;
  readonly bytesEach: Spread | undefined;
}

export interface ScenarioSummary {
  readonly record: ScenarioRecord;
  readonly rows: readonly SummaryRow[];
}

export function summarise(record: BenchRecord): ScenarioSummary[] {
  return record.scenarios.map((scenario) => ({
    record: scenario,
    rows: record.subjects
      .filter((subject) => scenario.results[subject.id] !== undefined)
      .map((subject) => summaryRow(scenario, subject, record.baseId)),
  }));
}

function summaryRow(
  record: ScenarioRecord,
  subject: SubjectRecord,
  baseId: string | undefined,
): SummaryRow {
  const result = record.results[subject.id]!;
  // A failed subject has no figures, however fast it was.
  const rounds = result.status === "ok" ? result.rounds : [];
  const base = baseId === undefined ? undefined : record.results[baseId];
  const baseRounds = base?.status === "ok" ? base.rounds : [];
  const spread = (figure: (round: Round) => number | undefined): Spread | undefined =>
    spreadOf(rounds.map((round) => (round === null ? Number.NaN : (figure(round) ?? Number.NaN))));
  const cost = (round: Round | null): number | undefined =>
    record.scenario.measures === "memory" ? round?.bytesEach : cpuUs(round);
  return {
    subject,
    isBase: subject.id === baseId,
    failure: result.status === "ok" ? undefined : `${result.status}: ${result.reason ?? ""}`,
    unitsPerSecond: spread((round) => round.unitsPerSecond),
    cpuUs: spread(cpuUs),
    cpuUserUs: spread((round) => round.cpuUserUs),
    cpuSystemUs: spread((round) => round.cpuSystemUs),
    ratio: pairedRatio(rounds.map(cost), baseRounds.map(cost)),
    meanUs: spread((round) => round.latency?.meanUs),
    p50Us: spread((round) => round.latency?.p50Us),
    p90Us: spread((round) => round.latency?.p90Us),
    p99Us: spread((round) => round.latency?.p99Us),
    p999Us: spread((round) => round.latency?.p999Us),
    highestUs: spread((round) => round.latency?.highestUs),
    rssBytes: spread((round) => round.rssBytes),
    bytesEach: spread((round) => round.bytesEach),
  };
}

/** Three significant digits, thousands separated; `-` for nothing. */
export function formatNumber(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return "-";
  const magnitude = Math.abs(value);
  if (magnitude >= 100) return Math.round(value).toLocaleString("en-US");
  return value.toFixed(magnitude >= 10 ? 1 : 2);
}

/** Half the distance from lowest to highest, in percent of the median. */
export function formatSpread(spread: Spread | undefined): string {
  if (spread === undefined) return "-";
  const { median, lowest, highest } = spread;
  const text = formatNumber(median);
  if (lowest === highest || median === 0) return text;
  return `${text} ±${Math.round((50 * (highest - lowest)) / Math.abs(median))}%`;
}

export function formatRatio(spread: Spread | undefined): string {
  return spread === undefined ? "-" : `${spread.median.toFixed(2)}x`;
}

export function formatMebibytes(spread: Spread | undefined): string {
  return spread === undefined ? "-" : formatNumber(spread.median / 1_048_576);
}

export function formatKibibytes(spread: Spread | undefined): string {
  return spread === undefined ? "-" : formatNumber(spread.median / 1_024);
}
