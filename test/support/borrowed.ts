// The engine's read buffer as a socket uses it: what came with a read is gone when the read is over.

import { READ_BUFFER } from "../../src/wire/read-buffer.ts";

const GARBAGE = 0xdb;

/** Calls `use` with views of the read buffer that hold `bytes`, in order, and overwrites each of them afterwards. */
export function borrowed(bytes: Uint8Array, use: (chunk: Buffer) => void): void {
  for (let at = 0; at < bytes.length; at += READ_BUFFER.length) {
    const part = bytes.subarray(at, at + READ_BUFFER.length);
    READ_BUFFER.set(part);
    use(READ_BUFFER.subarray(0, part.length));
    READ_BUFFER.fill(GARBAGE, 0, part.length);
  }
}
