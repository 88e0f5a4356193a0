import { describe, expect, expectTypeOf, it } from "vitest";
import { Metadata } from "../../src/grpc/metadata.ts";
import { HeaderField } from "../../src/wire/field.ts";

function wire(metadata: Metadata): [string, string][] {
  return metadata.toFields().map((field) => [field.name, field.value]);
}

describe("Metadata over received fields", () => {
  const fields = [
    new HeaderField("x", "1"),
    new HeaderField("trace-bin", "AAE="),
    new HeaderField("x", "2,3"),
    new HeaderField("trace-bin", "Ag,AwQ=, BQ"),
    new HeaderField("odd", "\xff \x01"),
  ];

  it("gives the very list back while nothing has changed", () => {
    const metadata = Metadata.fromFields(fields);
    metadata.get("x");
    metadata.delete("absent");
    metadata.merge(new Metadata());
    expect([...metadata]).toHaveLength(7);
    expect(metadata.toFields()).toBe(fields);
    expect(metadata.clone().toFields()).toBe(fields);
  });

  it("finds names in any case, values in order", () => {
    const metadata = Metadata.fromFields(fields);
    expect(metadata.get("X")).toEqual(["1", "2,3"]);
    expect(metadata.first("X")).toBe("1");
    expect(metadata.has("Trace-Bin")).toBe(true);
    expect(metadata.get("absent")).toEqual([]);
    expect(metadata.first("absent")).toBeUndefined();
    expect(metadata.has("absent")).toBe(false);
    expect(metadata.keys()).toEqual(["x", "trace-bin", "odd"]);
    expect(metadata.size).toBe(5);
  });

  it("takes -bin values apart that a hop joined, padded or not", () => {
    const metadata = Metadata.fromFields(fields);
    expect(metadata.get("trace-bin")).toEqual([
      Buffer.from([0, 1]),
      Buffer.from([2]),
      Buffer.from([3, 4]),
      Buffer.from([5]),
    ]);
    expect(metadata.first("trace-bin")).toEqual(Buffer.from([0, 1]));
    const joined = Metadata.fromFields([new HeaderField("k-bin", "BQ,AAE")]);
    expect(joined.first("k-bin")).toEqual(Buffer.from([5]));
  });

  it("keeps what it would not let anybody set", () => {
    const metadata = Metadata.fromFields(fields);
    expect(metadata.get("odd")).toEqual(["\xff \x01"]);
    metadata.append("y", "z");
    expect(metadata.toFields().slice(0, 5)).toEqual(fields);
    expect(metadata.toFields()[4]).toBe(fields[4]);
  });

  it("reads base64 that is none without failing", () => {
    const metadata = Metadata.fromFields([
      new HeaderField("k-bin", ""),
      new HeaderField("k-bin", "!?"),
    ]);
    expect(metadata.get("k-bin")).toEqual([Buffer.alloc(0), Buffer.alloc(0)]);
  });

  it("iterates over names and values in wire order", () => {
    expect([...Metadata.fromFields(fields)]).toEqual([
      ["x", "1"],
      ["trace-bin", Buffer.from([0, 1])],
      ["x", "2,3"],
      ["trace-bin", Buffer.from([2])],
      ["trace-bin", Buffer.from([3, 4])],
      ["trace-bin", Buffer.from([5])],
      ["odd", "\xff \x01"],
    ]);
  });
});

describe("Metadata that is changed", () => {
  it("appends after the values that are there and replaces all of them with set, in the place of the first", () => {
    const metadata = Metadata.from({ a: ["1", "2"], b: "3" });
    metadata.append("A", "4");
    expect(wire(metadata)).toEqual([
      ["a", "1"],
      ["a", "2"],
      ["b", "3"],
      ["a", "4"],
    ]);
    metadata.set("A", "5");
    metadata.set("c", "6");
    expect(wire(metadata)).toEqual([
      ["a", "5"],
      ["b", "3"],
      ["c", "6"],
    ]);
  });

  it("deletes all values of a name and says whether there were any", () => {
    const metadata = Metadata.from({ a: ["1", "2"], b: "3" });
    expect(metadata.delete("A")).toBe(true);
    expect(metadata.delete("a")).toBe(false);
    expect(wire(metadata)).toEqual([["b", "3"]]);
  });

  it("writes bytes as base64 without padding and reads them back", () => {
    const bytes = new Uint8Array([9, 255, 254, 253, 9]).subarray(1, 4);
    const metadata = Metadata.from({ "k-bin": [bytes, Buffer.from("a"), new Uint8Array()] });
    expect(wire(metadata)).toEqual([
      ["k-bin", "//79"],
      ["k-bin", "YQ"],
      ["k-bin", ""],
    ]);
    expect(metadata.get("k-bin")).toEqual([
      Buffer.from([255, 254, 253]),
      Buffer.from("a"),
      Buffer.alloc(0),
    ]);
  });

  it("marks a field sensitive when asked to", () => {
    const metadata = new Metadata();
    metadata.append("authorization", "secret", { sensitive: true });
    metadata.set("x", "open", {});
    metadata.set("cookie", "secret", { sensitive: true });
    expect(metadata.toFields().map((field) => field.sensitive)).toEqual([true, false, true]);
  });

  it("never changes a list that it gave away", () => {
    const metadata = Metadata.from({ a: "1" });
    const before = metadata.toFields();
    metadata.append("b", "2");
    metadata.append("c", "3");
    const between = metadata.toFields();
    metadata.append("d", "4");
    metadata.set("a", "5");
    metadata.delete("b");
    expect(before.map((field) => field.name)).toEqual(["a"]);
    expect(between.map((field) => field.name)).toEqual(["a", "b", "c"]);
    expect(wire(metadata)).toEqual([
      ["a", "5"],
      ["c", "3"],
      ["d", "4"],
    ]);
  });

  it("is independent of its clone both ways", () => {
    const original = Metadata.from({ a: "1" });
    const copy = original.clone();
    copy.append("b", "2");
    original.append("c", "3");
    expect(copy.keys()).toEqual(["a", "b"]);
    expect(original.keys()).toEqual(["a", "c"]);
  });

  it("may be appended to while it is iterated over", () => {
    const metadata = Metadata.from({ a: "1", b: "2" });
    metadata.append("c", "3");
    for (const [name] of metadata) metadata.append(`${name}-copy`, "x");
    expect(metadata.size).toBe(6);
  });

  it("appends everything when merged, whichever side was empty", () => {
    const one = Metadata.from({ a: "1" });
    const two = Metadata.from({ a: "2", b: "3" });
    one.merge(two);
    one.merge(one);
    expect(one.get("a")).toEqual(["1", "2", "1", "2"]);
    const empty = new Metadata();
    empty.merge(two);
    expect(empty.toFields()).toBe(two.toFields());
    empty.append("c", "4");
    two.append("d", "5");
    expect(empty.keys()).toEqual(["a", "b", "c"]);
    expect(two.keys()).toEqual(["a", "b", "d"]);
  });

  it("takes what was merged in as its own copy even after everything was deleted", () => {
    const metadata = Metadata.from({ a: "1" });
    metadata.delete("a");
    const other = Metadata.from({ b: "2" });
    metadata.merge(other);
    metadata.append("c", "3");
    expect(other.keys()).toEqual(["b"]);
    expect(metadata.keys()).toEqual(["b", "c"]);
  });
});

