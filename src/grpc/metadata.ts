// The user's view of header and trailer fields. It knows the gRPC rules for custom metadata, but
// not who sends the fields.

import { checkBoolean, checkObject } from "../check/check.ts";
import { optionTable } from "../check/options.ts";
import { HeaderField, type HeaderList } from "../wire/field.ts";
import { isReservedMetadataName } from "./header-filter.ts";

/**
 * The type of a value follows from its name: bytes when the name ends in `-bin`, text otherwise.
 */
export type MetadataValue<Name extends string = string> = string extends Name
  ? string | Buffer
  : Lowercase<Name> extends `${string}-bin`
    ? Buffer
    : string;

/** A value to set: bytes for a `-bin` name, text for any other. */
export type MetadataInput = string | Uint8Array;

export interface MetadataFieldOptions {
  /**
   * Ask every hop to keep the field out of header compression (RFC 7541 §6.2.3): tokens, passwords.
   * @default false
   */
  readonly sensitive?: boolean;
}

const FIELD_OPTIONS = optionTable<MetadataFieldOptions>("options of a metadata field", {
  sensitive: checkBoolean,
});

const NONE: HeaderList = [];

/**
 * Custom metadata of a call: an ordered list of names and values in which names may repeat. Names
 * are case-insensitive. Values of names that end in `-bin` are bytes, which travel as base64. All
 * other values are printable ASCII.
 *
 * Metadata is a view over header fields that copies on write. Wrapping fields costs nothing, and
 * received fields that were not touched go on exactly as they came.
 *
 * Names that the protocol owns cannot be set: pseudo-header fields, `te`, `host`, `content-type`,
 * `content-length`, `grpc-timeout`, `grpc-status`, `grpc-message` and connection-specific fields.
 * Everything else can, including `user-agent`, `grpc-encoding` and `grpc-status-details-bin`.
 */
export class Metadata {
  #fields: HeaderList = NONE;
  /** The same list as `#fields`, as long as nobody else can see the list. */
  #own: HeaderField[] | undefined;

  /**
   * @internal Metadata over `fields`, which must not change any more. Nothing is checked:
   *   everything that a peer sent is kept.
   */
  static fromFields(fields: HeaderList): Metadata {
    const metadata = new Metadata();
    metadata.#fields = fields;
    return metadata;
  }

  /**
   * Metadata from an object; an array holds the values of a name that repeats.
   * @throws {TypeError} as `append`, and for a value that is no object
   */
  static from(
    values: Readonly<Record<string, MetadataInput | readonly MetadataInput[]>>,
  ): Metadata {
    checkObject("values of Metadata.from", values);
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(values)) {
      if (isList(value)) for (const one of value) metadata.append(name, one);
      else metadata.append(name, value);
    }
    return metadata;
  }

  /** The number of fields; repeated names count each time. */
  get size(): number {
    return this.#fields.length;
  }

  /**
   * All values of `name`, in order; empty when there are none. If a hop has joined values of a
   * `-bin` name with commas, they are split again. Base64 is read leniently, padded or not;
   * characters outside its alphabet are skipped.
   */
  get<Name extends string>(name: Name): MetadataValue<Name>[];
  get(name: string): (string | Buffer)[] {
    const wanted = name.toLowerCase();
    const values: (string | Buffer)[] = [];
    for (const field of this.#fields) {
      if (field.name === wanted) pushValues(values, field);
    }
    return values;
  }

  /** The first value of `name`. */
  first<Name extends string>(name: Name): MetadataValue<Name> | undefined;
  first(name: string): string | Buffer | undefined {
    const wanted = name.toLowerCase();
    for (const field of this.#fields) {
      if (field.name === wanted) return isBinary(wanted) ? firstOfBinary(field.value) : field.value;
    }
    return undefined;
  }

  has(name: string): boolean {
    const wanted = name.toLowerCase();
    return this.#fields.some((field) => field.name === wanted);
  }

  /** The names, each once, in the order of their first field. */
  keys(): string[] {
    const names = new Set<string>();
    for (const field of this.#fields) names.add(field.name);
    return [...names];
  }

  /**
   * Replaces every value of `name` by this one, in the place of the first.
   * @throws {TypeError} as `append`
   */
  set(name: string, value: MetadataInput, options?: MetadataFieldOptions): void {
    const replacement = createField(name, value, options);
    const fields: HeaderField[] = [];
    let placed = false;
    for (const field of this.#fields) {
      if (field.name !== replacement.name) {
        fields.push(field);
      } else if (!placed) {
        fields.push(replacement);
        placed = true;
      }
    }
    if (!placed) fields.push(replacement);
    this.#replace(fields);
  }

  /**
   * Adds a value after those that `name` already has. Spaces around a text value are removed: no
   * hop is bound to keep them (gRPC PROTOCOL-HTTP2 "ASCII-Value") and HTTP/2 forbids them (RFC 9113
   * §8.2.1).
   * @throws {TypeError} for a name that is not `[0-9a-z_.-]+` or belongs to the protocol, text
   * outside 0x20 - 0x7e (put it into a `-bin` name), text for a `-bin` name, or bytes for another
   */
  append(name: string, value: MetadataInput, options?: MetadataFieldOptions): void {
    const field = createField(name, value, options);
    if (this.#own === undefined) this.#replace([...this.#fields, field]);
    else this.#own.push(field);
  }

  /** Removes every value of `name`; says whether there was one. */
  delete(name: string): boolean {
    if (!this.has(name)) return false;
    const unwanted = name.toLowerCase();
    this.#replace(this.#fields.filter((field) => field.name !== unwanted));
    return true;
  }

  /** Appends everything that `other` holds. */
  merge(other: Metadata): void {
    if (other.size === 0) return;
    if (this.size === 0) {
      this.#own = undefined;
      this.#fields = other.toFields();
    } else {
      this.#replace([...this.#fields, ...other.#fields]);
    }
  }

  /** An independent copy; the fields are shared until one of the two changes. */
  clone(): Metadata {
    return Metadata.fromFields(this.toFields());
  }

  /**
   * @internal The fields as they go on the wire. The list never changes, whatever happens to this
   * object later.
   */
  toFields(): HeaderList {
    this.#own = undefined;
    return this.#fields;
  }

  *[Symbol.iterator](): IterableIterator<[string, string | Buffer]> {
    for (const field of this.toFields()) {
      const values: (string | Buffer)[] = [];
      pushValues(values, field);
      for (const value of values) yield [field.name, value];
    }
  }

  #replace(fields: HeaderField[]): void {
    this.#own = fields;
    this.#fields = fields;
  }
}

