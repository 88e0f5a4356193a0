import { describe, expect, it } from "vitest";
import { carveSlab, newSlab, READ_BUFFER } from "../../src/wire/arena.ts";
import { copyBytes, give, keep, lend, memoryStays } from "../../src/wire/lent-bytes.ts";

/** Memory with `text` from its third octet on. */
function memoryWith(text: string): Buffer {
  return Buffer.from(`..${text}..`);
}

describe("lent bytes", () => {
  it("say of themselves that their memory does not stay, and so does what is cut out of them", () => {
    const chunk = lend(memoryWith("lent"), 2, 6);
    expect(memoryStays(chunk)).toBe(false);
    expect(memoryStays(chunk.subarray(1))).toBe(false);
    expect(memoryStays(chunk.subarray(1).subarray(-2, -1))).toBe(false);
  });

  it("are a view: what is read into the memory shows", () => {
    // A part of a larger one, as the buffers of Node's pool are.
    const memory = Buffer.alloc(20, ".").subarray(4);
    const chunk = lend(memory, 2, 6);
    memory.write("lent", 2);
    expect(Buffer.from(keep(chunk)).toString()).toBe("lent");
    expect(keep(chunk.subarray(1, -1)).toString()).toBe("en");
  });

  it("can be read and copied as a Buffer can", () => {
    const chunk = lend(Buffer.from([9, 0, 1, 2, 3, 4, 9]), 1, 6);
    expect([chunk.length, chunk.readUInt8(4), chunk.readUInt32BE(1)]).toEqual([5, 4, 0x01020304]);
    expect(() => chunk.readUInt32BE(2)).toThrow("offset: expected 0 to 1, got 2");
    expect(() => chunk.readUInt8(-1)).toThrow("offset: expected 0 to 4, got -1");
  });

  it.each([0, 1, 5, 37, 200, 3_000])("of %d bytes are copied into slabs", (length) => {
    for (const slab of [newSlab(4_096), carveSlab(4_096)]) {
      for (const memory of [READ_BUFFER, Buffer.allocUnsafeSlow(8_192)]) {
        for (let i = 0; i < 8_192; i++) memory[i] = i % 251;
        slab.fill(0xdb);
        copyBytes(lend(memory, 100, 100 + length + 7), 3, 3 + length, slab, 50);
        expect(slab.subarray(50, 50 + length).equals(memory.subarray(103, 103 + length))).toBe(
          true,
        );
        expect([slab[49], slab[50 + length]]).toEqual([0xdb, 0xdb]);
      }
    }
  });

  it("are copied to keep them", () => {
    const memory = memoryWith("lent");
    const kept = keep(lend(memory, 2, 6));
    memory.fill(0);
    expect([kept.toString(), memoryStays(kept)]).toEqual(["lent", true]);
  });
});

it("the arena says how much its slabs need when it is too small", () => {
  expect(() => carveSlab(2_000_000)).toThrow(/^the slabs need \d+ bytes, the arena has 1114112$/);
});

it("a Buffer is kept as it is, whatever it is a part of", () => {
  for (const chunk of [
    Buffer.alloc(3_000),
    Buffer.from("pooled"),
    memoryWith("part").subarray(2),
  ]) {
    expect(memoryStays(chunk)).toBe(true);
    expect(keep(chunk)).toBe(chunk);
  }
});

it.each([0, 1, 47, 48, 2_047])("gives %d bytes in memory of their own", (length) => {
  const memory = Buffer.from(Array.from({ length: 4_096 }, (_, i) => i % 251));
  const expected = Buffer.from(memory.subarray(300, 300 + length));
  const given = give(memory, 300, 300 + length);
  memory.fill(0);
  expect(given.equals(expected)).toBe(true);
  expect(memoryStays(given)).toBe(true);
});
