// What is remembered of streams that have ended: enough for the frames that were under way, in
// memory that has a bound.

import { describe, expect, it } from "vitest";
import { MAX_STREAM_ID } from "../../src/h2/frame.ts";
import {
  ENDED,
  type HowEnded,
  NOT_REMEMBERED,
  RESET_RECEIVED,
  RESET_SENT,
  StreamTable,
} from "../../src/h2/stream-table.ts";

const idOf = (i: number): number => 2 * i + 1;

/** How many of the latest ends a table still knows after 40,000 of them. */
function rememberedOf(table: StreamTable<string>, how: HowEnded): number {
  const ids = Array.from({ length: 40_000 }, (_, i) => idOf(i));
  for (const id of ids) table.remember(id, how);
  const known = ids.filter((id) => table.recall(id) === how);
  expect(known).toEqual(ids.slice(-known.length));
  return known.length;
}

describe("a table of streams", () => {
  it.each([
    [1, 256],
    [128, 256],
    [129, 512],
    [1_000, 2_048],
    [8_192, 16_384],
    [1_000_000, 16_384],
  ])("of at most %d at once remembers %d that we reset", (maxPeerStreams, count) => {
    expect(rememberedOf(new StreamTable("server", maxPeerStreams), RESET_SENT)).toBe(count);
  });

  it.each([
    ["ended", ENDED],
    ["were reset by the peer", RESET_RECEIVED],
  ] as const)("remembers 256 that %s, however many there may be at once", (_, how) => {
    expect(rememberedOf(new StreamTable("server", 1_000), how)).toBe(256);
  });

  it("still knows what ended before the first reset made it grow, and grows once", () => {
    const table = new StreamTable<string>("server", 1_000);
    for (let i = 0; i < 256; i++) table.remember(idOf(i), i % 2 === 0 ? ENDED : RESET_RECEIVED);
    table.remember(idOf(256), RESET_SENT);
    const grown: unknown = Reflect.get(table, "ended");
    table.remember(idOf(257), RESET_SENT);
    expect(Reflect.get(table, "ended")).toBe(grown);
    for (let i = 0; i < 256; i++) {
      expect(table.recall(idOf(i))).toBe(i % 2 === 0 ? ENDED : RESET_RECEIVED);
    }
    expect([256, 257, 258].map((i) => table.recall(idOf(i)))).toEqual([
      ...[RESET_SENT, RESET_SENT],
      NOT_REMEMBERED,
    ]);
  });

  it("still knows the very first stream when most places were free before it grew", () => {
    const table = new StreamTable<string>("server", 1_000);
    table.remember(1, ENDED);
    table.remember(3, RESET_SENT);
    expect(table.recall(1)).toBe(ENDED);
  });

  it("counts the ids that are left, down to none — RFC 9113 §5.1.1", () => {
    const table = new StreamTable<string>("client", 1);
    expect(table.idsLeft).toBe(2 ** 30);
    expect([table.takeLocalId(), table.takeLocalId()]).toEqual([1, 3]);
    expect(table.idsLeft).toBe(2 ** 30 - 2);
    Reflect.set(table, "nextLocalId", MAX_STREAM_ID);
    expect([table.idsLeft, table.takeLocalId(), table.idsLeft]).toEqual([1, MAX_STREAM_ID, 0]);
  });

  it("knows the last stream that there can be, and takes no other for it", () => {
    const table = new StreamTable<string>("server", 1);
    table.remember(MAX_STREAM_ID, RESET_SENT);
    expect(table.recall(MAX_STREAM_ID)).toBe(RESET_SENT);
    expect(table.recall(MAX_STREAM_ID - 512)).toBe(NOT_REMEMBERED);
    expect(table.recall(511)).toBe(NOT_REMEMBERED);
  });

  it("takes streams of servers for idle, whatever their number: there is no push — RFC 9113 §8.4", () => {
    const server = new StreamTable<string>("server", 1);
    server.lastPeerId = 5;
    const client = new StreamTable<string>("client", 1);
    for (let i = 0; i < 3; i++) client.takeLocalId();
    for (const table of [server, client]) {
      expect([1, 2, 4, 5, 6, 7].map((id) => table.isIdle(id))).toEqual([
        ...[false, true, true, false],
        ...[true, true],
      ]);
    }
  });
});
