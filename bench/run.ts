// `npm run bench`: flags in, tables and files out. Exit 0: measured; 1: a subject of ours failed,
// or the guard; 2: a bad flag.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { makeCertificate } from "./certificate.ts";
import { crossCheck } from "./cross-check.ts";
import { describeEnvironment } from "./environment.ts";
import { type Flags, type GuardFlags, HELP, parseFlags, UsageError } from "./flags.ts";
import { resolveRevision } from "./guard/checkout.ts";
import { runGuard } from "./guard/guard.ts";
import { guardReport, passes } from "./guard/report.ts";
import { GUARD_ROWS } from "./guard/rows.ts";
import { Harness, messageOf } from "./harness.ts";
import { cpuPlan } from "./measure/cpus.ts";
import {
  type BenchRecord,
  parseRecord,
  RECORD_VERSION,
  type ScenarioRecord,
  type SubjectRecord,
} from "./record.ts";
import { htmlReport } from "./report/html.ts";
import { markdownReport } from "./report/markdown.ts";
import { Progress } from "./report/progress.ts";
import { runScenario } from "./rounds.ts";
import { SCENARIOS, type Scenario, shrunk } from "./scenarios.ts";
import { missing, SUBJECTS, versionOf } from "./subjects/registry.ts";
import type { Subject } from "./subjects/subject.ts";

const VERIFY_LIMIT_MS = 20_000;

async function main(argv: readonly string[]): Promise<number> {
  const known = {
    scenarioIds: SCENARIOS.map((scenario) => scenario.id),
    subjectIds: SUBJECTS.map((subject) => subject.id),
    rowIds: GUARD_ROWS.map((row) => row.id),
  };
  const flags = parseFlags(argv, known);
  if (flags.help) {
    process.stdout.write(HELP);
    return 0;
  }
  if (flags.list) {
    list();
    return 0;
  }
  if (flags.fromPath !== undefined) {
    deliver(readRecord(flags.fromPath), flags);
    return 0;
  }
  const command = `npm run bench${argv.length > 0 ? ` -- ${argv.join(" ")}` : ""}`;
  if (flags.guard !== undefined) return await guard(flags, flags.guard, command);
  const record = await measure(flags, command);
  deliver(record, flags);
  return ourFailures(record).length === 0 ? 0 : 1;
}

function list(): void {
  const width = Math.max(...[...SCENARIOS, ...SUBJECTS].map((entry) => entry.id.length)) + 2;
  const lines = ["Scenarios (* part of --smoke)"];
  for (const { id, title, smoke } of SCENARIOS) {
    lines.push(`${smoke ? "*" : " "} ${id.padEnd(width)}${title}`);
  }
  lines.push("", "Subjects");
  for (const subject of SUBJECTS) {
    const reason = missing(subject);
    const note = reason === undefined ? "" : `; skipped: ${reason}`;
    lines.push(`  ${subject.id.padEnd(width)}${subject.title}${note}`);
  }
  lines.push("", "Rows of --guard");
  for (const { id, scenario, variant } of GUARD_ROWS) {
    lines.push(
      `  ${id.padEnd(width)}${scenario.title}${variant === "tls" ? ", TLS on both legs" : ""}`,
    );
  }
  if (versionOf("h2load") === undefined) {
    lines.push(
      "",
      "h2load is not installed (Debian package nghttp2-client): our generator makes the load.",
    );
  }
  process.stdout.write(`${lines.join("\n")}\n`);
}

function readRecord(path: string): BenchRecord {
  try {
    return parseRecord(readFileSync(resolve(startFolder(), path), "utf8"));
  } catch (error) {
    throw new UsageError(`--from ${path}: ${messageOf(error)}`, { cause: error });
  }
}

/** npm runs the script in bench/, but file names are relative to the user's folder. */
function startFolder(): string {
  const { INIT_CWD } = process.env;
  return INIT_CWD ?? process.cwd();
}

