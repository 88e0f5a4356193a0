// Contract: what a peer should not have sent in a field is put right, refused, or, where the
// transport cannot tell, documented.

import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../../src/wire/error-code.ts";
import { HeaderField } from "../../../src/wire/field.ts";
import {
  type FieldInput,
  type Frame,
  frames,
  message,
  pairsOf,
  request,
  response,
  trailers,
} from "../../support/frames.ts";
import {
  type Contract,
  clientToScript,
  open,
  protocolKind,
  requestFromScript,
  scriptToServer,
} from "./harness.ts";

type Pairs = readonly (readonly [string, string])[];

/** What comes, and what the owner gets of it. */
const BLANKS: readonly (readonly [string, Pairs, Pairs])[] = [
  [
    "a space at the end of a value",
    [["authorization", "Bearer abc "]],
    [["authorization", "Bearer abc"]],
  ],
  ["a tab at the beginning of a value", [["x-tab", "\ta b"]], [["x-tab", "a b"]]],
  ["a value of blanks", [["x-blank", " \t"]], [["x-blank", ""]]],
  ["a space around grpc-timeout", [["grpc-timeout", " 1S "]], [["grpc-timeout", "1S"]]],
  [
    "a space behind grpc-status and grpc-message",
    [
      ["grpc-status", "5 "],
      ["grpc-message", "x: "],
    ],
    [
      ["grpc-status", "5"],
      ["grpc-message", "x:"],
    ],
  ],
];

const DROPPED: readonly (readonly [string, Pairs, Pairs])[] = [
  ["http2-settings, of an upgrade — RFC 9113 §3.1", [["http2-settings", "AAMAAABk"]], []],
  ["te: trailers in another case", [["te", "Trailers"]], [["te", "trailers"]]],
  [
    "two content-type fields, of which the first counts",
    [
      ["content-type", "application/grpc+proto"],
      ["x-a", "b"],
      ["content-type", "text/html"],
    ],
    [
      ["content-type", "application/grpc+proto"],
      ["x-a", "b"],
    ],
  ],
];

function untyped(fields: readonly FieldInput[]): FieldInput[] {
  return fields.filter((field) => field instanceof HeaderField || field[0] !== "content-type");
}

function swap(name: string, value: string | undefined): FieldInput[] {
  const rest = request("/a/B").filter((field) => field instanceof HeaderField || field[0] !== name);
  return value === undefined ? rest : [[name, value], ...rest];
}

export function untidyFieldCases(contract: Contract): void {
  if (contract.sockets) wireCases(contract);
}

