import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { enduranceCombos } from "../support/combos.ts";
import { type Brake, Reader } from "./bulk.ts";
import { BulkPath, type Move, type Sender } from "./bulk-path.ts";

const MIB = 1_048_576;
const GIB = 1_024 * MIB;
const WATCHED_SECONDS = 5;
const READ_BYTES_PER_SECOND = MIB;
/** The whole of what the relay may cost, whoever does not read. */
const MAX_RSS_GROWTH_BYTES = 64 * MIB;

/**
 * What a sender may be ahead of its reader: the relay's stream window (128 KiB), and what the relay
 * has passed on to its own transport, which is less than one more frame and the reader's window.
 */
const MAX_AHEAD_BYTES = 131_072 + 65_535 + 2 * 16_384;
/**
 * By how much all receive windows of a process together may grow above what they begin with
 * (`windowBudgetBytes`), on the engine. Windows grow where PINGs take long, as on a busy machine.
 */
const WINDOW_BUDGET_BYTES = 64 * MIB;
/**
 * The kernel's buffers stand between a reader that does not read its socket and the relay. Linux
 * lets them grow with what is sent, up to a limit for each end that machines set differently.
 */
const KERNEL_BYTES =
  process.platform === "linux" ? largestBuffer("tcp_rmem") + largestBuffer("tcp_wmem") : 16 * MIB;

/** The last of three numbers: least, first, most. */
function largestBuffer(name: string): number {
  return Number(readFileSync(`/proc/sys/net/ipv4/${name}`, "utf8").trim().split(/\s+/)[2]);
}

interface Case {
  readonly sender: Sender;
  readonly brake: Brake;
  readonly streamCount: number;
}

// biome-ignore format: table
const CASES: readonly (readonly [name: string, kind: Case])[] = [
  ["a backend that offers 1 GiB to a client that reads 1 MiB/s", { sender: "backend", brake: "credit", streamCount: 1 }],
  ["a client that offers 1 GiB to a backend that reads 1 MiB/s", { sender: "client", brake: "credit", streamCount: 1 }],
  ["50 streams of backends to clients that read 1 MiB/s each", { sender: "backend", brake: "credit", streamCount: 50 }],
  ["50 streams of clients to backends that read 1 MiB/s each", { sender: "client", brake: "credit", streamCount: 50 }],
  ["a backend that offers 1 GiB to a client that gives all credit and reads 1 MiB/s off its socket", { sender: "backend", brake: "socket", streamCount: 1 }],
];

/** What was seen of one case while its reader held back. */
interface Watched {
  readonly path: BulkPath;
  readonly reader: Reader;
  readonly move: Move;
  readonly sendingCount: number;
  readonly blockedCount: number;
  readonly aheadBytes: number;
  readonly readBytes: number;
  readonly rssGrowthBytes: number;
}

async function watch(path: BulkPath, { brake, streamCount }: Case): Promise<Watched> {
  const before = await path.relay.ask("resetPeak");
  const reader = new Reader(brake, READ_BYTES_PER_SECOND);
  const move = path.move(streamCount, GIB, reader);
  // Not for anything to happen: for as long as nothing may.
  await new Promise((resolve) => setTimeout(resolve, WATCHED_SECONDS * 1_000));
  const { peakRssBytes } = await path.relay.ask("stats");
  const { sentBytes, receivedBytes, sending } = move;
  return {
    path,
    reader,
    move,
    sendingCount: sending.length,
    blockedCount: sending.filter(({ blocked }) => blocked).length,
    aheadBytes: sentBytes - receivedBytes,
    readBytes: receivedBytes,
    rssGrowthBytes: peakRssBytes - before.rssBytes,
  };
}

describe.each(enduranceCombos)("backpressure, $server $client", (combo) => {
  const paths: BulkPath[] = [];
  const watched = new Map<string, Watched>();

  // All at once: each has a relay process of its own, and none of them does much while it is held
  // back.
  beforeAll(async () => {
    const watching = CASES.map(async ([name, kind]) => {
      const path = await BulkPath.start(combo, kind.sender, kind.brake);
      paths.push(path);
      watched.set(name, await watch(path, kind));
    });
    await Promise.all(watching);
  }, 120_000);

  afterAll(() => {
    for (const path of paths) path.close();
  });

  it.each(CASES)(
    "holds %s",
    async (name, { brake, streamCount }) => {
      const { path, reader, move, ...seen } = watched.get(name)!;
      expect(seen.sendingCount).toBe(streamCount);
      expect(seen.blockedCount).toBe(streamCount);
      const slackBytes = brake === "socket" ? KERNEL_BYTES : 0;
      const grownBytes = Object.values(combo).includes("engine") ? WINDOW_BUDGET_BYTES : 0;
      expect(seen.aheadBytes).toBeLessThanOrEqual(
        streamCount * MAX_AHEAD_BYTES + slackBytes + grownBytes,
      );
      expect(seen.rssGrowthBytes).toBeLessThan(MAX_RSS_GROWTH_BYTES + grownBytes);
      // Held back, not stuck.
      const wantedBytes = streamCount * WATCHED_SECONDS * READ_BYTES_PER_SECOND;
      expect(seen.readBytes).toBeGreaterThan(0.25 * wantedBytes);

      reader.release();
      await move.ended;
      expect(reader.corrupted.size).toBe(0);
      expect(move.receivedBytes).toBe(streamCount * move.byteCount);
      expect(move.receivedBytes).toBeGreaterThanOrEqual(GIB);
      expect((await path.relay.ask("stats")).problems).toEqual([]);
    },
    // A gibibyte, on whatever machine.
    600_000,
  );
});
