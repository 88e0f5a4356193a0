import { describe, expect, it } from "vitest";
import { HpackEncoder } from "../../../src/h2/hpack/encoder.ts";
import { HpackError } from "../../../src/h2/hpack/error.ts";
import { HeaderField } from "../../../src/wire/field.ts";
import {
  createDecoder,
  decode,
  encode,
  integer,
  recalled,
  seededRandom,
  tableOf,
  text,
} from "./blocks.ts";

type Random = (below: number) => number;

const pick = <T>(random: Random, values: readonly T[]): T => values[random(values.length)]!;

function randomField(random: Random): HeaderField {
  const name = pick(random, [
    ":path",
    ":status",
    "te",
    "grpc-timeout",
    "authorization",
    "x-a",
    "x-b",
    `x-${random(40)}`,
    "n".repeat(random(200)),
  ]);
  const value = pick(random, [
    "200",
    "",
    "trailers",
    `/svc/${random(200)}`,
    `${random(1e9)}`,
    String.fromCharCode(random(256)).repeat(random(300)),
    "v".repeat(random(6_000)),
  ]);
  return new HeaderField(name, value, random(8) === 0);
}

describe("encoder to decoder", () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8])(
    "keeps every list through changes of the table size — seed %i",
    (seed) => {
      const random = seededRandom(seed);
      let recalls = 0;
      for (let connection = 0; connection < 20; connection++) {
        const encoder = new HpackEncoder({ maxTableBytes: pick(random, [0, 100, 4_096, 65_536]) });
        const decoder = createDecoder({ maxTableBytes: 65_536, maxHeaderListBytes: 1e9 });
        const reused = Array.from({ length: 20 }, () => randomField(random));
        const repeated = Array.from({ length: 3 }, () => [
          new HeaderField("x-repeated", `${random(5)}`),
          new HeaderField("te", "trailers"),
        ]);
        for (let block = 0; block < 60; block++) {
          for (let changes = random(8) === 0 ? random(4) : 0; changes > 0; changes--) {
            const bytes = random(3) === 0 ? random(66_000) : random(600);
            encoder.setPeerMaxTableBytes(bytes);
            decoder.setMaxTableBytes(bytes);
          }
          const fields =
            random(3) > 0
              ? pick(random, repeated)
              : Array.from({ length: random(12) }, () =>
                  random(2) === 0 ? randomField(random) : pick(random, reused),
                );
          const known = recalled(encoder, fields);
          if (known !== undefined) recalls++;
          const decoded = decode(decoder, known ?? encode(encoder, fields));
          expect(decoded.map(({ name, value, sensitive }) => [name, value, sensitive])).toEqual(
            fields.map(({ name, value, sensitive }) => [name, value, sensitive]),
          );
        }
        const { table } = encoder as unknown as { table: { count: number; sizeBytes: number } };
        expect(tableOf(decoder)).toHaveLength(table.count);
      }
      expect(recalls).toBeGreaterThan(50);
    },
  );

  it("keeps lists apart that many encoders write from the same objects", () => {
    const random = seededRandom(99);
    const pool = Array.from({ length: 60 }, () => randomField(random));
    const links = Array.from({ length: 5 }, () => ({
      encoder: new HpackEncoder(),
      decoder: createDecoder({ maxHeaderListBytes: 1e9 }),
    }));
    for (let block = 0; block < 2_000; block++) {
      const { encoder, decoder } = pick(random, links);
      const fields = Array.from({ length: random(10) }, () => pick(random, pool));
      const decoded = decode(decoder, encode(encoder, fields));
      expect(decoded.map(({ name, value }) => name + value)).toEqual(
        fields.map(({ name, value }) => name + value),
      );
    }
  });

  it("bounds the encoder's index by the table, whatever a peer sends", () => {
    const random = seededRandom(7);
    const encoder = new HpackEncoder();
    for (let block = 0; block < 20_000; block++) {
      const name = `x-${random(1e9)}`;
      encode(encoder, [new HeaderField(name, "1"), new HeaderField(name, "1")]);
    }
    const { index, table } = encoder as unknown as {
      index: { names: Map<string, { numbers: Map<string, number> }> };
      table: { count: number };
    };
    const values = [...index.names.values()].reduce((sum, { numbers }) => sum + numbers.size, 0);
    expect(values).toBe(table.count);
    expect(table.count).toBeLessThanOrEqual(4_096 / 32);
  });
});

