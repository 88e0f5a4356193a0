// Runs each dirty session once per turn of the event loop, after everything that was readable has
// been read. So one write has the frames of many calls.

/** Something with work that can wait until the end of the turn. */
export interface TurnTaker {
  takeTurn(): void;
  /** Writes the output ahead of time: this is the beginning of the turn. */
  writeEarly(): void;
}

let waiting: TurnTaker[] = [];
let spare: TurnTaker[] = [];
let scheduled = false;
/** Takers with enough DATA for a write. */
let bulky: TurnTaker[] = [];
/** The last taker that asked not to wait. */
let hurried: TurnTaker | undefined;

/**
 * Calls `taker.takeTurn()` at the end of this turn. The taker makes sure that it is in the queue at
 * most once.
 */
export function awaitTurn(taker: TurnTaker): void {
  waiting.push(taker);
  if (scheduled) return;
  scheduled = true;
  // After the poll phase, so that all sockets that were readable share one flush. A microtask would
  // flush once for each of them.
  setImmediate(runTurns);
}

/**
 * Calls `taker.writeEarly()` when the current read has been handled. The taker makes sure that it
 * is in the queue at most once.
 */
export function awaitRead(taker: TurnTaker): void {
  bulky.push(taker);
}

/**
 * `taker` need not wait for the end of the turn, unless others wait. If others did, this peer would
 * get its bytes sooner than theirs. Then the next calls would come one by one, each with a write of
 * its own.
 */
export function hurry(taker: TurnTaker): void {
  hurried = taker;
}

/** A read has been handled. */
export function endRead(): void {
  if (hurried !== undefined) {
    const taker = hurried;
    hurried = undefined;
    if (waiting.length === 1 && waiting[0] === taker) taker.writeEarly();
  }
  if (bulky.length === 0) return;
  const now = bulky;
  bulky = [];
  for (const taker of now) taker.writeEarly();
}

function runTurns(): void {
  const now = waiting;
  waiting = spare;
  scheduled = false;
  let next = 0;
  try {
    // Takers that get dirty meanwhile have their turn in the next round, so that sockets are read
    // in between.
    for (; next < now.length; next++) now[next]?.takeTurn();
  } finally {
    // A defect in one owner's callback must not cost the others their turn.
    for (let left = next + 1; left < now.length; left++) {
      const taker = now[left];
      if (taker !== undefined) awaitTurn(taker);
    }
    now.length = 0;
    spare = now;
  }
}
