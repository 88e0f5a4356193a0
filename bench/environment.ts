// The machine, the versions and the commit of a run: a figure without these says nothing.

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { cpus, release, totalmem, type } from "node:os";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import type { Environment } from "./record.ts";
import { versionOf } from "./subjects/registry.ts";

const PROGRAMS = ["h2load", "nghttpx", "haproxy", "nginx"];
const PACKAGES = ["@grpc/grpc-js", "@grpc/proto-loader"];

export function describeEnvironment(placement: string): Environment {
  const versions: Record<string, string> = {};
  for (const program of PROGRAMS) {
    const version = versionOf(program);
    if (version !== undefined) versions[program] = version;
  }
  for (const name of PACKAGES) {
    const version = packageVersion(name);
    if (version !== undefined) versions[name] = version;
  }
  for (const library of ["v8", "nghttp2", "openssl", "uv"]) {
    const version = process.versions[library];
    if (version !== undefined) versions[`node's ${library}`] = version;
  }
  return {
    cpuModel: cpus()[0]?.model.trim() ?? "unknown",
    cpuCount: cpus().length,
    memoryBytes: totalmem(),
    kernel: `${type()} ${release()}`,
    node: process.version,
    commit: commit(),
    placement,
    versions,
  };
}

function packageVersion(name: string): string | undefined {
  try {
    const path = createRequire(import.meta.url).resolve(`${name}/package.json`);
    const parsed: unknown = JSON.parse(readFileSync(path, "utf8"));
    return typeof parsed === "object" && parsed !== null && "version" in parsed
      ? String(parsed.version)
      : undefined;
  } catch {
    return undefined;
  }
}

function commit(): string {
  const cwd = dirname(fileURLToPath(import.meta.url));
  const git = (...args: string[]): string =>
    spawnSync("git", args, { cwd, encoding: "utf8" }).stdout?.trim() ?? "";
  const head = git("rev-parse", "--short=12", "HEAD");
  if (head === "") return "not a git checkout";
  return git("status", "--porcelain", "--", ":/src", ":/bench") === ""
    ? head
    : `${head} with local changes`;
}
