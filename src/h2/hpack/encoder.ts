// The HPACK encoder of one connection (RFC 7541): field objects in, header blocks out.
// It must not know frames, streams or what a field means.

import type { HeaderField, HeaderList } from "../../wire/field.ts";
import { Admission } from "./admission.ts";
import { MAX_INTEGER_OCTETS, writeInteger, writeString } from "./block-writer.ts";
import { DEFAULT_TABLE_BYTES, DynamicTable, entryBytes } from "./dynamic-table.ts";
import { type EncodedBlock, EncodedBlocks } from "./encoded-blocks.ts";
import { EntryIndex } from "./entry-index.ts";
import { KNOWN_NAMES, type KnownName } from "./known-names.ts";
import { STATIC_COUNT, STATIC_ENCODER_ID } from "./static-table.ts";

interface HpackEncoderOptions {
  /** The largest dynamic table that this end uses, in bytes. @default 4_096 */
  readonly maxTableBytes?: number;
}

// The first octets of the representations (RFC 7541 §6) and the masks of their integers' prefixes.
const INDEXED = 0x80;
const INDEXED_PREFIX = 0x7f;
const INDEXED_LITERAL = 0x40;
const INDEXED_LITERAL_PREFIX = 0x3f;
const SIZE_UPDATE = 0x20;
const SIZE_UPDATE_PREFIX = 0x1f;
const NEVER_INDEXED_LITERAL = 0x10;
const PLAIN_LITERAL = 0x00;
const PLAIN_PREFIX = 0x0f;

/**
 * The most that a field takes beside its octets: the first octet and two integers. The most that
 * precedes the fields: two size updates.
 */
const MAX_FIELD_OVERHEAD_BYTES = 1 + 2 * MAX_INTEGER_OCTETS;
const MAX_BLOCK_OVERHEAD_BYTES = 2 * MAX_INTEGER_OCTETS;

/**
 * Keeps insertion numbers small integers. After so many an encoder starts over with an empty table.
 */
const MAX_INSERTIONS = 0x3fffffff;

/** The last id given out. 0 means no encoder, and static fields have an id of their own. */
let lastEncoderId = 0;

/**
 * Encodes the header lists of one direction of one connection.
 *
 * The field object remembers its entry: (encoder id, insertion number). So a field that comes again
 * costs one comparison. Several encoders may write one object: each overwrites the memo of the last
 * one, and finds its own entry again in its index.
 */
export class HpackEncoder {
  private id: number = ++lastEncoderId;
  private readonly maxTableBytes: number;
  private readonly table: DynamicTable;
  private readonly index: EntryIndex = new EntryIndex();
  private readonly admission: Admission = new Admission();
  private readonly blocks: EncodedBlocks = new EncodedBlocks();
  /** The version of the table after the last block. */
  private tableVersion = 0;
  /** Blocks that were recalled since the last one was encoded. */
  private recallCount = 0;
  /** The block that is being written has a literal in it. */
  private hasLiteral = false;

  /**
   * A size update is due at the start of the next block, because of a change since the last one.
   */
  private sizeUpdateDue: boolean;
  /** The smallest maximum size that was set since the last block (RFC 7541 §4.2). */
  private lowestTableBytes: number = Number.POSITIVE_INFINITY;

