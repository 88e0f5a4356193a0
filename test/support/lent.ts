// Memory as a plain socket of the engine uses it: the bytes of a read are gone when the read is
// over.

import { type LentBytes, lend } from "../../src/wire/lent-bytes.ts";

const MEMORY: Buffer = Buffer.allocUnsafeSlow(65_536);
const GARBAGE = 0xdb;

/**
 * Calls `use` with `bytes` at the beginning of the memory, read by read, and overwrites them after
 * each read.
 */
export function readLent(bytes: Uint8Array, use: (memory: Buffer, end: number) => void): void {
  for (let at = 0; at < bytes.length; at += MEMORY.length) {
    const part = bytes.subarray(at, at + MEMORY.length);
    MEMORY.set(part);
    use(MEMORY, part.length);
    MEMORY.fill(GARBAGE, 0, part.length);
  }
}

/**
 * Calls `use` with lent views that hold `bytes`, in order, and overwrites each of them afterwards.
 */
export function lent(bytes: Uint8Array, use: (chunk: LentBytes) => void): void {
  readLent(bytes, (memory, end) => use(lend(memory, 0, end)));
}

/** Whether `piece` is a part of `memory`, or all of it. */
export function liesIn(piece: Buffer, memory: Buffer): boolean {
  const start = piece.byteOffset - memory.byteOffset;
  return piece.buffer === memory.buffer && start >= 0 && start + piece.length <= memory.length;
}