function isList(value: unknown): value is readonly MetadataInput[] {
  return Array.isArray(value);
}

function isBinary(name: string): boolean {
  return name.endsWith("-bin");
}

function pushValues(values: (string | Buffer)[], field: HeaderField): void {
  if (!isBinary(field.name)) values.push(field.value);
  else for (const part of field.value.split(",")) values.push(Buffer.from(part, "base64"));
}

function firstOfBinary(value: string): Buffer {
  const comma = value.indexOf(",");
  return Buffer.from(comma === -1 ? value : value.slice(0, comma), "base64");
}

const NAME = /^[0-9a-z_.-]+$/;
const NOT_PRINTABLE = /[^\x20-\x7e]/;

function createField(
  givenName: string,
  value: MetadataInput,
  options: MetadataFieldOptions | undefined,
): HeaderField {
  const name = givenName.toLowerCase();
  if (options !== undefined) FIELD_OPTIONS.check(options);
  const sensitive = options?.sensitive ?? false;
  if (isReservedMetadataName(name)) {
    throw new TypeError(
      `metadata name: expected one that the protocol does not own, got ${JSON.stringify(name)}`,
    );
  }
  if (!NAME.test(name)) {
    throw new TypeError(
      `metadata name: expected one or more of 0-9 a-z _ . -, got ${JSON.stringify(name)}`,
    );
  }
  return new HeaderField(name, isBinary(name) ? bytes(name, value) : text(name, value), sensitive);
}

function bytes(name: string, value: MetadataInput): string {
  if (!(value instanceof Uint8Array)) {
    throw new TypeError(`metadata value of ${name}: expected a Uint8Array, got a ${typeof value}`);
  }
  const base64 = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64");
  const padding = base64.indexOf("=");
  // "Implementations ... SHOULD emit un-padded values"
  return padding === -1 ? base64 : base64.slice(0, padding);
}

function text(name: string, value: MetadataInput): string {
  if (typeof value !== "string") {
    const got = value instanceof Uint8Array ? "bytes, which need a -bin name" : `a ${typeof value}`;
    throw new TypeError(`metadata value of ${name}: expected a string, got ${got}`);
  }
  const at = value.search(NOT_PRINTABLE);
  if (at !== -1) {
    // The value may be a secret: it is not shown.
    const code = value.charCodeAt(at).toString(16).padStart(2, "0");
    throw new TypeError(
      `metadata value of ${name}: expected printable ASCII (bytes go into a -bin name), got 0x${code} at ${at}`,
    );
  }
  return value.trim();
}
