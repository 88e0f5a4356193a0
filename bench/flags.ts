// The command line: names, checks, help. A bad flag gives one clear line.

import { parseArgs } from "node:util";
import type { BackendKind } from "./scenarios.ts";

export type LoadTool = "h2load" | "generator";

export interface Flags {
  readonly help: boolean;
  readonly list: boolean;
  readonly smoke: boolean;
  /** Ids after expansion of `*`; all when not given. */
  readonly scenarioIds: readonly string[];
  readonly subjectIds: readonly string[];
  /** Whether the user named the scenarios. A smoke run does not narrow that choice. */
  readonly scenariosNamed: boolean;
  readonly subjectsNamed: boolean;
  readonly rounds: number;
  readonly seconds: number;
  readonly baseId: string | undefined;
  readonly backend: BackendKind | undefined;
  readonly load: LoadTool | undefined;
  readonly ratePerSecond: number | undefined;
  readonly pin: boolean;
  readonly jsonPath: string | undefined;
  readonly reportPath: string | undefined;
  readonly markdownPath: string | undefined;
  readonly fromPath: string | undefined;
  /**
   * Compares with another checkout instead. The flags above that choose scenarios and subjects do
   * not count then.
   */
  readonly guard: GuardFlags | undefined;
}

export interface GuardFlags {
  /** The revision, by any name that git knows. */
  readonly baseRevision: string;
  readonly rowIds: readonly string[];
  readonly rounds: number;
  /** The length of one turn. Each side has two turns in a round. */
  readonly seconds: number;
}

export interface Known {
  readonly scenarioIds: readonly string[];
  readonly subjectIds: readonly string[];
  readonly rowIds: readonly string[];
}

/** A mistake of the caller; the message is for the terminal. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

export const HELP = `Usage: npm run bench -- [options]

Measures what a hop costs: CPU time per call, throughput, latency and memory of grpc-relay and of what you might use
instead, each as a ratio to a base subject measured in the same rounds.

  --list               scenarios and subjects, and what is not installed
  --smoke              everything once and shortly, without peers: under two minutes
  --scenario IDS       comma-separated; * matches any characters: 'unary_*'
  --subject IDS        comma-separated; * as above
  --base ID            the subject that ratios refer to (nghttpx where installed, else tcp-relay)
  --rounds N           measured rounds of each subject, alternating (5)
  --seconds S          length of one round (1)
  --backend KIND       lean or grpc-js, instead of what the scenario says
  --load TOOL          h2load or generator, for unary scenarios (h2load where installed)
  --rate N             calls per second of latency scenarios, for every subject
  --no-pin             do not bind processes to CPUs
  --json FILE          everything that was measured
  --report FILE        one HTML page with pictures, readable without network
  --markdown FILE      the tables (they are printed anyway)
  --from FILE          measure nothing; make report and tables from a --json file
  --help               this text

       npm run bench -- --guard BASE [options]

Compares the CPU time per call of this checkout with that of BASE, a revision of git, built beside it. Fails (exit code 1)
when the 95 % interval of a row's ratio lies above 1.02.

  --rows IDS           comma-separated; * as above (all; --list shows them)
  --rounds N           paired rounds, each with new processes (15)
  --seconds S          length of one turn, two for each in a round (0.5)
  --no-pin, --json     as above
`;

const MOST_ROUNDS = 1_000;

/** @throws {UsageError} */
export function parseFlags(argv: readonly string[], known: Known): Flags {
  const values = rawValues(argv);
  const smoke = values.smoke ?? false;
  const subjectIds = expand("subject", values.subject, known.subjectIds);
  const baseId = values.base;
  if (baseId !== undefined) {
    if (!known.subjectIds.includes(baseId)) throw unknownId("base", baseId);
    if (baseId === "direct")
      throw new UsageError("--base direct: it has no process to compare with");
    if (values.subject !== undefined && !subjectIds.includes(baseId)) {
      throw new UsageError(`--base ${baseId} is not among the subjects of --subject`);
    }
  }
  return {
    help: values.help ?? false,
    list: values.list ?? false,
    smoke,
    scenarioIds: expand("scenario", values.scenario, known.scenarioIds),
    subjectIds,
    scenariosNamed: values.scenario !== undefined,
    subjectsNamed: values.subject !== undefined,
    rounds: integer("rounds", values.rounds, smoke ? 1 : 5, MOST_ROUNDS),
    seconds: positive("seconds", values.seconds, smoke ? 0.3 : 1),
    baseId,
    backend: oneOf("backend", values.backend, ["lean", "grpc-js"]),
    load: oneOf("load", values.load, ["h2load", "generator"]),
    ratePerSecond: values.rate === undefined ? undefined : positive("rate", values.rate, 0),
    pin: !(values["no-pin"] ?? false),
    jsonPath: path("json", values.json),
    reportPath: path("report", values.report),
    markdownPath: path("markdown", values.markdown),
    fromPath: path("from", values.from),
    guard: guardFlags(values, known),
  };
}

