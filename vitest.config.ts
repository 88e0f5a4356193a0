import { defineConfig } from "vitest/config";

/** Tests that measure memory, time and CPU: one file at a time, after all others. */
const MEASURING = ["test/endurance/**/*.test.ts", "bench/**/*.test.ts"];

export default defineConfig({
  // Examples and README snippets import the package by its name, as users do.
  resolve: { alias: { "grpc-relay": new URL("src/index.ts", import.meta.url).pathname } },
  test: {
    pool: "forks",
    setupFiles: ["test/support/spoil-reads.ts"],
    // Guards against what hangs, for machines with much else to do; no test takes its bounds from them.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // An unhandled rejection or an uncaught exception anywhere fails the run.
    dangerouslyIgnoreUnhandledErrors: false,
    projects: [
      {
        extends: true,
        test: {
          name: "together",
          include: ["test/**/*.test.ts"],
          exclude: MEASURING,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: "alone",
          include: MEASURING,
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
