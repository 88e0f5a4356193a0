// The rules that ARCHITECTURE.md states, held against the tree.

import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { ErrorReason } from "../src/index.ts";
import { documents, linksOf } from "./support/documents.ts";
import { hidingClasses, unneededEntries, wronglyHashed } from "./support/hidden-members.ts";
import { filesIn, roomOf, type SourceFile, slashes } from "./support/sources.ts";

/**
 * Which rooms the files of a room may import from, besides their own. A folder within a room is a
 * room of its own.
 */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  check: [],
  wire: [],
  time: [],
  observe: [],
  grpc: ["check", "wire"],
  h2: ["check", "h2/hpack", "wire"],
  "h2/hpack": ["wire"],
  transport: ["check", "transport/engine", "transport/node", "time", "wire"],
  "transport/engine": ["check", "transport", "h2", "time", "wire"],
  "transport/node": ["check", "transport", "time", "wire"],
  client: [
    ...["client/balance", "client/errors", "client/health", "client/outlier", "client/resolve"],
    ...["client/subchannel", "check", "transport", "grpc", "observe", "time", "wire"],
  ],
  "client/balance": ["grpc", "observe"],
  "client/resolve": ["check", "client/errors", "transport", "grpc", "observe", "time", "wire"],
  "client/subchannel": ["client/errors", "check", "transport", "grpc", "observe", "time", "wire"],
  "client/errors": ["transport", "grpc", "wire"],
  "client/outlier": ["client/subchannel", "check", "grpc", "time"],
  "client/health": [
    ...["client/errors", "client/subchannel", "check", "transport", "grpc", "observe", "time"],
    "wire",
  ],
  server: ["check", "transport", "grpc", "observe", "time", "wire"],
  proxy: [
    ...["check", "client", "client/errors", "server", "transport", "grpc", "observe", "time"],
    "wire",
  ],
  // Types only of the lowest: what users who bring a clock, a transport or a session of their own
  // have to name.
  "index.ts": [
    ...["client/balance", "client/health", "client/outlier", "client/resolve"],
    ...["client/subchannel", "proxy", "client", "server", "transport", "grpc", "observe"],
  ],
  cli: ["index.ts", "transport", "observe", "time"],
  "cli.ts": ["cli"],
};

/**
 * Where each module of Node may be imported; one that is not here is imported nowhere, and neither
 * is any package.
 */
const BUILT_INS: Readonly<Record<string, readonly string[]>> = {
  "node:http2": ["transport/node"],
  "node:net": ["transport", "transport/engine", "transport/node"],
  // transport/tls.ts names its types; the command tries what it has read.
  "node:tls": ["cli", "transport", "transport/engine", "transport/node"],
  "node:dns": ["client/resolve"],
  "node:diagnostics_channel": ["observe"],
  // time/clock.ts keeps its one timer out of the contexts of those who schedule.
  "node:async_hooks": ["observe", "time"],
  "node:events": ["transport/node"],
  // The workers of the command.
  "node:cluster": ["cli"],
  // Their keys of TLS session tickets.
  "node:crypto": ["cli"],
  "node:zlib": ["grpc"],
  // transport/inherited.ts asks what a descriptor is.
  "node:fs": ["cli", "transport"],
  "node:fs/promises": ["cli", "transport"],
  "node:util": ["cli"],
  // transport/read-garbage.ts asks V8 to collect.
  "node:v8": ["transport"],
  "node:vm": ["transport"],
};

const MAX_LINES = 500;

