// The one check of options objects: a table says which values each option takes, and unknown
// options are refused. A leaf.

import { checkObject } from "./check.ts";

/**
 * @throws {TypeError | RangeError} that begins with `name`, unless the option may have this `value`
 */
export type OptionCheck = (name: string, value: unknown) => void;

/** The check of each option of `Options`; an options object within it has a table of its own. */
export type OptionChecks<Options> = {
  readonly [Name in keyof Options]-?: OptionCheck | OptionTable;
};

interface Entry {
  /** The name of the option in messages. */
  readonly name: string;
  readonly check: OptionCheck;
}

interface OptionTableSettings<Options extends object = object> {
  /** The name of an option in messages. @default the name alone */
  readonly named?: (option: string) => string;
  /**
   * Hints for options of other libraries: `{ servername: "the option serverName" }`.
   * @default none
   */
  readonly instead?: Readonly<Record<string, string>>;
  /** Options that are taken, but that no message offers. @default none */
  readonly unsaid?: readonly string[];
  /** A function is also taken: it is called for the object later. @default false */
  readonly orFunction?: boolean;
  /** Checks several options together, after each of them was checked. @default nothing */
  together?(options: Options): void;
}

/**
 * The options of one interface. `optionTable` makes it; the compiler asks for an entry when the
 * interface gets an option. Checking correct options makes no objects: directors make options
 * objects for each call.
 */
export class OptionTable {
  readonly #what: string;
  readonly #entries: ReadonlyMap<string, Entry>;
  readonly #inner: readonly (readonly [string, OptionTable])[];
  readonly #instead: ReadonlyMap<string, string>;
  /** The names that messages offer. */
  readonly #offered: readonly string[];
  readonly #settings: OptionTableSettings;

  constructor(
    what: string,
    checks: Readonly<Record<string, OptionCheck | OptionTable>>,
    settings: OptionTableSettings = {},
  ) {
    const { named = (option: string) => option, instead = {}, unsaid = [] } = settings;
    const entries = new Map<string, Entry>();
    const inner: [string, OptionTable][] = [];
    for (const [option, check] of Object.entries(checks)) {
      if (check instanceof OptionTable) {
        inner.push([option, check]);
        entries.set(option, { name: option, check: (_, value) => check.check(value) });
      } else {
        entries.set(option, { name: named(option), check });
      }
    }
    this.#what = what;
    this.#entries = entries;
    this.#inner = inner;
    this.#offered = [...entries.keys()].filter((option) => !unsaid.includes(option));
    this.#instead = new Map(Object.entries(instead));
    this.#settings = settings;
  }

  /**
   * @throws {TypeError | RangeError} for an option that is unknown, or has a value that it cannot
   * have
   */
  check(given: unknown): void {
    if (this.#settings.orFunction === true && typeof given === "function") return;
    checkObject(this.#what, given);
    const options = given as Readonly<Record<string, unknown>>;
    for (const option in options) {
      const entry = this.#entries.get(option);
      if (entry === undefined) throw this.#unknown(option);
      const value = options[option];
      if (value !== undefined) entry.check(entry.name, value);
    }
    this.#settings.together?.(options);
  }

  #unknown(option: string): TypeError {
    const instead = this.#instead.get(option);
    if (instead !== undefined) {
      return new TypeError(`${this.#what}: expected ${instead}, got ${option}`);
    }
    const names = this.#offered;
    const expected = names.length === 1 ? names[0] : `one of ${names.join(", ")}`;
    const meant = this.#suggestion(option);
    return new TypeError(
      `${this.#what}: expected ${expected}, got ${JSON.stringify(option)}${meant === undefined ? "" : `; did you mean ${meant}?`}`,
    );
  }

  /** The option that was probably meant, in this object or in an options object within it. */
  #suggestion(option: string): string | undefined {
    const own = nearest(option, this.#offered);
    if (own !== undefined) return own;
    for (const [name, table] of this.#inner) {
      const theirs = table.#entries.has(option) ? option : table.#suggestion(option);
      if (theirs !== undefined) return `${name}.${theirs}`;
    }
    return undefined;
  }
}

/**
 * @param what the name of the options object in messages
 * @param checks one for each option of the interface
 */
export function optionTable<Options extends object>(
  what: string,
  checks: OptionChecks<Options>,
  settings?: OptionTableSettings<Options>,
): OptionTable {
  return new OptionTable(what, checks, settings);
}

/** For an option that another party checks: OpenSSL, node:tls, or the owner of the value. */
export function anything(): void {}

/** The known name that was probably meant by `given`; `undefined` when none is near. */
function nearest(given: string, known: readonly string[]): string | undefined {
  const text = given.toLowerCase();
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(text.length / 3)) + 1;
  for (const name of known) {
    const candidate = name.toLowerCase();
    // "timeout" for "timeoutMs".
    const isPart = text.length >= 4 && candidate.length > 0 && candidate.startsWith(text);
    const distance = isPart ? 0 : editDistance(text, candidate);
    if (distance < bestDistance) {
      best = name;
      bestDistance = distance;
    }
  }
  return best;
}

/**
 * How many characters have to be put in, left out, replaced or swapped with their neighbour
 * (optimal string alignment).
 */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const replaced = at(last, column - 1) + (a[row - 1] === b[column - 1] ? 0 : 1);
      let least = Math.min(at(last, column) + 1, at(current, column - 1) + 1, replaced);
      if (row > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        least = Math.min(least, at(beforeLast, column - 2) + 1);
      }
      current.push(least);
    }
    beforeLast = last;
    last = current;
  }
  return at(last, b.length);
}

function at(distances: readonly number[], index: number): number {
  return distances[index] ?? Number.POSITIVE_INFINITY;
}
