// Every attack on a relay with its defaults, beside an honest client. HOSTILE=brief, all (one
// connection each) or worst (20 connections that come again after their end).

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { transportCombos } from "../support/combos.ts";
import type { Attack } from "./attack.ts";
import { Battlefield, type BattleOptions, type Outcome } from "./battle.ts";
import { BACKEND_ATTACKS } from "./from-backend.ts";
import { CLIENT_ATTACKS } from "./from-client.ts";

const EXTENT = process.env["HOSTILE"] ?? "all";
const ONLY = new RegExp(process.env["HOSTILE_ONLY"] ?? "");
const TRANSPORT = process.env["HOSTILE_TRANSPORT"] ?? "engine";

const EXTENTS: ReadonlyMap<string, BattleOptions> = new Map([
  ["brief", { connectionCount: 1, durationMs: 500, comesAgain: false }],
  ["all", { connectionCount: 1, durationMs: 2_500, comesAgain: false }],
  ["worst", { connectionCount: 20, durationMs: 4_000, comesAgain: true }],
]);

const OPTIONS = known("HOSTILE", EXTENT, EXTENTS);
const COMBO = known(
  "HOSTILE_TRANSPORT",
  TRANSPORT,
  new Map(transportCombos.flatMap((it) => (it.server === it.client ? [[it.server, it]] : []))),
);

function known<Value>(name: string, key: string, values: ReadonlyMap<string, Value>): Value {
  const value = values.get(key);
  if (value !== undefined) return value;
  throw new Error(`${name}: expected one of ${[...values.keys()].join(", ")}, got ${key}`);
}

const MIB = 1_048_576;
/** Of any single client or backend. */
const MAX_RSS_GROWTH_BYTES = 48 * MIB;

const ATTACKS = [...CLIENT_ATTACKS, ...BACKEND_ATTACKS].filter(
  ({ name, isBrief }) => ONLY.test(name) && (EXTENT !== "brief" || isBrief === true),
);

function report({ side, name }: Attack, outcome: Outcome): string {
  const ends = [...outcome.ends].map(([end, count]) => `${count} ${end}`).join(", ");
  const refusals = Object.entries(outcome.refusals).sort(([, a], [, b]) => b - a);
  const [limit = ["", 0]] = refusals;
  return [
    `${side}: ${name}`,
    ends,
    `${limit[0]} ${limit[1]}${refusals.length > 1 ? ` +${refusals.length - 1}` : ""}`,
    `${outcome.failures.length} of ${outcome.callCount}`,
    `${outcome.idleP50Ms.toFixed(1)} > ${outcome.p50Ms?.toFixed(1)} ms`,
    `${outcome.longestTurnMs.toFixed(1)} ms`,
    `${(outcome.rssGrowthBytes / MIB).toFixed(0)} MiB`,
    `${(outcome.sentBytes / MIB).toFixed(1)} MiB`,
  ].join(" | ");
}

describe("a relay under attack", () => {
  let field: Battlefield;
  const lines: string[] = [];

  beforeAll(async () => {
    field = await Battlefield.lay();
  });

  afterAll(() => {
    field.leave();
    console.info(lines.join("\n"));
  });

  it.each(ATTACKS)("serves the honest client beside $side: $name", async (attack) => {
    const outcome = await field.fight(attack, COMBO, OPTIONS);
    lines.push(report(attack, outcome));
    expect(outcome.problems).toEqual([]);
    expect(outcome.failures).toEqual([]);
    expect(outcome.callCount).toBeGreaterThan(0);
    if (attack.isOpen === true || OPTIONS.comesAgain) return;
    expect(outcome.rssGrowthBytes).toBeLessThan(MAX_RSS_GROWTH_BYTES);
    expect([...outcome.ends.keys()].filter((end) => end !== "open")).toEqual(
      attack.end === "open" ? [] : [attack.end],
    );
    if (attack.limit !== undefined) expect(Object.keys(outcome.refusals)).toContain(attack.limit);
  });
});
