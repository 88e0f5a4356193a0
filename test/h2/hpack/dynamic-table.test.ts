import { describe, expect, it } from "vitest";
import { DynamicTable, entryBytes } from "../../../src/h2/hpack/dynamic-table.ts";
import { HeaderField } from "../../../src/wire/field.ts";

function insert(table: DynamicTable, value: string): HeaderField {
  const field = new HeaderField("n", value);
  const bytes = entryBytes(field);
  table.shrinkTo(table.maxBytes - bytes);
  table.insert(field, bytes);
  return field;
}

describe("DynamicTable", () => {
  it("counts an entry as name, value and 32 (RFC 7541 §4.1)", () => {
    expect(entryBytes(new HeaderField("name", "value"))).toBe(4 + 5 + 32);
  });

  it("gives entries by age and nothing beyond the oldest", () => {
    const table = new DynamicTable(4_096);
    expect(table.at(0)).toBeUndefined();
    const [older, newer] = [insert(table, "1"), insert(table, "2")];
    expect([table.at(0), table.at(1), table.at(2)]).toEqual([newer, older, undefined]);
    expect(table.at(16)).toBeUndefined();
  });

  it("lets go of what it evicts, so that it can be collected", () => {
    const table = new DynamicTable(3 * 34);
    for (const value of "abcdefgh") insert(table, value);
    const { slots } = table as unknown as { readonly slots: (HeaderField | undefined)[] };
    const held = slots.filter((field) => field !== undefined).map(({ value }) => value);
    expect(held.sort()).toEqual(["f", "g", "h"]);
    table.shrinkTo(0);
    expect(slots.every((field) => field === undefined)).toBe(true);
    expect(table).toMatchObject({ count: 0, sizeBytes: 0 });
  });

  it("changes its version with every insertion and eviction, and with nothing else", () => {
    const table = new DynamicTable(4_096);
    const versions = [table.version];
    insert(table, "1");
    versions.push(table.version);
    table.shrinkTo(0);
    versions.push(table.version);
    expect(new Set(versions).size).toBe(3);
    table.shrinkTo(0);
    table.maxBytes = 0;
    expect(table.version).toBe(versions[2]);
  });

  it("keeps its entries in order when the insertion number wraps", () => {
    const table = new DynamicTable(4_096);
    table.insertCount = 0x7fffffff - 10;
    const fields = Array.from({ length: 100 }, (_, i) => insert(table, `${i}`));
    expect(table.insertCount).toBeLessThan(0);
    expect(fields.map((_, age) => table.at(age))).toEqual([...fields].reverse());
    table.shrinkTo(table.sizeBytes - 1);
    expect(table.at(98)).toBe(fields[1]);
    expect(table.at(99)).toBeUndefined();
  });
});