const STATEMENT = /^(?:import|export)\b[^;]*?\bfrom\s+"([^"]+)"|^import\s+"([^"]+)"/gm;
const EXPRESSION = /\bimport\(\s*["'`]([^"'`]+)/g;

function importsOf(text: string): string[] {
  return [...text.matchAll(STATEMENT), ...text.matchAll(EXPRESSION)].map(
    ([, from, bare]) => from ?? bare ?? "",
  );
}

const EXPORTED =
  /^export (?:async )?(?:abstract )?(?:const|function|class|interface|type|let) (\w+)/gm;
const LIST = /^(import|export) (?:type )?\{([^}]*)\}(?: from "([^"]+)")?/gm;

interface NameList {
  readonly isExport: boolean;
  /** The names as the other file has them, and as this one. */
  readonly names: readonly (readonly [string, string])[];
  readonly from: string | undefined;
}

function nameLists(text: string): NameList[] {
  return [...text.matchAll(LIST)].map(([, keyword, list = "", from]) => ({
    isExport: keyword === "export",
    names: list
      .split(",")
      .map((entry) => entry.trim().replace(/^type /, ""))
      .filter((entry) => entry !== "")
      .map((entry) => entry.split(" as "))
      .map(([name = "", here = name]) => [name, here] as const),
    from,
  }));
}

/**
 * Names that a file exports and that no other of `files` imports, as `path: name`. What
 * `src/index.ts` and `src/cli.ts` export is for others.
 */
function unusedExports(files: readonly SourceFile[]): string[] {
  const used = new Set<string>();
  const exported: string[] = [];
  for (const { path, text } of files) {
    for (const { isExport, names, from } of nameLists(text)) {
      const origin = from?.startsWith(".") ? slashes(join(dirname(path), from)) : from;
      for (const [there, here] of names) {
        used.add(`${origin}: ${there}`);
        if (isExport) exported.push(`${path}: ${here}`);
      }
    }
    for (const [, name] of text.matchAll(EXPORTED)) exported.push(`${path}: ${name}`);
  }
  return exported.filter((name) => !used.has(name) && !/^src\/(?:index|cli)\.ts: /.test(name));
}

/**
 * What is wrong with one import, as text that says what to do; `undefined` for one that is allowed.
 */
function complaint(from: string, specifier: string): string | undefined {
  const room = roomOf(from);
  if (!specifier.startsWith(".")) {
    const rooms = BUILT_INS[specifier];
    if (rooms === undefined) return `${from}: ${specifier} may be imported nowhere`;
    if (rooms.includes(room)) return undefined;
    return `${from}: ${specifier} may only be imported in ${rooms.join(", ")}`;
  }
  const target = roomOf(join(dirname(from), specifier));
  if (target === room || MAY_IMPORT[room]?.includes(target)) return undefined;
  return `${from}: ${room} may not import from ${target} (${specifier})`;
}

/**
 * Circles of files that import each other, types included, as `a.ts > b.ts > a.ts`; at least one of
 * each knot.
 */
function circlesOf(files: readonly SourceFile[]): string[] {
  const circles: string[] = [];
  const walked = new Set<string>();
  const textOf = new Map(files.map(({ path, text }) => [path, text]));
  const walk = (path: string, above: readonly string[]): void => {
    const begin = above.indexOf(path);
    if (begin !== -1) circles.push([...above.slice(begin), path].join(" > "));
    if (begin !== -1 || walked.has(path)) return;
    for (const specifier of importsOf(textOf.get(path) ?? "")) {
      if (specifier.startsWith(".")) {
        walk(slashes(join(dirname(path), specifier)), [...above, path]);
      }
    }
    walked.add(path);
  };
  for (const { path } of files) walk(path, []);
  return circles;
}

const sources = filesIn("src");
const everything = [...sources, ...filesIn("test"), ...filesIn("bench")];

describe("the checks of this file", () => {
  it.each<[string, string, string, boolean]>([
    ["down", "src/h2/frame.ts", "../wire/field.ts", true],
    ["within a room", "src/h2/frame.ts", "./error.ts", true],
    ["up", "src/wire/field.ts", "../h2/frame.ts", false],
    ["across", "src/transport/node/index.ts", "../../h2/frame.ts", false],
    ["from one transport to the other", "src/transport/node/index.ts", "../engine/index.ts", false],
    ["the command", "src/proxy/relay.ts", "../cli/run.ts", false],
    ["the public API from below", "src/proxy/relay.ts", "../index.ts", false],
    ["a socket where one belongs", "src/transport/node/listen.ts", "node:net", true],
    ["a socket elsewhere", "src/h2/connection.ts", "node:net", false],
    ["a package", "src/client/dial.ts", "@grpc/grpc-js", false],
  ])("an import %s: %s of %s", (_, from, specifier, allowed) => {
    expect(complaint(from, specifier) === undefined).toBe(allowed);
  });

  it("find every form of import", () => {
    const text = `import a from "./a.ts";\nimport {\n  b,\n  c,\n} from "./b.ts";\nexport * from "./c.ts";
import "./d.ts";\nexport type { E } from "./e.ts";\nconst f = await import("./f.ts");\ntype G = import("./g.ts").G;`;
    const files = importsOf(text).map((specifier) => specifier.charAt(2));
    expect(files.sort().join("")).toBe("abcdefg");
  });
});

describe("the search for circles", () => {
  const file = (name: string, ...imports: string[]): SourceFile => ({
    path: `src/${name}.ts`,
    text: imports.join("\n"),
  });

  it.each([
    ["values", 'import { a } from "../x/a.ts";'],
    ["types", 'import type { A } from "../x/a.ts";'],
    ["what is exported again", 'export * from "../x/a.ts";'],
    ["an expression of a type", 'let a: import("../x/a.ts").A;'],
  ])("finds one of %s, once, wherever it hangs", (_, back) => {
    const files = [
      file("above", 'import "./x/a.ts";', 'import "./y/b.ts";'),
      file("x/a", 'import "./c.ts";', 'import "./below.ts";'),
      file("x/c", 'import "../y/b.ts";'),
      file("y/b", back),
      file("x/below", 'import "node:net";'),
    ];
    expect(circlesOf(files)).toEqual(["src/x/a.ts > src/x/c.ts > src/y/b.ts > src/x/a.ts"]);
  });

  it("takes no two ways to the same file for one", () => {
    const files = [
      file("a", 'import "./b.ts";', 'import "./c.ts";'),
      file("b", 'import "./d.ts";'),
      file("c", 'import "./d.ts";', 'import "./b.ts";'),
      file("d"),
    ];
    expect(circlesOf(files)).toEqual([]);
  });
});

describe("the search for exports that nobody uses", () => {
  const file = (path: string, text: string): SourceFile => ({ path, text });

  it("finds each kind, and none that somebody uses", () => {
    const files = [
      file("src/index.ts", 'export { a, type B as Bee } from "./x/a.ts";'),
      file("src/cli.ts", "export const notOurs = 1;"),
      file(
        "src/x/a.ts",
        'export const a = 1;\nexport interface B {}\nexport type { E } from "./c.ts";\nexport { y };',
      ),
      file("src/x/b.ts", 'import {\n  c,\n  type D,\n} from "./c.ts";\nexport class Alone {}'),
      file("src/x/c.ts", "export function c() {}\nexport type D = 1;\nexport type E = 2;"),
    ];
    expect(unusedExports(files)).toEqual(["src/x/a.ts: E", "src/x/a.ts: y", "src/x/b.ts: Alone"]);
  });
});

describe("the files of src/", () => {
  it("export nothing that no other of them uses: tests go by what the files are for", () => {
    expect(unusedExports(sources)).toEqual([]);
  });

  it("import each other in no circle, not for types either", () => {
    expect(circlesOf(sources)).toEqual([]);
  });
});

describe("the rooms of src/", () => {
  it("import only what lies below them, and Node's modules only where they belong", () => {
    const complaints = sources.flatMap(({ path, text }) =>
      importsOf(text).map((specifier) => complaint(path, specifier)),
    );
    expect(complaints.length).toBeGreaterThan(100);
    expect(complaints.filter((text) => text !== undefined)).toEqual([]);
  });

  it("are all in the table, and the table names no other", () => {
    const rooms = new Set(sources.map(({ path }) => roomOf(path)));
    expect(Object.keys(MAY_IMPORT).sort()).toEqual([...rooms].sort());
  });

  it("need every permission of the tables", () => {
    const needed = new Set(
      sources.flatMap(({ path, text }) =>
        importsOf(text).map((specifier) =>
          specifier.startsWith(".")
            ? `${roomOf(path)} > ${roomOf(join(dirname(path), specifier))}`
            : `${roomOf(path)} > ${specifier}`,
        ),
      ),
    );
    const permissions = [
      ...Object.entries(MAY_IMPORT).flatMap(([room, below]) =>
        below.map((it) => `${room} > ${it}`),
      ),
      ...Object.entries(BUILT_INS).flatMap(([module, rooms]) =>
        rooms.map((it) => `${it} > ${module}`),
      ),
    ];
    expect(permissions.filter((permission) => !needed.has(permission))).toEqual([]);
  });

  it("have no way around: the table has no circle but the one between transport/ and its two bindings", () => {
    const bindings = ["transport/engine", "transport/node"];
    const below = (room: string, seen: readonly string[]): string[] =>
      (MAY_IMPORT[room] ?? [])
        .filter((next) => !(room === "transport" && bindings.includes(next)))
        .flatMap((next) => (seen.includes(next) ? [next] : below(next, [...seen, next])));
    for (const room of Object.keys(MAY_IMPORT)) expect(below(room, [room])).toEqual([]);
  });
});

describe("every file", () => {
  it(`of src/ has at most ${MAX_LINES} lines`, () => {
    const tooLong = sources
      .map(({ path, text }) => ({ path, lineCount: text.split("\n").length - 1 }))
      .filter(({ lineCount }) => lineCount > MAX_LINES);
    expect(tooLong).toEqual([]);
  });

  it("of src/ begins by saying what it is", () => {
    const silent = sources.filter(({ text }) => !/^(#!.*\n)?\/\/ [A-Z`]/.test(text));
    expect(silent.map(({ path }) => path)).toEqual([]);
  });

  it("has no comment over 100 columns but commands and orders to the linter", () => {
    const wide = everything.flatMap(({ path, text }) =>
      text
        .split("\n")
        .filter((line) => line.length > 100 && /^ *(?:\/\/|\/\*\*|\*) /.test(line))
        .filter((line) => !/biome-ignore|npx /.test(line))
        .map((line) => `${path}: ${line}`),
    );
    expect(wide).toEqual([]);
  });

  it("has named exports only, and no work left to be done", () => {
    // Put together so that this file does not match itself.
    const unwanted = new RegExp(
      `^export ${"default"}|\\b(${["TO" + "DO", "FIX" + "ME"].join("|")})\\b`,
      "m",
    );
    expect(everything.filter(({ text }) => unwanted.test(text)).map(({ path }) => path)).toEqual(
      [],
    );
  });
});

describe("the classes of src/", () => {
  const classes = hidingClasses(sources);

  it("hide their members in one form each: by # or by private", () => {
    expect(classes.filter(({ forms }) => forms === "#private")).toEqual([]);
  });

  it("hide them by private in what is made per call, stream, frame, chunk or session", () => {
    expect(wronglyHashed(classes)).toEqual([]);
    expect(unneededEntries(classes)).toEqual([]);
  });
});

describe("errors made in src/", () => {
  it("say why they are made: `failure` asks for a reason, which users may leave out", () => {
    // The command is written as users write. trailers.ts makes what an upstream has sent, which
    // needs a reason, too.
    const made = sources.filter(({ text }) => text.includes("new GrpcError("));
    expect(made.map(({ path }) => path).sort()).toEqual([
      "src/cli/demo-backend.ts",
      "src/cli/serve.ts",
      "src/grpc/error.ts",
      "src/grpc/trailers.ts",
    ]);
  });
});

describe("package.json", () => {
  const manifest: { readonly devDependencies: Readonly<Record<string, string>> } = JSON.parse(
    readFileSync("package.json", "utf8"),
  );

  it("names no runtime dependency of any kind", () => {
    const kinds = [
      "dependencies",
      "peerDependencies",
      "optionalDependencies",
      "bundleDependencies",
    ];
    expect(kinds.filter((kind) => kind in manifest)).toEqual([]);
  });

  it("names three packages for development, each by its exact version", () => {
    const versions = manifest.devDependencies;
    expect(Object.keys(versions).sort()).toEqual(["@types/node", "typescript", "vitest"]);
    for (const version of Object.values(versions)) expect(version).toMatch(/^\d+\.\d+\.\d+$/);
  });
});

describe("the documents", () => {
  it.each([
    ["ARCHITECTURE.md", 20],
    ["CONTRIBUTING.md", 5],
    ["src/PATHS.md", 40],
    ["src/wire/README.md", 5],
  ])("%s names only paths that exist", (path, minPaths) => {
    const text = readFileSync(path, "utf8");
    const named = [...text.matchAll(/(?<=[`\s])(?:src|test|bench|\.ci)\/[^`\s]*/g)].map(String);
    expect(named.length).toBeGreaterThan(minPaths);
    expect(named.filter((name) => !existsSync(name))).toEqual([]);
  });

  it("ARCHITECTURE.md names every room", () => {
    const text = readFileSync("ARCHITECTURE.md", "utf8");
    const rooms = Object.keys(MAY_IMPORT).map((room) => (room.endsWith(".ts") ? room : `${room}/`));
    expect(rooms.filter((room) => !text.includes(`\`src/${room}`))).toEqual([]);
  });

  it("src/README.md explains every error reason, and no other", () => {
    const text = readFileSync("src/README.md", "utf8");
    const errors = text.slice(text.indexOf("\n## Errors\n"), text.indexOf("\n## Observability\n"));
    const rows = [...errors.matchAll(/^\| `([A-Z_]+)` \|(.*)\|$/gm)];
    expect(rows.map(([, reason]) => reason).sort()).toEqual(Object.values(ErrorReason).sort());
    // Cause, status, retry, what to do.
    for (const [, , cells = ""] of rows) expect(cells.split("|")).toHaveLength(4);
  });

  it.each([
    ["README.md", 9 * 1024],
    ["ARCHITECTURE.md", 10 * 1024],
    ["CONTRIBUTING.md", 4 * 1024],
  ])("%s has at most %d bytes", (path, maxBytes) => {
    expect(statSync(path).size).toBeLessThanOrEqual(maxBytes);
  });

  it("have no line over 100 columns but in tables", () => {
    const tooLong = documents().flatMap((path) =>
      readFileSync(path, "utf8")
        .split("\n")
        .filter((line) => line.length > 100 && !line.startsWith("|"))
        .map((line) => `${path}: ${line}`),
    );
    expect(tooLong).toEqual([]);
  });

  it("link to nothing that is not there: no file, no heading", () => {
    const links = documents().flatMap((path) => linksOf(path));
    expect(links.length).toBeGreaterThan(20);
    expect(links.filter(({ dead }) => dead)).toEqual([]);
  });
});
