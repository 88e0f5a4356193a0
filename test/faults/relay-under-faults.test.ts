// Calls of all kinds under faults on every connection. FAULT_CALLS says how many, FAULT_SEED the
// seed of the first round; a violation prints the seed that repeats its round. FAULT_REPEAT makes
// so many rounds of that one seed: what depends on the time does not come in each.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { transportCombos } from "../support/combos.ts";
import { Ground, runRound } from "./round.ts";

const CALL_COUNT = Number(process.env["FAULT_CALLS"] ?? 20_000);
const REPEAT = Number(process.env["FAULT_REPEAT"] ?? 0);
const FIRST_SEED = Number(process.env["FAULT_SEED"] ?? 1);
/** They wait most of the time. */
const ROUNDS_AT_ONCE = CALL_COUNT > 100 || REPEAT > 1 ? 6 : 1;
/** Shown of each combination; the first is as good as all. */
const MAX_SHOWN = 20;

describe.each(transportCombos)("a relay under faults, $server $client", (combo) => {
  const grounds: Ground[] = [];

  beforeAll(async () => {
    for (let i = 0; i < ROUNDS_AT_ONCE; i++) grounds.push(await Ground.lay());
  });

  afterAll(() => {
    for (const ground of grounds) ground.close();
  });

  it(
    "ends every call once, as the decision table says, and holds nothing",
    async () => {
      const violations: string[] = [];
      const ends = new Map<string, number>();
      let callCount = 0;
      let faultCount = 0;
      let roundCount = 0;
      const goesOn = (): boolean => {
        if (violations.length >= MAX_SHOWN) return false;
        if (REPEAT > 0) return roundCount < REPEAT;
        return callCount < CALL_COUNT / transportCombos.length;
      };
      const run = async (ground: Ground): Promise<void> => {
        while (goesOn()) {
          const round = roundCount++;
          const seed = REPEAT > 0 ? FIRST_SEED : FIRST_SEED + round;
          const result = await runRound(ground, combo, seed, `Round${FIRST_SEED + round}`);
          callCount += result.callCount;
          faultCount += result.faultCount;
          for (const [end, count] of result.ends) ends.set(end, (ends.get(end) ?? 0) + count);
          for (const text of result.problems) {
            violations.push(`FAULT_SEED=${seed} FAULT_CALLS=1: ${text}`);
          }
        }
      };
      await Promise.all(grounds.map(run));
      const counted = [...ends].sort().map(([end, count]) => `${end}: ${count}`);
      console.info(
        `${combo.server} ${combo.client}: ${callCount} calls, ${faultCount} faults, ` +
          `${roundCount} rounds from seed ${FIRST_SEED}; ${counted.join(", ")}`,
      );
      expect(violations).toEqual([]);
    },
    Math.max(300_000, CALL_COUNT * 10, REPEAT * 1_000),
  );
});
