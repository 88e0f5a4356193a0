// The two checkouts that the guard compares: BASE out of git, and the working tree as it is now.
// Both are built side by side in a temporary folder, so that edits during the run change nothing.

import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { UsageError } from "../flags.ts";

export interface Checkout {
  readonly commit: string;
  /** Has `bench/subjects/` and `src/`, compiled. */
  readonly buildFolder: string;
}

/** @throws {UsageError} when this is no git checkout, or has no such revision */
export function resolveRevision(revision: string): string {
  const found = git(["rev-parse", "--verify", "--quiet", `${revision}^{commit}`]);
  if (found.status === 0) return found.stdout.trim();
  throw new UsageError(`--guard: git knows no revision ${JSON.stringify(revision)}`);
}

/** @throws with the output of git or the compiler, when one of them fails */
export function checkOutBase(commit: string, directory: string): Checkout {
  const folder = join(directory, "base");
  const archive = join(directory, "base.tar");
  mkdirSync(folder);
  succeed(git(["archive", "--format=tar", `--output=${archive}`, commit], root()));
  succeed(spawnSync("tar", ["-xf", archive, "-C", folder], { encoding: "utf8" }));
  // The packages that it is compiled with. None of them is used at run time.
  symlinkSync(join(root(), "node_modules"), join(folder, "node_modules"));
  build(folder);
  return { commit, buildFolder: join(folder, ".build") };
}

export function copyCurrent(commit: string, directory: string): Checkout {
  const from = root();
  build(from);
  const folder = join(directory, "current");
  for (const part of ["src", "bench"]) {
    cpSync(join(from, ".build", part), join(folder, ".build", part), { recursive: true });
  }
  // package.json says that the files are ESM.
  cpSync(join(from, "package.json"), join(folder, "package.json"));
  return { commit, buildFolder: join(folder, ".build") };
}

function build(folder: string): void {
  const script = join(folder, "bench", "build.mjs");
  succeed(spawnSync(process.execPath, [script], { cwd: folder, encoding: "utf8" }));
}

function root(): string {
  return succeed(git(["rev-parse", "--show-toplevel"])).stdout.trim();
}

function git(
  args: readonly string[],
  cwd = dirname(fileURLToPath(import.meta.url)),
): SpawnSyncReturns<string> {
  return spawnSync("git", args, { cwd, encoding: "utf8" });
}

function succeed(result: SpawnSyncReturns<string>): SpawnSyncReturns<string> {
  if (result.error !== undefined) throw result.error;
  if (result.status === 0) return result;
  throw new Error(`${result.stderr}${result.stdout}`.trim());
}
