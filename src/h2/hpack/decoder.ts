// The HPACK decoder of one connection (RFC 7541): header blocks in, field objects out.
// It must not know frames, streams or what a field means.

import { HeaderField, type HeaderList } from "../../wire/field.ts";
import { BlockCache } from "./block-cache.ts";
import { BlockReader } from "./block-reader.ts";
import { DEFAULT_TABLE_BYTES, DynamicTable, ENTRY_OVERHEAD_BYTES } from "./dynamic-table.ts";
import { HpackError } from "./error.ts";
import { STATIC_COUNT, STATIC_FIELDS } from "./static-table.ts";

interface HpackDecoderOptions {
  /** Our SETTINGS_HEADER_TABLE_SIZE. */
  readonly maxTableBytes: number;
  /** Largest header list to return, by RFC 9113 §6.5.2's count: name + value + 32 per field. */
  readonly maxHeaderListBytes: number;
}

// The lowest first octet of each representation (RFC 7541 §6); a literal that enters no table is
// below all of them but the last.
const INDEXED = 0x80;
const INDEXED_LITERAL = 0x40;
const SIZE_UPDATE = 0x20;
const NEVER_INDEXED = 0x10;

/** Stands in for a list between two blocks; nothing is ever added to it. */
const NO_FIELDS: HeaderField[] = [];

/** No reduction of the table is due. */
const NONE_DUE = -1;

/**
 * Decodes the header blocks of one direction of one connection. Blocks have to come complete and in
 * order.
 *
 * The length of a block bounds its cost. A reference to an entry costs the same for every size of
 * the entry. No string is made for which neither the table nor the list has room.
 */
export class HpackDecoder {
  /**
   * After `decode`: the list was over `maxHeaderListBytes`. The fields beyond the bound were
   * dropped. The table is still in step, so the stream can be refused and the connection goes on.
   */
  listTooLarge = false;
  /** After a `decode` whose list was too large: the bytes of the list, including dropped fields. */
  listBytes = 0;

  private readonly maxHeaderListBytes: number;
  private readonly table: DynamicTable = new DynamicTable(DEFAULT_TABLE_BYTES);
  private readonly reader: BlockReader = new BlockReader();
  /** Largest table size that the peer may choose. */
  private tableLimitBytes: number;
  /**
   * Largest size that the update due at the start of the next block may name first, or `NONE_DUE`.
   */
  private reductionDueBytes: number = NONE_DUE;

  /** The version of the table after the last block. */
  private tableVersion = 0;
  private readonly cache: BlockCache = new BlockCache();
  // Of the block that is being decoded.
  private fields: HeaderField[] = NO_FIELDS;

  constructor(options: HpackDecoderOptions) {
    this.maxHeaderListBytes = options.maxHeaderListBytes;
    // Until the peer has seen our SETTINGS it may use the default, even if we announce less.
    this.tableLimitBytes = Math.max(options.maxTableBytes, DEFAULT_TABLE_BYTES);
  }

  /**
   * Our SETTINGS_HEADER_TABLE_SIZE of `bytes` was acknowledged. To be called for the first SETTINGS
   * too if they announce less than 4,096. A reduction must be followed by a size update at the
   * start of the next block (RFC 7541 §4.2).
   */
  setMaxTableBytes(bytes: number): void {
    this.tableLimitBytes = bytes;
    if (bytes >= this.table.maxBytes) return;
    if (this.reductionDueBytes === NONE_DUE || bytes < this.reductionDueBytes) {
      this.reductionDueBytes = bytes;
    }
  }

