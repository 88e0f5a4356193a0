// What the built declarations say is public: every name that the package exports, with its
// declaration. Private members and comments are left out.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { type Node, type SourceFile, SyntaxKind } from "typescript/unstable/ast";
import {
  isComputedPropertyName,
  isExportDeclaration,
  isExpressionWithTypeArguments,
  isIdentifier,
  isImportDeclaration,
  isImportTypeNode,
  isNamedExports,
  isNamedImports,
  isQualifiedName,
  isStringLiteral,
  isTypeParameterDeclaration,
  isTypeQueryNode,
  isTypeReferenceNode,
  isVariableStatement,
} from "typescript/unstable/ast/is";
import { API, type Program } from "typescript/unstable/sync";

export interface PublicApi {
  /** Declarations, by the name that is exported, in alphabetical order. */
  readonly listing: string;
  /** `NAME names OTHER`, for each OTHER of the package that is not exported. */
  readonly leaks: readonly string[];
}

/** A name as one file declares it. */
interface Declared {
  readonly file: string;
  readonly name: string;
  readonly nodes: readonly Node[];
}

/** @param index the declarations of the package, `dist/index.d.ts` for one */
export function publicApi(index: string): PublicApi {
  mkdirSync(".build", { recursive: true });
  const folder = mkdtempSync(resolve(".build", "api-"));
  const config = join(folder, "tsconfig.json");
  const compilerOptions = { module: "nodenext", target: "es2022", types: [], noLib: true };
  writeFileSync(config, JSON.stringify({ compilerOptions, files: [resolve(index)] }));
  const compiler = new API();
  try {
    const [project] = compiler.updateSnapshot({ openProjects: [config] }).getProjects();
    if (project === undefined) throw new Error(`expected a project in ${config}, got none`);
    return new Declarations(project.program).of(resolve(index));
  } finally {
    compiler.close();
    rmSync(folder, { recursive: true });
  }
}

/** Finds what the declarations of a program declare, and which names these name. */
class Declarations {
  readonly #program: Program;

  constructor(program: Program) {
    this.#program = program;
  }

  of(index: string): PublicApi {
    const exported = new Map<string, Declared>();
    for (const [name, origin] of this.#exportsOf(index)) {
      const found = this.#find(origin.file, origin.name);
      if (found === undefined) throw new Error(`expected a declaration of ${name}, got none`);
      exported.set(name, found);
    }
    const known = new Set([...exported.values()].map(keyOf));
    const names = [...exported.keys()].sort();
    const listing = names.map((name) => listed(name, exported.get(name)));
    const leaks = names.flatMap((name) =>
      this.#namedBy(exported.get(name))
        .filter((other) => !known.has(keyOf(other)))
        .map((other) => `${name} names ${other.name} (${relative(dirname(index), other.file)})`),
    );
    return { listing: `${listing.join("\n\n")}\n`, leaks: [...new Set(leaks)] };
  }

