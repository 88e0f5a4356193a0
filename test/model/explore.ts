// Searches for a run that breaks an invariant: every order of events up to a depth, orders that
// lead to an equal visible state merged, or random orders from a seed.

import { setImmediate } from "node:timers/promises";
import { Random } from "../fuzz/random.ts";
import { eventsOf, type ModelEvent } from "./events.ts";
import { Run } from "./run.ts";
import { randomSetting, type Setting } from "./setting.ts";

/** A run that has failed, as short as it gets. */
export interface Finding {
  readonly setting: Setting;
  /** The names of its events. */
  readonly events: readonly string[];
  readonly violations: readonly string[];
}

export interface Exploration {
  /** Different states that were seen. */
  readonly states: number;
  /** Events that were tried in them. */
  readonly orders: number;
  readonly finding: Finding | undefined;
}

/** A state that the next depth begins with, by the events that lead there. */
type Path = readonly number[];

/** What is held weakly is held until the event loop turns. */
const RUNS_PER_TURN = 200;

/** Tries every order of up to `depth` events of `setting`, those for random runs alone excepted. */
export async function explore(setting: Setting, depth: number): Promise<Exploration> {
  const all = eventsOf(setting);
  const events = all.filter(({ rare }) => !rare);
  const seen = new Set<string>();
  let frontier: Path[] = [[]];
  let orders = 0;
  for (let level = 0; level < depth; level++) {
    const next: Path[] = [];
    for (const path of frontier) {
      for (const at of await choicesAfter(setting, all, events, path)) {
        orders++;
        if (orders % RUNS_PER_TURN === 0) await setImmediate();
        const longer = [...path, at];
        const run = await replay(setting, all, events, longer);
        const { key } = run.world;
        if (!run.hasFailed && seen.has(key)) await run.close();
        else {
          const past = [...run.past];
          seen.add(key);
          await run.finish();
          if (run.hasFailed) {
            const finding = await shrink(setting, past, run);
            return { states: seen.size, orders, finding };
          }
          next.push(longer);
        }
      }
    }
    frontier = next;
  }
  return { states: seen.size, orders, finding: undefined };
}

async function choicesAfter(
  setting: Setting,
  all: readonly ModelEvent[],
  events: readonly ModelEvent[],
  path: Path,
): Promise<number[]> {
  const run = await replay(setting, all, events, path);
  const choices = [...events.keys()].filter((at) => events[at]!.isPossible(run.world));
  await run.close();
  return choices;
}

async function replay(
  setting: Setting,
  all: readonly ModelEvent[],
  events: readonly ModelEvent[],
  path: Path,
): Promise<Run> {
  const run = new Run(setting, all);
  await run.begin();
  for (const at of path) await run.happen(events[at]!);
  return run;
}

/** A run of 8 to 12 events, all chosen by `seed`, and its end. */
export async function randomRun(seed: number): Promise<Finding | undefined> {
  const random = new Random(seed);
  // Neighbouring seeds begin alike.
  for (let i = 0; i < 3; i++) random.below(2);
  const setting = randomSetting(random);
  const run = new Run(setting);
  const count = 8 + random.below(5);
  const opens = random.below(3);
  for (let i = 0; i < count && !run.hasFailed; i++) {
    const possible = run.possible();
    // Before the call only connections can be made: a few of these are enough.
    const isTime = run.world.stream === undefined && i >= opens;
    const first = isTime ? possible.find(({ name }) => name === "c.open") : undefined;
    const event = first ?? (possible.length > 0 ? random.pick(possible) : undefined);
    if (event === undefined) break;
    await run.happen(event);
  }
  const past = [...run.past];
  await run.finish();
  return run.hasFailed ? await shrink(setting, past, run) : undefined;
}

/** Runs the seeds from `seed` on, until one fails. */
export async function randomRuns(
  seed: number,
  count: number,
): Promise<{ readonly seed: number; readonly finding: Finding } | undefined> {
  for (let i = 0; i < count; i++) {
    if (i % RUNS_PER_TURN === 0) await setImmediate();
    const finding = await randomRun(seed + i);
    if (finding !== undefined) return { seed: seed + i, finding };
  }
  return undefined;
}

/** Leaves out events as long as the run still fails. */
async function shrink(setting: Setting, past: readonly string[], failed: Run): Promise<Finding> {
  let best: Finding = { setting, events: past, violations: failed.violations };
  for (let at = best.events.length - 1; at >= 0; at--) {
    const shorter = await tryEvents(setting, best.events.toSpliced(at, 1));
    if (shorter !== undefined) best = shorter;
  }
  return best;
}

/** Replays events by name; those that cannot happen are left out. */
export async function tryEvents(
  setting: Setting,
  names: readonly string[],
): Promise<Finding | undefined> {
  const run = new Run(setting);
  await run.begin();
  for (const name of names) {
    const event = run.events.find((known) => known.name === name);
    if (event !== undefined) await run.happen(event);
  }
  const events = [...run.past];
  await run.finish();
  return run.hasFailed ? { setting, events, violations: run.violations } : undefined;
}

/** A finding as a person wants to read it. */
export function report({ setting, events, violations }: Finding): string {
  return [`setting: ${JSON.stringify(setting)}`, `events: ${events.join(" ")}`, ...violations].join(
    "\n",
  );
}
