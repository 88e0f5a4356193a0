import { expect, it } from "vitest";
import { appendChunk } from "../../src/wire/chunk-list.ts";

function listOf(lengths: readonly number[]): { chunks: Buffer[]; bytes: Buffer } {
  const chunks: Buffer[] = [];
  const all = lengths.map((length, i) => Buffer.alloc(length, i));
  for (const chunk of all) appendChunk(chunks, chunk);
  return { chunks, bytes: Buffer.concat(all) };
}

it("joins single octets to a few long chunks and keeps them in order", () => {
  const { chunks, bytes } = listOf(Array.from({ length: 131_072 }, () => 1));
  expect(Buffer.concat(chunks).equals(bytes)).toBe(true);
  expect(chunks.length).toBeLessThan(16 + 131_072 / 8_192 + 14);
});

it("leaves chunks of a short list and long chunks as they are", () => {
  const short = listOf(Array.from({ length: 16 }, () => 1));
  expect(short.chunks).toHaveLength(16);
  const long = listOf(Array.from({ length: 40 }, () => 8_192));
  expect(long.chunks).toHaveLength(40);
  expect(Buffer.concat(long.chunks).equals(long.bytes)).toBe(true);
});
