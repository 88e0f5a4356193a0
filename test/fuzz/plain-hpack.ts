// A second HPACK decoder (RFC 7541), written for clarity and sharing nothing with src/h2/hpack but
// the static table, so that each checks the other. It knows no Huffman code, which our encoder
// never uses.

import { STATIC_FIELDS } from "../../src/h2/hpack/static-table.ts";

export interface PlainField {
  readonly name: string;
  readonly value: string;
  readonly representation: "indexed" | "indexing" | "plain" | "never";
}

export class PlainHpackDecoder {
  #entries: PlainField[] = [];
  #maxBytes = 4_096;
  /** What the receiver of the blocks has announced. */
  #limitBytes = 4_096;
  #reductionBytes: number | undefined;

  /** The receiver's SETTINGS_HEADER_TABLE_SIZE was acknowledged by the encoder. */
  setLimit(bytes: number): void {
    this.#limitBytes = bytes;
    if (bytes < this.#maxBytes)
      this.#reductionBytes = Math.min(this.#reductionBytes ?? bytes, bytes);
  }

  get tableBytes(): number {
    return this.#entries.reduce((sum, { name, value }) => sum + name.length + value.length + 32, 0);
  }

  /** @throws {Error} for a block that breaks a rule */
  decode(block: Buffer): PlainField[] {
    const fields: PlainField[] = [];
    let at = 0;
    const integer = (prefixBits: number): number => {
      const mask = 2 ** prefixBits - 1;
      let value = block.readUInt8(at++) & mask;
      if (value < mask) return value;
      for (let shift = 0; ; shift += 7) {
        const octet = block.readUInt8(at++);
        value += (octet & 0x7f) * 2 ** shift;
        if (octet < 0x80) return value;
        if (shift > 28) throw new Error("integer over 2^32");
      }
    };
    const text = (): string => {
      if ((block.readUInt8(at) & 0x80) !== 0) throw new Error("Huffman code");
      const length = integer(7);
      if (at + length > block.length) throw new Error("string beyond the block");
      at += length;
      return block.toString("latin1", at - length, at);
    };
    while (at < block.length) {
      const first = block.readUInt8(at);
      if ((first & 0xe0) === 0x20) {
        if (fields.length > 0) throw new Error("size update behind a field");
        const bytes = integer(5);
        if (bytes > this.#limitBytes) throw new Error(`size update to ${bytes}, over the limit`);
        if (bytes <= (this.#reductionBytes ?? -1)) this.#reductionBytes = undefined;
        this.#maxBytes = bytes;
        this.#evict(bytes);
        continue;
      }
      this.#expectReduced();
      if (first >= 0x80) {
        fields.push({ ...this.#entry(integer(7)), representation: "indexed" });
        continue;
      }
      const indexing = first >= 0x40;
      const nameIndex = integer(indexing ? 6 : 4);
      const name = nameIndex === 0 ? text() : this.#entry(nameIndex).name;
      const representation = indexing ? "indexing" : first >= 0x10 ? "never" : "plain";
      const field: PlainField = { name, value: text(), representation };
      fields.push(field);
      if (indexing) this.#insert(field);
    }
    this.#expectReduced();
    return fields;
  }

  #expectReduced(): void {
    if (this.#reductionBytes === undefined) return;
    throw new Error(`no size update to ${this.#reductionBytes} at the start of the block`);
  }

  #entry(index: number): PlainField {
    const fixed = index <= 61 ? STATIC_FIELDS[index] : undefined;
    if (fixed !== undefined) return { ...fixed, representation: "indexed" };
    const entry = index === 0 ? undefined : this.#entries[index - 62];
    if (entry === undefined) throw new Error(`index ${index} without an entry`);
    return entry;
  }

  #insert(field: PlainField): void {
    const bytes = field.name.length + field.value.length + 32;
    this.#evict(Math.max(0, this.#maxBytes - bytes));
    if (bytes <= this.#maxBytes) this.#entries.unshift(field);
  }

  #evict(toBytes: number): void {
    let bytes = this.tableBytes;
    while (bytes > toBytes) {
      const { name, value } = this.#entries.pop() as PlainField;
      bytes -= name.length + value.length + 32;
    }
  }
}
