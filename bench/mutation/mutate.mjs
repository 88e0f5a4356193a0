// Breaks source files in every small way that Stryker knows, and tells which of these mutants no
// test notices. It is run by hand, for files that are named:
//   npm run mutate --workspace bench -- src/h2/output.ts src/h2/error.ts
// The tests of a file's room judge its mutants, unless others are named:
// `'test/proxy/need*.test.ts'`.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
process.chdir(join(here, "..", ".."));

const args = process.argv.slice(2);
const files = args.filter((arg) => arg.startsWith("src/") && existsSync(arg));
const tests = args.filter((arg) => arg.startsWith("test/"));
if (files.length === 0 || files.length + tests.length < args.length) {
  console.error(`expected files of src/ and, if need be, test/, got ${args.join(" ") || "none"}`);
  process.exit(2);
}
for (const file of tests.length > 0 ? [] : files) {
  tests.push(`test/${dirname(file).slice("src/".length)}/**/*.test.ts`);
}
// Read by vitest.config.ts, in Stryker's copies of the tree as well.
process.env.MUTATION_TESTS = JSON.stringify(tests);

if (!existsSync(join(here, "node_modules"))) {
  const { status } = spawnSync("npm", ["ci"], { cwd: here, stdio: "inherit", shell: true });
  if (status !== 0) process.exit(status ?? 1);
}
const { Stryker } = await import("@stryker-mutator/core");

await new Stryker({
  mutate: files,
  testRunner: "vitest",
  plugins: [fileURLToPath(import.meta.resolve("@stryker-mutator/vitest-runner"))],
  vitest: { configFile: "vitest.config.ts", related: false },
  coverageAnalysis: "perTest",
  // A mutant cannot switch code on and off that runs once, when a file is loaded.
  ignoreStatic: true,
  // Stryker would use the compiler API to rewrite the paths in this file and to silence the
  // compiler. TypeScript 7 has no such API.
  tsconfigFile: "none",
  disableTypeChecks: false,
  concurrency: 2,
  tempDirName: ".build/mutation",
  ignorePatterns: ["dist", ".build", ".cache", "coverage", "bench/results"],
  reporters: ["clear-text", "progress"],
  clearTextReporter: {
    allowColor: process.stdout.isTTY === true,
    logTests: false,
    reportTests: false,
  },
}).runMutationTest();
