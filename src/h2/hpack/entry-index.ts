// Finds the encoder's own dynamic table entries by name and value. The size of the table bounds its
// size: one value per entry.

import type { HeaderField } from "../../wire/field.ts";

interface NamedEntries {
  /** Insertion number of the newest entry with this name: the last to be evicted. */
  newest: number;
  /** Insertion numbers by value. */
  readonly numbers: Map<string, number>;
}

export class EntryIndex {
  private readonly names: Map<string, NamedEntries> = new Map();

  /** The insertion number of the entry with this name and value. */
  find(name: string, value: string): number | undefined {
    return this.names.get(name)?.numbers.get(value);
  }

  /** The insertion number of an entry with this name. */
  findName(name: string): number | undefined {
    return this.names.get(name)?.newest;
  }

  /** Adds an entry whose name and value are not indexed yet. */
  add(field: HeaderField, number: number): void {
    const named = this.names.get(field.name);
    if (named === undefined) {
      this.names.set(field.name, { newest: number, numbers: new Map([[field.value, number]]) });
    } else {
      named.newest = number;
      named.numbers.set(field.value, number);
    }
  }

  /** Removes an evicted entry. */
  remove(field: HeaderField): void {
    const named = this.names.get(field.name);
    if (named === undefined) return;
    named.numbers.delete(field.value);
    if (named.numbers.size === 0) this.names.delete(field.name);
  }
}
