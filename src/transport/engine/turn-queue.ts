// Runs each dirty session once per turn of the event loop, after everything that was readable has been read: that is what
// makes one write of many calls' frames. Two need not wait that long: a session with DATA for a write of its own, and one
// that has no other call whose frames could join the write.

/** Something with work that can wait until the end of the turn. It is in the queue at most once. */
export interface TurnTaker {
  /** Nothing that may still happen in this turn is likely to add to its work. */
  readonly isAlone: boolean;
  takeTurn(): void;
  /** Writes what it has: the beginning of its turn, ahead of time. */
  writeEarly(): void;
}

let waiting: TurnTaker[] = [];
let spare: TurnTaker[] = [];
let scheduled = false;
/** Those that got dirty by what is being read. */
let touched: TurnTaker[] = [];
let spareTouched: TurnTaker[] = [];
let isReading = false;
/** Those with a write's worth of DATA. */
let bulky: TurnTaker[] = [];

/**
 * Calls `taker.takeTurn()` at the end of this turn, or of this read if it is alone then. The taker sees to it that it is in the
 * queue at most once.
 */
export function awaitTurn(taker: TurnTaker): void {
  if (isReading) touched.push(taker);
  else awaitEnd(taker);
}

/** Calls `taker.writeEarly()` when what is being read has been dealt with. The taker sees to it that it is in the queue at most once. */
export function awaitRead(taker: TurnTaker): void {
  bulky.push(taker);
}

/** All that one read of a socket gave is about to be dealt with. Not to be said of parts of a read: each would cost a write. */
export function beginRead(): void {
  isReading = true;
}

/** A read, or a part of it, has been dealt with. */
export function endRead(): void {
  if (isReading) {
    isReading = false;
    takeTouched();
  }
  if (bulky.length === 0) return;
  const now = bulky;
  bulky = [];
  for (const taker of now) taker.writeEarly();
}

function takeTouched(): void {
  const now = touched;
  touched = spareTouched;
  let next = 0;
  try {
    for (; next < now.length; next++) {
      const taker = now[next] as TurnTaker;
      if (taker.isAlone) taker.takeTurn();
      else awaitEnd(taker);
    }
  } finally {
    deferFrom(now, next + 1);
    spareTouched = now;
  }
}

function awaitEnd(taker: TurnTaker): void {
  waiting.push(taker);
  if (scheduled) return;
  scheduled = true;
  // After the poll phase, so all sockets that were readable share one flush. A microtask would flush once for each of them.
  setImmediate(runTurns);
}

function runTurns(): void {
  const now = waiting;
  waiting = spare;
  scheduled = false;
  let next = 0;
  try {
    // Takers that get dirty meanwhile have their turn in the next one, so that sockets are read in between.
    for (; next < now.length; next++) now[next]?.takeTurn();
  } finally {
    deferFrom(now, next + 1);
    spare = now;
  }
}

/** A defect in one owner's callback must not cost those behind it their turn. */
function deferFrom(takers: TurnTaker[], start: number): void {
  for (let left = start; left < takers.length; left++) awaitEnd(takers[left] as TurnTaker);
  // To set the length of an array is slower than this while it is short.
  while (takers.length > 0) takers.pop();
}
