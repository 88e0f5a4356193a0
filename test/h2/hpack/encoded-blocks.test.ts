import { describe, expect, it } from "vitest";
import { HpackEncoder } from "../../../src/h2/hpack/encoder.ts";
import { HeaderField, type HeaderList } from "../../../src/wire/field.ts";
import { encode, fieldsFrom, recalled } from "./blocks.ts";

/** What is remembered of `fields`, as hex; `undefined` for nothing. */
function recall(encoder: HpackEncoder, fields: HeaderList): string | undefined {
  return recalled(encoder, fields)?.toString("hex");
}

/** Writes `fields` twice: the second time every field that may be in the table is. */
function repeat(encoder: HpackEncoder, fields: HeaderList): HeaderList {
  encode(encoder, fields);
  encode(encoder, fields);
  return fields;
}

describe("HpackEncoder.recall", () => {
  it("gives the block of a list that was written with references alone", () => {
    const encoder = new HpackEncoder();
    const fields = fieldsFrom(":method: POST", "x-tenant: acme");
    expect(recall(encoder, fields)).toBeUndefined();
    encode(encoder, fields);
    expect(recall(encoder, fields)).toBeUndefined();
    expect(encode(encoder, fields).toString("hex")).toBe("83be");
    expect(recall(encoder, fields)).toBe("83be");
  });

  it("goes by the list object, which an equal one is not", () => {
    const encoder = new HpackEncoder();
    const fields = repeat(encoder, fieldsFrom("x-tenant: acme"));
    expect(recall(encoder, [...fields])).toBeUndefined();
    expect(recall(encoder, fields)).toBe("be");
  });

  it("keeps to its own table although another encoder writes the same list", () => {
    const [one, other] = [new HpackEncoder(), new HpackEncoder()];
    encode(other, fieldsFrom("x-first: 1"));
    const fields = fieldsFrom("x-tenant: acme");
    repeat(one, fields);
    repeat(other, fields);
    encode(other, fieldsFrom("x-last: 1"));
    encode(other, fields);
    expect([recall(one, fields), recall(other, fields)]).toEqual(["be", "bf"]);
  });

  it("forgets when an insertion moves the indexes", () => {
    const encoder = new HpackEncoder();
    const fields = repeat(encoder, fieldsFrom("x-tenant: acme"));
    encode(encoder, fieldsFrom("x-other: 1"));
    expect(recall(encoder, fields)).toBeUndefined();
    encode(encoder, fields);
    expect(recall(encoder, fields)).toBe("bf");
  });

  it("forgets when a size update is due, which has to begin the next block", () => {
    const encoder = new HpackEncoder();
    const fields = repeat(encoder, fieldsFrom("x-tenant: acme"));
    encoder.setPeerMaxTableBytes(2_048);
    expect(recall(encoder, fields)).toBeUndefined();
    expect(encode(encoder, fields).toString("hex")).toBe("3fe10fbe");
    expect(recall(encoder, fields)).toBe("be");
  });

  it.each<[string, HeaderList]>([
    ["a value per call", [new HeaderField("grpc-timeout", "1S")]],
    ["a field that must not be indexed", [new HeaderField("x-secret", "s", true)]],
    ["a field too large for the table", [new HeaderField("x-large", "v".repeat(4_096))]],
  ])("does not remember %s", (_what, fields) => {
    const encoder = new HpackEncoder();
    const list = [new HeaderField(":method", "POST"), ...fields];
    repeat(encoder, list);
    expect(recall(encoder, list)).toBeUndefined();
  });

  it("does not remember a long block", () => {
    const encoder = new HpackEncoder();
    const [field] = fieldsFrom(":method: POST");
    const [fits, long] = [16, 17].map((length) => new Array<HeaderField>(length).fill(field!));
    repeat(encoder, long!);
    repeat(encoder, fits!);
    expect(recall(encoder, long!)).toBeUndefined();
    expect(recall(encoder, fits!)).toBe("83".repeat(16));
  });

  it("remembers the last four lists, whatever their length", () => {
    const encoder = new HpackEncoder();
    const [field] = fieldsFrom(":method: POST");
    const lists = Array.from({ length: 17 }, (_, length) =>
      encodeOnce(encoder, new Array<HeaderField>(length).fill(field!)),
    );
    expect(lists.slice(12).map((list) => recall(encoder, list))).toEqual([
      undefined,
      "83".repeat(13),
      "83".repeat(14),
      "83".repeat(15),
      "83".repeat(16),
    ]);
    const short = lists.slice(1, 5).map((list) => encodeOnce(encoder, list));
    expect(short.map((list) => recall(encoder, list))).toEqual([
      "83",
      "8383",
      "838383",
      "83838383",
    ]);
  });

  it("counts recalled blocks for the credit that new entries are admitted by", () => {
    /**
     * How many of twelve new fields, each sent twice, enter a full table after so many recalled
     * blocks.
     */
    const admitted = (recalls: number): number => {
      const encoder = new HpackEncoder({ maxTableBytes: 200 });
      encode(encoder, fieldsFrom(...[1, 2, 3, 4, 5].map((i) => `x-fill: ${i}`)));
      const known = encodeOnce(encoder, fieldsFrom(":method: POST"));
      for (let i = 0; i < recalls; i++) expect(recall(encoder, known)).toBe("83");
      const late = [..."abcdefghijkl"].map((value) => fieldsFrom(`x-late: ${value}`));
      return late.filter((fields) => {
        encode(encoder, fields);
        return (encode(encoder, fields)[0] as number) >> 6 === 1;
      }).length;
    };
    expect([0, 2, 20].map(admitted)).toEqual([10, 11, 12]);
  });
});

function encodeOnce(encoder: HpackEncoder, fields: HeaderList): HeaderList {
  encode(encoder, fields);
  return fields;
}
