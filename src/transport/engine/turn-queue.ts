// Runs each dirty session once per turn of the event loop, after everything that was readable has
// been read: that is what makes one write of many calls' frames.

/** Something with work that can wait until the end of the turn. */
export interface TurnTaker {
  takeTurn(): void;
  /** Writes what it has: the beginning of its turn, ahead of time. */
  writeEarly(): void;
}

let waiting: TurnTaker[] = [];
let spare: TurnTaker[] = [];
let scheduled = false;
/** Those with a write's worth of DATA. */
let bulky: TurnTaker[] = [];
/** The last one that asked not to wait. */
let hurried: TurnTaker | undefined;

/**
 * Calls `taker.takeTurn()` at the end of this turn. The taker sees to it that it is in the queue at
 * most once.
 */
export function awaitTurn(taker: TurnTaker): void {
  waiting.push(taker);
  if (scheduled) return;
  scheduled = true;
  // After the poll phase, so all sockets that were readable share one flush. A microtask would
  // flush once for each of them.
  setImmediate(runTurns);
}

/**
 * Calls `taker.writeEarly()` when what is being read has been dealt with. The taker sees to it that
 * it is in the queue at most once.
 */
export function awaitRead(taker: TurnTaker): void {
  bulky.push(taker);
}

/**
 * `taker` need not wait for the end of the turn unless others do: then the peer would get its bytes
 * sooner than theirs, and the next calls would come one by one, each with a write of its own.
 */
export function hurry(taker: TurnTaker): void {
  hurried = taker;
}

/** A read has been dealt with. */
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
    // Takers that get dirty meanwhile have their turn in the next one, so that sockets are read in
    // between.
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
