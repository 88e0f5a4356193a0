import { expect, it } from "vitest";
import { give, isBorrowed, isView, keep, lend, READ_BUFFER } from "../../src/wire/read-buffer.ts";

it("tells views of the read buffer from memory that stays", () => {
  expect(isView(READ_BUFFER.subarray(10, 20))).toBe(true);
  expect(isView(READ_BUFFER.subarray(10, 20).subarray(5))).toBe(true);
  expect(isView(Buffer.alloc(10))).toBe(false);
  expect(isView(Buffer.from("pooled"))).toBe(false);
});

it("lends 2 KiB and more", () => {
  expect(isBorrowed(READ_BUFFER.subarray(1, 2_049))).toBe(true);
  expect(isBorrowed(READ_BUFFER.subarray(1, 2_048))).toBe(false);
  expect(isBorrowed(Buffer.alloc(2_048))).toBe(false);
});

it("knows what is shorter for borrowed after it was lent, until something is given", () => {
  const short = lend(READ_BUFFER, 10, 20);
  expect([isBorrowed(short), isBorrowed(Buffer.alloc(10))]).toEqual([true, false]);
  expect(keep(short)).not.toBe(short);
  const given = give(READ_BUFFER, 10, 20);
  expect([isBorrowed(given), keep(given) === given]).toEqual([false, true]);
});

it("copies what is borrowed to keep it, and nothing else", () => {
  const mine = Buffer.alloc(3_000, "mine");
  expect(keep(mine)).toBe(mine);
  READ_BUFFER.fill("read", 100, 3_100);
  const kept = keep(READ_BUFFER.subarray(100, 3_100));
  READ_BUFFER.fill(0);
  expect(kept.equals(Buffer.alloc(3_000, "read"))).toBe(true);
  expect(isView(kept)).toBe(false);
});

it.each([0, 1, 47, 48, 2_047])("gives %d bytes in memory of their own", (length) => {
  for (let i = 0; i < READ_BUFFER.length; i++) READ_BUFFER[i] = i % 251;
  const expected = Buffer.from(READ_BUFFER.subarray(300, 300 + length));
  const given = give(READ_BUFFER, 300, 300 + length);
  READ_BUFFER.fill(0);
  expect(given.equals(expected)).toBe(true);
});
