// Compiles the harness and the `src/` files that it uses into `.build/` when a source is newer:
// Node 20 cannot run TypeScript.
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, readdirSync, statSync, utimesSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const inRoot = (...parts) => join(root, ...parts);
const modifiedMs = (path) => (existsSync(path) ? statSync(path).mtimeMs : 0);

function run(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  if (error !== undefined) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

function newestMs(folder) {
  let newest = 0;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const inModules = entry.parentPath.split(/[\\/]/).includes("node_modules");
    if (!entry.isFile() || inModules || !/\.(ts|mjs|json|proto)$/.test(entry.name)) continue;
    newest = Math.max(newest, modifiedMs(join(entry.parentPath, entry.name)));
  }
  return newest;
}

const compiler = inRoot("node_modules", "typescript", "bin", "tsc");
if (!existsSync(compiler) || !existsSync(inRoot("node_modules", "@grpc", "grpc-js"))) {
  run("npm", ["ci", "--no-fund", "--no-audit"]);
}

const built = inRoot(".build", "bench", "run.js");
const sources = Math.max(newestMs(inRoot("src")), newestMs(inRoot("bench")));
if (modifiedMs(built) < sources) {
  run(process.execPath, [compiler, "-p", inRoot("bench", "tsconfig.json")]);
  cpSync(
    inRoot("bench", "backends", "echo.proto"),
    inRoot(".build", "bench", "backends", "echo.proto"),
  );
  // An incremental compile does not touch unchanged outputs. The stamp says that all are current.
  utimesSync(built, new Date(), new Date());
}
