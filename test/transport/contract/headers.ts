// Contract: header lists, trailers and what may not be sent.

import { describe, expect, it } from "vitest";
import { HeaderError } from "../../../src/transport/transport.ts";
import { ErrorCode } from "../../../src/wire/error-code.ts";
import { HeaderField, type HeaderList, listBytes } from "../../../src/wire/field.ts";
import {
  type FieldInput,
  fieldsOf,
  frames,
  message,
  pairsOf,
  request,
  response,
  trailers,
  trailersOnly,
} from "../../support/frames.ts";
import {
  type Contract,
  clientToScript,
  loopback,
  open,
  protocolKind,
  requestFromScript,
  scriptToServer,
  settled,
} from "./harness.ts";

/**
 * Duplicates apart from each other, base64 with and without padding, bytes above 0x7f, an empty
 * value, a flag.
 */
const AWKWARD: readonly FieldInput[] = [
  ["x-many", "first"],
  ["x-one-bin", "AAECAw=="],
  ["x-many", "second, with comma"],
  ["x-two-bin", "//79,AAE"],
  ["x-latin", "caf\xe9 \x80\xff"],
  ["x-empty", ""],
  ["x-many", "first"],
  new HeaderField("x-secret", "never in a table", true),
  ["cookie", "session=0123456789abcdef"],
  ["cookie", "preference=none whatsoever"],
];

const LARGE: readonly FieldInput[] = [["x-large", "v".repeat(40_000)]];

interface SentField {
  readonly name: string;
  readonly value: string;
  readonly sensitive: boolean;
}

/** A list without the memos that HPACK and the field rules keep on its fields. */
function plain(fields: HeaderList = []): SentField[] {
  return fields.map(({ name, value, sensitive }) => ({ name, value, sensitive }));
}

