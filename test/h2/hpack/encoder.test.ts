import { describe, expect, it } from "vitest";
import { HpackEncoder } from "../../../src/h2/hpack/encoder.ts";
import { KNOWN_NAMES } from "../../../src/h2/hpack/known-names.ts";
import { STATIC_FIELDS } from "../../../src/h2/hpack/static-table.ts";
import { HeaderField } from "../../../src/wire/field.ts";
import {
  createDecoder,
  decode,
  encode,
  fieldsFrom,
  lines,
  literal,
  sizeUpdate,
  tableOf,
  text,
} from "./blocks.ts";

const hex = (block: Buffer): string => block.toString("hex");
const hexOf = (...parts: readonly (readonly number[])[]): string => hex(Buffer.from(parts.flat()));
const encodeHex = (encoder: HpackEncoder, ...fields: readonly HeaderField[]): string =>
  hex(encode(encoder, fields));

describe("HpackEncoder: representations", () => {
  it("writes nothing for an empty list", () => {
    expect(encodeHex(new HpackEncoder())).toBe("");
  });

  // Names whose values are per call are not looked up: nobody sends them empty.
  const repeating = STATIC_FIELDS.slice(1)
    .map((field, i) => ({ name: field!.name, value: field!.value, index: i + 1 }))
    .filter(({ name }) => KNOWN_NAMES.get(name)!.perCall === false);

  it.each(repeating)("writes $name: $value as static index $index", ({ name, value, index }) => {
    const encoder = new HpackEncoder();
    const field = new HeaderField(name, value);
    for (let round = 0; round < 2; round++) {
      expect(encodeHex(encoder, field)).toBe(hexOf([0x80 | index]));
    }
    expect(encodeHex(new HpackEncoder(), field)).toBe(hexOf([0x80 | index]));
  });

  it("writes the shared static fields by their index without a look-up", () => {
    expect(encodeHex(new HpackEncoder(), STATIC_FIELDS[3]!, STATIC_FIELDS[61]!)).toBe("83bd");
  });

  it("indexes a new field once and refers to it from then on, by object and by content", () => {
    const encoder = new HpackEncoder();
    const [field] = fieldsFrom("x-tenant: acme");
    expect(encodeHex(encoder, field!)).toBe(hexOf(literal(0x40, "x-tenant", "acme")));
    expect(encodeHex(encoder, field!)).toBe("be");
    const [equal] = fieldsFrom("x-tenant: acme");
    expect(encodeHex(encoder, equal!)).toBe("be");
    expect(encodeHex(encoder, equal!)).toBe("be");
  });

  it("names by static index, then by dynamic index, then by literal", () => {
    const encoder = new HpackEncoder();
    expect(encodeHex(encoder, ...fieldsFrom(":path: /a.B/C"))).toBe(
      hexOf([0x44, ...text("/a.B/C")]),
    );
    expect(encodeHex(encoder, ...fieldsFrom("x-a: 1"))).toBe(hexOf(literal(0x40, "x-a", "1")));
    expect(encodeHex(encoder, ...fieldsFrom("x-a: 2"))).toBe(hexOf([0x7e, ...text("2")]));
    expect(encodeHex(encoder, ...fieldsFrom(":status: 418"))).toBe(hexOf([0x48, ...text("418")]));
  });

  it("counts indexes from the newest entry", () => {
    const encoder = new HpackEncoder();
    const fields = fieldsFrom("x-a: 1", "x-b: 2", "x-c: 3");
    encode(encoder, fields);
    expect(encodeHex(encoder, ...fields)).toBe("c0bfbe");
  });

  it("writes indexes of more than one octet", () => {
    const encoder = new HpackEncoder();
    const fields = Array.from({ length: 100 }, (_, i) => new HeaderField("n", `${i}`));
    encode(encoder, fields);
    // 62 + 65 is the first index that fills the prefix of 7 bits.
    expect(encodeHex(encoder, fields[99 - 64]!)).toBe("fe");
    expect(encodeHex(encoder, fields[99 - 65]!)).toBe("ff00");
    expect(encodeHex(encoder, fields[0]!)).toBe("ff22");
    expect(encodeHex(encoder, new HeaderField("n", "x", true))).toBe(
      hexOf([0x1f, 62 - 15, ...text("x")]),
    );
  });

  it("never indexes a sensitive field, whatever else it knows of it (§7.1.3)", () => {
    const encoder = new HpackEncoder();
    encode(encoder, fieldsFrom("authorization: token", "x-key: secret"));
    for (let round = 0; round < 3; round++) {
      const fields = [
        new HeaderField("authorization", "token", true),
        new HeaderField("x-key", "secret", true),
        new HeaderField("x-new", "", true),
        new HeaderField(":method", "GET", true),
      ];
      expect(encodeHex(encoder, ...fields)).toBe(
        hexOf(
          [0x1f, 23 - 15, ...text("token")],
          [0x1f, 62 - 15, ...text("secret")],
          literal(0x10, "x-new", ""),
          [0x12, ...text("GET")],
        ),
      );
      const decoder = createDecoder();
      decode(decoder, encode(new HpackEncoder(), fields));
      expect(tableOf(decoder)).toEqual([]);
    }
  });

  it.each([
    "grpc-timeout",
    "grpc-message",
    "grpc-status-details-bin",
    "grpc-trace-bin",
    "traceparent",
    "x-request-id",
    "content-length",
    "date",
  ])("keeps %s out of the table", (name) => {
    const encoder = new HpackEncoder();
    const field = new HeaderField(name, "12345");
    const first = encodeHex(encoder, field);
    const staticIndex = STATIC_FIELDS.findIndex((entry) => entry?.name === name);
    expect(first).toBe(
      staticIndex === -1
        ? hexOf(literal(0x00, name, "12345"))
        : hexOf([0x0f, staticIndex - 15, ...text("12345")]),
    );
    expect(encodeHex(encoder, field)).toBe(first);
  });

  it("keeps an entry of more than a quarter of the table out of it", () => {
    const encoder = new HpackEncoder();
    const [largest, tooLarge] = [1_024, 1_025].map((bytes) => {
      return new HeaderField("authorization", "t".repeat(bytes - 32 - 13));
    });
    encode(encoder, [tooLarge!, largest!]);
    expect(encode(encoder, [largest!])).toHaveLength(1);
    expect(encode(encoder, [tooLarge!]).length).toBeGreaterThan(900);
  });

  it.each([0, 1, 11, 12, 13, 126, 127, 128, 255, 16_511, 16_512, 100_000])(
    "writes names and values of %i octets within maxEncodedBytes",
    (length) => {
      const encoder = new HpackEncoder();
      const all = Buffer.from(Array.from({ length: 256 }, (_, i) => i)).toString("latin1");
      const long = all.repeat(length / 256 + 1).slice(0, length);
      const fields = [new HeaderField(long, long), new HeaderField("x", long, true)];
      const decoded = decode(
        createDecoder({ maxHeaderListBytes: 1_000_000 }),
        encode(encoder, fields),
      );
      expect(lines(decoded)).toEqual(lines(fields));
    },
  );

  it("writes behind what is in the target already", () => {
    const target = Buffer.alloc(100, 0xaa);
    const fields = fieldsFrom(
      ":method: GET",
      "x-long-enough-for-the-runtime: a value of thirty characters",
    );
    const end = new HpackEncoder().encode(fields, target, 7);
    expect(target.subarray(0, 7)).toEqual(Buffer.alloc(7, 0xaa));
    expect(target.subarray(end)).toEqual(Buffer.alloc(100 - end, 0xaa));
    expect(lines(createDecoder().decode(target, 7, end))).toEqual(lines(fields));
  });

  it("skips the holes of a sparse list", () => {
    const encoder = new HpackEncoder();
    const sparse: HeaderField[] = [];
    sparse[1] = STATIC_FIELDS[2]!;
    expect(hex(encode(encoder, sparse))).toBe("82");
  });
});

