// Runs before `npm start` and `npm test`: installs what the lock file names when it is not there yet
// or older than the lock file, then builds `dist/` when a source is newer than it.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync, utimesSync } from "node:fs";
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
    if (entry.isFile()) newest = Math.max(newest, modifiedMs(join(entry.parentPath, entry.name)));
  }
  return newest;
}

const installed = inRoot("node_modules", ".package-lock.json");
const wanted = Math.max(
  modifiedMs(inRoot("package-lock.json")),
  modifiedMs(inRoot("package.json")),
);
if (modifiedMs(installed) < wanted) {
  run("npm", ["ci", "--no-fund", "--no-audit"]);
  utimesSync(installed, new Date(), new Date());
}

const built = inRoot("dist", "cli.js");
const sources = Math.max(newestMs(inRoot("src")), modifiedMs(inRoot("tsconfig.build.json")));
if (modifiedMs(built) < sources) {
  run(process.execPath, [
    inRoot("node_modules", "typescript", "bin", "tsc"),
    "-p",
    "tsconfig.build.json",
  ]);
}
