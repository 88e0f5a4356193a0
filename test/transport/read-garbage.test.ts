import { constants, PerformanceObserver } from "node:perf_hooks";
import { expect, it } from "vitest";
import { findCollect, ReadGarbage } from "../../src/transport/read-garbage.ts";

const GARBAGE_BYTES = 16_777_216;

it("collects once for every 16 MiB read, however they came", () => {
  let collections = 0;
  const garbage = new ReadGarbage(() => {
    collections++;
  });
  for (let read = 0; read < GARBAGE_BYTES - 65_536; read += 65_536) garbage.count(65_536);
  expect(collections).toBe(0);
  garbage.count(65_536);
  expect(collections).toBe(1);
  garbage.count(GARBAGE_BYTES - 1);
  expect(collections).toBe(1);
  garbage.count(1);
  expect(collections).toBe(2);
});

it("collects the young generation, without any flag of the process", async () => {
  const kind = new Promise((resolve) => {
    const observer = new PerformanceObserver((list) => {
      for (const { detail } of list.getEntries() as {
        detail?: { flags: number; kind: number };
      }[]) {
        if (detail?.flags !== constants.NODE_PERFORMANCE_GC_FLAGS_FORCED) continue;
        observer.disconnect();
        resolve(detail.kind);
      }
    });
    observer.observe({ entryTypes: ["gc"] });
  });
  findCollect()();
  expect(await kind).toBe(constants.NODE_PERFORMANCE_GC_MINOR);
});

it("leaves later contexts without gc", async () => {
  findCollect();
  const { runInNewContext } = await import("node:vm");
  expect(runInNewContext("typeof gc")).toBe("undefined");
});
