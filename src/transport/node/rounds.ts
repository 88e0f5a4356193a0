// Looks at sessions twice a second: one timer for all of them, none of an injected clock, and none
// while nobody is looked at.

/** Who is looked at. */
export interface RoundTaker {
  /** Looks at itself; false when it need not again. */
  takeRound(): boolean;
}

const ROUND_MS = 500;

const takers = new Set<RoundTaker>();
let timer: NodeJS.Timeout | undefined;

/** From the next round on. The timer does not keep the process alive. */
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