describe("HpackEncoder: one field object, several encoders", () => {
  it("finds its own entry again after another encoder took the memo", () => {
    const [a, b] = [new HpackEncoder(), new HpackEncoder()];
    const [shared, other] = fieldsFrom("x-tenant: acme", "x-other: 1");
    encode(b, [other!]);
    encode(a, [shared!]);
    encode(b, [shared!]);
    encode(b, [other!]);
    encode(a, [other!]);
    for (let round = 0; round < 3; round++) {
      expect(encodeHex(a, shared!, other!)).toBe("bfbe");
      expect(encodeHex(b, shared!, other!)).toBe("bebf");
    }
  });

  it("does not take the memo of another encoder for its own", () => {
    const [a, b] = [new HpackEncoder(), new HpackEncoder()];
    const [first, second] = fieldsFrom("x-a: 1", "x-b: 2");
    encode(a, [first!]);
    encode(b, [second!]);
    expect(encodeHex(a, second!)).toBe(hexOf(literal(0x40, "x-b", "2")));
  });

  it("indexes what it was given as a decoder's entry", () => {
    const decoder = createDecoder();
    const encoder = new HpackEncoder();
    const [field] = decode(decoder, Buffer.from(literal(0x40, "x-a", "1")));
    encode(encoder, [field!]);
    expect(encodeHex(encoder, decode(decoder, "be")[0]!)).toBe("be");
  });
});

