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

/** Up to this length a loop in JavaScript beats the call into the runtime (bench/micro/hpack.ts). */
const SHORT_STRING_CHARS = 24;

/** Writes the octets of `text` at `offset`, where there is room for them, and returns the new offset. */
export function writeByteString(target: Buffer, offset: number, text: string): number {
  const length = text.length;
  if (length > SHORT_STRING_CHARS) return offset + target.latin1Write(text, offset, length);
  for (let i = 0; i < length; i++) target[offset + i] = text.charCodeAt(i);
  return offset + length;
}
