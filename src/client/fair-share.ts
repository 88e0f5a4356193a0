// How many places each source of calls gets where places are scarce. A source is a downstream
// connection, or what the call option `fairnessKey` names.

/** The source of calls that a program makes for nobody else. */
export const OWN_CALLS: object = Object.freeze({ source: "calls of our own" });

/** The part of the places that is kept for sources below their share. */
const RESERVED_PART = 0.1;

/** How many of `capacity` places are kept for sources below their share: at least one. */
export function reserveOf(capacity: number): number {
  return Math.max(1, Math.floor(capacity * RESERVED_PART));
}

/**
 * The equal share of one source: it may take a place from the reserve while it holds fewer than
 * this. One more source than there are gets a share, so that one who comes has a place. Where all
 * calls are our own nobody is expected.
 * @param holders the sources that hold places, as keys
 */
export function shareOf(capacity: number, holders: ReadonlyMap<unknown, unknown>): number {
  const expected = holders.size === 1 && holders.has(OWN_CALLS) ? 0 : 1;
  return capacity / (holders.size + expected);
}
