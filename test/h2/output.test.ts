import { describe, expect, it } from "vitest";
import { COPY_BELOW_BYTES, Output } from "../../src/h2/output.ts";
import { SlabPool } from "../../src/h2/slab-pool.ts";
import {
  acquireSlab,
  acquireSmallSlab,
  FRAME_SLOT_BYTES,
  releaseSlab,
  SMALL_SLAB_BYTES,
} from "../../src/h2/slabs.ts";
import { newSlab, type Slab } from "../../src/wire/arena.ts";
import { lent } from "../support/lent.ts";

const SLAB_BYTES = 5 * FRAME_SLOT_BYTES;
/** Of a pool: requests between two trims, and slabs that none takes. */
const TRIM_EVERY = 32_768;
const KEPT_SLABS = 64;

function appendAll(output: Output, ...payloads: Buffer[]): void {
  for (const payload of payloads) output.append(payload, 0, payload.length);
}

/** What is in a pool, and goes back there. */
function takenOut(acquire: () => Slab): Slab[] {
  const taken = Array.from({ length: 200 }, acquire);
  for (const slab of taken) releaseSlab(slab);
  return taken;
}

describe("Output", () => {
  it("copies what is short into one piece", () => {
    const output = new Output();
    appendAll(output, Buffer.from("ab"), Buffer.from("cd"));
    output.append(Buffer.from("xxefxx"), 2, 4);
    expect(output.byteCount).toBe(6);
    const pieces = output.take();
    expect(pieces.map((piece) => piece.toString())).toEqual(["abcdef"]);
    expect(output.byteCount).toBe(0);
  });

  it("passes on what is long by reference, in its place between the short", () => {
    const output = new Output();
    const long = Buffer.alloc(COPY_BELOW_BYTES, "l");
    appendAll(output, Buffer.from("a"), long, Buffer.from("b"));
    output.append(long, 0, COPY_BELOW_BYTES);
    output.append(Buffer.concat([long, long]), 1, 1 + COPY_BELOW_BYTES);
    const pieces = output.take();
    expect(pieces.map((piece) => piece.length)).toEqual([1, 2_048, 1, 2_048, 2_048]);
    expect(pieces[1]).toBe(long);
    expect(Buffer.concat(pieces).toString()).toBe(`a${"l".repeat(2_048)}b${"l".repeat(4_096)}`);
  });

  it("goes on in another slab when one is full", () => {
    const output = new Output();
    const parts = Array.from({ length: 100 }, (_, i) => Buffer.alloc(2_000, i + 1));
    appendAll(output, ...parts);
    const pieces = output.take();
    expect(pieces.map((piece) => piece.length)).toEqual([4_000, 80_000, 80_000, 36_000]);
    expect(Buffer.concat(pieces)).toEqual(Buffer.concat(parts));
  });

  it("copies what is lent, however long, into as many slabs as it takes", () => {
    const output = new Output();
    const long = Buffer.from(Array.from({ length: 60_000 }, (_, i) => i % 251));
    output.append(Buffer.from("a"), 0, 1);
    lent(long, (chunk) => output.append(chunk, 10, 60_000));
    lent(long, (chunk) => output.append(chunk, 0, 60_000));
    lent(long, (chunk) => output.append(chunk, 0, 60_000));
    expect(output.byteCount).toBe(179_991);
    const bytes = Buffer.concat(output.take());
    expect(bytes.equals(Buffer.concat([Buffer.from("a"), long.subarray(10), long, long]))).toBe(
      true,
    );
  });

  it("keeps a slab that is filled by the very first bytes of a write", () => {
    const output = new Output();
    const long = Buffer.from(Array.from({ length: 60_000 }, (_, i) => i % 251));
    lent(long, (chunk) => output.append(chunk, 0, 60_000));
    const others = [acquireSmallSlab(), acquireSlab()];
    for (const slab of others) slab.fill(0);
    const pieces = output.take();
    expect(pieces.length).toBeGreaterThan(1);
    expect(Buffer.concat(pieces).equals(long)).toBe(true);
    for (const slab of others) releaseSlab(slab);
  });

  it("takes nothing where there is nothing", () => {
    const output = new Output();
    expect(output.take()).toEqual([]);
    output.reserve(10);
    expect(output.take()).toEqual([]);
  });

  it("copies what is lent into the rest of a slab where it has room", () => {
    const output = new Output();
    const long = Buffer.from(Array.from({ length: 10_000 }, (_, i) => i % 251));
    output.reserve(SMALL_SLAB_BYTES + 1);
    for (let i = 0; i < 3; i++) lent(long, (chunk) => output.append(chunk, 0, 10_000));
    const pieces = output.take();
    expect(pieces).toHaveLength(1);
    expect(pieces[0]?.equals(Buffer.concat([long, long, long]))).toBe(true);
  });

  it("makes one piece of runs that follow each other in memory", () => {
    const output = new Output();
    const memory = Buffer.from("abcdefghij");
    appendAll(output, Buffer.from("<"));
    output.appendRun(memory, 0, 2);
    output.appendRun(memory, 2, 5);
    output.appendRun(memory, 6, 8);
    appendAll(output, Buffer.from("-"));
    output.appendRun(memory, 8, 9);
    output.appendRun(Buffer.from("0123456789"), 9, 10);
    expect(output.byteCount).toBe(11);
    const pieces = output.take();
    expect(pieces.map((piece) => piece.toString())).toEqual(["<", "abcde", "gh", "-", "i", "9"]);
  });

  it("forgets a run that is discarded", () => {
    const output = new Output();
    output.appendRun(Buffer.from("abc"), 0, 2);
    output.discard();
    appendAll(output, Buffer.from("x"));
    expect(output.take().map((piece) => piece.toString())).toEqual(["x"]);
  });

  it("begins a turn with a small slab after one that needed no more, else with a large one", () => {
    const output = new Output();
    const sizes: number[] = [];
    for (const bytes of [100, 2_000, 100, 100]) {
      output.reserve(1);
      sizes.push(output.slab.length);
      for (let i = 0; i < 3; i++) appendAll(output, Buffer.alloc(bytes));
      output.take();
      output.settle(0);
    }
    expect(sizes).toEqual([SMALL_SLAB_BYTES, SMALL_SLAB_BYTES, SLAB_BYTES, SMALL_SLAB_BYTES]);
    output.reserve(SMALL_SLAB_BYTES + 1);
    expect(output.slab.length).toBe(SLAB_BYTES);
  });

  it("gives a slab back when the socket has written it, and not before", () => {
    const output = new Output();
    const first = acquireSmallSlab();
    releaseSlab(first);
    appendAll(output, Buffer.from("held"));
    expect(output.slab).toBe(first);
    const [held] = output.take();
    output.settle(4);
    const other = acquireSmallSlab();
    expect(other).not.toBe(first);
    releaseSlab(other);
    expect(held?.toString()).toBe("held");
    output.releaseWritten(0);
    expect(acquireSmallSlab()).toBe(first);
  });

  it("gives slabs of earlier writes back together with one that is written at once", () => {
    const output = new Output();
    appendAll(output, Buffer.from("early"));
    const early = output.slab;
    output.take();
    output.settle(5);
    appendAll(output, Buffer.from("late"));
    const late = output.slab;
    output.take();
    output.settle(0);
    expect([acquireSmallSlab(), acquireSmallSlab()]).toEqual([late, early]);
  });

  it("gives slabs back one by one while the socket never has nothing to write", () => {
    const output = new Output();
    const held: Buffer[] = [];
    const writeFour = (backlogBytes: number): void => {
      appendAll(output, Buffer.from("four"));
      held.push(output.slab);
      output.take();
      output.settle(backlogBytes);
    };
    writeFour(4);
    writeFour(8);
    writeFour(9);
    // Three of the first slab's bytes are written: not free.
    expect(held[1]).not.toBe(held[0]);
    expect(held[2]).not.toBe(held[0]);
    output.releaseWritten(8);
    writeFour(12);
    expect(held[3]).toBe(held[0]);
    output.releaseWritten(4);
    expect([acquireSmallSlab(), acquireSmallSlab()]).toEqual([held[2], held[1]]);
  });

  it("gives a slab that is no longer wanted back at once where nothing of it can be under way", () => {
    const output = new Output();
    const slab = acquireSlab();
    output.hold(slab);
    expect(acquireSlab()).toBe(slab);
    appendAll(output, Buffer.from("four"));
    output.take();
    output.settle(4);
    output.releaseWritten(0);
    output.hold(slab);
    expect(acquireSlab()).toBe(slab);
  });

  it("gives it back after what was appended before, or was given to the socket and is not written", () => {
    const output = new Output();
    const slab = acquireSlab();
    const long = Buffer.alloc(COPY_BELOW_BYTES);
    const isFree = (): boolean => {
      const free = acquireSlab();
      releaseSlab(free);
      return free === slab;
    };
    appendAll(output, long);
    output.hold(slab);
    expect(isFree()).toBe(false);
    output.take();
    output.settle(1);
    expect(isFree()).toBe(false);
    output.releaseWritten(0);
    expect(isFree()).toBe(true);
    expect(acquireSlab()).toBe(slab);
    appendAll(output, long);
    output.take();
    output.settle(1);
    output.hold(slab);
    expect(isFree()).toBe(false);
    output.releaseWritten(0);
    expect(isFree()).toBe(true);
  });

  it("holds no slab while there is nothing to write", () => {
    const output = new Output();
    appendAll(output, Buffer.from("a"));
    output.take();
    output.settle(0);
    expect(output.slab.length).toBe(0);
    output.releaseWritten(0);
    expect(output.take()).toEqual([]);
    output.settle(0);
  });

  it("gives back what was not given to the socket when it is discarded, and the rest when that is closed", () => {
    const output = new Output();
    appendAll(output, Buffer.from("a"));
    const given = output.slab;
    output.take();
    output.settle(1);
    const held = acquireSlab();
    appendAll(output, Buffer.from("b"));
    output.hold(held);
    const last = output.slab;
    output.discard();
    expect([output.byteCount, output.take()]).toEqual([0, []]);
    expect(output.slab.length).toBe(0);
    // A part of the slab that is held may be under way.
    expect(takenOut(acquireSmallSlab)).toContain(last);
    expect(takenOut(acquireSmallSlab)).not.toContain(given);
    expect(takenOut(acquireSlab)).not.toContain(held);
    output.close();
    expect(takenOut(acquireSmallSlab)).toContain(given);
    expect(takenOut(acquireSlab)).toContain(held);
  });

  it("takes no slab of the pool for what comes after the close", () => {
    const output = new Output();
    output.close();
    appendAll(output, Buffer.from("late"));
    expect(output.slab.length).toBe(SMALL_SLAB_BYTES);
    expect(output.slab.arenaStart).toBe(-1);
    output.close();
    output.reserve(SLAB_BYTES);
    expect(output.slab.length).toBe(SLAB_BYTES);
    expect(output.slab.arenaStart).toBe(-1);
  });
});

