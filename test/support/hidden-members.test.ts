import { describe, expect, it } from "vitest";
import { hidingClasses, wronglyHashed } from "./hidden-members.ts";

describe("the search for classes that hide members", () => {
  it("knows each form, and what is none", () => {
    const members = {
      A: ["#a = 1;"],
      B: ["readonly #b: number;", "protected constructor() {}"],
      C: ["async *#c(): AsyncGenerator {}"],
      D: ["declare private d: number;"],
      E: ["protected abstract readonly e: number;"],
      F: ["static #f = 1;", "private readonly f = 1;"],
      G: ["private constructor() {}", "// private #g", "g = this.#h;"],
    };
    const text = Object.entries(members)
      .map(([name, lines]) => `export abstract class ${name} {\n  ${lines.join("\n  ")}\n}\n`)
      .join("\n");
    const found = hidingClasses([{ path: "src/x/a.ts", text }]);
    expect(found.map(({ name, forms }) => `${name}:${forms}`).join(" ")).toBe(
      "A:# B:# C:# D:private E:private F:#private G:",
    );
  });

  it("goes by the file, and then by the room", () => {
    const text = "class Any {\n  #a = 1;\n}\n";
    const paths = ["src/h2/a.ts", "src/server/a.ts", "src/server/abort.ts", "src/cli.ts"];
    const classes = hidingClasses(paths.map((path) => ({ path, text })));
    expect(wronglyHashed(classes)).toEqual(["src/h2/a.ts: Any", "src/server/abort.ts: Any"]);
  });
});
