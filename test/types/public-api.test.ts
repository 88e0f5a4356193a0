// The public API as a listing that is kept, so that every change of it is seen in a diff.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { closeAtEnd } from "../support/cleanup.ts";
import { publicApi } from "./public-api.ts";

// A compiler starts, on a machine that is busy with other tests.
vi.setConfig({ testTimeout: 60_000 });

describe("the declarations of the build", () => {
  const built = publicApi(join("dist", "index.d.ts"));

  it("are what public-api.txt lists; `npm test -- test/types -u` lists them anew", async () => {
    await expect(built.listing).toMatchFileSnapshot("public-api.txt");
  });

  it("name nothing of the package that it does not export", () => {
    expect(built.leaks).toEqual([]);
  });

  it("have nothing in a Transport but its name", () => {
    const transport = /^abstract class Transport {\n([^}]*)}/m.exec(built.listing)?.[1];
    expect(transport?.match(/\w+(?=[:?(]| =)/g)).toEqual(["name", "isTransport"]);
  });
});

/** What is said of a package of these declarations. */
function of(files: Readonly<Record<string, string>>): ReturnType<typeof publicApi> {
  mkdirSync(".build", { recursive: true });
  const folder = mkdtempSync(resolve(".build", "declarations-"));
  closeAtEnd(() => rmSync(folder, { recursive: true }));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  return publicApi(join(folder, "index.d.ts"));
}

describe("publicApi", () => {
  const inner = `export interface Inner { readonly a: number; }
export declare const key: unique symbol;`;

  it.each([
    [
      "a parameter",
      "import type { Inner } from './inner.ts';\nexport declare class Outer { a(inner: Inner): void; }",
    ],
    [
      "a name of its own",
      "import type { Inner as I } from './inner.ts';\nexport type Outer = I[];",
    ],
    ["a base", "import type { Inner } from './inner.ts';\nexport interface Outer extends Inner {}"],
    ["a type in the same file", "interface Inner {}\nexport declare function Outer(): Inner;"],
    [
      "a constraint",
      "import type { Inner } from './inner.ts';\nexport type Outer<T extends Inner> = T;",
    ],
    ["typeof", "import { key as Inner } from './inner.ts';\nexport type Outer = typeof Inner;"],
    [
      "a computed name",
      "import { key } from './inner.ts';\nexport interface Outer { readonly [key]?: 1; }",
    ],
    ["an import within a type", "export type Outer = import('./inner.ts').Inner;"],
  ])("tells of a type that is named as %s and not exported", (_, outer) => {
    const index = "export { type Outer } from './outer.ts';";
    const { leaks } = of({ "index.d.ts": index, "outer.d.ts": outer, "inner.d.ts": inner });
    expect(leaks).toHaveLength(1);
    expect(leaks[0]).toMatch(/^Outer names .*(Inner|key)/);
  });

  it("lets pass what is exported by any name, what Node and the language have, and what is private", () => {
    const { listing, leaks } = of({
      "index.d.ts":
        "export { type Outer } from './outer.ts';\nexport type { Inner as Public } from './outer.ts';",
      "outer.d.ts": `import type { Socket } from "node:net";
import type { Inner, key } from "./inner.ts";
export type { Inner } from "./inner.ts";
export declare class Outer<T> {
  #private;
  /** Says "something". */
  private readonly hidden: typeof key;
  private constructor();
  readonly text = "/* kept */"; // a comment
  a(inner: Inner, socket: Socket, map: Map<string, T>): void;
}`,
      "inner.d.ts": inner,
    });
    expect(leaks).toEqual([]);
    expect(listing).toBe(`class Outer<T> {
  private constructor();
  readonly text = "/* kept */";
  a(inner: Inner, socket: Socket, map: Map<string, T>): void;
}

// Public is:
interface Inner { readonly a: number; }
`);
  });
});
