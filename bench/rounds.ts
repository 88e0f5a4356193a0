// The rounds of one scenario: start its subjects, warm them, let them take turns, judge the result.

import type { LoadTool } from "./flags.ts";
import { type Harness, messageOf } from "./harness.ts";
import type { LoadPlan } from "./load/generator.ts";
import { runH2load } from "./load/h2load.ts";
import { failureCount, type LoadResult, type LoadTarget } from "./load/workload.ts";
import { cpuBetween, type Usage, usageOfTree } from "./measure/usage.ts";
import type { Round, ScenarioRecord, SubjectResult } from "./record.ts";
import type { Progress } from "./report/progress.ts";
import type {
  BackendKind,
  LatencyScenario,
  MemoryScenario,
  Scenario,
  ThroughputScenario,
} from "./scenarios.ts";
import type { RunningSubject, Subject } from "./subjects/subject.ts";

export interface RoundOptions {
  readonly rounds: number;
  readonly seconds: number;
  /**
   * Warm-up of each subject before the first round.
   * @default 2 s, 8 s for large messages, at most twice a round
   */
  readonly warmupSeconds?: number;
  readonly backend: BackendKind;
  readonly load: LoadTool;
  readonly ratePerSecond: number | undefined;
}

/** Reports the steps of a run while it is under way. */
export type Steps = Pick<Progress, "step">;

/** Node needs this long under load until its hot code is compiled. */
const WARMUP_SECONDS = 2;
/**
 * The same for large messages. Calls are few then, so code that runs once per call gets hot late.
 */
const LARGE_WARMUP_SECONDS = 8;
const LARGE_MESSAGE_BYTES = 65_536;
/** A warm-up in which nothing completes is tried again, longer. */
const LONGEST_WARMUP_SECONDS = 8;
const LONGEST_ROUND_SECONDS = 10;
const BUSY_STREAM_COUNT = 8;
const CHECKED_SECONDS = 0.2;
const SHORT_WARMUP_MS = 150;
/** The pause after connections were opened, until the buffers of the handshake are given back. */
const SETTLE_MS = 1_000;
const SHORT_SETTLE_MS = 250;
const CALIBRATION_SECONDS = 0.4;
const MEBIBYTE = 1_048_576;

/** The answers of the subject were right, but too few for the calls that were made. */
class OverloadError extends Error {
  override readonly name = "OverloadError";
}

interface Observed {
  readonly result: LoadResult;
  readonly before: Usage | undefined;
  readonly after: Usage | undefined;
}

const NOTHING_COMPLETED = "no call completed";

/** One subject during one scenario. */
class Contestant {
  readonly subject: Subject;
  readonly rounds: (Round | null)[] = [];
  running: RunningSubject | undefined;
  reason: string | undefined;
  overloaded = false;
  /** The rate of the last round. h2load's number of calls is chosen from it. */
  callsPerSecond = 0;

  constructor(subject: Subject) {
    this.subject = subject;
  }

  get target(): LoadTarget {
    return { port: this.running?.port ?? 0, tls: this.subject.tls };
  }

  usage(): Usage | undefined {
    const pid = this.running?.process?.pid;
    return pid === undefined ? undefined : usageOfTree(pid);
  }

  /**
   * Runs one step; a step that throws, or after which the subject is dead, fails the contestant.
   */
  async attempt(step: () => Promise<void>): Promise<void> {
    if (this.reason !== undefined) return;
    try {
      await step();
    } catch (error) {
      this.reason = messageOf(error);
      this.overloaded = error instanceof OverloadError;
    }
    this.reason = this.running?.process?.death ?? this.reason;
  }

  /** @throws when a call went wrong */
  judge(result: LoadResult): void {
    if (failureCount(result) === 0) return;
    const reasons = Object.entries(result.failures).map(([why, count]) => `${count} x ${why}`);
    throw new Error(reasons.slice(0, 3).join("; "));
  }

  get result(): SubjectResult {
    const { reason, rounds } = this;
    if (reason === undefined) return { status: "ok", rounds };
    return { status: this.overloaded ? "overloaded" : "failed", reason, rounds };
  }
}

