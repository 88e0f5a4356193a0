// Flags of a command: one table that the parser and the help text read.

import { parseArgs } from "node:util";
import { usageError } from "./command-error.ts";

/** The longest time that a timer takes. */
export const MAX_MS = 0x7fffffff;

export interface Flag {
  readonly name: string;
  /** The name of its value in the help text; a flag without a value is a switch. */
  readonly value?: string;
  readonly repeatable?: boolean;
  readonly text: string;
}

/** The flags that were given. */
export class GivenFlags {
  readonly #values: ReadonlyMap<string, readonly string[]>;

  constructor(values: ReadonlyMap<string, readonly string[]>) {
    this.#values = values;
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** All values of a flag that may be repeated. */
  all(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }

  one(name: string): string | undefined {
    return this.all(name)[0];
  }

  /** @throws {CommandError} usage, when it was not given */
  required(flag: Flag): readonly string[] {
    const values = this.all(flag.name);
    if (values.length === 0) throw usageError(`expected --${flag.name} ${flag.value}, got none`);
    return values;
  }
}

/**
 * Reads the arguments behind a command's name.
 * @throws {CommandError} usage, saying what was expected and what came
 */
export function parseFlags(args: readonly string[], flags: readonly Flag[]): GivenFlags {
  const known = new Map(flags.map((flag) => [flag.name, flag]));
  // Not strict: Node's own messages have several lines and do not say what is expected.
  const { tokens } = parseArgs({
    args: [...args],
    strict: false,
    tokens: true,
    options: Object.fromEntries(
      flags.map((flag) => [
        flag.name,
        { type: flag.value === undefined ? ("boolean" as const) : ("string" as const) },
      ]),
    ),
  });
  const values = new Map<string, string[]>();
  for (const token of tokens) {
    if (token.kind === "option-terminator") continue;
    if (token.kind === "positional") {
      throw usageError(`expected a flag, got ${JSON.stringify(token.value)}`);
    }
    const flag = known.get(token.name);
    if (flag === undefined) {
      const names = flags.map(({ name }) => `--${name}`).join(", ");
      throw usageError(`expected one of ${names}, got ${token.rawName}`);
    }
    const before = values.get(flag.name) ?? [];
    if (before.length > 0 && flag.repeatable !== true) {
      throw usageError(`expected --${flag.name} once, got it ${before.length + 1} times`);
    }
    values.set(flag.name, [...before, checkedValue(flag, token.value, token.inlineValue === true)]);
  }
  return new GivenFlags(values);
}

function checkedValue(flag: Flag, value: string | undefined, inline: boolean): string {
  if (flag.value === undefined) {
    if (value !== undefined) {
      throw usageError(`expected --${flag.name} without a value, got ${JSON.stringify(value)}`);
    }
    return "";
  }
  if (value === undefined || value === "" || (!inline && value.startsWith("-"))) {
    const got = value === undefined || value === "" ? "none" : value;
    throw usageError(`expected ${flag.value} after --${flag.name}, got ${got}`);
  }
  return value;
}

/**
 * The value of a flag that takes whole numbers; `undefined` when it was not given.
 * @throws {CommandError} usage
 */
export function wholeNumber(
  flags: GivenFlags,
  name: string,
  lowest: number,
  highest: number,
): number | undefined {
  const text = flags.one(name);
  if (text === undefined) return undefined;
  const value = /^[0-9]{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= lowest && value <= highest) return value;
  const unit = name.endsWith("-ms") ? " of milliseconds" : "";
  throw usageError(
    `--${name}: expected a whole number${unit} from ${lowest} to ${highest}, got ${JSON.stringify(text)}`,
  );
}

/** The flags as lines of a help text. */
export function describeFlags(flags: readonly Flag[]): string {
  const heads = flags.map(
    ({ name, value, repeatable }) =>
      `--${name}${value === undefined ? "" : ` ${value}`}${repeatable === true ? " ..." : ""}`,
  );
  const width = Math.max(...heads.map((head) => head.length));
  return flags
    .map(({ text }, index) => {
      const lines = text.split("\n");
      return lines
        .map((line, row) => `  ${(row === 0 ? (heads[index] ?? "") : "").padEnd(width)}  ${line}`)
        .join("\n");
    })
    .join("\n");
}
