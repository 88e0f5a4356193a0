// Calls of one source that wait for a connection or for room on it, first come, first served. The
// queue is a ring of references. No call refers to the next, so that calls that are gone can be
// collected.

/** What can wait; in one queue at a time. */
export interface Waiting {
  /** Its number in the queue; -1 while it does not wait. Owned by the queue. */
  waitingAt: number;
}

/** A source seldom has many calls that wait. */
const INITIAL_SLOTS = 4;

export class WaitingQueue<Item extends Waiting> {
  /** How many wait. */
  size = 0;
  /**
   * The calls from `#first` to `#next` by number, with gaps for those that have left. The length is
   * a power of two.
   */
  #slots: (Item | undefined)[] = new Array<Item | undefined>(INITIAL_SLOTS).fill(undefined);
  #first = 0;
  #next = 0;

  push(item: Item): void {
    if (this.#next - this.#first === this.#slots.length) this.#rebuild();
    item.waitingAt = this.#next;
    this.#slots[this.#next & (this.#slots.length - 1)] = item;
    this.#next++;
    this.size++;
  }

  /** Takes `item` out; `false` when it does not wait here. */
  remove(item: Item): boolean {
    const slot = item.waitingAt & (this.#slots.length - 1);
    if (this.#slots[slot] !== item) return false;
    this.#slots[slot] = undefined;
    item.waitingAt = -1;
    this.size--;
    // So that gaps do not cost more than calls.
    if (this.#slots.length > INITIAL_SLOTS && this.size * 4 < this.#slots.length) this.#rebuild();
    return true;
  }

  /** The call that has waited longest. */
  peek(): Item | undefined {
    for (; this.#first < this.#next; this.#first++) {
      const item = this.#slots[this.#first & (this.#slots.length - 1)];
      if (item !== undefined) return item;
    }
    return undefined;
  }

  /** All waiting calls, in order; a copy. */
  toArray(): Item[] {
    return this.first(this.size);
  }

  /** Up to `count` calls, in order; a copy. */
  first(count: number): Item[] {
    const all: Item[] = [];
    for (let at = this.#first; at < this.#next && all.length < count; at++) {
      const item = this.#slots[at & (this.#slots.length - 1)];
      if (item !== undefined) all.push(item);
    }
    return all;
  }

  /** Closes the gaps, and gives the ring a fitting length. */
  #rebuild(): void {
    const all = this.toArray();
    let slots = INITIAL_SLOTS;
    while (slots < all.length * 2) slots *= 2;
    this.#slots = new Array<Item | undefined>(slots).fill(undefined);
    this.#first = 0;
    this.#next = all.length;
    for (const [at, item] of all.entries()) {
      item.waitingAt = at;
      this.#slots[at] = item;
    }
  }
}