export async function runScenario(
  harness: Harness,
  scenario: Scenario,
  subjects: readonly Subject[],
  options: RoundOptions,
  progress: Steps,
): Promise<ScenarioRecord> {
  const contestants = subjects.map((subject) => new Contestant(subject));
  const run = new ScenarioRun(harness, options, contestants, progress);
  let ratePerSecond: number | undefined;
  if (scenario.measures === "memory") await run.memory(scenario);
  else {
    try {
      await run.startAll();
      if (scenario.measures === "latency") ratePerSecond = await run.latency(scenario);
      else await run.throughput(scenario);
    } finally {
      await run.stopAll();
    }
  }
  const results: Record<string, SubjectResult> = {};
  for (const contestant of contestants) results[contestant.subject.id] = contestant.result;
  const { backend, load } = options;
  return { scenario, backend, load, ratePerSecond, results };
}

class ScenarioRun {
  readonly #harness: Harness;
  readonly #options: RoundOptions;
  readonly #contestants: readonly Contestant[];
  readonly #progress: Steps;

  constructor(
    harness: Harness,
    options: RoundOptions,
    contestants: readonly Contestant[],
    progress: Steps,
  ) {
    this.#harness = harness;
    this.#options = options;
    this.#contestants = contestants;
    this.#progress = progress;
  }

  async startAll(): Promise<void> {
    await Promise.all(this.#contestants.map((contestant) => this.#start(contestant)));
  }

  async #start(contestant: Contestant): Promise<void> {
    await contestant.attempt(async () => {
      const { backend } = this.#options;
      contestant.running = await this.#harness.startSubject(contestant.subject, backend);
    });
  }

  async stopAll(): Promise<void> {
    for (const contestant of this.#contestants) await contestant.running?.process?.stop();
  }

  async throughput(scenario: ThroughputScenario): Promise<void> {
    for (const contestant of this.#contestants) {
      this.#progress.step(scenario.id, "warm-up", contestant.subject.id);
      await contestant.attempt(() => this.#warm(contestant, scenario));
    }
    await this.#takeTurns(scenario.id, async (contestant) =>
      this.#options.load === "h2load"
        ? await this.#h2loadRound(contestant, scenario)
        : await this.#generatorRound(contestant, scenario),
    );
  }

  /**
   * Runs the subjects one after the other in every round. Each round begins with another subject.
   */
  async #takeTurns(id: string, round: (contestant: Contestant) => Promise<Round>): Promise<void> {
    const count = this.#contestants.length;
    for (let number = 0; number < this.#options.rounds; number++) {
      for (let turn = 0; turn < count; turn++) {
        const contestant = this.#contestants[(turn + number) % count]!;
        const label = `round ${number + 1} of ${this.#options.rounds}`;
        this.#progress.step(id, label, contestant.subject.id);
        contestant.rounds[number] = null;
        await contestant.attempt(async () => {
          contestant.rounds[number] = await round(contestant);
        });
      }
    }
  }