/** Flags that choose scenarios, subjects and outputs of the other command. */
const NOT_FOR_GUARD = [
  "smoke",
  "scenario",
  "subject",
  "base",
  "backend",
  "load",
  "rate",
  "report",
  "markdown",
  "from",
] as const;

function guardFlags(values: ReturnType<typeof rawValues>, known: Known): GuardFlags | undefined {
  const baseRevision = values.guard;
  if (baseRevision === undefined) {
    if (values.rows !== undefined) throw new UsageError("--rows: only with --guard BASE");
    return undefined;
  }
  if (baseRevision === "" || baseRevision.startsWith("-")) {
    throw new UsageError(`--guard: expected a revision, got ${JSON.stringify(baseRevision)}`);
  }
  for (const name of NOT_FOR_GUARD) {
    if (values[name] !== undefined) throw new UsageError(`--${name}: not with --guard`);
  }
  return {
    baseRevision,
    rowIds: expand("rows", values.rows, known.rowIds),
    rounds: integer("rounds", values.rounds, 15, MOST_ROUNDS),
    seconds: positive("seconds", values.seconds, 0.5),
  };
}

const OPTIONS = {
  help: { type: "boolean" },
  list: { type: "boolean" },
  smoke: { type: "boolean" },
  scenario: { type: "string" },
  subject: { type: "string" },
  base: { type: "string" },
  rounds: { type: "string" },
  seconds: { type: "string" },
  backend: { type: "string" },
  load: { type: "string" },
  rate: { type: "string" },
  "no-pin": { type: "boolean" },
  json: { type: "string" },
  report: { type: "string" },
  markdown: { type: "string" },
  from: { type: "string" },
  guard: { type: "string" },
  rows: { type: "string" },
} as const;

function rawValues(argv: readonly string[]) {
  for (const word of argv) {
    const name = word.split("=", 1)[0] ?? "";
    if (name.startsWith("--") && name !== "--" && !Object.hasOwn(OPTIONS, name.slice(2))) {
      throw new UsageError(`unknown option ${name}; --help lists them`);
    }
  }
  try {
    return parseArgs({ args: [...argv], options: OPTIONS, strict: true }).values;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    // Node explains at length how a dash could be passed. The first sentence names the mistake.
    throw new UsageError(error.message.split(/[.\n]/, 1)[0], { cause: error });
  }
}

function expand(flag: string, text: string | undefined, known: readonly string[]): string[] {
  if (text === undefined) return [...known];
  const chosen = new Set<string>();
  for (const wanted of text.split(",").map((word) => word.trim())) {
    const pattern = new RegExp(
      `^${wanted
        .split("*")
        .map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"))
        .join(".*")}$`,
    );
    const matches = known.filter((id) => pattern.test(id));
    if (matches.length === 0) throw unknownId(flag, wanted);
    for (const id of matches) chosen.add(id);
  }
  return known.filter((id) => chosen.has(id));
}

function unknownId(flag: string, id: string): UsageError {
  return new UsageError(
    `--${flag}: nothing is called ${JSON.stringify(id)}; --list shows the names`,
  );
}

function integer(flag: string, text: string | undefined, fallback: number, most: number): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > most) {
    throw new UsageError(
      `--${flag}: expected an integer from 1 to ${most}, got ${JSON.stringify(text)}`,
    );
  }
  return value;
}

function positive(flag: string, text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0) {
    throw new UsageError(`--${flag}: expected a number above 0, got ${JSON.stringify(text)}`);
  }
  return value;
}

function oneOf<T extends string>(
  flag: string,
  text: string | undefined,
  choices: readonly T[],
): T | undefined {
  if (text === undefined) return undefined;
  const chosen = choices.find((choice) => choice === text);
  if (chosen === undefined) {
    throw new UsageError(
      `--${flag}: expected ${choices.join(" or ")}, got ${JSON.stringify(text)}`,
    );
  }
  return chosen;
}

function path(flag: string, text: string | undefined): string | undefined {
  if (text === "") throw new UsageError(`--${flag}: expected a file name`);
  return text;
}
