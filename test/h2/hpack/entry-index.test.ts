import { describe, expect, it } from "vitest";
import { EntryIndex } from "../../../src/h2/hpack/entry-index.ts";
import { HeaderField } from "../../../src/wire/field.ts";

const field = (name: string, value: string): HeaderField => new HeaderField(name, value);

describe("EntryIndex", () => {
  it("finds entries by name and value, and the newest by name", () => {
    const index = new EntryIndex();
    index.add(field("a", "1"), 7);
    index.add(field("a", "2"), 8);
    expect(index.find("a", "1")).toBe(7);
    expect(index.find("a", "2")).toBe(8);
    expect(index.findName("a")).toBe(8);
    expect(index.find("a", "3")).toBeUndefined();
    expect(index.find("b", "1")).toBeUndefined();
    expect(index.findName("b")).toBeUndefined();
  });

  it("forgets a name with its last value", () => {
    const index = new EntryIndex();
    index.add(field("a", "1"), 7);
    index.add(field("a", "2"), 8);
    index.remove(field("a", "1"));
    expect(index.find("a", "1")).toBeUndefined();
    expect(index.findName("a")).toBe(8);
    index.remove(field("a", "2"));
    expect(index.findName("a")).toBeUndefined();
    expect(index).toMatchObject({ names: new Map() });
  });

  it("ignores the removal of what it does not have", () => {
    const index = new EntryIndex();
    index.add(field("a", "1"), 7);
    index.remove(field("b", "1"));
    expect(index.find("a", "1")).toBe(7);
  });
});