  #plan(contestant: Contestant, scenario: ThroughputScenario | LatencyScenario): LoadPlan {
    return {
      workload: scenario.workload,
      target: contestant.target,
      warmupMs: SHORT_WARMUP_MS,
      durationMs: this.#options.seconds * 1_000,
    };
  }

  async #warm(contestant: Contestant, scenario: ThroughputScenario): Promise<void> {
    const isLarge = scenario.workload.messageBytes >= LARGE_MESSAGE_BYTES;
    const longest = isLarge ? LARGE_WARMUP_SECONDS : WARMUP_SECONDS;
    const seconds = this.#options.warmupSeconds ?? Math.min(longest, 2 * this.#options.seconds);
    // A few calls at a time would leave code cold that every busier moment compiles.
    const { connectionCount, streamsPerConnection } = scenario.workload;
    if (connectionCount * streamsPerConnection < BUSY_STREAM_COUNT) {
      const workload = { ...scenario.workload, connectionCount: 4, streamsPerConnection: 16 };
      await this.#warmByGenerator(contestant, { ...scenario, workload }, seconds);
    }
    // Our generator looks into every reply, so it goes first even where h2load makes the load.
    const byH2load = this.#options.load === "h2load";
    let result = await this.#warmByGenerator(
      contestant,
      scenario,
      byH2load ? CHECKED_SECONDS : seconds,
    );
    if (byH2load) {
      result = await runH2load({
        workload: scenario.workload,
        target: contestant.target,
        amount: { seconds },
        directory: this.#harness.directory,
        cpus: this.#harness.cpus.load,
      });
      contestant.judge(result);
    }
    contestant.callsPerSecond = rateOf(result);
  }

  async #warmByGenerator(
    contestant: Contestant,
    scenario: ThroughputScenario | LatencyScenario,
    firstSeconds: number,
  ): Promise<LoadResult> {
    const plan = { ...this.#plan(contestant, scenario), warmupMs: 0 };
    for (let seconds = firstSeconds; ; seconds *= 4) {
      const durationMs = Math.min(seconds, LONGEST_WARMUP_SECONDS) * 1_000;
      const result = await this.#harness.generator.run({ ...plan, durationMs });
      contestant.judge(result);
      if (result.callCount + result.messageCount > 0) return result;
      if (seconds >= LONGEST_WARMUP_SECONDS) throw new Error(NOTHING_COMPLETED);
    }
  }

  /** A round must be long enough for every call that is under way at once to end twice. */
  #roundSeconds(contestant: Contestant, scenario: ThroughputScenario): number {
    const { connectionCount, streamsPerConnection, kind } = scenario.workload;
    const { seconds } = this.#options;
    // The streams of a ping-pong stay open. Only its messages count.
    if (kind === "bidi" || contestant.callsPerSecond <= 0) return seconds;
    const cycle = (connectionCount * streamsPerConnection) / contestant.callsPerSecond;
    return Math.min(Math.max(seconds, 2 * cycle), LONGEST_ROUND_SECONDS);
  }

  async #generatorRound(contestant: Contestant, scenario: ThroughputScenario): Promise<Round> {
    for (let seconds = this.#roundSeconds(contestant, scenario); ; seconds *= 4) {
      const durationMs = Math.min(seconds, LONGEST_ROUND_SECONDS) * 1_000;
      const plan = { ...this.#plan(contestant, scenario), durationMs };
      const { result, before, after } = await this.#observed(contestant, plan);
      const units = unitsOf(result, scenario);
      if (units > 0) return roundOf(result, before, after, units);
      // Every call outlived the round: a busy machine, or a slow subject.
      if (seconds >= LONGEST_ROUND_SECONDS) throw new Error(NOTHING_COMPLETED);
    }
  }

  async #h2loadRound(contestant: Contestant, scenario: ThroughputScenario): Promise<Round> {
    const { workload } = scenario;
    const seconds = this.#roundSeconds(contestant, scenario);
    const calls = Math.max(10, Math.round(contestant.callsPerSecond * seconds));
    const before = contestant.usage();
    const result = await runH2load({
      workload,
      target: contestant.target,
      amount: { calls },
      directory: this.#harness.directory,
      cpus: this.#harness.cpus.load,
    });
    const after = contestant.usage();
    contestant.judge(result);
    contestant.callsPerSecond = rateOf(result);
    return roundOf(result, before, after, unitsOf(result, scenario));
  }

  /** @returns the rate, when it is the same for all */
  async latency(scenario: LatencyScenario): Promise<number | undefined> {
    for (const contestant of this.#contestants) {
      this.#progress.step(scenario.id, "calibration", contestant.subject.id);
      await contestant.attempt(() => this.#calibrate(contestant, scenario));
    }
    const capacities = this.#contestants
      .filter((contestant) => contestant.reason === undefined)
      .map((contestant) => contestant.callsPerSecond);
    const { rate } = scenario;
    const common =
      this.#options.ratePerSecond ??
      (rate === "slowest" && capacities.length > 0
        ? Math.max(1, Math.round(Math.min(...capacities) / 2))
        : typeof rate === "number"
          ? rate
          : undefined);
    await this.#takeTurns(scenario.id, async (contestant) => {
      const ratePerSecond = common ?? Math.max(1, Math.round(contestant.callsPerSecond / 2));
      const plan = { ...this.#plan(contestant, scenario), ratePerSecond };
      const { result, before, after } = await this.#observed(contestant, plan);
      const carried = rateOf(result);
      if (result.overloaded || carried < ratePerSecond * 0.9) {
        throw new OverloadError(`carried ${Math.round(carried)} of ${ratePerSecond} calls/s`);
      }
      return roundOf(result, before, after, result.callCount);
    });
    return common;
  }

  /** Measures how much the subject carries when it is never without work. */
  async #calibrate(contestant: Contestant, scenario: LatencyScenario): Promise<void> {
    const seconds = Math.min(WARMUP_SECONDS, 2 * this.#options.seconds);
    await this.#warmByGenerator(contestant, scenario, seconds);
    const result = await this.#warmByGenerator(contestant, scenario, CALIBRATION_SECONDS);
    contestant.callsPerSecond = rateOf(result);
  }

  /** One run of the generator with the subject's usage at both ends of the measured time. */
  async #observed(contestant: Contestant, plan: LoadPlan): Promise<Observed> {
    let before: Usage | undefined;
    let after: Usage | undefined;
    const result = await this.#harness.generator.run(plan, {
      onMeasuring: () => {
        before = contestant.usage();
      },
      onMeasured: () => {
        after = contestant.usage();
      },
    });
    contestant.judge(result);
    return { result, before, after };
  }

  /** Each round has a fresh process: a process may keep memory that it once held. */
  async memory(scenario: MemoryScenario): Promise<void> {
    const { generator } = this.#harness;
    await this.#takeTurns(scenario.id, async (contestant) => {
      await this.#start(contestant);
      if (contestant.reason !== undefined) throw new Error(contestant.reason);
      try {
        const { connectionCount, streamsPerConnection } = scenario;
        const { target } = contestant;
        const settleMs = this.#options.seconds < 1 ? SHORT_SETTLE_MS : SETTLE_MS;
        // The first tenth pays for memory that is taken once: pools, tables, compiled code.
        const first = Math.max(1, Math.round(connectionCount / 10));
        const rest = connectionCount - first;
        await generator.hold({ target, connectionCount: first, streamsPerConnection });
        await sleep(settleMs);
        const before = contestant.usage();
        await generator.hold({ target, connectionCount: rest, streamsPerConnection });
        await sleep(settleMs);
        const after = contestant.usage();
        const count = rest * Math.max(1, streamsPerConnection);
        if (before === undefined || after === undefined) return {};
        const bytesEach = (after.rssBytes - before.rssBytes) / count;
        return { bytesEach, rssBytes: after.rssBytes };
      } finally {
        await generator.release();
        await contestant.running?.process?.stop();
      }
    });
  }
}

function rateOf(result: LoadResult): number {
  return result.elapsedMs > 0 ? (result.callCount * 1_000) / result.elapsedMs : 0;
}

function unitsOf(result: LoadResult, scenario: ThroughputScenario): number {
  switch (scenario.unit) {
    case "call":
      return result.callCount;
    case "message":
      return result.messageCount;
    case "MiB":
      return (result.messageCount * scenario.workload.messageBytes) / MEBIBYTE;
  }
}

function roundOf(
  result: LoadResult,
  before: Usage | undefined,
  after: Usage | undefined,
  units: number,
): Round {
  const seconds = result.elapsedMs / 1_000;
  const round: Round = {
    unitsPerSecond: units / seconds,
    callsPerSecond: result.callCount / seconds,
    latency: result.latency,
  };
  if (before === undefined || after === undefined) return round;
  const { userUs, systemUs } = cpuBetween(before, after);
  return {
    ...round,
    cpuUserUs: userUs / units,
    cpuSystemUs: systemUs / units,
    rssBytes: after.rssBytes,
  };
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
