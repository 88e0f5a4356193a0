// The record of a run: the shape of --json, and the source of all tables and pictures.

import type { LatencyFigures } from "./measure/statistics.ts";
import type { BackendKind, Scenario } from "./scenarios.ts";
import type { SubjectFamily } from "./subjects/subject.ts";

export const RECORD_VERSION = 1;

/** One subject in one round. */
export interface Round {
  readonly unitsPerSecond?: number | undefined;
  readonly callsPerSecond?: number | undefined;
  /** CPU time of the subject's processes per unit, in microseconds; absent for `direct`. */
  readonly cpuUserUs?: number | undefined;
  readonly cpuSystemUs?: number | undefined;
  readonly latency?: LatencyFigures | undefined;
  readonly rssBytes?: number | undefined;
  /** Memory scenarios: resident bytes for each connection or stream. */
  readonly bytesEach?: number | undefined;
}

export interface SubjectResult {
  /**
   * Only `ok` has figures worth showing. `overloaded`: the subject did not carry the rate of an
   * open loop.
   */
  readonly status: "ok" | "failed" | "overloaded";
  readonly reason?: string | undefined;
  /** By round; a round that was not measured is null. */
  readonly rounds: readonly (Round | null)[];
}

export interface ScenarioRecord {
  readonly scenario: Scenario;
  readonly backend: BackendKind;
  /** Which program made the load. */
  readonly load: "h2load" | "generator";
  readonly ratePerSecond?: number | undefined;
  /** Results by subject id, in the order of the tables. */
  readonly results: Readonly<Record<string, SubjectResult>>;
}

export interface SubjectRecord {
  readonly id: string;
  readonly title: string;
  readonly family: SubjectFamily;
  readonly status: "ok" | "failed" | "skipped";
  /** Why it was skipped or failed. */
  readonly reason?: string | undefined;
  /** Duties of a gRPC proxy that it neglects without being wrong on the plain path. */
  readonly defects: readonly string[];
}

export interface Environment {
  readonly cpuModel: string;
  readonly cpuCount: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly node: string;
  readonly commit: string;
  readonly placement: string;
  /** Program or package -> version. */
  readonly versions: Readonly<Record<string, string>>;
}

/** The two load tools against the same backend without a proxy. */
export interface CrossCheck {
  readonly h2loadP50Us: number;
  readonly generatorP50Us: number;
  /**
   * Calls that the tools counted, and calls that the backend served meanwhile. The generator leaves
   * out its first and last calls.
   */
  readonly h2loadCalls: number;
  readonly h2loadServed: number;
  readonly generatorCalls: number;
  readonly generatorServed: number;
}

export interface BenchRecord {
  readonly version: typeof RECORD_VERSION;
  readonly command: string;
  readonly startedAt: string;
  readonly seconds: number;
  readonly roundSeconds: number;
  readonly baseId: string | undefined;
  readonly environment: Environment;
  readonly subjects: readonly SubjectRecord[];
  readonly scenarios: readonly ScenarioRecord[];
  readonly crossCheck?: CrossCheck | undefined;
}

export function cpuUs(round: Round | null | undefined): number | undefined {
  if (round?.cpuUserUs === undefined || round.cpuSystemUs === undefined) return undefined;
  return round.cpuUserUs + round.cpuSystemUs;
}

/** @throws {TypeError} when the text is not a record of this version */
export function parseRecord(text: string): BenchRecord {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new TypeError("not a JSON file", { cause: error });
  }
  if (
    typeof parsed !== "object" ||
    parsed === null ||
    !("version" in parsed) ||
    !("scenarios" in parsed)
  ) {
    throw new TypeError("not a record of this harness");
  }
  if (parsed.version !== RECORD_VERSION) {
    throw new TypeError(`expected a record of version ${RECORD_VERSION}, got ${parsed.version}`);
  }
  return parsed as BenchRecord; // Written by `--json`; the version names the shape.
}