async function measure(flags: Flags, command: string): Promise<BenchRecord> {
  const h2loadInstalled = versionOf("h2load") !== undefined;
  if (flags.load === "h2load" && !h2loadInstalled) {
    throw new UsageError("--load h2load: it is not installed (Debian package nghttp2-client)");
  }
  const startedAt = new Date();
  const { directory, removeDirectory } = temporaryDirectory();
  const cpus = cpuPlan(flags.pin);
  const scenarios = SCENARIOS.filter((scenario) => flags.scenarioIds.includes(scenario.id))
    .filter((scenario) => !flags.smoke || flags.scenariosNamed || scenario.smoke)
    .map((scenario) => (flags.smoke ? shrunk(scenario) : scenario));
  const progress = new Progress(process.stderr, scenarios.length);
  const certificate = makeCertificate(directory);
  const harness = await Harness.start(cpus, directory, certificate);
  try {
    progress.say(`CPUs: ${cpus.description}`);
    const chosen = SUBJECTS.filter((subject) => flags.subjectIds.includes(subject.id));
    const subjects: SubjectRecord[] = [];
    for (const subject of chosen) {
      const record = await admit(harness, subject, flags, progress);
      if (record !== undefined) subjects.push(record);
    }
    const admitted = chosen.filter((subject) =>
      subjects.some((record) => record.id === subject.id && record.status === "ok"),
    );
    progress.say(estimate(flags, scenarios.length, admitted.length));
    const useH2load =
      flags.load === undefined ? !flags.smoke && h2loadInstalled : flags.load === "h2load";
    const records: ScenarioRecord[] = [];
    for (const scenario of scenarios) {
      const record = await runOne(harness, scenario, admitted, flags, useH2load, progress);
      if (record !== undefined) records.push(record);
      progress.finished();
    }
    const checked = useH2load && scenarios.length > 1 ? await crossCheck(harness) : undefined;
    return {
      version: RECORD_VERSION,
      command,
      startedAt: startedAt.toISOString(),
      seconds: (Date.now() - startedAt.getTime()) / 1_000,
      roundSeconds: flags.seconds,
      baseId: baseOf(flags, admitted),
      environment: describeEnvironment(cpus.description),
      subjects,
      scenarios: records,
      crossCheck: checked,
    };
  } finally {
    await harness.stop();
    removeDirectory();
  }
}

/** A temporary folder. It is removed even if the run is interrupted. */
function temporaryDirectory(): {
  readonly directory: string;
  readonly removeDirectory: () => void;
} {
  const directory = mkdtempSync(join(tmpdir(), "grpc-relay-bench-"));
  const removeDirectory = (): void => rmSync(directory, { recursive: true, force: true });
  process.on("exit", removeDirectory);
  return { directory, removeDirectory };
}

async function guard(flags: Flags, guardFlags: GuardFlags, command: string): Promise<number> {
  const baseCommit = resolveRevision(guardFlags.baseRevision);
  const rows = GUARD_ROWS.filter((row) => guardFlags.rowIds.includes(row.id));
  const { directory, removeDirectory } = temporaryDirectory();
  const certificate = makeCertificate(directory);
  if (certificate === undefined && rows.some((row) => row.variant === "tls")) {
    throw new UsageError(
      "--guard: TLS rows need openssl (Debian package openssl), or leave them out by --rows",
    );
  }
  const progress = new Progress(process.stderr, rows.length);
  const harness = await Harness.start(cpuPlan(flags.pin), directory, certificate);
  try {
    progress.say(`CPUs: ${harness.cpus.description}`);
    const record = await runGuard(harness, guardFlags, baseCommit, rows, command, progress);
    process.stdout.write(guardReport(record));
    writeOutput(flags.jsonPath, () => `${JSON.stringify(record, undefined, 1)}\n`);
    return passes(record) ? 0 : 1;
  } finally {
    await harness.stop();
    removeDirectory();
  }
}

/** The estimated duration of the run, for the user who waits. */
function estimate(flags: Flags, scenarioCount: number, subjectCount: number): string {
  const { rounds, seconds } = flags;
  // Starting, opening connections and draining take about half a second each time.
  const each = 0.5 + Math.min(2, 2 * seconds) + rounds * (seconds + 0.5);
  const minutes = Math.max(1, Math.round((scenarioCount * subjectCount * each) / 60));
  return `${scenarioCount} scenarios, ${subjectCount} subjects, rounds: ${rounds}; about ${minutes} min`;
}

/**
 * Finds out whether the subject is installed and correct. `undefined`: it takes no part in this
 * run.
 */
