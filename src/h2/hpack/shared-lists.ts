// One list object for all connections of the process whose peers repeat an equal block. It must not know blocks or tables.

import type { HeaderField, HeaderList } from "../../wire/field.ts";

/** Direct-mapped; a power of two. A list that loses its place is only not shared any more. */
const SLOTS = 64;

const lists: (WeakRef<HeaderList> | undefined)[] = new Array(SLOTS).fill(undefined);

/**
 * The list that stands for all lists equal to `fields`, which may be `fields` itself.
 *
 * Clients of one kind repeat one block, each on its own connection. What is worked out about a list and kept with it is then worked
 * out once, and stays in the cache of the core however many connections there are. Nothing is kept alive by it.
 */
export function sharedList(fields: HeaderList): HeaderList {
  const slot = hashOf(fields) & (SLOTS - 1);
  const known = lists[slot]?.deref();
  if (known !== undefined && isEqual(known, fields)) return known;
  lists[slot] = new WeakRef(fields);
  return fields;
}

function hashOf(fields: HeaderList): number {
  let hash = fields.length;
  for (const { name, value } of fields) {
    hash = Math.imul(hash ^ name.length, 0x01000193);
    hash = Math.imul(hash ^ value.length, 0x01000193);
    // Paths of one service differ at their ends.
    hash = Math.imul(
      hash ^ (value.length > 0 ? value.charCodeAt(value.length - 1) : 0),
      0x01000193,
    );
  }
  return hash ^ (hash >>> 15);
}

function isEqual(a: HeaderList, b: HeaderList): boolean {
  return a.length === b.length && a.every((field, i) => isSameField(field, b[i] as HeaderField));
}

function isSameField(a: HeaderField, b: HeaderField): boolean {
  return a.name === b.name && a.value === b.value && a.sensitive === b.sensitive;
}