describe("HpackEncoder: eviction", () => {
  const numbered = (from: number, count: number): HeaderField[] =>
    Array.from({ length: count }, (_, i) => new HeaderField("n", `${1_000 + from + i}`));
  /** Entries of 37 bytes. */
  const HELD = Math.floor(4_096 / 37);

  it("knows that an evicted field has to be sent again", () => {
    const encoder = new HpackEncoder();
    const decoder = createDecoder();
    const [first, ...others] = numbered(0, HELD);
    decode(decoder, encode(encoder, [first!, ...others]));
    expect(encode(encoder, [first!])).toHaveLength(2);
    // One more, seen twice and paid for, pushes the oldest out.
    const [late] = numbered(HELD, 1);
    for (let block = 0; block < 4; block++) decode(decoder, encode(encoder, [late!]));
    expect(encode(encoder, [late!])).toHaveLength(1);
    expect(lines(decode(decoder, encode(encoder, [first!])))).toEqual(lines([first!]));
    expect(encode(encoder, [first!]).length).toBeGreaterThan(2);
    expect(tableOf(decoder)).toHaveLength(HELD);
  });

  it("lets no value in that never repeats, once the table is full", () => {
    const encoder = new HpackEncoder();
    const decoder = createDecoder();
    const stable = fieldsFrom(":path: /a.B/C", "x-tenant: acme");
    for (let i = 0; i < 5_000; i++) {
      const unique = new HeaderField("x-call", `${1_000_000 + i}`);
      const block = encode(encoder, [...stable, unique]);
      expect(lines(decode(decoder, block))).toEqual(lines([...stable, unique]));
    }
    expect(encode(encoder, stable)).toHaveLength(2 * 2);
    const table = lines(tableOf(decoder));
    expect(table).toEqual(expect.arrayContaining(lines(stable)));
    expect(table[0]).toMatch(/^x-call: 10000[0-9]{2}$/);
  });

  it("replaces no faster than its credit grows, with a working set larger than the table", () => {
    const encoder = new HpackEncoder();
    const values = Array.from({ length: 8 }, (_, i) => `${i}`.repeat(900));
    let insertions = 0;
    for (let block = 0; block < 4_000; block++) {
      const bytes = encode(encoder, [new HeaderField("authorization", values[block % 8]!)]);
      if (bytes[0] === 0x57 || (bytes[0]! & 0xc0) === 0x40) insertions++;
    }
    // 4 fit at first; then 16 bytes of credit a block, for entries of 945 bytes.
    expect(insertions).toBeGreaterThan(4);
    expect(insertions).toBeLessThanOrEqual(4 + (4_000 * 16) / 945);
  });

  it("follows a change of what repeats", () => {
    const encoder = new HpackEncoder();
    encode(encoder, numbered(0, HELD));
    const fresh = fieldsFrom("x-one: 1", "x-two: 2", "x-three: 3");
    let block: Buffer = Buffer.alloc(0);
    for (let i = 0; i < 20; i++) block = encode(encoder, fresh);
    expect(block).toHaveLength(3);
  });
});

