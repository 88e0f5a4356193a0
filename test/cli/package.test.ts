// What users get: the build that `npm test` makes first, and how it is made.

import { execFileSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { join, posix, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import * as api from "../../src/index.ts";
import { closeAtEnd } from "../support/cleanup.ts";
import { documents, linksOf } from "../support/documents.ts";

// Compilers and npm take seconds, and more on a machine that is busy with other tests.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

/** What tests can write, who see the sources, and users cannot. */
const ONLY_IN_SOURCES = `
// @ts-expect-error time is the process's
api.dial("a:1", { clock: performance });
// @ts-expect-error and so is chance
api.dial("a:1", { random: Math.random });
`;

/** In the repository, so that the compiler finds the types of Node. */
let user: string;
/** Paths in the tarball. */
const packed = new Set<string>();

/** Packs what is built, and installs it where a user's program is. */
beforeAll(() => {
  mkdirSync(".build", { recursive: true });
  user = mkdtempSync(resolve(".build", "user-"));
  const pack = ["pack", "--json", "--ignore-scripts", "--offline", "--silent"];
  const [tarball]: readonly {
    readonly filename: string;
    readonly files: readonly { readonly path: string }[];
  }[] = JSON.parse(
    execFileSync("npm", [...pack, "--pack-destination", user], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "inherit"],
    }),
  );
  for (const { path } of tarball?.files ?? []) packed.add(path);
  execFileSync("tar", ["-xzf", tarball?.filename ?? ""], { cwd: user });
  mkdirSync(join(user, "node_modules"));
  renameSync(join(user, "package"), join(user, "node_modules", "grpc-relay"));
});

afterAll(() => rmSync(user, { recursive: true, force: true }));

describe("the installed package", () => {
  it("has declarations that pass the type checker of a user who checks libraries", () => {
    const config = {
      compilerOptions: {
        ...{ target: "es2022", module: "nodenext", strict: true, noEmit: true },
        ...{ types: ["node"], skipLibCheck: false, exactOptionalPropertyTypes: true },
      },
      include: ["user.mts"],
    };
    const program = readFileSync(join("test", "types", "user-program.ts"), "utf8");
    writeFileSync(join(user, "user.mts"), `${program}${ONLY_IN_SOURCES}`);
    writeFileSync(join(user, "tsconfig.json"), JSON.stringify(config));
    const tsc = resolve("node_modules", "typescript", "bin", "tsc");
    let output = "";
    try {
      execFileSync(process.execPath, [tsc, "-p", user], { encoding: "utf8" });
    } catch (error) {
      output = String((error as { stdout?: unknown }).stdout);
    }
    expect(output).toBe("");
  });

  it("exports nothing that this program does not use", () => {
    const program = readFileSync(join("test", "types", "user-program.ts"), "utf8");
    const listing = readFileSync(join("test", "types", "public-api.txt"), "utf8");
    const names = [...listing.matchAll(/^(?:abstract )?\w+ (\w+)/gm)].map(([, name]) => name);
    expect(names.length).toBeGreaterThan(50);
    const unused = names.filter((name) => !new RegExp(`\\bapi\\.${name}\\b`).test(program));
    expect(unused).toEqual([]);
  });

  it("exports what src/index.ts exports, and can be required from CommonJS", () => {
    const installed: object = createRequire(join(user, "user.mts"))("grpc-relay");
    expect(Object.keys(installed).sort()).toEqual(Object.keys(api).sort());
  });

  it("has a command that can be started by its file", () => {
    const command = join(user, "node_modules", "grpc-relay", "dist", "cli.js");
    expect(readFileSync(command, "utf8")).toMatch(/^#!\/usr\/bin\/env node\n/);
  });
});

describe("the packed package", () => {
  it("has what it promises, and the documents", () => {
    const wanted = ["dist/index.js", "dist/index.d.ts", "dist/cli.js"];
    const files = ["LICENSE", "package.json"];
    expect([...wanted, ...files, ...documents()].filter((path) => !packed.has(path))).toEqual([]);
  });

  it("has every file that one of its documents links to", () => {
    const links = documents().flatMap((path) => linksOf(path));
    expect(links.length).toBeGreaterThan(20);
    const folders = new Set([...packed].map((path) => posix.dirname(path)));
    const missing = links.filter(({ target }) => !packed.has(target) && !folders.has(target));
    expect(missing).toEqual([]);
  });

  it("has the examples, without what only their tests need", () => {
    const examples = [...packed].filter((path) => /^test\/.*\.ts$/.test(path));
    expect(examples.length).toBeGreaterThan(5);
    for (const path of examples) {
      expect(path).toMatch(/^test\/examples\/[^/]+\.ts$/);
      const imports = readFileSync(path, "utf8").matchAll(/ from "([^"]+)"/g);
      for (const [, from] of imports) expect(from).toMatch(/^(grpc-relay$|node:)/);
    }
  });

  it("has the build of every source, and of no other that an earlier build has left", () => {
    const sources = readdirSync("src", { recursive: true, encoding: "utf8" })
      .filter((path) => path.endsWith(".ts"))
      .map((path) => path.replaceAll("\\", "/").slice(0, -".ts".length));
    const built = sources.flatMap((path) =>
      [".js", ".js.map", ".d.ts", ".d.ts.map"].map((extension) => `dist/${path}${extension}`),
    );
    expect([...packed].filter((path) => path.startsWith("dist/")).sort()).toEqual(built.sort());
  });

  it("has the sources that its source maps name", () => {
    const maps = [...packed].filter((path) => path.endsWith(".map"));
    expect(maps.length).toBeGreaterThan(100);
    const missing = maps.filter((path) => {
      const map: { readonly sourceRoot?: string; readonly sources: readonly string[] } = JSON.parse(
        readFileSync(path, "utf8"),
      );
      const named = map.sources.map((source) =>
        posix.join(posix.dirname(path), map.sourceRoot ?? "", source),
      );
      return named.length === 0 || named.some((source) => !packed.has(source));
    });
    expect(missing).toEqual([]);
  });
});

