// The relay of one call against every order of events, and against random ones. README.md says how
// to search longer, and how to repeat a finding.

import { describe, expect, it } from "vitest";
import { BUGS, withBug } from "./bugs.ts";
import { explore, randomRuns, report, tryEvents } from "./explore.ts";
import { EXPLORED } from "./setting.ts";

const DEPTH = Number(process.env["MODEL_DEPTH"] ?? 4);
const RUNS = Number(process.env["MODEL_RUNS"] ?? 2_000);
const SEED = Number(process.env["MODEL_SEED"] ?? 1);
const EVENTS = process.env["MODEL_EVENTS"];
/** Random runs in which each planted bug has to show. */
const RUNS_FOR_BUG = 3_000;
/** By hand a search may take hours. */
const LIMIT_MS = 24 * 3_600_000;

describe.each(EXPLORED)("a call with a secondary that is $name", (setting) => {
  it(
    `keeps every invariant in every order of up to ${DEPTH} events`,
    async () => {
      const { finding, states, orders } = await explore(setting, DEPTH);
      if (process.env["MODEL_DEPTH"] !== undefined) {
        console.log(`${setting.name}: ${states} states, ${orders} orders`);
      }
      expect(finding === undefined ? "" : report(finding)).toBe("");
      expect(states).toBeGreaterThan(20);
    },
    LIMIT_MS,
  );
});

it(
  `keeps every invariant in ${RUNS} random runs`,
  async () => {
    const began = performance.now();
    const found = await randomRuns(SEED, RUNS);
    if (process.env["MODEL_RUNS"] !== undefined) {
      const seconds = Math.round((performance.now() - began) / 1_000);
      console.log(`${RUNS} runs from seed ${SEED} in ${seconds} s`);
    }
    const repeat = `repeat: MODEL_SEED=${found?.seed} MODEL_RUNS=1 npx vitest run test/model`;
    expect(found === undefined ? "" : `${report(found.finding)}\n${repeat}`).toBe("");
  },
  LIMIT_MS,
);

it.skipIf(EVENTS === undefined)(
  "keeps every invariant in the events that were asked for",
  async () => {
    for (const setting of EXPLORED) {
      const finding = await tryEvents(setting, EVENTS!.split(" "));
      expect(finding === undefined ? "" : report(finding)).toBe("");
    }
  },
);

it.each(BUGS)("finds that $name", async (bug) => {
  const found = await withBug(bug, () => randomRuns(1, RUNS_FOR_BUG));
  if (process.env["MODEL_RUNS"] !== undefined && found !== undefined) {
    console.log(`${bug.name}: seed ${found.seed}\n${report(found.finding)}`);
  }
  expect(found).toBeDefined();
});
