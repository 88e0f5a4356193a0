// One stream over 50 ms round trip before the relay and 50 ms behind it: windows have to grow with
// the path, or each round trip carries one window.

import { expect, it, vi } from "vitest";
import { closeAtEnd } from "../support/cleanup.ts";
import { Reader } from "./bulk.ts";
import { BulkPath, type Sender } from "./bulk-path.ts";
import { delayed } from "./delay.ts";

const ROUND_TRIP_MS = 50;
const ENGINE = { server: "engine", client: "engine" } as const;
const BYTES_PER_SECOND = 100_000_000;
const LOOK_MS = 500;
const GIB = 1_073_741_824;

vi.setConfig({ testTimeout: 60_000 });

/** The fastest half second of the first `looks`, in bytes a second; ends when that is enough. */
async function fastest(path: BulkPath, looks: number): Promise<number> {
  const reader = new Reader("socket", GIB);
  reader.release();
  const move = path.move(1, 64 * GIB, reader);
  let [best, before, beganMs] = [0, 0, performance.now()];
  for (let look = 0; look < looks && best < BYTES_PER_SECOND; look++) {
    // Not for anything to happen: for as long as is measured.
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    const nowMs = performance.now();
    best = Math.max(best, ((move.receivedBytes - before) * 1_000) / (nowMs - beganMs));
    [before, beganMs] = [move.receivedBytes, nowMs];
  }
  expect(reader.corrupted.size).toBe(0);
  return best;
}

it.each<[string, Sender]>([
  ["a backend", "backend"],
  ["a client", "client"],
])(
  "what %s sends comes at more than 100 MB/s over 50 ms to the relay and 50 ms from it",
  async (_, sender) => {
    const path = await BulkPath.start(ENGINE, sender, "socket", async (to) => {
      const delay = await delayed(to, ROUND_TRIP_MS / 2);
      closeAtEnd(() => delay.close());
      return delay;
    });
    try {
      expect(await fastest(path, 60)).toBeGreaterThan(BYTES_PER_SECOND);
      expect((await path.relay.ask("stats")).problems).toEqual([]);
    } finally {
      path.close();
    }
  },
);
