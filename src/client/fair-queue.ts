// Calls that wait, in turns: each source of calls has a line, and the lines take turns. Within a
// line: first come, first served. Every operation takes the same time, however many wait, but for
// the lists that are given out.

import { OWN_CALLS, reserveOf, shareOf } from "./fair-share.ts";
import { type Waiting, WaitingQueue } from "./waiting-queue.ts";

/** A call that waits for its turn. */
interface TurnTaker extends Waiting {
  /** Its source, always the same; `undefined` for calls of our own. */
  readonly fairnessKey?: object | string | undefined;
}

/** The waiting calls of one source. */
class Line<Item extends TurnTaker> {
  readonly source: unknown;
  readonly calls = new WaitingQueue<Item>();
  /** The lines of a row have ascending numbers. */
  turn = 0;
  row: Row<Item> | undefined = undefined;
  previous: Line<Item> | undefined = undefined;
  next: Line<Item> | undefined = undefined;

  constructor(source: unknown) {
    this.source = source;
  }
}

/** Lines that wait for their turn, the first one longest. */
class Row<Item extends TurnTaker> {
  first: Line<Item> | undefined = undefined;
  #last: Line<Item> | undefined = undefined;

  append(line: Line<Item>): void {
    const last = this.#last;
    line.row = this;
    line.previous = last;
    this.#last = line;
    if (last === undefined) this.first = line;
    else last.next = line;
  }

  remove(line: Line<Item>): void {
    const { previous, next } = line;
    if (previous === undefined) this.first = next;
    else previous.next = next;
    if (next === undefined) this.#last = previous;
    else next.previous = previous;
    line.row = undefined;
    line.previous = undefined;
    line.next = undefined;
  }
}

export class FairQueue<Item extends TurnTaker> {
  /** How many wait. */
  size = 0;
  /** Waits alone. A call that is served at once needs no line. */
  #lone: Item | undefined;
  readonly #lines = new Map<unknown, Line<Item>>();
  /** The lines that take turns. */
  readonly #row = new Row<Item>();
  /** The lines that are passed over. */
  readonly #aside = new Row<Item>();
  #nextTurn = 0;

  push(item: Item): void {
    if (this.size++ === 0) {
      this.#lone = item;
      item.waitingAt = 0;
      return;
    }
    this.#lineUp();
    this.#join(item);
  }

  /** The call that waited alone gets a line. */
  #lineUp(): void {
    const item = this.#lone;
    if (item === undefined) return;
    this.#lone = undefined;
    this.#join(item);
  }

  #join(item: Item): void {
    const source = sourceOf(item);
    let line = this.#lines.get(source);
    if (line === undefined) {
      line = new Line<Item>(source);
      this.#lines.set(source, line);
      this.#move(line, this.#row);
    }
    line.calls.push(item);
  }

  /** Moves `line` to the end of `row`. */
  #move(line: Line<Item>, row: Row<Item>): void {
    line.row?.remove(line);
    line.turn = this.#nextTurn++;
    row.append(line);
  }

  /** Takes `item` out, which waits no more; `false` when it does not wait here. */
  remove(item: Item): boolean {
    if (item === this.#lone) {
      this.#lone = undefined;
      item.waitingAt = -1;
      this.size--;
      return true;
    }
    const line = this.#lines.get(sourceOf(item));
    if (line === undefined || !line.calls.remove(item)) return false;
    this.size--;
    if (line.calls.size === 0) {
      this.#lines.delete(line.source);
      line.row?.remove(line);
    }
    return true;
  }

  /** Takes `item` out for its turn: the others of its line wait until all lines had theirs. */
  take(item: Item): boolean {
    if (item === this.#lone) return this.remove(item);
    const wasHere = this.remove(item);
    const line = this.#lines.get(sourceOf(item));
    if (wasHere && line !== undefined) this.#move(line, this.#row);
    return wasHere;
  }

  /** The call whose turn it is, among the lines that are not set aside. */
  peek(): Item | undefined {
    return this.#lone ?? this.#row.first?.calls.peek();
  }

  /** The call whose turn it is, among the lines that are set aside. */
  peekAside(): Item | undefined {
    return this.#aside.first?.calls.peek();
  }

  /** The call whose turn it is, among all. */
  peekAll(): Item | undefined {
    const { first } = this.#row;
    const aside = this.#aside.first;
    const isAsideFirst = aside !== undefined && (first === undefined || aside.turn < first.turn);
    return isAsideFirst ? aside.calls.peek() : this.peek();
  }

  /** The line of `item` is passed over from now on. */
  setAside(item: Item): void {
    this.#lineUp();
    const line = this.#lines.get(sourceOf(item));
    if (line !== undefined) this.#move(line, this.#aside);
  }

  /** The line of `source` takes turns again, after all that do. */
  readmit(source: unknown): void {
    const line = this.#lines.get(source);
    if (line?.row === this.#aside) this.#move(line, this.#row);
  }

  /**
   * Whether more calls wait than `max`, or the part of them that is kept for sources below their
   * share is touched by one that is not. `item` waits here, and came last.
   */
  isOver(max: number, item: Item): boolean {
    const before = this.size - 1;
    if (before >= max) return true;
    if (max - before > reserveOf(max) || item === this.#lone) return false;
    const line = this.#lines.get(sourceOf(item));
    return line !== undefined && line.calls.size - 1 >= shareOf(max, this.#lines);
  }

  /** Up to `count` calls, as the turns would have it; a copy. */
  first(count: number): Item[] {
    if (this.#lone !== undefined) return [this.#lone];
    if (this.size === 0) return [];
    const lines: Line<Item>[] = [];
    for (const row of [this.#row, this.#aside]) {
      for (let line = row.first; line !== undefined && lines.length < count; line = line.next) {
        lines.push(line);
      }
    }
    const each = Math.ceil(count / lines.length);
    const columns = lines.map(({ calls }) => calls.first(each));
    const all: Item[] = [];
    for (let rank = 0; rank < each && all.length < count; rank++) {
      for (const column of columns) {
        const item = column[rank];
        if (item !== undefined) all.push(item);
      }
    }
    return all.slice(0, count);
  }

  /** All waiting calls, line by line; a copy. */
  toArray(): Item[] {
    if (this.#lone !== undefined) return [this.#lone];
    return [...this.#lines.values()].flatMap(({ calls }) => calls.toArray());
  }
}

function sourceOf({ fairnessKey }: TurnTaker): unknown {
  return fairnessKey ?? OWN_CALLS;
}
