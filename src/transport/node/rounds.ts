// Checks sessions twice a second, with one timer for all of them. The timer is not that of an
// injected clock, and does not run without sessions.

/** A session that is checked. */
export interface RoundTaker {
  /** Checks the session. Returns false when no further check is needed. */
  takeRound(): boolean;
}

const ROUND_MS = 500;

const takers = new Set<RoundTaker>();
let timer: NodeJS.Timeout | undefined;

/** Checks `taker` from the next round on. The timer does not keep the process alive. */
export function joinRounds(taker: RoundTaker): void {
  takers.add(taker);
  timer ??= setInterval(round, ROUND_MS).unref();
}

export function leaveRounds(taker: RoundTaker): void {
  if (!takers.delete(taker) || takers.size > 0) return;
  clearInterval(timer);
  timer = undefined;
}

function round(): void {
  for (const taker of takers) {
    if (!taker.takeRound()) leaveRounds(taker);
  }
}