describe(".ci/prepare.mjs", () => {
  /** A package of two sources, with what is installed here. */
  function createPackage(): string {
    mkdirSync(".build", { recursive: true });
    const root = mkdtempSync(resolve(".build", "prepare-"));
    closeAtEnd(() => rmSync(root, { recursive: true }));
    for (const path of [".ci", "tsconfig.json", "tsconfig.build.json"]) {
      cpSync(path, join(root, path), { recursive: true });
    }
    symlinkSync(resolve("node_modules"), join(root, "node_modules"), "junction");
    writeFileSync(join(root, "package.json"), `{ "type": "module" }`);
    // Older than what is installed, so that nothing is.
    utimesSync(join(root, "package.json"), 0, 0);
    mkdirSync(join(root, "src"));
    for (const name of ["cli", "other"]) {
      writeFileSync(join(root, "src", `${name}.ts`), "export const one = 1;\n");
    }
    return root;
  }

  function prepare(root: string, ...args: string[]): string[] {
    execFileSync(process.execPath, [join(root, ".ci", "prepare.mjs"), ...args], { stdio: "pipe" });
    return readdirSync(join(root, "dist")).filter((name) => name.endsWith(".js"));
  }

  it("builds when a source is newer or gone, and then leaves nothing of an earlier build", () => {
    const root = createPackage();
    expect(prepare(root)).toEqual(["cli.js", "other.js"]);
    writeFileSync(join(root, "dist", "left.js"), "");
    expect(prepare(root)).toEqual(["cli.js", "left.js", "other.js"]);
    rmSync(join(root, "src", "other.ts"));
    expect(prepare(root)).toEqual(["cli.js"]);
  });

  it("builds from nothing in any case before the package is packed", () => {
    const manifest: { readonly scripts: { readonly prepack?: string } } = JSON.parse(
      readFileSync("package.json", "utf8"),
    );
    expect(manifest.scripts.prepack).toBe("node .ci/prepare.mjs --build");
    const root = createPackage();
    prepare(root);
    writeFileSync(join(root, "dist", "left.js"), "");
    expect(prepare(root, "--build")).toEqual(["cli.js", "other.js"]);
  });

  it("leaves no build behind that a failed one could be taken for", () => {
    const root = createPackage();
    prepare(root);
    writeFileSync(join(root, "src", "cli.ts"), "export const one: string = 1;\n");
    const error = thrownBy(() => prepare(root));
    expect(String((error as { stderr?: unknown }).stderr)).toContain("TS2322");
    expect(existsSync(join(root, "dist", "cli.js"))).toBe(false);
  });
});

function thrownBy(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}
