import { defineConfig, type ProjectConfig } from "vitest/config";
import { TEST_LIMIT_MS } from "./test/support/patience.ts";

/** Tests that measure memory, time and CPU: one file at a time, after all others. */
const MEASURING = ["test/endurance/**/*.test.ts", "bench/**/*.test.ts"];

/** What needs programs that are not ours: `vitest run --mode chain`, and nothing else then. */
const CHAIN = ["test/chain/**/*.test.ts"];

/** They work and measure for seconds, or start other programs. */
const SLOW: ProjectConfig = { testTimeout: 60_000, hookTimeout: 60_000 };

const EVERYTHING = [
  project("together", ["test/**/*.test.ts"], {
    exclude: [...MEASURING, ...CHAIN],
    sequence: { groupOrder: 0 },
  }),
  project("alone", MEASURING, { maxWorkers: 1, sequence: { groupOrder: 1 }, ...SLOW }),
];

/** The tests that judge mutants, and nothing else then: a list, in JSON, from bench/mutate.mjs. */
const JUDGES: string[] | undefined =
  JSON.parse(process.env["MUTATION_TESTS"] ?? "null") ?? undefined;

function projects(mode: string) {
  if (JUDGES !== undefined) return [project("judges", JUDGES)];
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
    setupFiles: ["test/support/spoil-reads.ts", "test/support/equal-buffers.ts"],
    // Guards against what hangs; no test takes its bounds from them.
    testTimeout: TEST_LIMIT_MS,
    hookTimeout: TEST_LIMIT_MS,
    // An unhandled rejection or an uncaught exception anywhere fails the run.
    dangerouslyIgnoreUnhandledErrors: false,
    projects: projects(mode),
  },
}));