function wireCases(contract: Contract): void {
  const { blanks, controlOctets, unixAuthority } = contract.weaker;
  /** Where the transport loses fields with blanks, they are not there at all. */
  const all = [
    ...BLANKS.map(([name, sent, kept]) => [name, sent, blanks === undefined ? kept : []] as const),
    ...DROPPED,
  ];

  describe("fields that a peer should not have sent so", () => {
    it.each(all)("are put right in requests: %s", async (_, sent, kept) => {
      const end = await scriptToServer(contract);
      const base = untyped(request("/a/B"));
      const stream = await requestFromScript(end, frames.headers(1, [...base, ...sent]));
      expect(pairsOf(stream.headers ?? [])).toEqual([...base, ...kept]);
    });

    it.each(all)("are put right in responses and trailers: %s", async (_, sent, kept) => {
      const end = await clientToScript(contract);
      const stream = open(end);
      await end.peer.expectRequest();
      const base = untyped(response());
      end.peer.send(
        frames.headers(1, [...base, ...sent]),
        frames.headers(1, trailers(0, undefined, ...sent)).end(),
      );
      await stream.untilTrailers();
      expect(pairsOf(stream.headers ?? [])).toEqual([...base, ...kept]);
      expect(pairsOf(stream.trailers ?? [])).toEqual(trailers(0, undefined, ...kept));
    });

    it("are put right in trailers of requests", async () => {
      const end = await scriptToServer(contract);
      const stream = await requestFromScript(end, frames.headers(1, request("/a/B")));
      end.peer.send(
        frames
          .headers(1, [
            ["http2-settings", "AAMAAABk"],
            ["x-sum", "1"],
          ])
          .end(),
      );
      await stream.untilEnded();
      expect(pairsOf(stream.trailers ?? [])).toEqual([["x-sum", "1"]]);
    });

    it("lose host beside :authority — RFC 9113 §8.3.1", async () => {
      const end = await scriptToServer(contract);
      const fields = request("/a/B", ["host", "other.test"]);
      const stream = await requestFromScript(end, frames.headers(1, fields));
      expect(pairsOf(stream.headers ?? [])).toEqual(request("/a/B"));
    });

    it("keep host where there is no :authority — RFC 9113 §8.3.1", async () => {
      const end = await scriptToServer(contract);
      const fields = [...swap(":authority", undefined), ["host", "relay.test"]] as FieldInput[];
      const stream = await requestFromScript(end, frames.headers(1, fields));
      expect(pairsOf(stream.headers ?? [])).toContainEqual(["host", "relay.test"]);
    });

    it.each([
      ["connection", request("/a/B", ["connection", "close"])],
      ["keep-alive", request("/a/B", ["keep-alive", "1"])],
      ["proxy-connection", request("/a/B", ["proxy-connection", "close"])],
      ["transfer-encoding", request("/a/B", ["transfer-encoding", "chunked"])],
      ["upgrade", request("/a/B", ["upgrade", "h2c"])],
      ["te other than trailers", request("/a/B", ["te", "gzip"])],
      ["a space in :path", swap(":path", "/a b")],
      ["a tab in :path", swap(":path", "/a\tb")],
      ["DEL in :path", swap(":path", "/a\x7fb")],
      ["a fragment in :path", swap(":path", "/a/B#c")],
      [":method that is no token", swap(":method", "POST /x")],
      [":scheme that is none", swap(":scheme", "ht tp")],
      ["userinfo in :authority", swap(":authority", "me@relay.test")],
      [
        "host fields that disagree and no :authority",
        [...swap(":authority", undefined), ["host", "a.test"], ["host", "b.test"]],
      ],
      [
        "userinfo in host and no :authority",
        [...swap(":authority", undefined), ["host", "me@a.test"]],
      ],
    ] as [string, FieldInput[]][])("cost a client the stream, and no other: %s", async (_, bad) => {
      const end = await scriptToServer(contract);
      end.peer.send(frames.headers(1, bad), frames.headers(3, request("/a/Next")));
      expect((await end.events.nextStream()).stream.id).toBe(3);
      await end.peer.expectReset(1, ErrorCode.PROTOCOL_ERROR);
      expect(end.session.openStreamCount).toBe(1);
    });

    // More than a length has, but nghttp2 takes it.
    const TOO_MANY_DIGITS = ["content-length", "0000000000000008"] as const;

    it.each([
      ["upgrade in headers", [frames.headers(1, response(["upgrade", "h2c"]))]],
      ["a :status below 100", [frames.headers(1, [[":status", "099"]])]],
      [
        "upgrade in trailers",
        [
          frames.headers(1, response()),
          frames.headers(1, trailers(0, undefined, ["upgrade", "h2c"])).end(),
        ],
      ],
      [
        "a content-length of too many digits in trailers",
        [
          frames.headers(1, response()),
          frames.data(1, message("abc")),
          frames.headers(1, trailers(0, undefined, TOO_MANY_DIGITS)).end(),
        ],
      ],
    ] as [string, Frame[]][])("cost a server the stream, and no other: %s", async (_, answer) => {
      const end = await clientToScript(contract);
      const [stream, sibling] = [open(end), open(end)];
      for (const _ of [stream, sibling]) await end.peer.expectRequest();
      end.peer.send(...answer, frames.headers(3, response()));
      expect((await stream.untilReset()).code).toBe(ErrorCode.PROTOCOL_ERROR);
      expect(stream.reset?.kind).toBeOneOf(["protocol", protocolKind(contract)]);
      await sibling.untilHeaders();
      await end.peer.expectReset(1, ErrorCode.PROTOCOL_ERROR);
      expect(stream.trailers).toBeUndefined();
    });

    it("cost a client the stream, and no other: a bad content-length in trailers", async () => {
      const end = await scriptToServer(contract);
      const stream = await requestFromScript(end, frames.headers(1, request("/a/B")));
      const last = frames.headers(1, [TOO_MANY_DIGITS]).end();
      end.peer.send(frames.data(1, message("abc")), last, frames.headers(3, request("/a/Next")));
      expect((await stream.untilReset()).kind).toBe("protocol");
      await end.events.nextStream();
      await end.peer.expectReset(1, ErrorCode.PROTOCOL_ERROR);
      expect(stream.trailers).toBeUndefined();
    });

    // nghttp2 takes these, so every transport tells.
    it("are told to the session's owner when they are refused, by field and rule", async () => {
      const server = await scriptToServer(contract);
      server.peer.send(frames.headers(1, swap(":path", "/a/B#c")));
      await server.peer.expectReset(1, ErrorCode.PROTOCOL_ERROR);
      expect(server.events.refusals).toMatchObject([
        {
          scope: "stream",
          streamId: 1,
          rule: expect.stringContaining('field ":path": it is empty'),
        },
      ]);
      const client = await clientToScript(contract);
      const streams = [open(client), open(client)];
      for (const _ of streams) await client.peer.expectRequest();
      client.peer.send(
        frames.headers(1, response(TOO_MANY_DIGITS)),
        frames.headers(3, response()),
        frames.data(3, message("abc")),
        frames.headers(3, trailers(0, undefined, TOO_MANY_DIGITS)).end(),
      );
      for (const stream of streams) expect((await stream.untilReset()).kind).toBe("protocol");
      expect(client.events.refusals).toMatchObject([
        { scope: "stream", streamId: 1, rule: expect.stringContaining('field "content-length"') },
        { scope: "stream", streamId: 3, rule: expect.stringContaining('field "content-length"') },
      ]);
    });

    describe.each(["\x01", "\x08", "\n", "\x1b", "\x7f"])("of which one has octet %j", (octet) => {
      const bad = ["x-control", `a${octet}b`] as const;

      it("cost a client the stream", async () => {
        const end = await scriptToServer(contract);
        end.peer.send(frames.headers(1, request("/a/B", bad)), frames.headers(3, request("/a/N")));
        const stream = await end.events.nextStream();
        if (controlOctets === undefined) {
          expect(stream.stream.id).toBe(3);
          await end.peer.expectReset(1, ErrorCode.PROTOCOL_ERROR);
        } else {
          expect(pairsOf(stream.headers ?? [])).toEqual(request("/a/B"));
        }
      });

      it("cost a server the stream", async () => {
        const end = await clientToScript(contract);
        const stream = open(end);
        await end.peer.expectRequest();
        const last = trailers(0, undefined, bad);
        end.peer.send(frames.headers(1, response()), frames.headers(1, last).end());
        if (controlOctets === undefined) {
          expect(await stream.untilReset()).toMatchObject({ kind: "protocol" });
          await end.peer.expectReset(1, ErrorCode.PROTOCOL_ERROR);
        } else {
          await stream.untilTrailers();
          expect(pairsOf(stream.trailers ?? [])).toEqual(trailers(0));
        }
      });
    });

    it.each([
      ["a path", "/run/relay.sock"],
      ["nothing", ""],
      ["unix: and a path", "unix:/run/relay.sock"],
      ["the name of an abstract socket", "@relay"],
      ["no :authority", undefined],
    ])("are taken from clients over UNIX sockets: %s as :authority", async (_, authority) => {
      const end = await scriptToServer(contract);
      const fields = swap(":authority", authority);
      end.peer.send(frames.headers(1, fields), frames.headers(3, request("/a/Next")));
      const stream = await end.events.nextStream();
      if (unixAuthority !== undefined && stream.stream.id === 3) {
        await end.peer.expectReset(1, ErrorCode.PROTOCOL_ERROR);
      } else {
        expect(stream.stream.id).toBe(1);
        expect(pairsOf(stream.headers ?? [])).toEqual(fields);
      }
    });
  });
}
