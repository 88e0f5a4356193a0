import { describe, expect, it } from "vitest";
import { COPY_BELOW_BYTES, Output } from "../../src/h2/output.ts";
import { acquireSlab, releaseSlab, SLAB_BYTES } from "../../src/h2/slab-pool.ts";

function appendAll(output: Output, ...payloads: Buffer[]): void {
  for (const payload of payloads) output.append(payload, 0, payload.length);
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
    const parts = Array.from({ length: 40 }, (_, i) => Buffer.alloc(2_000, i + 1));
    appendAll(output, ...parts);
    const pieces = output.take();
    expect(pieces).toHaveLength(3);
    expect(Buffer.concat(pieces)).toEqual(Buffer.concat(parts));
  });

  it("gives a slab back when the socket has written it, and not before", () => {
    const output = new Output();
    const first = acquireSlab();
    releaseSlab(first);
    appendAll(output, Buffer.from("held"));
    expect(output.slab).toBe(first);
    const [held] = output.take();
    output.settle(false);
    const other = acquireSlab();
    expect(other).not.toBe(first);
    releaseSlab(other);
    expect(held?.toString()).toBe("held");
    output.releaseWritten();
    expect(acquireSlab()).toBe(first);
  });

  it("gives slabs of earlier writes back together with one that is written at once", () => {
    const output = new Output();
    appendAll(output, Buffer.from("early"));
    const early = output.slab;
    output.take();
    output.settle(false);
    appendAll(output, Buffer.from("late"));
    const late = output.slab;
    output.take();
    output.settle(true);
    expect([acquireSlab(), acquireSlab()]).toEqual([late, early]);
  });

  it("holds no slab while there is nothing to write", () => {
    const output = new Output();
    appendAll(output, Buffer.from("a"));
    output.take();
    output.settle(true);
    expect(output.slab.length).toBe(0);
    output.releaseWritten();
    expect(output.take()).toEqual([]);
    output.settle(true);
  });

  it("leaves to the collector what a dead socket may still read", () => {
    const output = new Output();
    appendAll(output, Buffer.from("a"));
    const lost = output.slab;
    output.take();
    output.settle(false);
    appendAll(output, Buffer.from("b"));
    output.discard();
    expect([output.byteCount, output.take()]).toEqual([0, []]);
    output.releaseWritten();
    const pooled = Array.from({ length: 4 }, acquireSlab);
    expect(pooled).not.toContain(lost);
  });
});

describe("the slab pool", () => {
  it("keeps at most 128 slabs", () => {
    const made = Array.from({ length: 200 }, () => Buffer.allocUnsafeSlow(SLAB_BYTES));
    for (const slab of made) releaseSlab(slab);
    const got = new Set(Array.from({ length: 200 }, acquireSlab));
    expect(made.filter((slab) => got.has(slab)).length).toBeLessThanOrEqual(128);
  });
});
