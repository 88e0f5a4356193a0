import { expect, it } from "vitest";
import { isBorrowed, keep, READ_BUFFER } from "../../src/wire/read-buffer.ts";

it("tells views of the read buffer from memory that stays", () => {
  expect(isBorrowed(READ_BUFFER.subarray(10, 20))).toBe(true);
  expect(isBorrowed(READ_BUFFER.subarray(10, 20).subarray(5))).toBe(true);
  expect(isBorrowed(Buffer.alloc(10))).toBe(false);
  expect(isBorrowed(Buffer.from("pooled"))).toBe(false);
});

it("copies what is borrowed to keep it, and nothing else", () => {
  const mine = Buffer.from("mine");
  expect(keep(mine)).toBe(mine);
  READ_BUFFER.write("read", 100);
  const kept = keep(READ_BUFFER.subarray(100, 104));
  READ_BUFFER.fill(0);
  expect(kept.toString()).toBe("read");
  expect(isBorrowed(kept)).toBe(false);
});
