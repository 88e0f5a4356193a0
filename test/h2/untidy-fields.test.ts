// What a peer should not have sent and is put right: the owner gets a list that may be sent on.

import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { HeaderField, type HeaderList } from "../../src/wire/field.ts";
import {
  END_HEADERS,
  type FieldInput,
  FRAME_TYPES,
  Frame,
  fieldsOf,
  frames,
  request,
  response,
  trailers,
} from "../support/frames.ts";
import { literal } from "./hpack/blocks.ts";
import { CHUNKINGS, client, server } from "./wire.ts";

/** A list without what HPACK and the field rules remember on its fields. */
function plain(fields: HeaderList = []): Pick<HeaderField, "name" | "value" | "sensitive">[] {
  return fields.map(({ name, value, sensitive }) => ({ name, value, sensitive }));
}

function isType(field: FieldInput): boolean {
  return Array.isArray(field) && field[0] === "content-type";
}

/** `fields` without a content type, so that a case can have its own. */
function untyped(fields: readonly FieldInput[]): FieldInput[] {
  return fields.filter((field) => !isType(field));
}

type Untidy = [circumstance: string, received: FieldInput[], kept: FieldInput[]];

const UNTIDY: readonly Untidy[] = [
  ["a space at the end of a value — §8.2.1", [["x", "a "]], [["x", "a"]]],
  ["a tab at the beginning of a value — §8.2.1", [["x", "\ta b"]], [["x", "a b"]]],
  ["many blanks at both ends of a value — §8.2.1", [["x", " \t a\tb \t"]], [["x", "a\tb"]]],
  ["a value of blanks — §8.2.1", [["x", " \t"]], [["x", ""]]],
  ["blanks around te — §8.2.2", [["te", " trailers "]], [["te", "trailers"]]],
  ["te: trailers in another case — §8.2.2", [["te", "Trailers"]], [["te", "trailers"]]],
  ["http2-settings — §3.1", [["http2-settings", "AAMAAABk"]], []],
  ["http2-settings among blanks — §3.1", [["http2-settings", " AAMAAABk "]], []],
  [
    "a never-indexed value with a blank — RFC 7541 §6.2.3",
    [new HeaderField("authorization", "Bearer abc ", true)],
    [new HeaderField("authorization", "Bearer abc", true)],
  ],
  [
    "two content-type fields, of which the first counts",
    [
      ["content-type", "application/grpc+proto"],
      ["x", "y"],
      ["content-type", "text/html"],
    ],
    [
      ["content-type", "application/grpc+proto"],
      ["x", "y"],
    ],
  ],
  [
    "two content-type fields, the first one with a blank",
    [
      ["content-type", "application/grpc "],
      ["content-type", "text/html"],
    ],
    [["content-type", "application/grpc"]],
  ],
];

