// Byte strings: JavaScript strings with one octet per character, and the buffers they come from and go to.

// Undocumented but stable since Node 6: what `toString("latin1")` and `write(…, "latin1")` end in, without their argument checks.
declare global {
  interface Buffer {
    latin1Slice(start: number, end: number): string;
    latin1Write(text: string, offset: number, length: number): number;
  }
}

/** The octets `bytes[start..end)` as a byte string of its own: it keeps nothing of `bytes` alive. */
export function readByteString(bytes: Buffer, start: number, end: number): string {
  return start === end ? "" : bytes.latin1Slice(start, end);
}
