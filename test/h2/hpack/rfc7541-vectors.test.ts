import { describe, expect, it } from "vitest";
import { BlockReader } from "../../../src/h2/hpack/block-reader.ts";
import { writeInteger } from "../../../src/h2/hpack/block-writer.ts";
import { createDecoder, decode, fromHex, lines, sizeUpdate, tableOf } from "./blocks.ts";

interface Vector {
  readonly block: string;
  readonly fields: readonly string[];
  /** Newest first. */
  readonly table: readonly string[];
  readonly tableBytes: number;
}

const request1 = [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"];
const request2 = [...request1, "cache-control: no-cache"];
const request3 = [
  ":method: GET",
  ":scheme: https",
  ":path: /index.html",
  ":authority: www.example.com",
  "custom-key: custom-value",
];
const requests = (blocks: readonly [string, string, string]): Vector[] => [
  {
    block: blocks[0],
    fields: request1,
    table: [":authority: www.example.com"],
    tableBytes: 57,
  },
  {
    block: blocks[1],
    fields: request2,
    table: ["cache-control: no-cache", ":authority: www.example.com"],
    tableBytes: 110,
  },
  {
    block: blocks[2],
    fields: request3,
    table: ["custom-key: custom-value", "cache-control: no-cache", ":authority: www.example.com"],
    tableBytes: 164,
  },
];

const date21 = "date: Mon, 21 Oct 2013 20:13:21 GMT";
const date22 = "date: Mon, 21 Oct 2013 20:13:22 GMT";
const location = "location: https://www.example.com";
const isPrivate = "cache-control: private";
const cookie = "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
const responses = (blocks: readonly [string, string, string]): Vector[] => [
  {
    block: blocks[0],
    fields: [":status: 302", isPrivate, date21, location],
    table: [location, date21, isPrivate, ":status: 302"],
    tableBytes: 222,
  },
  {
    block: blocks[1],
    fields: [":status: 307", isPrivate, date21, location],
    table: [":status: 307", location, date21, isPrivate],
    tableBytes: 222,
  },
  {
    block: blocks[2],
    fields: [":status: 200", isPrivate, date22, location, "content-encoding: gzip", cookie],
    table: [cookie, "content-encoding: gzip", date22],
    tableBytes: 215,
  },
];

const C3 = requests([
  "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
  "8286 84be 5808 6e6f 2d63 6163 6865",
  "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
]);
const C4 = requests([
  "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
  "8286 84be 5886 a8eb 1064 9cbf",
  "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
]);
const C5 = responses([
  `4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a
   3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d`,
  "4803 3330 37c1 c0bf",
  `88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04
   677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49
   553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31`,
]);
const C6 = responses([
  `4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e
   919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3`,
  "4883 640e ffc1 c0bf",
  `88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7
   821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed
   4ee5 b106 3d50 07`,
]);

describe("integers of RFC 7541 §C.1", () => {
  it.each([
    { section: "C.1.1", value: 10, prefixMask: 0x1f, octets: "0a" },
    { section: "C.1.2", value: 1337, prefixMask: 0x1f, octets: "1f 9a 0a" },
    { section: "C.1.3", value: 42, prefixMask: 0xff, octets: "2a" },
  ])("$section: $value is $octets in both directions", ({ value, prefixMask, octets }) => {
    const bytes = fromHex(octets);
    const target = Buffer.alloc(8);
    expect(target.subarray(0, writeInteger(target, 0, 0, prefixMask, value))).toEqual(bytes);
    const reader = new BlockReader();
    reader.open(bytes, 0, bytes.length);
    expect(reader.readInteger(reader.readOctet(), prefixMask)).toBe(value);
    expect(reader.position).toBe(bytes.length);
  });
});

describe("header fields of RFC 7541 §C.2", () => {
  it.each([
    {
      section: "C.2.1, literal with indexing",
      block: "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
      field: "custom-key: custom-header",
      sensitive: false,
      table: ["custom-key: custom-header"],
    },
    {
      section: "C.2.2, literal without indexing",
      block: "040c 2f73 616d 706c 652f 7061 7468",
      field: ":path: /sample/path",
      sensitive: false,
      table: [],
    },
    {
      section: "C.2.3, literal never indexed",
      block: "1008 7061 7373 776f 7264 0673 6563 7265 74",
      field: "password: secret",
      sensitive: true,
      table: [],
    },
    {
      section: "C.2.4, indexed",
      block: "82",
      field: ":method: GET",
      sensitive: false,
      table: [],
    },
  ])("$section: $field", ({ block, field, sensitive, table }) => {
    const decoder = createDecoder();
    const fields = decode(decoder, block);
    expect(lines(fields)).toEqual([field]);
    expect(fields[0]?.sensitive).toBe(sensitive);
    expect(lines(tableOf(decoder))).toEqual(table);
  });
});

describe.each([
  { section: "C.3, requests without Huffman code", vectors: C3, tableBytes: 4_096 },
  { section: "C.4, requests with Huffman code", vectors: C4, tableBytes: 4_096 },
  { section: "C.5, responses without Huffman code", vectors: C5, tableBytes: 256 },
  { section: "C.6, responses with Huffman code", vectors: C6, tableBytes: 256 },
])("header blocks of RFC 7541 §$section", ({ vectors, tableBytes }) => {
  it("decode to the same fields and leave the same table after each block", () => {
    const decoder = createDecoder();
    decode(decoder, Buffer.from(sizeUpdate(tableBytes)));
    for (const vector of vectors) {
      expect(lines(decode(decoder, vector.block))).toEqual(vector.fields);
      const table = tableOf(decoder);
      expect(lines(table)).toEqual(vector.table);
      const bytes = table.reduce(
        (sum, { name, value }) => sum + name.length + value.length + 32,
        0,
      );
      expect(bytes).toBe(vector.tableBytes);
    }
  });

  it("decode from the middle of a larger buffer", () => {
    const decoder = createDecoder();
    decode(decoder, Buffer.from(sizeUpdate(tableBytes)));
    for (const vector of vectors) {
      const block = fromHex(vector.block);
      const buffer = Buffer.concat([Buffer.from("ffff", "hex"), block, Buffer.from("ff00", "hex")]);
      expect(lines(decoder.decode(buffer, 2, 2 + block.length))).toEqual(vector.fields);
    }
  });
});