  constructor(options: HpackEncoderOptions = {}) {
    this.maxTableBytes = options.maxTableBytes ?? DEFAULT_TABLE_BYTES;
    const bytes = Math.min(this.maxTableBytes, DEFAULT_TABLE_BYTES);
    this.table = new DynamicTable(bytes);
    this.sizeUpdateDue = bytes !== DEFAULT_TABLE_BYTES;
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE is `bytes` from now on. */
  setPeerMaxTableBytes(bytes: number): void {
    this.resizeTable(Math.min(bytes, this.maxTableBytes));
  }

  /**
   * The block that `encode` would write for `fields`, if it has written one for this very list and
   * nothing has changed since. The caller must send it.
   */
  recall(fields: HeaderList): EncodedBlock | undefined {
    if (this.sizeUpdateDue) return undefined;
    const block = this.blocks.find(fields, this.tableVersion);
    if (block !== undefined) this.recallCount++;
    return block;
  }

  /** An upper bound of the bytes that `encode` writes for `fields`. */
  maxEncodedBytes(fields: HeaderList): number {
    let bytes = MAX_BLOCK_OVERHEAD_BYTES;
    for (let i = 0; i < fields.length; i++) {
      const field = fields[i];
      if (field !== undefined) {
        bytes += field.name.length + field.value.length + MAX_FIELD_OVERHEAD_BYTES;
      }
    }
    return bytes;
  }

  /**
   * Writes `fields` as one complete header block to `target` at `offset`, where there is room for
   * `maxEncodedBytes(fields)`. Returns the offset behind the block. The caller must send the block:
   * the peer's table depends on it.
   */
  encode(fields: HeaderList, target: Buffer, offset: number): number {
    let at = offset;
    const table = this.table;
    if (table.insertCount > MAX_INSERTIONS) this.startOver();
    if (this.sizeUpdateDue) at = this.writeSizeUpdates(target, at);
    this.admission.onBlocks(this.recallCount + 1, table.maxBytes);
    this.recallCount = 0;
    const start = at;
    this.hasLiteral = false;
    for (let i = 0; i < fields.length; i++) {
      const field = fields[i];
      if (field === undefined) continue;
      if (field.encoderId === STATIC_ENCODER_ID) {
        target[at++] = INDEXED | field.encoderSlot;
        continue;
      }
      if (field.encoderId === this.id) {
        const age = table.insertCount - field.encoderSlot;
        if (age < table.count) {
          at = writeInteger(target, at, INDEXED, INDEXED_PREFIX, dynamicIndex(age));
          continue;
        }
      }
      at = this.writeField(field, target, at);
    }
    this.tableVersion = table.version;
    if (!this.hasLiteral) this.blocks.keep(fields, table.version, target, start, at);
    return at;
  }

  /** Writes a field without a live memo: looks it up, or writes a literal. */
  private writeField(field: HeaderField, target: Buffer, offset: number): number {
    const { name, value } = field;
    const known = KNOWN_NAMES.get(name);
    if (field.sensitive) {
      this.hasLiteral = true;
      const nameIndex = this.nameIndex(name, known);
      return writeLiteral(target, offset, NEVER_INDEXED_LITERAL, PLAIN_PREFIX, nameIndex, field);
    }
    if (known?.perCall === true) {
      this.hasLiteral = true;
      return writeLiteral(target, offset, PLAIN_LITERAL, PLAIN_PREFIX, known.staticIndex, field);
    }

    const staticIndex = known?.staticValues.get(value);
    if (staticIndex !== undefined) {
      field.encoderId = STATIC_ENCODER_ID;
      field.encoderSlot = staticIndex;
      target[offset] = INDEXED | staticIndex;
      return offset + 1;
    }

    const table = this.table;
    const number = this.index.find(name, value);
    if (number !== undefined) {
      field.encoderId = this.id;
      field.encoderSlot = number;
      const index = dynamicIndex(table.insertCount - number);
      return writeInteger(target, offset, INDEXED, INDEXED_PREFIX, index);
    }

    this.hasLiteral = true;
    const nameIndex = this.nameIndex(name, known);
    const bytes = entryBytes(field);
    if (!this.admission.admits(field, bytes, table.maxBytes, table.sizeBytes)) {
      return writeLiteral(target, offset, PLAIN_LITERAL, PLAIN_PREFIX, nameIndex, field);
    }
    // The index of the name is taken before the insertion, which may evict that entry (RFC 7541
    // §4.4).
    this.evictTo(table.maxBytes - bytes);
    table.insert(field, bytes);
    this.index.add(field, table.insertCount);
    field.encoderId = this.id;
    field.encoderSlot = table.insertCount;
    return writeLiteral(target, offset, INDEXED_LITERAL, INDEXED_LITERAL_PREFIX, nameIndex, field);
  }

  /**
   * The index of an entry with this name, 0 for none. Static entries come first: their indexes are
   * short, and they stay.
   */
  private nameIndex(name: string, known: KnownName | undefined): number {
    if (known !== undefined && known.staticIndex !== 0) return known.staticIndex;
    const number = this.index.findName(name);
    return number === undefined ? 0 : dynamicIndex(this.table.insertCount - number);
  }

  private evictTo(bytes: number): void {
    for (;;) {
      const evicted = this.table.evictAbove(bytes);
      if (evicted === undefined) return;
      this.index.remove(evicted);
    }
  }

  private resizeTable(bytes: number): void {
    if (bytes === this.table.maxBytes) return;
    this.table.maxBytes = bytes;
    this.evictTo(bytes);
    this.lowestTableBytes = Math.min(this.lowestTableBytes, bytes);
    this.sizeUpdateDue = true;
  }

  /**
   * Writes the smallest size since the last block, unless it is the current one, and then the
   * current size (RFC 7541 §4.2).
   */
  private writeSizeUpdates(target: Buffer, offset: number): number {
    let at = offset;
    const bytes = this.table.maxBytes;
    if (this.lowestTableBytes < bytes) {
      at = writeInteger(target, at, SIZE_UPDATE, SIZE_UPDATE_PREFIX, this.lowestTableBytes);
    }
    this.lowestTableBytes = Number.POSITIVE_INFINITY;
    this.sizeUpdateDue = false;
    return writeInteger(target, at, SIZE_UPDATE, SIZE_UPDATE_PREFIX, bytes);
  }

  /**
   * Empties the table on both ends and takes a new id, so that memos with old numbers do not count.
   */
  private startOver(): void {
    const bytes = this.table.maxBytes;
    this.resizeTable(0);
    this.resizeTable(bytes);
    this.table.insertCount = 0;
    this.id = ++lastEncoderId;
  }
}

/** The index on the wire of the entry after which `age` insertions came. */
function dynamicIndex(age: number): number {
  return STATIC_COUNT + 1 + age;
}

function writeLiteral(
  target: Buffer,
  offset: number,
  flags: number,
  prefixMask: number,
  nameIndex: number,
  field: HeaderField,
): number {
  let at = writeInteger(target, offset, flags, prefixMask, nameIndex);
  if (nameIndex === 0) at = writeString(target, at, field.name);
  return writeString(target, at, field.value);
}
