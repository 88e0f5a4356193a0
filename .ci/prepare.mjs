// Runs before `npm start` and `npm test`: installs what the lock file names when it is not there yet
// or older than the lock file, then builds `dist/` when a source is newer than it. Before `npm pack` and `npm publish`
// (`--build`) it builds in any case, because times of files do not tell what a `dist/` was made from.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync, utimesSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const inRoot = (...parts) => join(root, ...parts);
const modifiedMs = (path) => (existsSync(path) ? statSync(path).mtimeMs : 0);

function run(command, args) {
  // Standard output is that of `npm pack --json`, for one.
  const stdio = ["inherit", process.stderr.fd, "inherit"];
  const { status, error } = spawnSync(command, args, { cwd: root, stdio });
  if (error !== undefined) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

/** Folders count, too: a file that was removed leaves no other trace. */
function newestMs(folder) {
  let newest = modifiedMs(folder);
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    newest = Math.max(newest, modifiedMs(join(entry.parentPath, entry.name)));
  }
  return newest;
}

const installed = inRoot("node_modules", ".package-lock.json");
const wanted = Math.max(
  modifiedMs(inRoot("package-lock.json")),
  modifiedMs(inRoot("package.json")),
);
if (modifiedMs(installed) < wanted) {
  // `npm pack --dry-run` hands its settings down, and would install nothing.
  run("npm", ["ci", "--no-fund", "--no-audit", "--dry-run=false", "--include=dev"]);
  utimesSync(installed, new Date(), new Date());
}

const built = inRoot("dist", "cli.js");
const sources = Math.max(newestMs(inRoot("src")), modifiedMs(inRoot("tsconfig.build.json")));
if (process.argv.includes("--build") || modifiedMs(built) < sources) {
  run(process.execPath, [inRoot(".ci", "build.mjs")]);
}
