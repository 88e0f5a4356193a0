import { describe, expect, it } from "vitest";
import { enduranceCombos } from "../support/combos.ts";
import { ENDINGS, endingBackend, MixedClient, Tally } from "./endings.ts";
import { leanServer } from "./lean-peer.ts";
import { RelayProcess, type RelayStats } from "./relay-process.ts";

const MIB = 1_048_576;
const ENDING_COUNT = 100_000;
/** After these the relay's code is compiled and its tables have their size. */
const WARM_UP_COUNT = 10_000;
const CONNECTIONS_AT_ONCE = 8;
const MAX_HEAP_GROWTH_BYTES = 5 * MIB;

async function runMix(relay: RelayProcess, endingCount: number, seed: number): Promise<Tally> {
  const tally = new Tally();
  let next = seed;
  const run = async (): Promise<void> => {
    while (tally.endedCount < endingCount) {
      await new MixedClient(tally, next++).run(relay.address);
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS_AT_ONCE }, run));
  return tally;
}

/** What the relay holds when nothing goes on any more. */
async function collectIdle(relay: RelayProcess): Promise<RelayStats> {
  const startedMs = performance.now();
  for (;;) {
    const { openCallCount, openStreamCount, waitingCount, sessionCount } = await relay.ask("stats");
    if (openCallCount + openStreamCount + waitingCount + sessionCount === 0) break;
    if (performance.now() - startedMs > 5_000) break;
  }
  return relay.ask("collect");
}

const SOCKET = "TCPSocketWrap";

function socketsOf({ resources }: RelayStats): string[] {
  return resources.filter((resource) => resource === SOCKET);
}

function othersOf({ resources }: RelayStats): string[] {
  return resources.filter((resource) => resource !== SOCKET).sort();
}

describe.each(enduranceCombos)("a relay after 100,000 calls, $server $client", (combo) => {
  it("holds nothing of them, however they ended", async () => {
    const backends = await Promise.all(
      ["plain", "mortal", "other"].map((name) => leanServer(endingBackend(name))),
    );
    const [plain, mortal, other] = backends.map(({ target }) => target) as [string, string, string];
    const relay = await RelayProcess.start(combo, { plain, mortal, other }, ["--expose-gc"]);
    try {
      await runMix(relay, WARM_UP_COUNT, 0);
      const before = await collectIdle(relay);
      const tally = await runMix(relay, ENDING_COUNT, 1_000_000);
      const after = await collectIdle(relay);
      expect(tally.endedCount).toBeGreaterThanOrEqual(ENDING_COUNT);
      expect(tally.surprises).toEqual([]);
      expect([...tally.counts.keys()]).toEqual(
        expect.arrayContaining(ENDINGS.map(({ name }) => name)),
      );
      expect(after.finalizedCount - before.finalizedCount).toBe(tally.fanOutCount);

      expect(after).toMatchObject({
        openCallCount: 0,
        sessionCount: 0,
        openStreamCount: 0,
        waitingCount: 0,
      });
      // The connections to the backends may stand, one of each; nothing else came to be.
      expect(socketsOf(after).length).toBeLessThanOrEqual(backends.length);
      expect(othersOf(after)).toEqual(othersOf(before));
      expect(after.heapUsedBytes - before.heapUsedBytes).toBeLessThan(MAX_HEAP_GROWTH_BYTES);
      expect(after.externalBytes - before.externalBytes).toBeLessThan(MAX_HEAP_GROWTH_BYTES);
      expect(after.problems).toEqual([]);
      expect(await relay.close()).toBe(0);
    } finally {
      relay.kill();
      for (const backend of backends) backend.close();
    }
  }, 600_000);
});