export function headerCases(contract: Contract): void {
  /**
   * Every field exactly; where the order across names cannot be kept, each name's values in order.
   */
  function expectSame(got: HeaderList, sent: readonly FieldInput[]): void {
    const [actual, expected] = [plain(got), plain(fieldsOf(sent))];
    if (contract.weaker.fieldOrder === undefined) {
      expect(actual).toEqual(expected);
      return;
    }
    const byName = (fields: SentField[]): SentField[] =>
      // A stable sort: the values of one name stay in order.
      fields.toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
    expect(byName(actual)).toEqual(byName(expected));
  }

  describe("header lists", () => {
    it.each([
      ["duplicates, -bin values and flags", AWKWARD],
      ["more than one frame of bytes", LARGE],
    ])("go from client to server and back unchanged: %s", async (_, more) => {
      const call = await (await loopback(contract)).call(request("/a/B", ...more));
      call.server.stream.sendHeaders(fieldsOf(response(...more)), false);
      call.server.stream.sendTrailers(fieldsOf(trailers(0, undefined, ...more)));
      expectSame(call.server.headers ?? [], request("/a/B", ...more));
      expectSame(await call.client.untilHeaders(), response(...more));
      expectSame(await call.client.untilTrailers(), trailers(0, undefined, ...more));
    });

    it("deliver a Trailers-Only response as headers that end the stream", async () => {
      const call = await (await loopback(contract)).call();
      call.client.stream.sendData(message("abc"), true);
      await call.server.untilEnded();
      call.server.stream.sendHeaders(fieldsOf(trailersOnly(5, "no such thing")), true);
      expectSame(await call.client.untilHeaders(), trailersOnly(5, "no such thing"));
      expect(call.client.outline).toEqual(["headers(END)"]);
    });

    it("deliver request trailers after every byte of DATA", async () => {
      const call = await (await loopback(contract)).call();
      call.client.stream.sendData(message("abc"), false);
      call.client.stream.sendTrailers(fieldsOf([["x-checksum", "1"]]));
      await call.server.untilEnded();
      if (contract.weaker.requestTrailers === undefined) {
        expectSame(call.server.trailers ?? [], [["x-checksum", "1"]]);
        expect(call.server.outline).toEqual(["data(8)", "trailers"]);
      } else {
        expect(call.server.outline).toEqual(["data(8, END)"]);
      }
    });

    it("deliver trailers after DATA that had to wait for credit", async () => {
      const session = { streamWindowBytes: 70_000 };
      const call = await (await loopback(contract, { session })).call(undefined, true);
      call.server.stream.sendHeaders(fieldsOf(response()), false);
      call.server.stream.sendData(Buffer.alloc(100_000, 7), false);
      call.server.stream.sendTrailers(fieldsOf(trailers(0)));
      await call.client.untilBytes(70_000);
      expect(call.client.trailers).toBeUndefined();
      call.client.stream.acknowledge(70_000);
      await call.client.untilTrailers();
      expect(call.client.outline).toEqual(["headers", "data(100000)", "trailers"]);
    });

    const BAD_FIELDS: readonly (readonly [string, FieldInput])[] = [
      ["an upper-case name", ["X-Upper", "a"]],
      ["an empty name", ["", "a"]],
      ["a name with a space", ["x y", "a"]],
      ["a name with a line break", ["x\r\ny", "a"]],
      ["a value with a line break", ["x-a", "a\r\nb: c"]],
      ["a value with NUL", ["x-a", "a\0b"]],
      ["a value with an escape character", ["x-a", "a\x1bb"]],
      ["a value with DEL", ["x-a", "a\x7fb"]],
      ["a value that begins with a tab", ["x-a", "\tb"]],
      ["a value that ends with a space", ["x-a", "b "]],
      ["http2-settings", ["http2-settings", "AAMAAABk"]],
      ["keep-alive", ["keep-alive", "1"]],
      ["te: trailers in another case", ["te", "Trailers"]],
      ["connection", ["connection", "close"]],
      ["transfer-encoding", ["transfer-encoding", "chunked"]],
      ["te other than trailers", ["te", "gzip"]],
    ];

    it.each([
      ["a space in :path", [":path", "/a b"]],
      ["a fragment in :path", [":path", "/a/B#c"]],
      ["an empty :path", [":path", ""]],
    ] as const)("throw HeaderError for a request with %s", async (_, bad) => {
      const pair = await loopback(contract);
      const others = request("/a/B").filter((f) => Array.isArray(f) && f[0] !== bad[0]);
      expect(() => open(pair.client, [bad, ...others])).toThrow(HeaderError);
      expect(() => open(pair.client, request("/a/B", ["content-type", "text/html"]))).toThrow(
        HeaderError,
      );
      await pair.call();
      expect(pair.server.events.streams.length).toBe(1);
    });

    it.each(BAD_FIELDS)("throw HeaderError for %s; session and siblings live", async (_, bad) => {
      const pair = await loopback(contract);
      const sibling = await pair.call();
      const { openStreamCount } = pair.client.session;
      expect(() => open(pair.client, request("/a/Bad", bad))).toThrow(HeaderError);
      expect(pair.client.session.openStreamCount).toBe(openStreamCount);
      const refuser = sibling.server.stream;
      expect(() => refuser.sendHeaders(fieldsOf(response(bad)), false)).toThrow(HeaderError);
      refuser.sendHeaders(fieldsOf(response()), false);
      expect(() => refuser.sendTrailers(fieldsOf(trailers(0, "", bad)))).toThrow(HeaderError);
      refuser.sendTrailers(fieldsOf(trailers(0)));
      await sibling.client.untilTrailers();
      const next = await pair.call(request("/a/Next"));
      expect(pairsOf(next.server.headers ?? [])).toContainEqual([":path", "/a/Next"]);
      expect(pair.server.events.streams.length).toBe(2);
    });
  });

  describe("header lists that are larger than the peer takes", () => {
    const MOST = 8_192;

    /** The list of `bytes` by RFC 9113 §6.5.2 that begins with `fields`. */
    function padded(bytes: number, fields: readonly FieldInput[]): FieldInput[] {
      const room = bytes - listBytes(fieldsOf(fields)) - "x-pad".length - 32;
      return [...fields, ["x-pad", "p".repeat(room)]];
    }

    it("throw HeaderError; the stream can be answered, session and siblings live", async () => {
      const pair = await loopback(contract, { session: { maxHeaderListBytes: MOST } });
      const call = await pair.call(padded(MOST, request("/a/B")), true);
      const { stream } = call.server;
      const { openStreamCount } = pair.client.session;
      const refused = `at most ${MOST} bytes, which the peer takes, got ${MOST + 1}`;
      expect(() => open(pair.client, padded(MOST + 1, request("/a/B")))).toThrow(HeaderError);
      expect(() => open(pair.client, padded(MOST + 1, request("/a/B")))).toThrow(refused);
      expect(pair.client.session.openStreamCount).toBe(openStreamCount);
      const headers = fieldsOf(padded(MOST + 1, response()));
      expect(() => stream.sendHeaders(headers, false)).toThrow(refused);
      stream.sendHeaders(fieldsOf(padded(MOST, response())), false);
      expect(() => stream.sendTrailers(fieldsOf(padded(MOST + 1, trailers(0))))).toThrow(refused);
      stream.sendTrailers(fieldsOf(padded(MOST, trailers(0))));
      await call.client.untilTrailers();
      expect(call.client.outline).toEqual(["headers", "trailers"]);
      await pair.call(request("/a/Next"));
      expect(pair.server.events.streams.length).toBe(2);
    });
  });

  if (contract.sockets) wireCases(contract, expectSame);
}