async function admit(
  harness: Harness,
  subject: Subject,
  flags: Flags,
  progress: Progress,
): Promise<SubjectRecord | undefined> {
  const { id, title, family } = subject;
  // A smoke run has the same subjects on every machine, whatever is installed.
  if (flags.smoke && !flags.subjectsNamed && subject.needs !== undefined) return undefined;
  const reason =
    missing(subject) ??
    (subject.tls && harness.certificate === undefined
      ? "openssl is not installed (Debian package openssl)"
      : undefined);
  if (reason !== undefined) {
    progress.say(`skipped  ${id}: ${reason}`);
    return { id, title, family, status: "skipped", reason, defects: [] };
  }
  progress.step("correctness", "checks", id);
  const { failures, defects } = await harness.verify(subject, VERIFY_LIMIT_MS);
  for (const defect of defects) progress.say(`defect   ${id}: ${defect}`);
  if (failures.length > 0) {
    const why = failures.join("; ");
    progress.say(`FAILED   ${id}: ${why}`);
    return { id, title, family, status: "failed", reason: why, defects };
  }
  progress.say(`correct  ${id}`);
  return { id, title, family, status: "ok", defects };
}

async function runOne(
  harness: Harness,
  scenario: Scenario,
  admitted: readonly Subject[],
  flags: Flags,
  useH2load: boolean,
  progress: Progress,
): Promise<ScenarioRecord | undefined> {
  const isUneven = scenario.backend === "uneven";
  const backend = isUneven ? "uneven" : (flags.backend ?? scenario.backend);
  const contestants = admitted.filter((subject) => {
    if (isUneven !== (subject.spreads ?? false)) return false;
    // The grpc-js backend listens without TLS only; direct has no memory to measure.
    if (subject.tls) return scenario.withTls && backend === "lean";
    return scenario.measures !== "memory" || subject.id !== "direct";
  });
  if (contestants.length === 0) return undefined;
  // h2load can run nothing beside its calls.
  const unaryLoop =
    scenario.measures === "throughput" &&
    scenario.workload.kind === "unary" &&
    scenario.workload.bulkStreams === undefined;
  const options = {
    rounds:
      scenario.measures === "memory" ? Math.min(flags.rounds, flags.smoke ? 1 : 3) : flags.rounds,
    seconds: flags.seconds,
    backend,
    load: useH2load && unaryLoop ? ("h2load" as const) : ("generator" as const),
    ratePerSecond: flags.ratePerSecond,
  };
  const record = await runScenario(harness, scenario, contestants, options, progress);
  for (const [id, result] of Object.entries(record.results)) {
    if (result.status !== "ok")
      progress.say(`${result.status}   ${scenario.id}, ${id}: ${result.reason}`);
  }
  return record;
}

function baseOf(flags: Flags, admitted: readonly Subject[]): string | undefined {
  const candidates = flags.baseId === undefined ? ["nghttpx", "tcp-relay"] : [flags.baseId];
  return candidates.find((id) => admitted.some((subject) => subject.id === id));
}

function deliver(record: BenchRecord, flags: Flags): void {
  const markdown = markdownReport(record);
  process.stdout.write(`${markdown}\n`);
  writeOutput(flags.jsonPath, () => `${JSON.stringify(record, undefined, 1)}\n`);
  writeOutput(flags.markdownPath, () => markdown);
  writeOutput(flags.reportPath, () => htmlReport(record));
}

function writeOutput(path: string | undefined, content: () => string): void {
  if (path === undefined) return;
  writeFileSync(resolve(startFolder(), path), content());
  process.stderr.write(`wrote ${path}\n`);
}

/** Failures of subjects of this repository. Subjects of others may fail. */
function ourFailures(record: BenchRecord): string[] {
  const ours = new Set(
    record.subjects.filter((subject) => subject.family !== "native").map((subject) => subject.id),
  );
  const failed = record.subjects
    .filter((subject) => ours.has(subject.id) && subject.status === "failed")
    .map((subject) => subject.id);
  for (const { scenario, results } of record.scenarios) {
    for (const [id, result] of Object.entries(results)) {
      if (ours.has(id) && result.status === "failed") failed.push(`${scenario.id}: ${id}`);
    }
  }
  return failed;
}

process.on("SIGINT", () => process.exit(130));
process.on("SIGTERM", () => process.exit(143));

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (error instanceof UsageError) {
    process.stderr.write(`bench: ${error.message}\n`);
    process.exitCode = 2;
  } else throw error;
}
