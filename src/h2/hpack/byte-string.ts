// Byte strings: JavaScript strings with one octet per character, and the buffers they come from and
// go to.

// Undocumented but stable since Node 6: `toString("latin1")` and `write(…, "latin1")` end in these,
// after their argument checks.
declare global {
  interface Buffer {
    latin1Slice(start: number, end: number): string;
    latin1Write(text: string, offset: number, length: number): number;
  }
}

/**
 * The octets `bytes[start..end)` as a byte string of its own: it keeps nothing of `bytes` alive.
 */
export function readByteString(bytes: Buffer, start: number, end: number): string {
  const length = end - start;
  return length > LONGEST_BY_HAND ? bytes.latin1Slice(start, end) : readShort(bytes, start, length);
}

/**
 * Up to this length `fromCharCode` takes a third to a half of a call into the runtime
 * (bench/micro/hpack.ts).
 */
const LONGEST_BY_HAND = 10;

/**
 * `fromCharCode` makes one flat string only if all characters are passed at once, hence a case for
 * each length; a function for the characters would be too often used here to be inlined everywhere.
 */
function readShort(b: Buffer, i: number, length: number): string {
  const char = String.fromCharCode;
  // biome-ignore format: table
  switch (length) {
    case 0:
      return "";
    case 1:
      return char(Number(b[i]));
    case 2:
      return char(Number(b[i]), Number(b[i + 1]));
    case 3:
      return char(Number(b[i]), Number(b[i + 1]), Number(b[i + 2]));
    case 4:
      return char(Number(b[i]), Number(b[i + 1]), Number(b[i + 2]), Number(b[i + 3]));
    case 5:
      return char(Number(b[i]), Number(b[i + 1]), Number(b[i + 2]), Number(b[i + 3]), Number(b[i + 4]));
    case 6:
      return char(Number(b[i]), Number(b[i + 1]), Number(b[i + 2]), Number(b[i + 3]), Number(b[i + 4]), Number(b[i + 5]));
    case 7:
      return char(Number(b[i]), Number(b[i + 1]), Number(b[i + 2]), Number(b[i + 3]), Number(b[i + 4]), Number(b[i + 5]), Number(b[i + 6]));
    case 8:
      return char(Number(b[i]), Number(b[i + 1]), Number(b[i + 2]), Number(b[i + 3]), Number(b[i + 4]), Number(b[i + 5]), Number(b[i + 6]), Number(b[i + 7]));
    case 9:
      return char(Number(b[i]), Number(b[i + 1]), Number(b[i + 2]), Number(b[i + 3]), Number(b[i + 4]), Number(b[i + 5]), Number(b[i + 6]), Number(b[i + 7]), Number(b[i + 8]));
    default:
      return char(Number(b[i]), Number(b[i + 1]), Number(b[i + 2]), Number(b[i + 3]), Number(b[i + 4]), Number(b[i + 5]), Number(b[i + 6]), Number(b[i + 7]), Number(b[i + 8]), Number(b[i + 9]));
  }
}

/**
 * Up to this length a loop is as fast as the call into the runtime: Node 20 breaks even at 20
 * characters, 22 at 6 and 26 at 9 (bench/micro/hpack.ts).
 */
const LONGEST_BY_LOOP = 12;

/**
 * Writes the octets of `text` at `offset`, where there is room for them, and returns the new
 * offset.
 */
export function writeByteString(target: Buffer, offset: number, text: string): number {
  const length = text.length;
  if (length > LONGEST_BY_LOOP) return offset + target.latin1Write(text, offset, length);
  for (let i = 0; i < length; i++) target[offset + i] = text.charCodeAt(i);
  return offset + length;
}