describe("HpackDecoder against random blocks", () => {
  /**
   * Blocks that are nearly right reach further than noise: pieces of valid ones, then a few octets
   * changed.
   */
  function hostileBlock(random: Random): Buffer {
    const octets: number[] = [];
    for (let pieces = random(6); pieces > 0; pieces--) {
      switch (random(7)) {
        case 0:
          octets.push(...integer(random(75), 7, 0x80));
          break;
        case 1:
          octets.push(0x40, ...text("n".repeat(random(5))), ...text("v".repeat(random(40))));
          break;
        case 2:
          octets.push(...integer(random(70), 6, 0x40), ...text("v".repeat(random(300))));
          break;
        case 3:
          octets.push(...integer(random(70), 4, 0x10 * random(2)), ...text("x"));
          break;
        case 4:
          octets.push(...integer(random(4_200), 5, 0x20));
          break;
        case 5: {
          const code = Array.from({ length: random(20) }, () => random(256));
          octets.push(0x44, ...integer(code.length, 7, 0x80), ...code);
          break;
        }
        default:
          octets.push(...Array.from({ length: random(12) }, () => random(256)));
      }
    }
    for (let changes = random(3); changes > 0 && octets.length > 0; changes--) {
      octets[random(octets.length)] = random(256);
    }
    return Buffer.from(octets);
  }

  // All of them take seconds.
  const limit = { timeout: 60_000 };

  it("throws nothing but HpackError and stays within its limits in 200,000 blocks", limit, () => {
    const random = seededRandom(0x7541);
    const limits = { maxTableBytes: 4_096, maxHeaderListBytes: 300 };
    let decoder = createDecoder(limits);
    const outcomes = { decoded: 0, tooLarge: 0, refused: 0 };
    for (let block = 0; block < 200_000; block++) {
      const bytes = hostileBlock(random);
      try {
        const fields = decoder.decode(bytes, 0, bytes.length);
        if (decoder.listTooLarge) outcomes.tooLarge++;
        else outcomes.decoded++;
        let listBytes = 0;
        for (const { name, value } of fields) listBytes += name.length + value.length + 32;
        if (listBytes > limits.maxHeaderListBytes) {
          expect.fail(
            `${fields.length} fields of ${listBytes} bytes from ${bytes.toString("hex")}`,
          );
        }
        const { table } = decoder as unknown as { table: { sizeBytes: number; maxBytes: number } };
        if (table.sizeBytes > table.maxBytes) {
          expect.fail(`a table of ${table.sizeBytes} bytes from ${bytes.toString("hex")}`);
        }
      } catch (error) {
        if (!(error instanceof HpackError)) throw error;
        outcomes.refused++;
        decoder = createDecoder(limits);
      }
    }
    // Each outcome was reached often, or the blocks are not hostile in the right way.
    expect(outcomes.decoded).toBeGreaterThan(10_000);
    expect(outcomes.tooLarge).toBeGreaterThan(1_000);
    expect(outcomes.refused).toBeGreaterThan(10_000);
  });

  it("holds no more memory after a flood than its table, caches and one list", () => {
    const decoder = createDecoder();
    const value = "v".repeat(900);
    const { table, cache } = decoder as unknown as {
      table: { slots: unknown[] };
      cache: { slots: unknown[] };
    };
    const shape = (): number[] => [table.slots.length, cache.slots.length];
    for (let i = 0; i < 200; i++) decode(decoder, Buffer.from([0x40, ...text("a"), ...text("")]));
    const before = shape();
    for (let i = 0; i < 20_000; i++) {
      const name = `n${i}`;
      decode(decoder, Buffer.from([0x40, ...text(name), ...text(value), 0xbe, 0xbe]));
      decode(decoder, Buffer.from([0xbe, 0x80 | (1 + (i % 61))]));
    }
    expect(shape()).toEqual(before);
    expect(before[0]).toBeLessThanOrEqual(128);
  });
});