function wireCases(
  contract: Contract,
  expectSame: (got: HeaderList, sent: readonly FieldInput[]) => void,
): void {
  describe("header lists on the wire", () => {
    it("leave the client byte-exact, never-indexed fields as such", async () => {
      const end = await clientToScript(contract);
      open(end, request("/a/B", ...AWKWARD));
      expectSame((await end.peer.expectRequest("/a/B")).fields, request("/a/B", ...AWKWARD));
    });

    it("leave the server byte-exact, never-indexed fields as such", async () => {
      const end = await scriptToServer(contract);
      const stream = await requestFromScript(end, frames.headers(1, request("/a/B")).end());
      stream.stream.sendHeaders(fieldsOf(response(...AWKWARD)), false);
      expectSame(await end.peer.expectHeaders(1), response(...AWKWARD));
      stream.stream.sendTrailers(fieldsOf(trailers(0, "m", ...AWKWARD)));
      expectSame(await end.peer.expectTrailers(1), trailers(0, "m", ...AWKWARD));
      await end.peer.expectQuiet(1);
    });

    // What a peer sends is not ours to reorder, so these are exact for every transport.
    it("reach the server's owner as the peer sent them", async () => {
      const end = await scriptToServer(contract);
      const sent = request("/a/B", ...AWKWARD);
      const stream = await requestFromScript(end, frames.headers(1, sent));
      expect(plain(stream.headers)).toEqual(plain(fieldsOf(sent)));
    });

    it("reach the client's owner as the peer sent them, trailers too", async () => {
      const end = await clientToScript(contract);
      const stream = open(end);
      await end.peer.expectRequest();
      const last = trailers(0, "m", ...AWKWARD);
      end.peer.send(frames.headers(1, response(...AWKWARD)), frames.headers(1, last).end());
      await stream.untilTrailers();
      expect(plain(stream.headers)).toEqual(plain(fieldsOf(response(...AWKWARD))));
      expect(plain(stream.trailers)).toEqual(plain(fieldsOf(last)));
    });

    it("are taken from CONTINUATION frames", async () => {
      const end = await scriptToServer(contract);
      const pieces = frames.headersInPieces(1, request("/a/B", ...LARGE), 9_000);
      const stream = await requestFromScript(end, ...pieces);
      expect(pairsOf(stream.headers ?? [])).toEqual(request("/a/B", ...LARGE));
    });

    it("with END_STREAM are one HEADERS frame when the server answers Trailers-Only", async () => {
      const end = await scriptToServer(contract);
      const stream = await requestFromScript(end, frames.headers(1, request("/a/B")).end());
      stream.stream.sendHeaders(fieldsOf(trailersOnly(12)), true);
      expectSame(await end.peer.expectTrailers(1), trailersOnly(12));
      await end.peer.expectQuiet(1);
      expect(end.session.openStreamCount).toBe(0);
    });

    it("reach the wire before any DATA is sent", async () => {
      const end = await scriptToServer(contract);
      const stream = await requestFromScript(end, frames.headers(1, request("/a/B")));
      stream.stream.sendHeaders(fieldsOf(response()), false);
      await end.peer.expectHeaders(1);
      await end.peer.expectQuiet(1);
    });

    it("skip interim responses (RFC 9113 §8.1)", async () => {
      const end = await clientToScript(contract);
      const stream = open(end);
      await end.peer.expectRequest();
      end.peer.send(
        frames.headers(1, [
          [":status", "103"],
          ["link", "</x>"],
        ]),
      );
      end.peer.send(frames.headers(1, response()), frames.headers(1, trailers(0)).end());
      await stream.untilTrailers();
      expect(stream.outline).toEqual(["headers", "trailers"]);
      expectSame(stream.headers ?? [], response());
    });

    it("that end the response early are followed by RST_STREAM(NO_ERROR) — RFC 9113 §8.1", async () => {
      const end = await scriptToServer(contract);
      const stream = await requestFromScript(end, frames.headers(1, request("/a/B")));
      stream.stream.sendHeaders(fieldsOf(response()), false);
      stream.stream.sendData(message("abc"), false);
      stream.stream.sendTrailers(fieldsOf(trailers(0)));
      await end.peer.expectHeaders(1);
      expect(await end.peer.expectBytes(1, 8)).toEqual(message("abc"));
      await end.peer.expectTrailers(1);
      await end.peer.expectReset(1, ErrorCode.NO_ERROR);
      expect(end.session.openStreamCount).toBe(0);
      expect(stream.log).toEqual([]);
    });

    it("beyond maxHeaderListBytes cost the peer that stream and no other", async () => {
      const end = await scriptToServer(contract, { session: { maxHeaderListBytes: 8_192 } });
      end.peer.send(...frames.headersInPieces(1, request("/a/Big", ...LARGE)));
      end.peer.send(frames.headers(3, request("/a/Small")));
      const stream = await end.events.nextStream();
      expect(stream.stream.id).toBe(3);
      await end.peer.expectReset(1, undefined, { skip: ["HEADERS", "DATA"] });
    });

    it("of a response beyond maxHeaderListBytes end that stream and no other", async () => {
      const end = await clientToScript(contract, { session: { maxHeaderListBytes: 8_192 } });
      const [big, small] = [open(end), open(end)];
      for (const _ of [big, small]) await end.peer.expectRequest();
      end.peer.send(...frames.headersInPieces(1, response(...LARGE)));
      end.peer.send(frames.headers(3, trailersOnly(0)).end());
      await small.untilHeaders();
      expect(["protocol", protocolKind(contract)]).toContain((await big.untilReset()).kind);
      await end.peer.expectReset(1);
      expect(big.headers).toBeUndefined();
    });

    it.each(["client", "server"] as const)(
      "of as many small fields as maxHeaderListBytes has room for reach the owner of a %s",
      async (side) => {
        // 34 bytes each, and some for the others.
        const many = Array.from({ length: 1_900 }, (): FieldInput => ["x", "y"]);
        if (side === "server") {
          const end = await scriptToServer(contract);
          const stream = await requestFromScript(
            end,
            ...frames.headersInPieces(1, request("/a/B", ...many)),
          );
          expect(stream.headers).toHaveLength(request("/a/B").length + many.length);
          return;
        }
        const end = await clientToScript(contract);
        const stream = open(end);
        await end.peer.expectRequest();
        end.peer.send(
          ...frames.headersInPieces(1, response(...many)),
          ...frames.headersInPieces(1, trailers(0, "", ...many), 16_384, { endStream: true }),
        );
        await stream.untilTrailers();
        expect(stream.headers).toHaveLength(response().length + many.length);
        expect(stream.trailers).toHaveLength(trailers(0, "").length + many.length);
      },
    );

    it.each([
      ["an upper-case name", ["X-Upper", "a"]],
      ["connection", ["connection", "close"]],
    ] as const)("with %s from a client are a stream error — RFC 9113 §8.1.1", async (_, bad) => {
      const end = await scriptToServer(contract);
      end.peer.send(frames.headers(1, request("/a/Bad", bad)), frames.headers(3, request("/a/B")));
      expect((await end.events.nextStream()).stream.id).toBe(3);
      await end.peer.expectReset(1, ErrorCode.PROTOCOL_ERROR);
    });

    it("with a malformed field from a server are a stream error — RFC 9113 §8.1.1", async () => {
      const end = await clientToScript(contract);
      const stream = open(end);
      await end.peer.expectRequest();
      end.peer.send(frames.headers(1, response(["X-Upper", "a"])));
      expect(await stream.untilReset()).toMatchObject({
        kind: protocolKind(contract),
        code: ErrorCode.PROTOCOL_ERROR,
        unprocessed: false,
      });
      await end.peer.expectReset(1, ErrorCode.PROTOCOL_ERROR);
      await settled(end.session);
    });

    it("enter no table of a peer that keeps none — RFC 7541 §4.2", async () => {
      const end = await clientToScript(contract, { peer: { settings: { HEADER_TABLE_SIZE: 0 } } });
      for (let i = 0; i < 3; i++) {
        open(end, request("/a/B", ["x-repeated", "value"]));
        expect(pairsOf((await end.peer.expectRequest()).fields)).toContainEqual([
          "x-repeated",
          "value",
        ]);
      }
    });

    it.each([
      ["65,536 bytes where the server announces nothing", 65_536, {}],
      ["what the server announces, if less", 1_000, { MAX_HEADER_LIST_SIZE: 1_000 }],
      ["what the server announces, if more", 200_000, { MAX_HEADER_LIST_SIZE: 200_000 }],
    ])("have at most %s", async (_, bytes, settings) => {
      const end = await clientToScript(contract, { peer: { settings } });
      const bare: readonly FieldInput[] = [...request("/a/B"), ["x-pad", ""]];
      const room = bytes - listBytes(fieldsOf(bare));
      const padded = (count: number): FieldInput[] => request("/a/B", ["x-pad", "p".repeat(count)]);
      expect(() => open(end, padded(room + 1))).toThrow(HeaderError);
      open(end, padded(room));
      expect(listBytes((await end.peer.expectRequest("/a/B")).fields)).toBe(bytes);
      await settled(end.session);
    });

    it("follow what the client announces later", async () => {
      const end = await scriptToServer(contract);
      const stream = await requestFromScript(end, frames.headers(1, request("/a/B")).end());
      end.peer.send(frames.settings({ MAX_HEADER_LIST_SIZE: 200 }));
      await end.peer.sync();
      expect(() =>
        stream.stream.sendHeaders(fieldsOf(response(["x-large", "v".repeat(200)])), true),
      ).toThrow(HeaderError);
      stream.stream.sendHeaders(fieldsOf(trailersOnly(12)), true);
      expectSame(await end.peer.expectTrailers(1), trailersOnly(12));
    });

    it("that may not be sent put nothing on the wire", async () => {
      const end = await clientToScript(contract);
      expect(() => open(end, request("/a/Bad", ["X-Upper", "a"]))).toThrow(HeaderError);
      open(end, request("/a/Good"));
      await end.peer.expectRequest("/a/Good");
    });
  });
}
