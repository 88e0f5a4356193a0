import { describe, expect, it } from "vitest";
import { GrpcError } from "../../src/grpc/error.ts";
import { Status } from "../../src/grpc/status.ts";
import { type Leftover, Leftovers, MAX_LEFTOVER_BYTES } from "../../src/server/leftovers.ts";

const leftover = (): Leftover => ({ onServerClosed: () => {} });

describe("what is left over of calls", () => {
  it("is bounded as a whole, each with what it keeps and something for itself", () => {
    const all = new Leftovers();
    const [one, two, three] = [leftover(), leftover(), leftover()];
    expect(all.add(one, MAX_LEFTOVER_BYTES)).toBe(false);
    expect(all.add(one, MAX_LEFTOVER_BYTES - 10_000)).toBe(true);
    expect(all.add(two, 7_000)).toBe(false);
    expect(all.add(two, 5_000)).toBe(true);
    expect(all.size).toBe(2);
    all.delete(three);
    all.delete(one);
    all.delete(one);
    expect(all.size).toBe(1);
    expect(all.add(one, MAX_LEFTOVER_BYTES - 10_000)).toBe(true);
    expect(all.add(three, 0)).toBe(false);
  });

  it("has room for tens of thousands that keep nothing", () => {
    const all = new Leftovers();
    let count = 0;
    while (all.add(leftover(), 0)) count++;
    expect(count).toBe(32_768);
  });

  it("is ended as a whole, each being told once", () => {
    const all = new Leftovers();
    const told: GrpcError[] = [];
    for (let i = 0; i < 3; i++) {
      const each: Leftover = {
        onServerClosed: (reason) => {
          told.push(reason);
          all.delete(each);
        },
      };
      all.add(each, i);
    }
    const reason = new GrpcError(Status.UNAVAILABLE, "closed");
    all.end(reason);
    expect(told).toEqual([reason, reason, reason]);
    expect(all.size).toBe(0);
  });
});
