// Open streams by id: an open-addressing table over two arrays. A `Map` would do but for the garbage collector: each time it
// rebuilds itself the old table keeps a link to the new one, and once one of them has become old all that followed stays
// alive until the next full collection, every dead stream in it included. That cost more than all of the protocol.

const EMPTY = 0;
const INITIAL_SLOTS = 16;

/** A table up to this size, 16 KiB, shrinks when it has not been needed for a while, a larger one at once: its connection may be idle from now on. */
const LASTING_SLOTS = 1_024;

/**
 * 2^32 divided by the golden ratio: multiplying by it scatters ids that follow each other. Left as they come they would lie in one
 * long run, and `delete` looks through a run to its end: with 10,000 streams open that cost more than all the rest of a call.
 */
const SCATTER = 0x9e3779b1;

export class StreamMap<Value> {
  /** How many streams are in it. */
  size = 0;
  /** Stream ids, `EMPTY` where there is none: 0 is no stream. A power of two long, at most half full. */
  private ids: number[] = new Array<number>(INITIAL_SLOTS).fill(EMPTY);
  private values: (Value | undefined)[] = new Array<Value | undefined>(INITIAL_SLOTS).fill(
    undefined,
  );

  /** Where the latest id was found: frames of one stream come in runs. The id that is there now says whether it still is. */
  private latestSlot = 0;

  /** Deletions in a row while it was much too large. */
  private spareDeletions = 0;

  /** What of a scattered id is not its place: 32 less the binary logarithm of the number of slots. */
  private shift: number = Math.clz32(INITIAL_SLOTS) + 1;

  get(id: number): Value | undefined {
    const { latestSlot } = this;
    if (this.ids[latestSlot] === id) return this.values[latestSlot];
    const slot = this.slotOf(id);
    this.latestSlot = slot;
    return this.values[slot];
  }

  /** Puts `value` under `id`, an odd or even number above 0. */
  set(id: number, value: Value): void {
    const slot = this.slotOf(id);
    this.latestSlot = slot;
    if (this.ids[slot] === EMPTY) {
      this.ids[slot] = id;
      this.size++;
    }
    this.values[slot] = value;
    const slots = this.ids.length;
    if (this.size * 16 >= slots) this.spareDeletions = 0;
    if (this.size * 2 > slots) this.resize(slots * 2);
  }

  delete(id: number): void {
    let gap = this.slotOf(id);
    if (this.ids[gap] === EMPTY) return;
    this.size--;
    const mask = this.ids.length - 1;
    this.ids[gap] = EMPTY;
    this.values[gap] = undefined;
    // Whatever probing has carried past the gap moves up, so that no search stops at it.
    for (let slot = (gap + 1) & mask; this.ids[slot] !== EMPTY; slot = (slot + 1) & mask) {
      const other = this.ids[slot] as number;
      const home = Math.imul(other, SCATTER) >>> this.shift;
      if (((slot - home) & mask) < ((slot - gap) & mask)) continue;
      this.ids[gap] = other;
      this.values[gap] = this.values[slot];
      this.ids[slot] = EMPTY;
      this.values[slot] = undefined;
      gap = slot;
    }
    if (this.size * 16 < this.ids.length) this.shrink();
  }

  /** After a burst, and not between bursts: all calls of a connection often begin with one read and end with one. */
  private shrink(): void {
    const slots = this.ids.length;
    this.spareDeletions++;
    if (slots === INITIAL_SLOTS || (slots <= LASTING_SLOTS && this.spareDeletions < slots)) return;
    this.spareDeletions = 0;
    this.resize(slots / 2);
  }

  /** A copy of what is in it, by id, so that the table may change meanwhile. */
  toArray(): Value[] {
    const found: [number, Value][] = [];
    for (let slot = 0; slot < this.ids.length; slot++) {
      const value = this.values[slot];
      if (value !== undefined) found.push([this.ids[slot] as number, value]);
    }
    return found.sort(([a], [b]) => a - b).map(([, value]) => value);
  }

  /** Where `id` is, or where it would be put. */
  private slotOf(id: number): number {
    const { ids } = this;
    const mask = ids.length - 1;
    let slot = Math.imul(id, SCATTER) >>> this.shift;
    for (let there = ids[slot]; there !== id && there !== EMPTY; there = ids[slot]) {
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  private resize(slots: number): void {
    const { ids, values } = this;
    this.latestSlot = 0;
    this.shift = Math.clz32(slots) + 1;
    this.ids = new Array<number>(slots).fill(EMPTY);
    this.values = new Array<Value | undefined>(slots).fill(undefined);
    for (let slot = 0; slot < ids.length; slot++) {
      const id = ids[slot] as number;
      if (id === EMPTY) continue;
      const place = this.slotOf(id);
      this.ids[place] = id;
      this.values[place] = values[slot];
    }
  }
}