  /**
   * Decodes the complete header block `block[start..end)`. Returns the fields in wire order; those
   * from a table are the table's own objects, and a block that comes again may return the same list
   * again.
   * @throws {HpackError} the connection cannot go on: COMPRESSION_ERROR (RFC 9113 §4.3)
   */
  decode(block: Buffer, start: number, end: number): HeaderList {
    this.listTooLarge = false;
    if (this.reductionDueBytes === NONE_DUE) {
      const known = this.cache.find(block, start, end, this.tableVersion);
      if (known !== undefined) return known;
    }

    const reader = this.reader;
    reader.open(block, start, end);
    const fields: HeaderField[] = [];
    this.fields = fields;
    this.listBytes = 0;
    this.readSizeUpdates();
    // Whether the block leaves the table unchanged, so that the cache can answer it next time.
    let isRepeatable = reader.position === start;
    while (reader.position < end) {
      const first = reader.readOctet();
      if (first >= INDEXED) {
        const field = this.entry(reader.readInteger(first, 0x7f));
        this.list(field, field.name.length + field.value.length + ENTRY_OVERHEAD_BYTES);
        continue;
      }
      if (first >= INDEXED_LITERAL) this.readLiteral(first, 0x3f, true);
      else if (first < SIZE_UPDATE) this.readLiteral(first, 0x0f, false);
      else throw new HpackError("table size update inside a header block");
      // Fields that must never be indexed are not remembered here either.
      if (first >= NEVER_INDEXED) isRepeatable = false;
    }
    reader.close();
    this.fields = NO_FIELDS;
    this.tableVersion = this.table.version;
    if (isRepeatable && !this.listTooLarge) {
      this.cache.keep(block, start, end, this.tableVersion, fields);
    }
    return fields;
  }

  /** Size updates stand at the start of a block or nowhere (RFC 7541 §4.2). */
  private readSizeUpdates(): void {
    const reader = this.reader;
    while (reader.position < reader.end) {
      const first = reader.readOctet();
      if ((first & 0xe0) !== SIZE_UPDATE) {
        reader.position--;
        break;
      }
      const bytes = reader.readInteger(first, 0x1f);
      if (bytes > this.tableLimitBytes) {
        throw new HpackError(`table size ${bytes} is over the limit of ${this.tableLimitBytes}`);
      }
      if (bytes <= this.reductionDueBytes) this.reductionDueBytes = NONE_DUE;
      this.table.maxBytes = bytes;
      this.table.shrinkTo(bytes);
    }
    if (this.reductionDueBytes !== NONE_DUE) {
      throw new HpackError(`table was not reduced to ${this.reductionDueBytes}`);
    }
  }

  private entry(index: number): HeaderField {
    const field =
      index <= STATIC_COUNT ? STATIC_FIELDS[index] : this.table.at(index - STATIC_COUNT - 1);
    if (field === undefined) throw new HpackError(`no table entry has index ${index}`);
    return field;
  }

  /**
   * A literal (RFC 7541 §6.2). With `indexing` its one object goes both to the table and to the
   * list. Its strings are read through to the end in any case, but only made if one of the two has
   * room for the field.
   */
  private readLiteral(first: number, prefixMask: number, indexing: boolean): void {
    const reader = this.reader;
    const table = this.table;
    const room = indexing ? Math.max(table.maxBytes, this.listRoom()) : this.listRoom();

    const nameIndex = reader.readInteger(first, prefixMask);
    let name: string | undefined;
    let nameBytes: number;
    if (nameIndex !== 0) {
      name = this.entry(nameIndex).name;
      nameBytes = name.length;
    } else {
      nameBytes = reader.readString();
      if (nameBytes + ENTRY_OVERHEAD_BYTES <= room) name = reader.takeName();
    }
    const bytes = nameBytes + reader.readString() + ENTRY_OVERHEAD_BYTES;

    if (name === undefined || bytes > room) {
      this.listTooLarge = true;
      this.listBytes += bytes;
      if (indexing) table.shrinkTo(0);
      return;
    }
    const field = new HeaderField(name, reader.takeText(), first >= NEVER_INDEXED && !indexing);
    if (indexing) {
      // An entry larger than the whole table empties it, and that is no error (RFC 7541 §4.4).
      table.shrinkTo(Math.max(0, table.maxBytes - bytes));
      if (bytes <= table.maxBytes) table.insert(field, bytes);
    }
    this.list(field, bytes);
  }

  /**
   * Bytes that the next field may have; 0 once a field was dropped, so that the list is a prefix of
   * what was sent.
   */
  private listRoom(): number {
    return this.listTooLarge ? 0 : this.maxHeaderListBytes - this.listBytes;
  }

  private list(field: HeaderField, bytes: number): void {
    if (bytes > this.listRoom()) this.listTooLarge = true;
    else this.fields.push(field);
    this.listBytes += bytes;
  }
}
