// RFC 9113 §8: which header lists, lengths and sequences make a message.

import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { HeaderError } from "../../src/wire/field.ts";
import {
  type FieldInput,
  fieldsOf,
  frames,
  request,
  response,
  trailers,
} from "../support/frames.ts";
import { CHUNKINGS, client, server } from "./wire.ts";

const { PROTOCOL_ERROR, ENHANCE_YOUR_CALM } = ErrorCode;

function without(name: string): FieldInput[] {
  return request("/a/B").filter((field) => !Array.isArray(field) || field[0] !== name);
}

function swap(name: string, value: string): FieldInput[] {
  return request("/a/B").map((field) =>
    Array.isArray(field) && field[0] === name ? [name, value] : field,
  );
}

const BAD_FIELDS: readonly [string, FieldInput][] = [
  ["an upper-case name — §8.2.1", ["X-Upper", "v"]],
  ["an empty name — §8.2.1", ["", "v"]],
  ["a name with a space — §8.2.1", ["x y", "v"]],
  ["a name with a colon — §8.2.1", ["x:y", "v"]],
  ["a name with DEL — §8.2.1", ["x\x7f", "v"]],
  ["a name beyond ASCII — §8.2.1", ["x\xe9", "v"]],
  ["a value with NUL — §8.2.1", ["x", "a\0b"]],
  ["a value with CR — §8.2.1", ["x", "a\rb"]],
  ["a value with LF — §8.2.1", ["x", "a\nb"]],
  ["a value with an escape character — RFC 9110 §5.5", ["x", "a\x1bb"]],
  ["a value with SOH — RFC 9110 §5.5", ["x", "\x01"]],
  ["a value with DEL — RFC 9110 §5.5", ["x", "a\x7f"]],
  ["connection — §8.2.2", ["connection", "close"]],
  ["keep-alive — §8.2.2", ["keep-alive", "1"]],
  ["proxy-connection — §8.2.2", ["proxy-connection", "close"]],
  ["transfer-encoding — §8.2.2", ["transfer-encoding", "chunked"]],
  ["upgrade — §8.2.2", ["upgrade", "h2c"]],
  ["te other than trailers — §8.2.2", ["te", "gzip"]],
  ["connection among blanks — §8.2.2", ["connection", " close "]],
  ["te other than trailers among blanks — §8.2.2", ["te", " gzip"]],
  ["content-length that is no number", ["content-length", "five"]],
  ["content-length that is no number among blanks", ["content-length", " 5 6 "]],
  ["an unknown pseudo-header field — §8.3", [":fancy", "v"]],
];

/** What is put right when it is received is not sent all the same. */
const UNSENT_FIELDS: readonly [string, FieldInput][] = [
  ["a value that begins with a space — §8.2.1", ["x", " a"]],
  ["a value that ends with a tab — §8.2.1", ["x", "a\t"]],
  ["a value of blanks — §8.2.1", ["x", " \t"]],
  ["te: trailers in another case", ["te", "Trailers"]],
  ["http2-settings — §8.2.2", ["http2-settings", "AAMAAABk"]],
];

