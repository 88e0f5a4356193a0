// Reads the primitives of a header block: integers (RFC 7541 §5.1) and string literals (§5.2).
// It must not know representations or tables.

import { readByteString } from "./byte-string.ts";
import { findCommonName } from "./common-names.ts";
import { HpackError } from "./error.ts";
import { decodeHuffman, maxDecodedBytes } from "./huffman.ts";

/**
 * Continuation octets of one integer. Five carry 35 bits, enough for every value up to 2^32 - 1 and
 * for nothing that would lose precision; RFC 7541 §5.1 asks to bound both the value and the octets
 * spent on it.
 */
const MAX_CONTINUATION_OCTETS = 5;
const MAX_INTEGER = 0xffffffff;

/**
 * Huffman strings that decode to no more than this share one buffer; a longer one has a buffer of
 * its own for a moment.
 */
const SCRATCH_BYTES = 16_384;
const SCRATCH: Buffer = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
const EMPTY: Buffer = Buffer.alloc(0);

export class BlockReader {
  block: Buffer = EMPTY;
  /** The next octet to read. */
  position = 0;
  /** End of the header block. */
  end = 0;

  // Where `readString` left the octets, decoded: in the block itself, or in a scratch buffer that
  // the next string overwrites.
  private text: Buffer = EMPTY;
  private textStart = 0;
  private textEnd = 0;

  open(block: Buffer, start: number, end: number): void {
    this.block = block;
    this.position = start;
    this.end = end;
  }

  /** Lets go of the block, so that an idle connection keeps no read buffer alive. */
  close(): void {
    this.block = EMPTY;
    this.text = EMPTY;
  }

  /**
   * An integer whose prefix are the low bits `prefixMask` of the octet `first`, which was read
   * already.
   * @throws {HpackError} for a value over 2^32 - 1, more than five continuation octets, or a block
   *   that ends inside
   */
  readInteger(first: number, prefixMask: number): number {
    let value = first & prefixMask;
    if (value < prefixMask) return value;
    let weight = 1;
    for (let octets = 0; octets < MAX_CONTINUATION_OCTETS; octets++) {
      const octet = this.readOctet();
      value += (octet & 0x7f) * weight;
      if (octet < 0x80) {
        if (value > MAX_INTEGER) throw new HpackError(`integer too large: ${value}`);
        return value;
      }
      weight *= 128;
    }
    throw new HpackError(`integer longer than ${MAX_CONTINUATION_OCTETS} octets`);
  }

  readOctet(): number {
    const octet = this.position < this.end ? this.block[this.position] : undefined;
    if (octet === undefined) throw new HpackError("header block is truncated");
    this.position++;
    return octet;
  }

  /**
   * Reads a string literal and returns its length in octets, without making a string of it:
   * `takeText` and `takeName` do that, until the next literal is read.
   * @throws {HpackError} for a literal that is longer than the block, or bad Huffman code
   */
  readString(): number {
    const first = this.readOctet();
    const length = this.readInteger(first, 0x7f);
    const start = this.position;
    const end = start + length;
    if (end > this.end) throw new HpackError("string literal is longer than its header block");
    this.position = end;
    if (first < 0x80) {
      this.text = this.block;
      this.textStart = start;
      this.textEnd = end;
      return length;
    }
    const room = maxDecodedBytes(length);
    this.text = room <= SCRATCH_BYTES ? SCRATCH : Buffer.allocUnsafeSlow(room);
    this.textStart = 0;
    this.textEnd = decodeHuffman(this.block, start, end, this.text);
    return this.textEnd;
  }

  /** The string literal read last, as a name: often one that needs no new string. */
  takeName(): string {
    return (
      findCommonName(this.text, this.textStart, this.textEnd) ??
      readByteString(this.text, this.textStart, this.textEnd)
    );
  }

  /** The string literal read last. */
  takeText(): string {
    return readByteString(this.text, this.textStart, this.textEnd);
  }
}
