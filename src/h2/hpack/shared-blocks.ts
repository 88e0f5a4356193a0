// Shares one object among all connections of the process whose peers repeat an equal block, and one
// among all equal lists. It must not know tables.

import type { HeaderField, HeaderList } from "../../wire/field.ts";

/** Direct-mapped; a power of two. An object that loses its slot is only not shared any more. */
const SLOTS = 64;

/** Octets and their meaning, on connections whose tables agree with it. */
export class SharedBlock {
  readonly fields: HeaderList;
  readonly length: number;
  private readonly octets: DataView;

  constructor(octets: DataView, fields: HeaderList) {
    this.octets = octets;
    this.length = octets.byteLength;
    this.fields = fields;
  }

  /**
   * Whether the octets are in `block` from `start` on. Compares four at a time, which takes a third
   * of the time.
   */
  isAt(block: DataView, start: number): boolean {
    const { octets, length } = this;
    let at = 0;
    for (; at + 4 <= length; at += 4) {
      if (octets.getInt32(at) !== block.getInt32(start + at)) return false;
    }
    for (; at < length; at++) {
      if (octets.getUint8(at) !== block.getUint8(start + at)) return false;
    }
    return true;
  }
}

// Weak references: an object lives no longer than its connections, or than the read that brought
// it. (A target that was just referred to lives until the event loop turns.)
const blocks: (WeakRef<SharedBlock> | undefined)[] = new Array(SLOTS).fill(undefined);
const lists: (WeakRef<HeaderList> | undefined)[] = new Array(SLOTS).fill(undefined);

/**
 * The block `view[start..start + length)` that means `fields`.
 *
 * Clients of one kind repeat one block, each on its own connection. So work on that block is done
 * once, and the block stays in the cache of the core, however many connections there are.
 * @param hash the hash of the octets
 */
export function sharedBlock(
  view: DataView,
  start: number,
  length: number,
  hash: number,
  fields: HeaderList,
): SharedBlock {
  const list = sharedList(fields);
  const slot = spread(hash) & (SLOTS - 1);
  const known = blocks[slot]?.deref();
  if (known?.length === length && known.fields === list && known.isAt(view, start)) return known;
  const from = view.byteOffset + start;
  const block = new SharedBlock(new DataView(view.buffer.slice(from, from + length)), list);
  blocks[slot] = new WeakRef(block);
  return block;
}

/** The list that stands for all lists equal to `fields`, which may be `fields` itself. */
function sharedList(fields: HeaderList): HeaderList {
  const slot = spread(hashOf(fields)) & (SLOTS - 1);
  const known = lists[slot]?.deref();
  if (known !== undefined && isEqual(known, fields)) return known;
  lists[slot] = new WeakRef(fields);
  return fields;
}

function hashOf(fields: HeaderList): number {
  let hash = fields.length;
  for (const { name, value } of fields) {
    hash = Math.imul(hash ^ name.length, 0x01000193);
    // Paths of one service differ at their ends. The NaN of an empty value counts as 0 here.
    hash = Math.imul(hash ^ value.length ^ (value.charCodeAt(value.length - 1) << 8), 0x01000193);
  }
  return hash;
}

function spread(hash: number): number {
  return hash ^ (hash >>> 15);
}

function isEqual(a: HeaderList, b: HeaderList): boolean {
  return a.length === b.length && a.every((field, i) => isSameField(field, b[i] as HeaderField));
}

function isSameField(a: HeaderField, b: HeaderField): boolean {
  return a.name === b.name && a.value === b.value && a.sensitive === b.sensitive;
}
