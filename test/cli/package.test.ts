// What users get: the build that `npm test` makes first.

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { describe, expect, it, vi } from "vitest";
import * as api from "../../src/index.ts";
import { closeAtEnd } from "../support/cleanup.ts";

// Starting processes and compilers takes long on a machine that is busy with other tests.
vi.setConfig({ testTimeout: 60_000 });

describe("the built package", () => {
  it("has declarations that pass the type checker of a user who checks libraries", () => {
    mkdirSync(".build", { recursive: true });
    const folder = mkdtempSync(resolve(".build", "user-"));
    closeAtEnd(() => rmSync(folder, { recursive: true }));
    writeFileSync(
      join(folder, "user.mts"),
      `import * as api from ${JSON.stringify(resolve("dist", "index.js"))};
export const server: api.Server = new api.Server({ maxConcurrentStreams: 100 });
// @ts-expect-error a target is text
api.dial(1);\n`,
    );
    const config = {
      compilerOptions: {
        ...{ target: "es2022", module: "nodenext", strict: true, noEmit: true },
        ...{ types: ["node"], skipLibCheck: false, exactOptionalPropertyTypes: true },
      },
      include: ["user.mts"],
    };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(config));
    const tsc = resolve("node_modules", "typescript", "bin", "tsc");
    let output = "";
    try {
      execFileSync(process.execPath, [tsc, "-p", folder], { encoding: "utf8" });
    } catch (error) {
      output = String((error as { stdout?: unknown }).stdout);
    }
    expect(output).toBe("");
  });

  it("exports what src/index.ts exports, and can be required from CommonJS", () => {
    const built: object = createRequire(import.meta.url)(resolve("dist", "index.js"));
    expect(Object.keys(built).sort()).toEqual(Object.keys(api).sort());
  });

  it("has a command that can be started by its file", () => {
    expect(readFileSync(join("dist", "cli.js"), "utf8")).toMatch(/^#!\/usr\/bin\/env node\n/);
  });
});