describe.each(CHUNKINGS)("bytes %s", (_, byteByByte) => {
  describe("a request", () => {
    it.each([
      ...BAD_FIELDS.map(([name, field]) => [name, [...request("/a/B"), field]] as const),
      ["no :method — §8.3.1", without(":method")],
      ["no :scheme — §8.3.1", without(":scheme")],
      ["no :path — §8.3.1", without(":path")],
      ["an empty :path — §8.3.1", swap(":path", "")],
      ["an empty :method", swap(":method", "")],
      ["an empty :scheme", swap(":scheme", "")],
      ["a space in :path — §8.3.1", swap(":path", "/a b/C")],
      ["a tab in :path — §8.3.1", swap(":path", "/a\tb/C")],
      ["DEL in :path — §8.3.1", swap(":path", "/a\x7f/C")],
      ["a fragment in :path — §8.3.1", swap(":path", "/a/B#c")],
      ["a blank before :path — §8.3.1", swap(":path", " /a/B")],
      ["a blank behind :method", swap(":method", "POST ")],
      [":method that is no token — RFC 9110 §9.1", swap(":method", "POST/")],
      [":scheme that is none — RFC 3986 §3.1", swap(":scheme", "ht/tp")],
      ["userinfo in :authority — §8.3.1", swap(":authority", "me@relay.test")],
      ["a space in :authority — §8.3.1", swap(":authority", "relay test")],
      ["a blank behind :authority", swap(":authority", "relay.test ")],
      ["a blank behind :authority of a UNIX socket", swap(":authority", "/run/relay.sock ")],
      [
        "host fields that disagree and no :authority — §8.3.1",
        [...without(":authority"), ["host", "a.test"], ["host", "b.test"]],
      ],
      [
        "host fields that disagree and an empty :authority — §8.3.1",
        [...swap(":authority", ""), ["host", "a.test"], ["host", "b.test"]],
      ],
      [
        "userinfo in host and no :authority — §8.3.1",
        [...without(":authority"), ["host", "me@relay.test"]],
      ],
      ["nothing at all", []],
      [":method twice — §8.3", [[":method", "POST"], ...request("/a/B")]],
      [":path twice — §8.3", [[":path", "/"], ...request("/a/B")]],
      ["a pseudo-header field after a regular one — §8.3", [["x", "y"], ...request("/a/B")]],
      [":status — §8.3", [[":status", "200"], ...request("/a/B")]],
      ["content-length and END_STREAM — §8.1.1", request("/a/B", ["content-length", "3"])],
      [
        "content-length fields that disagree",
        request("/a/B", ["content-length", "3"], ["content-length", "4"]),
      ],
      ["CONNECT with :path — §8.5", swap(":method", "CONNECT")],
      ["CONNECT without :authority — §8.5", [[":method", "CONNECT"]]],
      [
        "CONNECT with :protocol, which was not offered",
        [
          [":method", "CONNECT"],
          [":protocol", "x"],
        ],
      ],
    ] as [string, FieldInput[]][])("with %s is malformed", (_, fields) => {
      const wire = server({ byteByByte });
      wire.recv(frames.headers(1, fields).end()).expectStreamError(1, PROTOCOL_ERROR);
      expect(wire.streams).toHaveLength(0);
    });

    it.each([
      ["te: trailers in any case — §8.2.2", request("/a/B", ["te", "Trailers"])],
      ["a :path beyond ASCII", swap(":path", "/a/\xe9")],
      ["the path of a UNIX socket as :authority", swap(":authority", "/run/me@host/r.sock")],
      ["a path with a space as :authority", swap(":authority", "/My Files/relay.sock")],
      ["unix: in :authority", swap(":authority", "unix:me@host")],
      ["an abstract UNIX socket as :authority", swap(":authority", "@relay")],
      ["an empty :authority", swap(":authority", "")],
      ["host and no :authority — §8.3.1", [...without(":authority"), ["host", "a.test"]]],
      [
        "host fields that agree and no :authority — §8.3.1",
        [...without(":authority"), ["host", "a.test"], ["host", "A.test"]],
      ],
      ["an empty value", request("/a/B", ["x-empty", ""])],
      ["obs-text and tabs inside a value", request("/a/B", ["x", "a\t\xff\x80b"])],
      ["every token character", request("/a/B", ["!#$%&'*+-.^_`|~09az", "v"])],
      ["no :authority — §8.3.1", without(":authority")],
      ["a path without a slash, which is the owner's to answer", swap(":path", "a/B")],
      [
        "CONNECT — §8.5",
        [
          [":method", "CONNECT"],
          [":authority", "relay.test:1"],
        ],
      ],
      [
        "content-length 0 twice",
        request("/a/B", ["content-length", "0"], ["content-length", "00"]),
      ],
      ["cookie in pieces — §8.2.3", request("/a/B", ["cookie", "a=1"], ["cookie", "b=2"])],
    ] as [string, FieldInput[]][])("with %s is taken", (_, fields) => {
      const wire = server({ byteByByte });
      wire.recv(frames.headers(1, fields).end());
      expect(wire.lastStream().log).toEqual(["headers END"]);
      expect(wire.lastStream().headers[0]).toHaveLength(fields.length);
    });

    it.each([
      ["ends short of content-length", ["ab"], true],
      ["goes beyond content-length", ["ab", "cd"], false],
      ["ends beyond content-length", ["abcd"], true],
    ])("whose DATA %s is malformed — §8.1.1", (_, chunks, end) => {
      const wire = server({ byteByByte });
      const stream = wire.request(1, ["content-length", "3"]);
      chunks.forEach((chunk, i) => {
        const data = frames.data(1, chunk);
        wire.recv(end && i === chunks.length - 1 ? data.end() : data);
      });
      wire.expectStreamError(1, PROTOCOL_ERROR);
      expect(stream.log.at(-1)).toBe("reset protocol PROTOCOL_ERROR");
    });

    it("with a content-length that comes again is held to it each time — §8.1.1", () => {
      const wire = server({ byteByByte });
      for (const id of [1, 3, 5, 7]) {
        wire.request(id, ["content-length", "3"]);
        wire.recv(frames.data(id, "ab").end());
        wire.expectStreamError(id, PROTOCOL_ERROR);
      }
      // And what follows without one to none.
      const stream = wire.request(9);
      wire.recv(frames.data(9, "ab").end());
      expect(stream.log.at(-1)).toMatch(/^data \d END$/);
    });

    it("whose trailers come short of content-length is malformed — §8.1.1", () => {
      const wire = server({ byteByByte });
      wire.request(1, ["content-length", "3"]);
      wire.recv(frames.data(1, "ab"), frames.headers(1, [["x", "y"]]).end());
      wire.expectStreamError(1, PROTOCOL_ERROR);
    });

    it("whose DATA adds up to content-length, padding aside, is complete — §8.1.1", () => {
      const wire = server({ byteByByte });
      const stream = wire.request(1, ["content-length", "4"]);
      wire.recv(frames.data(1, "ab", { padded: 7 }), frames.data(1, "cd").end());
      expect(stream.log.at(-1)).toMatch(/^data \d END$/);
      wire.expectAlive();
    });

    it.each([
      ["without END_STREAM — §8.1", frames.headers(1, [["x", "y"]])],
      ["with a pseudo-header field — §8.1", frames.headers(1, [[":path", "/"]]).end()],
      ["with an upper-case name — §8.2.1", frames.headers(1, [["X", "y"]]).end()],
      ["with a connection-specific field — §8.2.2", frames.headers(1, [["upgrade", "y"]]).end()],
    ])("with trailers %s is malformed", (_, frame) => {
      const wire = server({ byteByByte });
      wire.request();
      wire.recv(frame).expectStreamError(1, PROTOCOL_ERROR);
    });

    it("with trailers ends after every byte of DATA", () => {
      const wire = server({ byteByByte });
      const stream = wire.request();
      wire.recv(frames.data(1, "x"), frames.headers(1, [["x", "y"]]).end());
      expect(stream.log).toEqual(["headers", "data 1", "trailers"]);
    });

    it.each([
      ["in bytes", request("/a/B", ["x", "v".repeat(16_384)])],
      ["in fields", request("/a/B", ...Array.from({ length: 500 }, () => ["x", "y"] as const))],
    ])("with a header list over our limit %s is refused, the next one is not", (_, fields) => {
      const wire = server({ byteByByte });
      wire.recv(...frames.headersInPieces(1, fields)).expectStreamError(1, ENHANCE_YOUR_CALM);
      expect(wire.request(3).log).toEqual(["headers"]);
    });
  });

  describe("a response", () => {
    it.each([
      ...BAD_FIELDS.map(([name, field]) => [name, [...response(), field]] as const),
      ["no :status — §8.3.2", [["x", "y"]]],
      ["nothing at all", []],
      [":status twice — §8.3", [[":status", "200"], ...response()]],
      [
        ":status after a regular field — §8.3",
        [
          ["x", "y"],
          [":status", "200"],
        ],
      ],
      [":path — §8.3", [...response(), [":path", "/"]]],
      ["a :status that is no number", [[":status", "2xx"]]],
      ["a :status of four digits", [[":status", "2000"]]],
      ["status 101 — §8.6", [[":status", "101"]]],
    ] as [string, FieldInput[]][])("with %s is malformed", (_, fields) => {
      const wire = client({ byteByByte });
      const stream = wire.open();
      wire.sent();
      wire.recv(frames.headers(1, fields)).expectStreamError(1, PROTOCOL_ERROR);
      expect(stream.log).toEqual(["reset protocol PROTOCOL_ERROR"]);
    });

    it("begins after any number of 1xx — §8.1", () => {
      const wire = client({ byteByByte });
      const stream = wire.open();
      const early = [":status", "103"] as const;
      wire.recv(frames.headers(1, [[":status", "100"]]), frames.headers(1, [early, ["link", "x"]]));
      expect(stream.log).toEqual([]);
      wire.recv(frames.headers(1, response()), frames.headers(1, trailers(0)).end());
      expect(stream.log).toEqual(["headers", "trailers"]);
    });

    it("of 1xx that ends the stream is malformed — §8.1", () => {
      const wire = client({ byteByByte });
      wire.open();
      wire.sent();
      wire.recv(frames.headers(1, [[":status", "100"]]).end());
      wire.expectStreamError(1, PROTOCOL_ERROR);
    });

    it("of DATA before headers is malformed — §8.1", () => {
      const wire = client({ byteByByte });
      const stream = wire.open();
      wire.sent();
      wire.recv(frames.data(1, "x")).expectStreamError(1, PROTOCOL_ERROR);
      expect(stream.log).toEqual(["reset protocol PROTOCOL_ERROR"]);
    });

    it("of DATA after 1xx alone is malformed — §8.1", () => {
      const wire = client({ byteByByte });
      wire.open();
      wire.sent();
      wire.recv(frames.headers(1, [[":status", "100"]]), frames.data(1, "x"));
      wire.expectStreamError(1, PROTOCOL_ERROR);
    });

    it("with content-length but no content is malformed — §8.1.1", () => {
      const wire = client({ byteByByte });
      wire.open();
      wire.sent();
      wire.recv(frames.headers(1, response(["content-length", "3"])).end());
      wire.expectStreamError(1, PROTOCOL_ERROR);
    });

    it.each([
      ["HEAD", "200"],
      ["POST", "204"],
      ["POST", "304"],
    ])("to %s of status %s may say a content-length without content — §8.1.1", (method, status) => {
      const wire = client({ byteByByte });
      const stream = wire.open(true, swap(":method", method));
      wire.recv(
        frames
          .headers(1, [
            [":status", status],
            ["content-length", "3"],
          ])
          .end(),
      );
      expect(stream.log).toEqual(["headers END"]);
    });

    it("whose trailers are trailers of trailers is malformed — §8.1", () => {
      const wire = client({ byteByByte });
      wire.open();
      wire.sent();
      wire.recv(frames.headers(1, response()), frames.headers(1, trailers(0)));
      wire.expectStreamError(1, PROTOCOL_ERROR);
    });

    it("with a header list over our limit resets the stream", () => {
      const wire = client({ byteByByte, maxHeaderListBytes: 100 });
      const stream = wire.open();
      wire.sent();
      wire.recv(frames.headers(1, response(["x", "v".repeat(100)])));
      wire.expectStreamError(1, ENHANCE_YOUR_CALM);
      expect(stream.log).toEqual(["reset protocol ENHANCE_YOUR_CALM"]);
    });
  });
});

