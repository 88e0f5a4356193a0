import { describe, expect, it } from "vitest";
import { ResetBudget } from "../../../src/client/subchannel/reset-budget.ts";

const RESET_BURST = 500;
const RESETS_PER_SECOND = 25;
const BEGAN_MS = 1_000_000;

/** How many resets the session stands at one time, the last of them included. */
function standsAt(budget: ResetBudget, nowMs: number): number {
  for (let count = 1; count < 10_000; count++) if (!budget.take(nowMs)) return count;
  return Number.POSITIVE_INFINITY;
}

describe("ResetBudget", () => {
  it("lets a session stand as many resets at once as its burst", () => {
    expect(standsAt(new ResetBudget(BEGAN_MS), BEGAN_MS)).toBe(RESET_BURST);
  });

  it("earns them back second by second", () => {
    const budget = new ResetBudget(BEGAN_MS);
    for (let i = 0; i < 400; i++) expect(budget.take(BEGAN_MS)).toBe(true);
    const earned = 3 * RESETS_PER_SECOND;
    expect(standsAt(budget, BEGAN_MS + 3_000)).toBe(RESET_BURST - 400 + earned);
  });

  it("saves no more than the burst, however long nothing is reset", () => {
    const budget = new ResetBudget(BEGAN_MS);
    expect(standsAt(budget, BEGAN_MS + 3_600_000)).toBe(RESET_BURST);
  });
});