describe.each(CHUNKINGS)("bytes %s", (_, byteByByte) => {
  describe("a request", () => {
    it.each([
      ...UNTIDY,
      ["host beside :authority — §8.3.1", [["host", "relay.test"]], []],
      [
        "hosts that disagree beside :authority — §8.3.1",
        [
          ["host", "a.test"],
          ["x", "y"],
          ["host", "me@b.test "],
        ],
        [["x", "y"]],
      ],
      ["blanks around content-length", [["content-length", " 0 "]], [["content-length", "0"]]],
    ] as Untidy[])("with %s is tidied", (_, received, kept) => {
      const wire = server({ byteByByte });
      // From the second time on it comes from tables and caches.
      for (const id of [1, 3, 5]) {
        wire.recv(frames.headers(id, [...untyped(request("/a/B")), ...received]));
        const { headers } = wire.lastStream();
        expect(plain(headers[0])).toEqual(plain(fieldsOf([...untyped(request("/a/B")), ...kept])));
      }
      wire.expectAlive();
    });

    it("with blanks around content-length is held to it — §8.1.1", () => {
      const wire = server({ byteByByte });
      wire.request(1, ["content-length", "3 "]);
      wire.recv(frames.data(1, "ab").end()).expectStreamError(1, ErrorCode.PROTOCOL_ERROR);
    });

    it("has its trailers tidied, in which host is a field like others", () => {
      const wire = server({ byteByByte });
      const stream = wire.request();
      const sent = [
        ["x", "y "],
        ["http2-settings", ""],
        ["host", "me@relay.test"],
      ] as const;
      wire.recv(frames.headers(1, sent).end());
      expect(plain(stream.headers[1])).toEqual(plain(fieldsOf([["x", "y"], sent[2]])));
    });
  });

  describe("a response", () => {
    it.each([
      ...UNTIDY,
      ["host, a field like others", [["host", "me@relay.test"]], [["host", "me@relay.test"]]],
    ] as Untidy[])("with %s is tidied, and so are its trailers", (_, received, kept) => {
      const wire = client({ byteByByte });
      for (let i = 0; i < 3; i++) {
        const { headers, stream } = wire.open();
        wire.recv(
          frames.headers(stream.id, [...untyped(response()), ...received]),
          frames.headers(stream.id, trailers(0, undefined, ...received)).end(),
        );
        expect(plain(headers[0])).toEqual(plain(fieldsOf([...untyped(response()), ...kept])));
        expect(plain(headers[1])).toEqual(plain(fieldsOf(trailers(0, undefined, ...kept))));
      }
      wire.sent();
      wire.expectAlive();
    });

    it("with blanks around its status and message says what it would without", () => {
      const wire = client({ byteByByte });
      const stream = wire.open();
      const sent: FieldInput[] = [
        ["grpc-status", " 5"],
        ["grpc-message", "not found: "],
      ];
      wire.recv(frames.headers(1, response()), frames.headers(1, sent).end());
      expect(plain(stream.headers[1])).toEqual(plain(fieldsOf(trailers(5, "not found:"))));
    });
  });
});

describe("the list that an owner gets", () => {
  const INDEXED_LITERAL = 0x40;

  /** A request with `block` as the rest of its header block. */
  function requestWith(streamId: number, block: readonly number[]): Frame {
    // Entries 3, 6 and 4 of the static table: POST, http, "/".
    const bytes = Buffer.from([0x83, 0x86, 0x84, ...block]);
    return new Frame(FRAME_TYPES.HEADERS, END_HEADERS, streamId, bytes);
  }

  it("holds one object for a stripped entry of a table", () => {
    const wire = server();
    wire.recv(requestWith(1, literal(INDEXED_LITERAL, "x", " v ")));
    const first = wire.lastStream().headers[0]?.at(-1);
    wire.recv(requestWith(3, [0xbe, ...literal(INDEXED_LITERAL, "y", "w")]));
    const again = wire.lastStream().headers[0]?.at(-2);
    expect(first?.value).toBe("v");
    expect(again).toBe(first);
  });

  it("takes nothing from the octets of the entry, which count as they came — RFC 7541 §4.1", () => {
    const wire = server();
    wire.recv(requestWith(1, literal(INDEXED_LITERAL, "x", `${" ".repeat(3_000)}v`)));
    expect(wire.lastStream().headers[0]?.at(-1)?.value).toBe("v");
    // There is no room for both in 4,096 bytes.
    wire.recv(requestWith(3, literal(INDEXED_LITERAL, "y", "w".repeat(1_100))));
    wire.recv(requestWith(5, [0xbf])).expectConnectionError(ErrorCode.COMPRESSION_ERROR);
  });

  it("is the one that HPACK gave when nothing is untidy", () => {
    const wire = server();
    const lists = [1, 3, 5, 7].map((id) => wire.request(id).headers[0]);
    expect(lists[3]).toBe(lists[2]);
  });

  it("is one list for an untidy block that comes again", () => {
    const wire = server();
    const lists = [1, 3, 5, 7].map((id) => wire.request(id, ["x", "y "]).headers[0]);
    expect(lists[3]?.at(-1)?.value).toBe("y");
    expect(lists[3]).toBe(lists[2]);
  });
});
