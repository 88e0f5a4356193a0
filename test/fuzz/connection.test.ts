// The sans-I/O connection against peers that are correct, nearly correct, or noise. By hand for
// longer: FUZZ_FRAMES=10000000 FUZZ_SEED=1 npx vitest run test/fuzz/connection.test.ts

import { setImmediate } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { fuzzConnection, type Kind } from "./connection-fuzz.ts";

const FRAMES = Number(process.env["FUZZ_FRAMES"] ?? 60_000);
const SEED = Number(process.env["FUZZ_SEED"] ?? 1);

describe.each(["server", "client"] as const)("a %s connection", (role) => {
  it.each<[Kind, string, number]>([
    ["legal", "a correct peer completes its work and is never accused", 0.3],
    ["mutated", "a peer that breaks rules gets a response, an error frame, or the end", 0.6],
    ["noise", "noise ends in an error frame or the end", 0.1],
  ])(
    "%s: %s",
    async (kind, _, share) => {
      const target = (FRAMES / 2) * share;
      const ends = { alive: 0, error: 0, closed: 0 };
      let frames = 0;
      let connections = 0;
      let completed = 0;
      while (frames < target) {
        const outcome = fuzzConnection(SEED + connections, role, kind);
        ends[outcome.end]++;
        frames += outcome.frames;
        completed += outcome.completed;
        connections++;
        // What is held weakly is held until the event loop turns: in life after each read, here it
        // would be for millions of frames.
        if (connections % 100 === 0) await setImmediate();
      }
      if (process.env["FUZZ_FRAMES"] !== undefined) {
        const rssMiB = Math.round(process.memoryUsage.rss() / 1_048_576);
        console.log(
          `${role} ${kind}: ${connections} connections, ${frames} frames, ${completed} completed,`,
          ends,
          `${rssMiB} MiB RSS`,
        );
      }
      if (kind !== "noise") expect(completed).toBeGreaterThan(connections);
    },
    3_600_000,
  );
});
