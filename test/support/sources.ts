// The TypeScript files of the repository, and the rooms of src/ that they lie in.

import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

export interface SourceFile {
  /** From the root, with forward slashes. */
  readonly path: string;
  readonly text: string;
}

export function filesIn(folder: string): SourceFile[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !path.includes("node_modules"))
    .map((path) => ({ path: slashes(path), text: readFileSync(path, "utf8") }));
}

export function slashes(path: string): string {
  return path.replaceAll("\\", "/");
}

/** `h2/hpack` for src/h2/hpack/decoder.ts; a file that lies in src/ itself is its own room. */
export function roomOf(path: string): string {
  const inSource = slashes(relative("src", path));
  const folder = dirname(inSource);
  return folder === "." ? inSource : slashes(folder);
}