describe("sending", () => {
  it.each([
    ...[...BAD_FIELDS, ...UNSENT_FIELDS].map(
      ([name, field]) => [name, [...request("/a/B"), field]] as const,
    ),
    ["content-type twice", request("/a/B", ["content-type", "application/grpc"])],
    ["a value beyond one octet per character", request("/a/B", ["x", "\u20ac"])],
    ["a name beyond one octet per character", request("/a/B", ["\u20ac", "x"])],
    ["no :path", without(":path")],
  ] as [string, FieldInput[]][])("a request with %s throws, and nothing is sent", (_, fields) => {
    const wire = client();
    expect(() => wire.open(false, fields)).toThrow(HeaderError);
    expect(wire.sent()).toEqual([]);
    expect(wire.open().stream.id).toBe(1);
  });

  it.each([
    ["no :status", fieldsOf([["x", "y"]])],
    ["a connection-specific field", fieldsOf([...response(), ["connection", "close"]])],
  ])("a response with %s throws, and the stream can still be answered", (_, fields) => {
    const wire = server();
    const { stream } = wire.request();
    expect(() => stream.sendHeaders(fields, false)).toThrow(HeaderError);
    expect(wire.sent()).toEqual([]);
    stream.sendHeaders(fieldsOf(response()), true);
    expect(wire.sent()[0]).toMatch(/^HEADERS\(1, END_STREAM/);
  });

  it("trailers with a pseudo-header field throws, and the stream can still be ended", () => {
    const wire = server();
    const { stream } = wire.request();
    stream.sendHeaders(fieldsOf(response()), false);
    expect(() => stream.sendTrailers(fieldsOf(response()))).toThrow(":status does not belong here");
    stream.sendTrailers(fieldsOf(trailers(0)));
    expect(wire.sent()).toHaveLength(3);
  });

  it.each([
    ["headers twice", (s: ReturnType<typeof begun>) => s.sendHeaders(fieldsOf(response()), false)],
    [
      "1xx with END_STREAM",
      (s: ReturnType<typeof fresh>) => s.sendHeaders(fieldsOf([[":status", "103"]]), true),
    ],
    [
      "DATA before the headers",
      (s: ReturnType<typeof fresh>) => s.sendData(Buffer.from("x"), false),
    ],
    [
      "trailers before the headers",
      (s: ReturnType<typeof fresh>) => s.sendTrailers(fieldsOf(trailers(0))),
    ],
  ])("%s throws", (what, send) => {
    expect(() => send(what === "headers twice" ? begun() : fresh())).toThrow(HeaderError);
  });

  it("1xx before the final headers is possible — §8.1", () => {
    const wire = server();
    const { stream } = wire.request();
    stream.sendHeaders(fieldsOf([[":status", "103"]]), false);
    stream.sendHeaders(fieldsOf(response()), true);
    expect(wire.sent().slice(0, 2)).toEqual([
      "HEADERS(1, END_HEADERS) :status=103",
      expect.stringContaining(":status=200"),
    ]);
  });

  it("of host beside :authority is possible — §8.3.1", () => {
    const wire = client();
    wire.open(true, request("/a/B", ["host", "relay.test"]));
    expect(wire.sent()[0]).toContain("host=relay.test");
  });

  it("judges a field object that comes again as it did before", () => {
    const wire = client();
    const good = fieldsOf(request("/a/B"));
    const bad = [...good, ...fieldsOf([["upgrade", "h2c"]])];
    for (let i = 0; i < 2; i++) {
      expect(() => wire.open(true, bad)).toThrow('connection-specific field "upgrade"');
      wire.open(true, good);
    }
    expect(wire.sent()).toHaveLength(2);
  });

  it("of the same trailers again and again is judged the same", () => {
    const wire = server();
    const list = fieldsOf(trailers(0));
    for (const id of [1, 3, 5]) {
      const { stream } = wire.request(id);
      stream.sendHeaders(fieldsOf(response()), false);
      stream.sendTrailers(list);
    }
    expect(wire.sent().filter((line) => line.endsWith("grpc-status=0"))).toHaveLength(3);
  });

  it("says why in words", () => {
    const wire = client();
    const message = (...fields: FieldInput[]): string => {
      try {
        wire.open(false, [...request("/a/B"), ...fields]);
        return "";
      } catch (error) {
        return error instanceof Error ? error.message : "";
      }
    };
    expect(message(["X", "y"])).toBe('bad field name "X"');
    expect(message(["y".repeat(64), "a\n"])).toContain(`field "${"y".repeat(64)}":`);
    expect(message(["X".repeat(65), ""])).toBe(`bad field name "${"X".repeat(64)}"`);
    expect(message(["x", "a\nb"])).toBe('bad value of field "x": octet 0x0a at 1');
    expect(message(["x", "b "])).toBe('bad value of field "x": a space or tab at an end');
    expect(message(["content-length", "b"])).toBe(
      'bad value of field "content-length": expected digits',
    );
    expect(message(["te", "gzip"])).toBe(
      'connection-specific field "te": only "trailers" may pass',
    );
    expect(message(["te", "Trailers"])).toBe('bad value of field "te": expected "trailers"');
    expect(message(["upgrade", "b"])).toBe('connection-specific field "upgrade"');
    expect(message(["http2-settings", "b"])).toBe('connection-specific field "http2-settings"');
    expect(message([":x", "b"])).toBe('unknown pseudo-header field ":x"');
    expect(message(["content-type", "b"])).toBe("content-type comes twice");
  });
});

function fresh(): ReturnType<ReturnType<typeof server>["request"]>["stream"] {
  return server().request().stream;
}

function begun(): ReturnType<typeof fresh> {
  const stream = fresh();
  stream.sendHeaders(fieldsOf(response()), false);
  return stream;
}
