// Shares out the work of reads that were too much for one turn of the event loop. Without it one
// connection could have the loop for as long as its frames last: libuv reads a ready socket up to
// 32 times in a row.

/**
 * What one connection may do in a turn, in frames that cost little. A call costs about twenty: two
 * hundred calls that come at once are still one write to their backend.
 */
export const WORK_PER_TURN = 4_096;

/** What all leftovers together get of a turn. */
const LEFTOVERS_PER_TURN = 2_048;

/** What a connection gets of a turn's leftovers before it is the turn of the next one. */
const SHARE = 256;

/** A connection with bytes that were read and not handled. */
export interface Laggard {
  /**
   * Handles some of its bytes. It calls `awaitShare` again if there are more.
   * @param work the most that it may do
   * @returns what it has done, which may be a little more
   */
  takeShare(work: number): number;
}

let laggards: Laggard[] = [];
let scheduled = false;

/** Calls `laggard.takeShare` in the next turn, or in a later one if others wait before it. */
export function awaitShare(laggard: Laggard): void {
  laggards.push(laggard);
  if (scheduled) return;
  scheduled = true;
  setImmediate(shareOut);
}

function shareOut(): void {
  let next = 0;
  let workLeft = LEFTOVERS_PER_TURN;
  try {
    for (; workLeft > 0; next++) {
      const laggard = laggards[next];
      if (laggard === undefined) break;
      workLeft -= laggard.takeShare(Math.min(SHARE, workLeft));
    }
  } finally {
    // A defect in one owner's callback must not cost the others their share.
    laggards = laggards.slice(workLeft > 0 ? next + 1 : next);
    scheduled = laggards.length > 0;
    if (scheduled) setImmediate(shareOut);
  }
}