describe("Metadata validation", () => {
  it.each(["x", "X-Y", "a.b_c-0", "user-agent", "grpc-encoding", "grpc-status-details-x"])(
    "lets %s be set",
    (name) => {
      const metadata = new Metadata();
      metadata.set(name, "v");
      expect(metadata.keys()).toEqual([name.toLowerCase()]);
    },
  );

  it.each(["", "a b", "a:b", "ä", "a/b", "a\n", "a\0b", "(a)"])("refuses the name %j", (name) => {
    const complaint = `metadata name: expected one or more of 0-9 a-z _ . -, got ${JSON.stringify(name)}`;
    expect(() => new Metadata().append(name, "v")).toThrow(new TypeError(complaint));
    expect(() => new Metadata().set(name, "v")).toThrow(new TypeError(complaint));
  });

  it.each([
    ":path",
    "te",
    "TE",
    "host",
    "content-type",
    "content-length",
    "grpc-timeout",
    "grpc-status",
    "grpc-message",
    "connection",
    "transfer-encoding",
  ])("refuses %s, which the protocol owns", (name) => {
    expect(() => Metadata.from({ [name]: "v" })).toThrow(
      new TypeError(
        `metadata name: expected one that the protocol does not own, got "${name.toLowerCase()}"`,
      ),
    );
  });

  it.each([
    ["a\nb", "0x0a at 1"],
    ["\tb", "0x09 at 0"],
    ["ab\x7f", "0x7f at 2"],
    ["é", "0xe9 at 0"],
    ["☺", "0x263a at 0"],
  ])("refuses the text %j without showing it", (value, got) => {
    expect(() => new Metadata().set("token", value)).toThrow(
      new TypeError(
        `metadata value of token: expected printable ASCII (bytes go into a -bin name), got ${got}`,
      ),
    );
  });

  it("removes spaces around a text — RFC 9113 §8.2.1", () => {
    const metadata = Metadata.from({ a: "  b c ", d: " ", e: "" });
    expect(wire(metadata)).toEqual([
      ["a", "b c"],
      ["d", ""],
      ["e", ""],
    ]);
  });

  it("wants bytes for -bin names and text for all others", () => {
    expect(() => new Metadata().set("k-bin", "text")).toThrow(
      new TypeError("metadata value of k-bin: expected a Uint8Array, got a string"),
    );
    expect(() => new Metadata().set("k", Buffer.from("x"))).toThrow(
      new TypeError("metadata value of k: expected a string, got bytes, which need a -bin name"),
    );
    expect(() => new Metadata().set("k", 1 as unknown as string)).toThrow(
      new TypeError("metadata value of k: expected a string, got a number"),
    );
  });

  it("is made of an object whose values are text, bytes, or lists of either", () => {
    const from = (values: unknown) => () => Metadata.from(values as Record<string, string>);
    expect(from({ k: 1 })).toThrow("metadata value of k: expected a string, got a number");
    expect(from({ k: ["a", undefined] })).toThrow(
      "metadata value of k: expected a string, got a undefined",
    );
    for (const values of [undefined, null, [["k", "v"]]]) {
      expect(from(values)).toThrow(/^values of Metadata.from: expected an object, got /);
    }
  });

  it("changes nothing when it refuses", () => {
    const metadata = Metadata.from({ a: "1" });
    expect(() => metadata.set("a", "\n")).toThrow(TypeError);
    expect(() => metadata.append("te", "x")).toThrow(TypeError);
    expect(wire(metadata)).toEqual([["a", "1"]]);
  });
});

describe("Metadata types", () => {
  it("knows by the name what a value is", () => {
    const metadata = new Metadata();
    expectTypeOf(metadata.get("x")).toEqualTypeOf<string[]>();
    expectTypeOf(metadata.get("x-bin")).toEqualTypeOf<Buffer[]>();
    expectTypeOf(metadata.first("X-BIN")).toEqualTypeOf<Buffer | undefined>();
    expectTypeOf(metadata.get("x" as string)).toEqualTypeOf<(string | Buffer)[]>();
  });
});