describe("the slab pool", () => {
  it.each([
    [512, SLAB_BYTES, acquireSlab],
    [2_048, SMALL_SLAB_BYTES, acquireSmallSlab],
  ])("keeps at most %d slabs of %d bytes", (most, bytes, acquire) => {
    const made = Array.from({ length: most + 50 }, () => newSlab(bytes));
    for (const slab of made) releaseSlab(slab);
    const got = new Set(made.map(() => acquire()));
    expect(made.filter((slab) => got.has(slab)).length).toBeLessThanOrEqual(most);
    expect(made.filter((slab) => got.has(slab)).length).toBeGreaterThan(most / 2);
  });

  /**
   * A pool with 300 free slabs of which at most `inUse` are out at a time while it is asked `count`
   * times.
   */
  function used(inUse: number, count: number): SlabPool {
    const pool = new SlabPool(10, 1_000);
    for (const slab of Array.from({ length: 300 }, () => pool.acquire())) pool.release(slab);
    const out = Array.from({ length: inUse - 1 }, () => pool.acquire());
    for (let i = pool.freeCount; i < count; i++) pool.release(pool.acquire());
    for (const slab of out) pool.release(slab);
    return pool;
  }

  it("gives up half of what was not needed for long, again and again, down to what it keeps", () => {
    expect(used(1, TRIM_EVERY - 301).freeCount).toBe(300);
    // The first time the burst itself is remembered, in which every slab was needed.
    expect(used(1, TRIM_EVERY + 301).freeCount).toBe(300);
    expect(used(1, 2 * TRIM_EVERY + 301).freeCount).toBe(151);
    expect(used(1, 9 * TRIM_EVERY).freeCount).toBe(KEPT_SLABS);
  });

  it("keeps what is needed now and then", () => {
    expect(used(300, 9 * TRIM_EVERY).freeCount).toBe(300);
    expect(used(250, 20 * TRIM_EVERY).freeCount).toBeGreaterThanOrEqual(250);
  });

  it("gives out those of the arena first, and keeps all of them", () => {
    const pool = new SlabPool(10, 0, 2);
    const slabs = Array.from({ length: 3 }, () => pool.acquire());
    expect(slabs.map(({ arenaStart }) => arenaStart >= 0)).toEqual([true, true, false]);
    for (const slab of slabs) pool.release(slab);
    expect(pool.acquire()).toBe(slabs[1]);
    expect(pool.acquire()).toBe(slabs[0]);
    expect(pool.freeCount).toBe(0);
  });

  it("gives up what has lain longest", () => {
    const pool = new SlabPool(10, 1_000);
    const slabs = Array.from({ length: 300 }, () => pool.acquire());
    for (const slab of slabs) pool.release(slab);
    for (let i = 0; i < 9 * TRIM_EVERY; i++) pool.release(pool.acquire());
    const left = Array.from({ length: KEPT_SLABS }, () => pool.acquire());
    expect(new Set(left)).toEqual(new Set(slabs.slice(-KEPT_SLABS)));
  });
});
