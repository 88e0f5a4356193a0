import { defineConfig } from "vitest/config";

export default defineConfig({
  // Examples and README snippets import the package by its name, as users do.
  resolve: { alias: { "grpc-relay": new URL("src/index.ts", import.meta.url).pathname } },
  test: {
    include: ["test/**/*.test.ts", "bench/**/*.test.ts"],
    pool: "forks",
    testTimeout: 20_000,
    hookTimeout: 20_000,
    // An unhandled rejection or an uncaught exception anywhere fails the run.
    dangerouslyIgnoreUnhandledErrors: false,
  },
});
