// Huffman decoding of string literals (RFC 7541 §5.2, Appendix B), one table look-up per octet.
// Nothing here encodes: on the links of a proxy, the CPU time of Huffman coding costs more than the
// octets that it saves.

import { HpackError } from "./error.ts";

/**
 * Length in bits of the code of each symbol 0 - 255 and of EOS (256). The code of Appendix B is
 * canonical: codes of one length are consecutive in symbol order, and shorter ones come first. So
 * the lengths define the whole code.
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
const NO_SYMBOL = -1;
const LONGEST_CODE_BITS = 30;
const SHORTEST_CODE_BITS = 5;

// A state is an inner node of the code tree. A tree of 257 leaves has 256, so a state fits an
// octet. State 0 is the root.
const STATE_COUNT = 256;
const ROOT = 0;

// An entry of TRANSITIONS: the effect of one octet in one state. An octet completes at most two
// symbols, as codes have 5 bits or more.
//   bits 0-7 next state | 8-15 first symbol | 16-23 second symbol
//   24-25 symbols completed | 26 EOS was completed
const FIRST_SHIFT = 8;
const SECOND_SHIFT = 16;
const COUNT_SHIFT = 24;
const ONE_SYMBOL = 1 << COUNT_SHIFT;
const TWO_SYMBOLS = 2 << COUNT_SHIFT;
const FAILED = 1 << 26;

interface Tables {
  /** Entries by `state << 8 | octet`. 256 KiB; decoding text touches about a tenth. */
  readonly transitions: Int32Array;
  /**
   * 1 for a state in which a string may end: there are fewer than 8 bits since the last symbol, and
   * all are ones (§5.2).
   */
  readonly mayEnd: Uint8Array;
}

/** A node of the code tree; a leaf has a symbol, an inner node a state. */
class CodeNode {
  readonly children: (CodeNode | undefined)[] = [undefined, undefined];
  symbol: number = NO_SYMBOL;
  state: number = ROOT;
}

const { transitions: TRANSITIONS, mayEnd: MAY_END }: Tables = buildTables();

/** The most octets that `bytes` encoded octets decode to. */
export function maxDecodedBytes(bytes: number): number {
  return Math.floor((bytes * 8) / SHORTEST_CODE_BITS);
}

/**
 * Decodes `source[start..end)` to the beginning of `target`, which has `maxDecodedBytes` of room,
 * and returns how many octets it wrote.
 * @throws {HpackError} for an encoded EOS, padding of 8 bits or more, or padding that is not all
 *   ones (RFC 7541 §5.2)
 */
export function decodeHuffman(
  source: Buffer,
  start: number,
  end: number,
  target: Uint8Array,
): number {
  let state = ROOT;
  let length = 0;
  for (let i = start; i < end; i++) {
    const entry = TRANSITIONS[(state << 8) | Number(source[i])];
    if (entry === undefined || entry >= FAILED) throw new HpackError("huffman string contains EOS");
    if (entry >= ONE_SYMBOL) {
      target[length++] = (entry >> FIRST_SHIFT) & 0xff;
      if (entry >= TWO_SYMBOLS) target[length++] = (entry >> SECOND_SHIFT) & 0xff;
    }
    state = entry & 0xff;
  }
  if (MAY_END[state] !== 1) throw new HpackError("huffman string ends in bad padding");
  return length;
}

function buildTables(): Tables {
  const root = new CodeNode();
  const nibbles = new Int32Array(STATE_COUNT << 4);
  for (const node of growTree(root)) {
    for (let nibble = 0; nibble < 16; nibble++) {
      nibbles[(node.state << 4) | nibble] = nibbleEntry(root, node, nibble);
    }
  }
  const transitions = new Int32Array(STATE_COUNT << 8);
  for (let index = 0; index < transitions.length; index++) {
    const high = Number(nibbles[index >> 4]);
    const low = Number(nibbles[((high & 0xff) << 4) | (index & 0xf)]);
    transitions[index] = joinEntries(high, low);
  }
  const mayEnd = new Uint8Array(STATE_COUNT);
  let node: CodeNode | undefined = root;
  for (let bits = 0; bits < 8 && node !== undefined; bits++) {
    mayEnd[node.state] = 1;
    node = node.children[1];
  }
  return { transitions, mayEnd };
}

/** Adds all codes to `root` and returns the inner nodes, by state. */
function growTree(root: CodeNode): readonly CodeNode[] {
  const inner = [root];
  let code = 0;
  for (let bits = SHORTEST_CODE_BITS; bits <= LONGEST_CODE_BITS; bits++) {
    for (let symbol = 0; symbol <= EOS; symbol++) {
      if (CODE_LENGTHS[symbol] !== bits) continue;
      let node = root;
      for (let shift = bits - 1; shift >= 0; shift--) {
        const bit = (code >> shift) & 1;
        const next = node.children[bit] ?? new CodeNode();
        node.children[bit] = next;
        if (shift > 0 && next.state === ROOT) next.state = inner.push(next) - 1;
        node = next;
      }
      node.symbol = symbol;
      code++;
    }
    code <<= 1;
  }
  return inner;
}

/**
 * The effect of four bits in the state of `from`, as an entry of TRANSITIONS. Four bits complete at
 * most one symbol.
 */
function nibbleEntry(root: CodeNode, from: CodeNode, nibble: number): number {
  let node = from;
  let completed = 0;
  for (let shift = 3; shift >= 0; shift--) {
    const next = node.children[(nibble >> shift) & 1];
    if (next === undefined || next.symbol === EOS) return FAILED;
    if (next.symbol === NO_SYMBOL) {
      node = next;
    } else {
      completed = ONE_SYMBOL | (next.symbol << FIRST_SHIFT);
      node = root;
    }
  }
  return completed | node.state;
}

/** One entry for the effect of `high` and then `low`. */
function joinEntries(high: number, low: number): number {
  if (high >= FAILED || low >= FAILED) return FAILED;
  if (high < ONE_SYMBOL) return low;
  if (low < ONE_SYMBOL) return (high & ~0xff) | low;
  const second = (low >> FIRST_SHIFT) & 0xff;
  return TWO_SYMBOLS | (second << SECOND_SHIFT) | (high & 0xff00) | (low & 0xff);
}
