import { describe, expect, it } from "vitest";
import { sharedBlock } from "../../../src/h2/hpack/shared-blocks.ts";
import { HeaderField, type HeaderList } from "../../../src/wire/field.ts";
import { createDecoder, decode, fieldsFrom } from "./blocks.ts";

/** The list that stands for all lists equal to `fields`. */
function sharedList(fields: HeaderList): HeaderList {
  return sharedBlock(new DataView(new ArrayBuffer(1)), 0, 1, 0, fields).fields;
}

describe("the shared list", () => {
  it("gives the list that came first for all equal ones", () => {
    const first = fieldsFrom(":path: /shared.Lists/First", "x-empty: ");
    expect(sharedList(first)).toBe(first);
    expect(sharedList(fieldsFrom(":path: /shared.Lists/First", "x-empty: "))).toBe(first);
    expect(sharedList(first)).toBe(first);
  });

  // Of the same lengths and with the same last characters, so that they compete for one place.
  const base = [new HeaderField("x-name", "value-a!"), new HeaderField("x-other", "b")];
  it.each<[string, HeaderList]>([
    ["value", [new HeaderField("x-name", "value-b!"), base[1]!]],
    ["name", [new HeaderField("x-nome", "value-a!"), base[1]!]],
    ["last field", [base[0]!, new HeaderField("x-ether", "b")]],
    ["sensitivity", [new HeaderField("x-name", "value-a!", true), base[1]!]],
  ])("tells lists apart that differ in one %s only", (_what, other) => {
    expect(sharedList(base)).toEqual(base);
    expect(sharedList(other)).toBe(other);
  });

  it("takes no list for its beginning", () => {
    for (let length = 0; length < 200; length++) {
      const list = Array.from({ length }, () => new HeaderField("", ""));
      expect(sharedList(list)).toHaveLength(length);
      expect(sharedList(list.slice(1))).toHaveLength(Math.max(0, length - 1));
    }
  });

  it("is what decoders of several connections give for a block that comes again", () => {
    const [first, second] = [createDecoder(), createDecoder()].map((decoder) => {
      decode(decoder, "83 86 84");
      decode(decoder, "83 86 84");
      return decode(decoder, "83 86 84");
    });
    expect(second).toBe(first);
  });

  it("does not mix up what one block means on connections with different tables", () => {
    const lists = ["61 78", "61 79"].map((value) => {
      const decoder = createDecoder();
      decode(decoder, `40 01 61 02 ${value}`);
      decode(decoder, "be");
      decode(decoder, "be");
      return decode(decoder, "be").map((field) => field.value);
    });
    expect(lists).toEqual([["ax"], ["ay"]]);
  });
});