describe("HpackEncoder: the peer's table size (§4.2)", () => {
  it("says nothing while the size is the default", () => {
    const encoder = new HpackEncoder();
    encoder.setPeerMaxTableBytes(4_096);
    encoder.setPeerMaxTableBytes(65_536);
    expect(encodeHex(encoder, STATIC_FIELDS[2]!)).toBe("82");
  });

  it("says at the first block that it uses less than the default", () => {
    const encoder = new HpackEncoder({ maxTableBytes: 100 });
    expect(encodeHex(encoder, STATIC_FIELDS[2]!)).toBe(hexOf(sizeUpdate(100), [0x82]));
    expect(encodeHex(encoder, STATIC_FIELDS[2]!)).toBe("82");
  });

  it("uses more than the default only when the peer allows and we are willing", () => {
    const encoder = new HpackEncoder({ maxTableBytes: 10_000 });
    expect(encodeHex(encoder)).toBe("");
    encoder.setPeerMaxTableBytes(65_536);
    expect(encodeHex(encoder)).toBe(hexOf(sizeUpdate(10_000)));
    encoder.setPeerMaxTableBytes(8_000);
    expect(encodeHex(encoder)).toBe(hexOf(sizeUpdate(8_000)));
  });

  it("indexes nothing for a peer without a table, as nginx", () => {
    const encoder = new HpackEncoder();
    encoder.setPeerMaxTableBytes(0);
    const fields = fieldsFrom(":method: POST", "x-tenant: acme");
    expect(encodeHex(encoder, ...fields)).toBe(
      hexOf(sizeUpdate(0), [0x83], literal(0, "x-tenant", "acme")),
    );
    expect(encodeHex(encoder, ...fields)).toBe(hexOf([0x83], literal(0, "x-tenant", "acme")));
  });

  it("announces the lowest size in between, then the last", () => {
    const encoder = new HpackEncoder();
    const [field] = fieldsFrom("x-tenant: acme");
    encode(encoder, [field!]);
    for (const bytes of [1_000, 0, 3_000, 2_000]) encoder.setPeerMaxTableBytes(bytes);
    expect(encodeHex(encoder, field!)).toBe(
      hexOf(sizeUpdate(0), sizeUpdate(2_000), literal(0x40, "x-tenant", "acme")),
    );
    expect(encodeHex(encoder, field!)).toBe("be");
  });

  it("announces a dip although the size is the same again", () => {
    const encoder = new HpackEncoder();
    encode(encoder, fieldsFrom("x-tenant: acme"));
    encoder.setPeerMaxTableBytes(10);
    encoder.setPeerMaxTableBytes(4_096);
    expect(encodeHex(encoder, STATIC_FIELDS[2]!)).toBe(
      hexOf(sizeUpdate(10), sizeUpdate(4_096), [0x82]),
    );
  });

  it("announces one size when it only went down", () => {
    const encoder = new HpackEncoder();
    encoder.setPeerMaxTableBytes(2_000);
    encoder.setPeerMaxTableBytes(1_000);
    expect(encodeHex(encoder)).toBe(hexOf(sizeUpdate(1_000)));
  });

  it("forgets what a smaller table cannot hold and keeps the rest", () => {
    const encoder = new HpackEncoder();
    const fields = fieldsFrom("x-a: 1", "x-b: 2", "x-c: 3");
    encode(encoder, fields);
    encoder.setPeerMaxTableBytes(2 * 36);
    // A quarter of this table holds no entry, so what is gone stays gone.
    expect(encodeHex(encoder, ...fields)).toBe(
      hexOf(sizeUpdate(72), literal(0, "x-a", "1"), [0xbf, 0xbe]),
    );
  });
});

describe("HpackEncoder: after 2^30 insertions", () => {
  it("starts over with an empty table, so that no old memo can be mistaken", () => {
    const encoder = new HpackEncoder();
    const decoder = createDecoder();
    const [old, later] = fieldsFrom("x-old: 1", "x-later: 2");
    const { table } = encoder as unknown as { readonly table: { insertCount: number } };
    table.insertCount = 2 ** 30 - 2;
    decode(decoder, encode(encoder, [old!, later!]));
    expect(encoder).toMatchObject({ table: { insertCount: 2 ** 30 } });

    const block = encode(encoder, [later!, old!]);
    expect(hex(block)).toBe(
      hexOf(
        sizeUpdate(0),
        sizeUpdate(4_096),
        literal(0x40, "x-later", "2"),
        literal(0x40, "x-old", "1"),
      ),
    );
    expect(lines(decode(decoder, block))).toEqual(["x-later: 2", "x-old: 1"]);
    expect(encodeHex(encoder, old!, later!)).toBe("bebf");
    expect(lines(tableOf(decoder))).toEqual(["x-old: 1", "x-later: 2"]);
  });
});
