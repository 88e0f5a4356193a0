// The setting of a run: which destinations a call has, and how the user's code answers.

import type { DestinationNeed } from "../../src/proxy/director.ts";
import type { Random } from "../fuzz/random.ts";

export interface LegSetting {
  readonly need: DestinationNeed;
  /** Its `onError`: none, one that returns the error, one that swallows it, one with another. */
  readonly onError: "none" | "keep" | "swallow" | "other";
  /** It gets a first message of its own. */
  readonly ownMessage?: boolean;
  /** A second conn is asked when the first has not begun the call. */
  readonly fallback?: boolean;
  /** Its own deadline. */
  readonly timeoutMs?: number;
  readonly maxLagBytes?: number;
  readonly waitForReady?: boolean;
}

export interface Setting {
  readonly name: string;
  /** The primary, then the secondaries. */
  readonly legs: readonly LegSetting[];
  /** At once, later, or after a look at the first message. */
  readonly director: "sync" | "async" | "peek";
  readonly finalizer: "none" | "sync" | "throws" | "async";
  /** The client's deadline; Infinity for none. */
  readonly timeoutMs: number;
  /** The relay is not alone: an interceptor runs before it. */
  readonly intercepted?: boolean;
  /** Events that have happened before the run begins. */
  readonly begin?: readonly string[];
}

export const DEADLINE_MS = 10_000;

const plain = (need: DestinationNeed): LegSetting => ({ need, onError: "none" });
const PRIMARY: LegSetting = plain("required");

const UNDER_WAY = ["p.connect", "p.ready", "s.connect", "s.ready", "c.open", "c.data"];
const FIRST_LEGS = { timeoutMs: DEADLINE_MS, director: "sync", finalizer: "async" } as const;

/** One primary and one secondary of each kind, from nothing, and with a call under way. */
export const EXPLORED: readonly Setting[] = [
  ...(["required", "optional", "detached"] as const).flatMap((need): Setting[] => [
    {
      ...FIRST_LEGS,
      name: `${need}, from nothing`,
      legs: [PRIMARY, { need, onError: "keep" }],
      director: "async",
      finalizer: "sync",
    },
    {
      ...FIRST_LEGS,
      name: `${need}, under way`,
      legs: [PRIMARY, { need, onError: "swallow" }],
      begin: UNDER_WAY,
    },
  ]),
];

/** All kinds of secondaries at once, and whatever else a director may want. */
export function randomSetting(random: Random): Setting {
  const leg = (need: DestinationNeed): LegSetting => ({
    need,
    onError: random.pick(["none", "keep", "swallow", "other"] as const),
    ownMessage: random.chance(5),
    fallback: random.chance(5),
    waitForReady: random.chance(6),
    ...(random.chance(6) ? { timeoutMs: random.pick([500, 20_500]) } : {}),
    ...(need !== "required" && random.chance(3) ? { maxLagBytes: 4 } : {}),
  });
  const needs = ["required", "optional", "detached"] as const;
  const count = random.below(4);
  return {
    name: "random",
    legs: [
      leg("required"),
      ...needs.filter(() => count === 3 || random.below(3) < count).map((need) => leg(need)),
    ],
    director: random.pick(["sync", "sync", "async", "peek"] as const),
    finalizer: random.pick(["none", "sync", "throws", "async"] as const),
    timeoutMs: random.chance(2) ? DEADLINE_MS : Number.POSITIVE_INFINITY,
    intercepted: random.chance(4),
  };
}
