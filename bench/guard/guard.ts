// `--guard BASE`: is this checkout slower than BASE? The load and the backend of this checkout
// drive both. Each round has a new process of either, because two processes of the same code differ
// by more than two rounds of one process. The two take turns twice (base, current, current, base;
// the next round the other way round), so that a drift of the machine cancels out.

import { join } from "node:path";
import { describeEnvironment } from "../environment.ts";
import type { GuardFlags } from "../flags.ts";
import { type Harness, messageOf } from "../harness.ts";
import { launchScript } from "../process/launch.ts";
import { cpuUs, type SubjectResult } from "../record.ts";
import type { Progress } from "../report/progress.ts";
import { runScenario } from "../rounds.ts";
import type { Subject } from "../subjects/subject.ts";
import { type Checkout, checkOutBase, copyCurrent } from "./checkout.ts";
import type { GuardRecord, GuardRowRecord } from "./report.ts";
import type { GuardRow } from "./rows.ts";
import { type GuardRound, judge, RATIO_LIMIT } from "./verdict.ts";

const VERIFY_LIMIT_MS = 20_000;
const TURNS = 2;

interface Pair {
  readonly base: Subject;
  readonly current: Subject;
}

export async function runGuard(
  harness: Harness,
  flags: GuardFlags,
  baseCommit: string,
  rows: readonly GuardRow[],
  command: string,
  progress: Progress,
): Promise<GuardRecord> {
  const startedAt = new Date();
  const environment = describeEnvironment(harness.cpus.description);
  progress.say(`building ${baseCommit.slice(0, 12)} and ${environment.commit}`);
  const base = checkOutBase(baseCommit, harness.directory);
  const current = copyCurrent(environment.commit, harness.directory);
  const pairs = new Map<GuardRow["variant"], Pair>();
  for (const { variant } of rows) {
    if (pairs.has(variant)) continue;
    const pair = {
      base: relayOf("base", base, variant),
      current: relayOf("current", current, variant),
    };
    pairs.set(variant, pair);
    await requireCorrect(harness, pair, progress);
  }
  progress.say(estimate(rows, flags));
  const records: GuardRowRecord[] = [];
  for (const row of rows) {
    const pair = pairs.get(row.variant);
    if (pair !== undefined) records.push(await measureRow(harness, row, pair, flags, progress));
    progress.finished();
  }
  return {
    command,
    startedAt: startedAt.toISOString(),
    seconds: (Date.now() - startedAt.getTime()) / 1_000,
    baseRevision: flags.baseRevision,
    baseCommit,
    rounds: flags.rounds,
    roundSeconds: flags.seconds,
    ratioLimit: RATIO_LIMIT,
    environment,
    rows: records,
  };
}

/** `subjects/relay.ts` of a checkout. */
function relayOf(name: "base" | "current", checkout: Checkout, variant: string): Subject {
  const tls = variant === "tls";
  return {
    id: name,
    title: `${name}, ${variant}`,
    family: "relay",
    tls,
    start: async (surroundings) => {
      const port = tls ? surroundings.backendTlsPort : surroundings.backendPort;
      const args = ["--backend-port", String(port), "--variant", variant];
      if (tls) {
        const { certPath, keyPath } = surroundings.certificate;
        args.push("--cert", certPath, "--key", keyPath);
      }
      const script = join(checkout.buildFolder, "bench", "subjects", "relay.js");
      const { process, where } = await launchScript(name, script, args, surroundings);
      return { port: where.port, process };
    },
  };
}

/**
 * A wrong subject may be fast, so both are checked first. The checks may be newer than the base, so
 * its failures are only reported.
 */
async function requireCorrect(harness: Harness, pair: Pair, progress: Progress): Promise<void> {
  for (const subject of [pair.base, pair.current]) {
    progress.step("correctness", "checks", subject.title);
    const { failures } = await harness.verify(subject, VERIFY_LIMIT_MS);
    if (failures.length === 0) continue;
    const why = `${subject.title}: ${failures.join("; ")}`;
    if (subject === pair.current) throw new Error(why);
    progress.say(`FAILED   ${why}`);
  }
}

async function measureRow(
  harness: Harness,
  row: GuardRow,
  pair: Pair,
  flags: GuardFlags,
  progress: Progress,
): Promise<GuardRowRecord> {
  const { id, scenario, warmupSeconds } = row;
  const rounds: GuardRound[] = [];
  const record = { id, unit: scenario.unit, rounds };
  const options = {
    rounds: TURNS,
    seconds: flags.seconds,
    warmupSeconds: Math.min(warmupSeconds, 4 * flags.seconds),
    backend: scenario.backend,
    load: "generator",
    ratePerSecond: undefined,
  } as const;
  try {
    for (let number = 0; number < flags.rounds; number++) {
      const label = `round ${number + 1} of ${flags.rounds}`;
      const order = number % 2 === 0 ? [pair.base, pair.current] : [pair.current, pair.base];
      const { results } = await runScenario(harness, scenario, order, options, {
        step: (_id, what, subject) => progress.step(id, label, `${subject}, ${what}`),
      });
      rounds.push({ baseUs: costOf(results["base"]), currentUs: costOf(results["current"]) });
    }
    return { ...record, verdict: judge(rounds), failure: undefined };
  } catch (error) {
    return { ...record, verdict: undefined, failure: messageOf(error) };
  }
}

/** Mean over the turns of one round. */
function costOf(result: SubjectResult | undefined): number {
  if (result?.status !== "ok") throw new Error(result?.reason ?? "it did not run");
  const costs = result.rounds.map((round) => cpuUs(round) ?? Number.NaN);
  return costs.reduce((sum, cost) => sum + cost, 0) / costs.length;
}

function estimate(rows: readonly GuardRow[], { rounds, seconds }: GuardFlags): string {
  // Starting two processes takes about half a second. Opening and draining connections takes a
  // third of a second for each turn.
  const perRound = rows.map(
    ({ warmupSeconds }) =>
      0.5 + 2 * Math.min(warmupSeconds, 4 * seconds) + 2 * TURNS * (seconds + 0.35),
  );
  const total = rounds * perRound.reduce((sum, each) => sum + each, 0);
  return `${rows.length} rows, rounds: ${rounds}; about ${Math.max(1, Math.round(total / 60))} min`;
}
