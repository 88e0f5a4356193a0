import { defineConfig, type ProjectConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";
import { TEST_LIMIT_MS } from "./test/support/patience.ts";

/**
 * They measure memory and waits in processes of their own, after all others and two at a time: each
 * leaves a processor idle for seconds.
 */
const ENDURANCE = ["test/endurance/**/*.test.ts"];

/** They measure time and CPU: one file at a time, at the end. */
const MEASURING = ["bench/{load,measure,verify}/**/*.test.ts"];

/** What needs programs that are not ours: `vitest run --mode chain`, and nothing else then. */
const CHAIN = ["test/chain/**/*.test.ts"];

/** Thousands of calls under faults: `vitest run --mode faults`, and nothing else then. */
const FAULTS = ["test/faults/relay-under-faults.test.ts"];

/** Attacks on a relay: `vitest run --mode hostile`, and nothing else then. */
const HOSTILE = ["test/hostile/**/*.test.ts"];

/** Small, but the longest of its project: one processor would wait for it at the end. */
const LONGEST = /test\/endurance\/leaks\.test\.ts$/;

/** Where nothing has been run before, Vitest takes the largest file for the longest. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isLongest = ({ moduleId }: TestSpecification) => LONGEST.test(moduleId);
    return [...sorted.filter(isLongest), ...sorted.filter((file) => !isLongest(file))];
  }
}

/** They work and measure for seconds, or start other programs. */
const SLOW: ProjectConfig = { testTimeout: 60_000, hookTimeout: 60_000 };

/** They replace modules, or look for warnings, which a process gives once. */
const LOOKS_AT_PROCESS =
  "clock|forgotten-wrapping|server-stream|unread-status|user-error|verdict|warn|what-clients-read";

/** All others of these rooms leave their process as they found it: a worker takes many of them. */
const TOGETHER = `test/{check,client,conformance,grpc,h2,observe,proxy,server,time,wire}/**/!(${LOOKS_AT_PROCESS}).test.ts`;

const EVERYTHING = [
  // In the order of their names, and in each the longest file first.
  project("apart", ["test/**/*.test.ts", "bench/**/*.test.ts"], {
    exclude: [
      ...[...ENDURANCE, ...MEASURING, ...CHAIN, ...FAULTS, ...HOSTILE],
      ...[TOGETHER, "**/node_modules/**"],
    ],
  }),
  project("together", [TOGETHER], { isolate: false }),
  project("endurance", ENDURANCE, { maxWorkers: 2, sequence: { groupOrder: 1 }, ...SLOW }),
  project("alone", MEASURING, { maxWorkers: 1, sequence: { groupOrder: 2 }, ...SLOW }),
];

/** The tests that judge mutants, and nothing else then: a list, in JSON, from bench/mutate.mjs. */
const JUDGES: string[] | undefined =
  JSON.parse(process.env["MUTATION_TESTS"] ?? "null") ?? undefined;

function projects(mode: string) {
  if (JUDGES !== undefined) return [project("judges", JUDGES)];
  if (mode === "faults") return [project("faults", FAULTS, SLOW)];
  if (mode === "hostile") return [project("hostile", HOSTILE, SLOW)];
  return mode === "chain" ? [project("chain", CHAIN, SLOW)] : EVERYTHING;
}

function project(name: string, include: string[], more: ProjectConfig = {}) {
  return { extends: true as const, test: { name, include, ...more } };
}

export default defineConfig(({ mode }) => ({
  // Examples and README snippets import the package by its name, as users do.
  resolve: { alias: { "grpc-relay": new URL("src/index.ts", import.meta.url).pathname } },
  test: {
    pool: "forks",
    sequence: { sequencer: LongestFirst },
    // Vitest itself would leave one processor idle: on two it would run one file at a time.
    maxWorkers: "100%",
    setupFiles: ["test/support/setup.ts"],
    // Guards against what hangs; no test takes its bounds from them.
    testTimeout: TEST_LIMIT_MS,
    hookTimeout: TEST_LIMIT_MS,
    // An unhandled rejection or an uncaught exception anywhere fails the run.
    dangerouslyIgnoreUnhandledErrors: false,
    projects: projects(mode),
  },
}));
