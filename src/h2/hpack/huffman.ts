// Huffman decoding of string literals (RFC 7541 §5.2, Appendix B), one table look-up per octet. Nothing here encodes:
// on the links a proxy sits on, the CPU time of Huffman coding costs more than the octets it saves.

import { HpackError } from "./error.ts";

/**
 * Length in bits of the code of each symbol 0 - 255 and of EOS (256). The code of Appendix B is canonical (codes of one
 * length are consecutive in symbol order, and shorter ones come first), so the lengths are all there is to know.
 */
// biome-ignore format: table
const CODE_LENGTHS: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
   6, 10, 10, 12, 13,  6,  8, 11, 10, 10,  8, 11,  8,  6,  6,  6,  5,  5,  5,  6,  6,  6,  6,  6,  6,  6,  7,  8, 15,  6, 12, 10,
  13,  6,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  8,  7,  8, 13, 19, 13, 14,  6,
  15,  5,  6,  5,  6,  5,  6,  6,  6,  5,  7,  7,  6,  6,  6,  5,  6,  7,  6,  5,  5,  6,  7,  7,  7,  7,  7, 15, 11, 14, 13, 28,
  20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
  22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
  30,
];

const EOS = 256;
const LONGEST_CODE_BITS = 30;
const SHORTEST_CODE_BITS = 5;

// A state is an inner node of the code tree: 257 leaves make 256 of them, so a state fits an octet. State 0 is the root.
const STATE_COUNT = 256;
const ROOT = 0;

// An entry of TRANSITIONS: what one octet does in one state. It completes at most two symbols, as codes have 5 bits or more.
//   bits 0-7 next state | 8-15 first symbol | 16-23 second symbol | 24-25 symbols completed | 26 EOS was completed
const FIRST_SHIFT = 8;
const SECOND_SHIFT = 16;
const COUNT_SHIFT = 24;
const FAILED = 1 << 26;

interface Tables {
  /** By `state << 8 | octet`. 256 KiB, of which text touches about a tenth. */
  readonly transitions: Int32Array;
  /** 1 for a state in which a string may end: fewer than 8 bits since the last symbol, all of them ones (§5.2). */
  readonly mayEnd: Uint8Array;
}

const { transitions: TRANSITIONS, mayEnd: MAY_END }: Tables = buildTables();

/** Room that the decoded form of `bytes` octets can take. */
export function maxDecodedBytes(bytes: number): number {
  return Math.floor((bytes * 8) / SHORTEST_CODE_BITS);
}

/**
 * Decodes `source[start..end)` to the beginning of `target`, which has `maxDecodedBytes` of room, and returns how many octets it wrote.
 * @throws {HpackError} for an encoded EOS, padding of 8 bits or more, or padding that is not all ones (RFC 7541 §5.2)
 */
export function decodeHuffman(
  source: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
): number {
  let state = ROOT;
  let length = 0;
  for (let i = start; i < end; i++) {
    const entry = TRANSITIONS[(state << 8) | (source[i] ?? 0)] ?? FAILED;
    if (entry >= 1 << COUNT_SHIFT) {
      if (entry >= FAILED) throw new HpackError("huffman string contains EOS");
      target[length++] = (entry >> FIRST_SHIFT) & 0xff;
      if (entry >= 2 << COUNT_SHIFT) target[length++] = (entry >> SECOND_SHIFT) & 0xff;
    }
    state = entry & 0xff;
  }
  if (MAY_END[state] !== 1) throw new HpackError("huffman string ends in bad padding");
  return length;
}

function buildTables(): Tables {
  // The tree: CHILDREN[2 * state + bit] is the next state, or ~symbol for a leaf.
  const children = new Int32Array(2 * STATE_COUNT);
  let stateCount = 1;
  let code = 0;
  for (let length = SHORTEST_CODE_BITS; length <= LONGEST_CODE_BITS; length++) {
    for (let symbol = 0; symbol <= EOS; symbol++) {
      if (CODE_LENGTHS[symbol] !== length) continue;
      let state = ROOT;
      for (let shift = length - 1; shift > 0; shift--) {
        const edge = 2 * state + ((code >> shift) & 1);
        if (children[edge] === 0) children[edge] = stateCount++;
        state = children[edge] ?? ROOT;
      }
      children[2 * state + (code & 1)] = ~symbol;
      code++;
    }
    code <<= 1;
  }

  const transitions = new Int32Array(STATE_COUNT << 8);
  for (let state = 0; state < STATE_COUNT; state++) {
    for (let octet = 0; octet < 256; octet++) {
      transitions[(state << 8) | octet] = transition(children, state, octet);
    }
  }

  const mayEnd = new Uint8Array(STATE_COUNT);
  for (let state = ROOT, bits = 0; bits < 8; bits++) {
    mayEnd[state] = 1;
    state = children[2 * state + 1] ?? ROOT;
  }
  return { transitions, mayEnd };
}

function transition(children: Int32Array, from: number, octet: number): number {
  let state = from;
  let symbols = 0;
  let count = 0;
  for (let shift = 7; shift >= 0; shift--) {
    const next = children[2 * state + ((octet >> shift) & 1)] ?? ROOT;
    if (next >= 0) {
      state = next;
      continue;
    }
    if (~next === EOS) return FAILED;
    symbols |= ~next << (count === 0 ? FIRST_SHIFT : SECOND_SHIFT);
    count++;
    state = ROOT;
  }
  return state | symbols | (count << COUNT_SHIFT);
}
