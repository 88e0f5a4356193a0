// Open streams by id: an open-addressing table in one array. A `Map` would do, but it burdens the
// garbage collector. Each time a `Map` rebuilds itself, the old table keeps a link to the new one.
// Once one table has become old, all later ones stay alive until the next full collection, with
// every dead stream in them. That cost more than all of the protocol.

const EMPTY = 0;
const INITIAL_SLOTS = 16;

/**
 * A table up to this size, 16 KiB, shrinks when its size was not needed for a while. A larger one
 * shrinks at once: its connection may be idle from now on.
 */
const LASTING_SLOTS = 1_024;

/**
 * 2^32 divided by the golden ratio: multiplying by it scatters ids that follow each other.
 * Unscattered ids would lie in one long run, and `delete` searches a run to its end: with 10,000
 * streams open that cost more than all the rest of a call. Four consecutive ids stay together: with
 * their values they fill a line of the cache.
 */
const SCATTER = 0x9e3779b1;
const GROUP_SLOTS = 4;

export class StreamMap<Value> {
  /** How many streams are in it. */
  size = 0;
  /** For each slot the id and the value. The id is `EMPTY` in a free slot (0 is no stream). */
  private table: (number | Value | undefined)[] = emptyTable(INITIAL_SLOTS);
  /** A power of two, at least twice `size`. */
  private slots: number = INITIAL_SLOTS;
  /**
   * The number of low bits of a scattered id that are not part of its group: 32 less the binary
   * logarithm of the number of groups.
   */
  private shift: number = shiftFor(INITIAL_SLOTS);
  /**
   * The slot of the latest id: frames of one stream come in runs. The id that is now in the slot
   * says whether it is still the same stream.
   */
  private latestSlot = 0;
  /** Deletions in a row while the table was much too large. */
  private spareDeletions = 0;

  get(id: number): Value | undefined {
    const { table, latestSlot } = this;
    const slot = table[latestSlot * 2] === id ? latestSlot : this.slotOf(id);
    this.latestSlot = slot;
    return table[slot * 2 + 1] as Value | undefined;
  }

  /** Puts `value` under `id`, an odd or even number above 0. */
  set(id: number, value: Value): void {
    const slot = this.slotOf(id);
    this.latestSlot = slot;
    if (this.table[slot * 2] === EMPTY) {
      this.table[slot * 2] = id;
      this.size++;
    }
    this.table[slot * 2 + 1] = value;
    const { slots } = this;
    if (this.size * 16 >= slots) this.spareDeletions = 0;
    if (this.size * 2 > slots) this.resize(slots * 2);
  }

  delete(id: number): void {
    const { table } = this;
    let gap = this.slotOf(id);
    if (table[gap * 2] === EMPTY) return;
    this.size--;
    const mask = this.slots - 1;
    this.clear(gap);
    // Entries that probing carried past the gap move up, so that no search stops at the gap.
    for (let slot = (gap + 1) & mask; table[slot * 2] !== EMPTY; slot = (slot + 1) & mask) {
      const other = table[slot * 2] as number;
      if (((slot - this.homeOf(other)) & mask) < ((slot - gap) & mask)) continue;
      table[gap * 2] = other;
      table[gap * 2 + 1] = table[slot * 2 + 1];
      this.clear(slot);
      gap = slot;
    }
    if (this.size * 16 < this.slots) this.shrink();
  }

  private clear(slot: number): void {
    this.table[slot * 2] = EMPTY;
    this.table[slot * 2 + 1] = undefined;
  }

  /**
   * Shrinks after a burst, but not between bursts: all calls of a connection often begin with one
   * read and end with one.
   */
  private shrink(): void {
    const { slots } = this;
    this.spareDeletions++;
    if (slots === INITIAL_SLOTS || (slots <= LASTING_SLOTS && this.spareDeletions < slots)) return;
    this.spareDeletions = 0;
    this.resize(slots / 2);
  }

  /** The values as a copy, by id, so that the table may change meanwhile. */
  toArray(): Value[] {
    const { table } = this;
    const found: [number, Value][] = [];
    for (let at = 0; at < table.length; at += 2) {
      if (table[at] !== EMPTY) found.push([table[at] as number, table[at + 1] as Value]);
    }
    return found.sort(([a], [b]) => a - b).map(([, value]) => value);
  }

  /** The slot of `id`, or the slot where `id` would be put. */
  private slotOf(id: number): number {
    const { table } = this;
    const mask = this.slots - 1;
    let slot = this.homeOf(id);
    for (let there = table[slot * 2]; there !== id && there !== EMPTY; there = table[slot * 2]) {
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  /** Where the search for `id` begins. */
  private homeOf(id: number): number {
    // The ids of one side are all odd or all even.
    const number = id >>> 1;
    const group = Math.imul(number >>> 2, SCATTER) >>> this.shift;
    return group * GROUP_SLOTS + (number & (GROUP_SLOTS - 1));
  }

  private resize(slots: number): void {
    const old = this.table;
    this.slots = slots;
    this.shift = shiftFor(slots);
    this.latestSlot = 0;
    const table = emptyTable<Value>(slots);
    this.table = table;
    for (let at = 0; at < old.length; at += 2) {
      const id = old[at] as number;
      if (id === EMPTY) continue;
      const place = this.slotOf(id) * 2;
      table[place] = id;
      table[place + 1] = old[at + 1];
    }
  }
}

function emptyTable<Value>(slots: number): (number | Value | undefined)[] {
  const table: (number | Value | undefined)[] = new Array(slots * 2).fill(undefined);
  for (let at = 0; at < table.length; at += 2) table[at] = EMPTY;
  return table;
}

function shiftFor(slots: number): number {
  return Math.clz32(slots / GROUP_SLOTS) + 1;
}