  #source(file: string): SourceFile {
    const source = this.#program.getSourceFile(file);
    if (source === undefined) throw new Error(`expected the declarations ${file}, got none`);
    return source;
  }

  /** What `file` exports from other files: by which name, and what it is called there. */
  #exportsOf(file: string): Map<string, { readonly file: string; readonly name: string }> {
    const found = new Map<string, { readonly file: string; readonly name: string }>();
    for (const statement of this.#source(file).statements) {
      if (!isExportDeclaration(statement) || statement.moduleSpecifier === undefined) continue;
      const { exportClause } = statement;
      if (exportClause === undefined || !isNamedExports(exportClause)) {
        throw new Error(`expected named exports in ${file}, got ${statement.getText()}`);
      }
      const from = fileOf(file, statement.moduleSpecifier);
      for (const { name, propertyName } of exportClause.elements) {
        found.set(name.text, { file: from ?? "", name: (propertyName ?? name).text });
      }
    }
    return found;
  }

  /** Where `name` of `file` is declared, there or where it is exported from. */
  #find(file: string, name: string): Declared | undefined {
    const nodes = this.#source(file).statements.filter((node) => namesOf(node).includes(name));
    if (nodes.length > 0) return { file, name, nodes };
    const origin = this.#exportsOf(file).get(name);
    return origin === undefined ? undefined : this.#find(origin.file, origin.name);
  }

  /** What of the package the declaration names. */
  #namedBy(declared: Declared | undefined): Declared[] {
    if (declared === undefined) return [];
    const parameters = new Set<string>();
    const names = new Set<string>();
    const visit = (node: Node): void => {
      if (isTypeParameterDeclaration(node)) parameters.add(node.name.text);
      if (isImportTypeNode(node)) names.add(node.getText());
      const named = nameIn(node);
      if (named !== undefined) names.add(named);
      if (!isPrivate(node)) node.forEachChild(visit);
    };
    for (const node of declared.nodes) visit(node);
    return [...names]
      .filter((name) => !parameters.has(name))
      .map((name) => this.#resolve(declared.file, name))
      .filter((found) => found !== undefined);
  }

  /** What `name` is in `file`; nothing for what others declare: the language and Node. */
  #resolve(file: string, name: string): Declared | undefined {
    for (const statement of this.#source(file).statements) {
      if (!isImportDeclaration(statement)) continue;
      const bindings = statement.importClause?.namedBindings;
      if (bindings === undefined || !isNamedImports(bindings)) continue;
      const binding = bindings.elements.find((element) => element.name.text === name);
      if (binding === undefined) continue;
      const from = fileOf(file, statement.moduleSpecifier);
      if (from === undefined) return undefined;
      return this.#find(from, (binding.propertyName ?? binding.name).text);
    }
    return name.startsWith("import(") ? { file, name, nodes: [] } : this.#find(file, name);
  }
}

function keyOf({ file, name }: Declared): string {
  return `${file}#${name}`;
}

/** The file that a relative specifier stands for; nothing for what Node has. */
function fileOf(from: string, specifier: Node): string | undefined {
  if (!isStringLiteral(specifier)) throw new Error(`expected a string, got ${specifier.getText()}`);
  const { text } = specifier;
  if (text.startsWith("node:")) return undefined;
  if (!text.startsWith(".")) throw new Error(`expected a file of the package, got ${text}`);
  return resolve(dirname(from), text.replace(/\.[jt]s$/, ".d.ts"));
}

/** What a statement declares. */
function namesOf(statement: Node): readonly string[] {
  if (isVariableStatement(statement)) {
    return statement.declarationList.declarations.map(({ name }) => name.getText());
  }
  const name: unknown = Reflect.get(statement, "name");
  return name === undefined ? [] : [String(Reflect.get(Object(name), "text"))];
}

/** The name that a node stands for, where it is one of a declaration elsewhere. */
function nameIn(node: Node): string | undefined {
  const named = isTypeReferenceNode(node)
    ? node.typeName
    : isTypeQueryNode(node)
      ? node.exprName
      : isExpressionWithTypeArguments(node) || isComputedPropertyName(node)
        ? node.expression
        : undefined;
  if (named === undefined) return undefined;
  let first: Node = named;
  while (isQualifiedName(first)) first = first.left;
  return isIdentifier(first) ? first.text : undefined;
}

/** A member that nobody but its class can reach. A constructor says that there is none. */
function isPrivate(node: Node): boolean {
  const modifiers: unknown = Reflect.get(node, "modifiers");
  if (!Array.isArray(modifiers)) return false;
  return (
    modifiers.some(({ kind }: Node) => kind === SyntaxKind.PrivateKeyword) &&
    node.kind !== SyntaxKind.Constructor
  );
}

function listed(name: string, declared: Declared | undefined): string {
  const nodes = declared?.nodes ?? [];
  const text = nodes.map((node) => textOf(node)).join("\n");
  return declared?.name === name ? text : `// ${name} is:\n${text}`;
}

/** The declaration without comments and private members. */
function textOf(node: Node): string {
  const cuts: string[] = [];
  node.forEachChild((member) => {
    if (isPrivate(member)) cuts.push(member.getText());
  });
  let text = node.getText();
  for (const cut of cuts) text = text.replace(cut, "");
  return text
    .replace(/("(?:[^"\\]|\\.)*")|\/\*[\s\S]*?\*\/|\/\/.*$/gm, "$1")
    .replace(/^(export )?declare /, "")
    .replace(/^export /, "")
    .replace(/^ +#private;$/gm, "")
    .replace(/[ \t]+$/gm, "")
    .replace(/\n{2,}/g, "\n");
}
