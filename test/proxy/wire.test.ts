// What a correct proxy says on the wire, frame by frame, both ends scripted: endings, statuses,
// metadata. It goes on in wire-calls.test.ts.

import { describe, expect, it } from "vitest";
import { Status } from "../../src/grpc/status.ts";
import { ErrorCode, errorCodeName } from "../../src/wire/error-code.ts";
import { transportCombos } from "../support/combos.ts";
import {
  frames,
  message,
  pairsOf,
  request,
  response,
  trailers,
  trailersOnly,
} from "../support/frames.ts";
import {
  eventually,
  expectCall,
  PATH,
  type ScriptedRelay,
  scriptedRelay,
  sendCall,
  statusOf,
} from "../support/relay-fixture.ts";

describe.each(transportCombos)("on the wire, server on $server, client on $client", (combo) => {
  /** A unary request on its way: the client has sent all of it, the backend has got all of it. */
  async function unaryUnderWay(relay: ScriptedRelay, clientStream = 1): Promise<number> {
    sendCall(relay.client, true, clientStream);
    return expectCall(relay.backend);
  }

  it("a client's RST_STREAM(CANCEL) in mid-upload arrives as RST_STREAM(CANCEL), without END_STREAM before it", async () => {
    const { client, backend } = await scriptedRelay(combo);
    sendCall(client, false);
    const streamId = await expectCall(backend, false);
    client.send(frames.rst(1, ErrorCode.CANCEL));
    await backend.expectReset(streamId, ErrorCode.CANCEL);
    backend.expectNoEndStream(streamId);
    await backend.expectQuiet(streamId);
    await client.expectQuiet(1);
  });

  it("a client's lost connection arrives as RST_STREAM(CANCEL), without END_STREAM before it", async () => {
    const { client, backend, server } = await scriptedRelay(combo);
    sendCall(client, false);
    const streamId = await expectCall(backend, false);
    client.destroy();
    await backend.expectReset(streamId, ErrorCode.CANCEL);
    backend.expectNoEndStream(streamId);
    await eventually("the call is over", () => server.openCallCount === 0);
  });

  it("a client's half-close alone ends the upload, and leaves the response open", async () => {
    const { client, backend } = await scriptedRelay(combo);
    sendCall(client, false);
    const { streamId } = await backend.expectRequest(PATH);
    await backend.expectData(streamId, { endStream: false });
    client.send(frames.data(1).end());
    expect(await backend.expectBody(streamId)).toHaveLength(0);
    backend.send(frames.headers(streamId, response()), frames.data(streamId, message("x")));
    await client.expectHeaders(1);
    expect(await client.expectData(1)).toEqual(message("x"));
    backend.send(frames.headers(streamId, trailers(), { endStream: true }));
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
  });

  it.each([0, 5])(
    "a Trailers-Only response with status %i stays one HEADERS frame, field by field",
    async (status) => {
      const relay = await scriptedRelay(combo);
      const streamId = await unaryUnderWay(relay);
      const fields = trailersOnly(status, "no%20such", ["x-detail", "1"], ["x-detail", "2"]);
      relay.backend.send(frames.headers(streamId, fields, { endStream: true }));
      expect(pairsOf(await relay.client.expectTrailers(1))).toEqual(fields);
      await relay.client.expectQuiet(1);
      expect(relay.client.received(1).map((frame) => frame.name)).toEqual(["HEADERS"]);
    },
  );

  it("response headers go out when they arrive, before any message", async () => {
    const relay = await scriptedRelay(combo);
    const streamId = await unaryUnderWay(relay);
    relay.backend.send(frames.headers(streamId, response(["x-early", "1"])));
    expect(pairsOf(await relay.client.expectHeaders(1))).toEqual(response(["x-early", "1"]));
    relay.backend.send(frames.headers(streamId, trailers(5, "late"), { endStream: true }));
    expect(pairsOf(await relay.client.expectTrailers(1))).toEqual(trailers(5, "late"));
  });

  describe("a backend's RST_STREAM becomes its status", () => {
    const codes: readonly (readonly [code: number, status: number])[] = [
      [ErrorCode.NO_ERROR, Status.INTERNAL],
      [ErrorCode.PROTOCOL_ERROR, Status.INTERNAL],
      [ErrorCode.INTERNAL_ERROR, Status.INTERNAL],
      [ErrorCode.CANCEL, Status.CANCELLED],
      [ErrorCode.ENHANCE_YOUR_CALM, Status.RESOURCE_EXHAUSTED],
      [ErrorCode.INADEQUATE_SECURITY, Status.PERMISSION_DENIED],
    ];
    const rows = codes.map(([code, status]) => [errorCodeName(code), code, status] as const);

    it.each(rows)("%s before the headers: Trailers-Only", async (_name, code, status) => {
      const relay = await scriptedRelay(combo);
      const streamId = await unaryUnderWay(relay);
      relay.backend.send(frames.rst(streamId, code));
      expect(statusOf(await relay.client.expectTrailers(1))).toBe(status);
      await relay.client.expectQuiet(1);
    });

    it.each(rows)("%s after the headers: trailers", async (_name, code, status) => {
      const relay = await scriptedRelay(combo);
      const streamId = await unaryUnderWay(relay);
      relay.backend.send(frames.headers(streamId, response()));
      await relay.client.expectHeaders(1);
      relay.backend.send(frames.rst(streamId, code));
      expect(statusOf(await relay.client.expectTrailers(1))).toBe(status);
    });

    it.each(rows)(
      "%s within a message: what came of it, then trailers",
      async (_name, code, status) => {
        const relay = await scriptedRelay(combo);
        const streamId = await unaryUnderWay(relay);
        const half = message("0123456789").subarray(0, 9);
        relay.backend.send(frames.headers(streamId, response()), frames.data(streamId, half));
        await relay.client.expectHeaders(1);
        expect(await relay.client.expectData(1)).toEqual(half);
        relay.backend.send(frames.rst(streamId, code));
        expect(statusOf(await relay.client.expectTrailers(1))).toBe(status);
      },
    );

    it.each(rows)(
      "%s after the last message, where trailers are missing",
      async (_name, code, status) => {
        const relay = await scriptedRelay(combo);
        const streamId = await unaryUnderWay(relay);
        relay.backend.send(
          frames.headers(streamId, response()),
          frames.data(streamId, message("whole")),
          frames.rst(streamId, code),
        );
        await relay.client.expectHeaders(1);
        expect(await relay.client.expectBytes(1, 10)).toEqual(message("whole"));
        expect(statusOf(await relay.client.expectTrailers(1))).toBe(status);
      },
    );

    it("but not after the trailers, which count", async () => {
      const relay = await scriptedRelay(combo);
      sendCall(relay.client, false);
      const { streamId } = await relay.backend.expectRequest(PATH);
      relay.backend.send(
        frames.headers(streamId, trailersOnly(0), { endStream: true }),
        frames.rst(streamId, ErrorCode.CANCEL),
      );
      expect(statusOf(await relay.client.expectTrailers(1))).toBe(Status.OK);
      await relay.client.expectReset(1, ErrorCode.NO_ERROR);
    });
  });

  describe("GOAWAY", () => {
    it("with NO_ERROR: streams below it finish, the next call goes over a new connection", async () => {
      const relay = await scriptedRelay(combo);
      const streamId = await unaryUnderWay(relay);
      relay.backend.send(frames.goaway(streamId, ErrorCode.NO_ERROR));
      await eventually("the connection is left", () => relay.conn.state === "idle");
      relay.client.send(frames.headers(3, request(PATH)), frames.data(3, message("2")).end());
      const next = await relay.scripted.connection();
      const second = await next.expectRequest(PATH);
      next.send(frames.headers(second.streamId, trailersOnly(0), { endStream: true }));
      expect(statusOf(await relay.client.expectTrailers(3))).toBe(Status.OK);
      relay.backend.send(frames.headers(streamId, trailersOnly(7), { endStream: true }));
      expect(statusOf(await relay.client.expectTrailers(1))).toBe(7);
    });

    it("with ENHANCE_YOUR_CALM: calls under way are UNAVAILABLE, not RESOURCE_EXHAUSTED", async () => {
      const relay = await scriptedRelay(combo);
      const streamId = await unaryUnderWay(relay);
      relay.backend.send(frames.goaway(streamId, ErrorCode.ENHANCE_YOUR_CALM, "too_many_pings"));
      expect(statusOf(await relay.client.expectTrailers(1))).toBe(Status.UNAVAILABLE);
    });

    it("then a reset of a stream below it: by the code of the reset", async () => {
      const relay = await scriptedRelay(combo);
      const streamId = await unaryUnderWay(relay);
      relay.backend.send(
        frames.goaway(streamId, ErrorCode.NO_ERROR),
        frames.rst(streamId, ErrorCode.CANCEL),
      );
      expect(statusOf(await relay.client.expectTrailers(1))).toBe(Status.CANCELLED);
    });

    it("below a stream: it is sent once more, whole, over a new connection", async () => {
      const relay = await scriptedRelay(combo);
      await unaryUnderWay(relay);
      relay.backend.send(frames.goaway(0, ErrorCode.NO_ERROR));
      const next = await relay.scripted.connection();
      const { streamId } = await next.expectRequest(PATH);
      expect(await next.expectBody(streamId)).toEqual(message("abc"));
      next.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
      expect(statusOf(await relay.client.expectTrailers(1))).toBe(Status.OK);
    });

    it("below it again: UNAVAILABLE, it is not tried a third time", async () => {
      const relay = await scriptedRelay(combo);
      await unaryUnderWay(relay);
      relay.backend.send(frames.goaway(0, ErrorCode.NO_ERROR));
      const next = await relay.scripted.connection();
      await next.expectRequest(PATH);
      next.send(frames.goaway(0, ErrorCode.NO_ERROR));
      expect(statusOf(await relay.client.expectTrailers(1))).toBe(Status.UNAVAILABLE);
      expect(relay.scripted.connectionCount).toBe(2);
    });

    it("below a stream whose response has begun: UNAVAILABLE, it is not sent again", async () => {
      const relay = await scriptedRelay(combo);
      const streamId = await unaryUnderWay(relay);
      relay.backend.send(frames.headers(streamId, response()));
      await relay.client.expectHeaders(1);
      relay.backend.send(frames.goaway(0, ErrorCode.NO_ERROR));
      expect(statusOf(await relay.client.expectTrailers(1))).toBe(Status.UNAVAILABLE);
      expect(relay.scripted.connectionCount).toBe(1);
    });

    it("REFUSED_STREAM: sent once more over the same connection, then UNAVAILABLE", async () => {
      const relay = await scriptedRelay(combo);
      const streamId = await unaryUnderWay(relay);
      relay.backend.send(frames.rst(streamId, ErrorCode.REFUSED_STREAM));
      const again = await relay.backend.expectRequest(PATH);
      expect(await relay.backend.expectBody(again.streamId)).toEqual(message("abc"));
      relay.backend.send(frames.rst(again.streamId, ErrorCode.REFUSED_STREAM));
      expect(statusOf(await relay.client.expectTrailers(1))).toBe(Status.UNAVAILABLE);
      expect(again.streamId).toBe(3);
    });

    it("REFUSED_STREAM after more than what is kept: UNAVAILABLE at once", async () => {
      const relay = await scriptedRelay(combo);
      const big = message(Buffer.alloc(70_000));
      relay.client.send(frames.headers(1, request(PATH)));
      for (let at = 0; at < big.length; at += 16_384) {
        relay.client.send(frames.data(1, big.subarray(at, at + 16_384)));
      }
      const { streamId } = await relay.backend.expectRequest(PATH);
      await relay.backend.expectBytes(streamId, big.length);
      relay.backend.send(frames.rst(streamId, ErrorCode.REFUSED_STREAM));
      expect(statusOf(await relay.client.expectTrailers(1))).toBe(Status.UNAVAILABLE);
      await relay.client.expectReset(1, ErrorCode.NO_ERROR);
    });
  });

  describe("a lost connection to the backend is UNAVAILABLE, never OK or CANCELLED", () => {
    const losses = [
      ["by a TCP reset", (relay: ScriptedRelay) => relay.backend.destroy()],
      ["by FIN", (relay: ScriptedRelay) => relay.backend.end()],
      [
        "by its own GOAWAY and FIN",
        (relay: ScriptedRelay) => {
          relay.backend.send(frames.goaway(1, ErrorCode.NO_ERROR));
          relay.backend.end();
        },
      ],
      ["by closing the ClientConn", (relay: ScriptedRelay) => void relay.conn.close()],
    ] as const;

    it.each(losses)("%s, before the headers", async (_how, lose) => {
      const relay = await scriptedRelay(combo);
      await unaryUnderWay(relay);
      lose(relay);
      expect(statusOf(await relay.client.expectTrailers(1))).toBe(Status.UNAVAILABLE);
    });

    it.each(losses)("%s, in the middle of the response", async (_how, lose) => {
      const relay = await scriptedRelay(combo);
      const streamId = await unaryUnderWay(relay);
      relay.backend.send(frames.headers(streamId, response()), frames.data(streamId, message("x")));
      await relay.client.expectHeaders(1);
      await relay.client.expectBytes(1, 6);
      lose(relay);
      expect(statusOf(await relay.client.expectTrailers(1))).toBe(Status.UNAVAILABLE);
    });

    it("and the next call goes over a new connection", async () => {
      const relay = await scriptedRelay(combo);
      await unaryUnderWay(relay);
      relay.backend.destroy();
      expect(statusOf(await relay.client.expectTrailers(1))).toBe(Status.UNAVAILABLE);
      relay.client.send(frames.headers(3, request(PATH)), frames.data(3, message("2")).end());
      const next = await relay.scripted.connection();
      const { streamId } = await next.expectRequest(PATH);
      next.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
      expect(statusOf(await relay.client.expectTrailers(3))).toBe(Status.OK);
    });
  });

  it("metadata passes byte-exact both ways: duplicates, order among them, padded and unpadded -bin", async () => {
    const { client, backend } = await scriptedRelay(combo);
    const metadata: [string, string][] = [
      ["x-dup", "b"],
      ["x-dup", "a"],
      ["x-dup", ""],
      ["x-one", " !\"#$%&'()*+,-./~".trim()],
      ["x-padded-bin", "AAE="],
      ["x-unpadded-bin", "AAE"],
      ["x-joined-bin", "AAE,AQ,"],
      ["x-latin", "caf\u00e9"],
      ["grpc-trace-bin", "AAA"],
      ["grpc-accept-encoding", "identity,gzip"],
      ["user-agent", "test/1.0 grpc-c/99"],
    ];
    const sent = (name: string) => metadata.filter(([key]) => key === name);
    client.send(frames.headers(1, request(PATH, ...metadata)), frames.data(1).end());
    const { streamId, fields } = await backend.expectRequest(PATH);
    for (const [name] of metadata) {
      expect(pairsOf(fields).filter(([key]) => key === name)).toEqual(sent(name));
    }
    await backend.expectBody(streamId);
    const response_ = metadata.filter(([name]) => name.startsWith("x-"));
    backend.send(
      frames.headers(streamId, response(...response_)),
      frames.headers(streamId, trailers(9, "100%25%20%e4%bd%a0", ...response_), {
        endStream: true,
      }),
    );
    const byName = (a: [string, string], b: [string, string]) =>
      a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0;
    const headers = pairsOf(await client.expectHeaders(1));
    expect(headers.sort(byName)).toEqual(
      [...response(...response_).map((f) => f as [string, string])].sort(byName),
    );
    const trailing = pairsOf(await client.expectTrailers(1));
    expect(trailing.sort(byName)).toEqual(
      [...trailers(9, "100%25%20%e4%bd%a0", ...response_).map((f) => f as [string, string])].sort(
        byName,
      ),
    );
  });

  describe("a slow client and a fast backend that is done: every byte, then the status, trailers last", () => {
    const endings = [
      ["and says no more", []],
      ["then RST_STREAM(NO_ERROR)", [ErrorCode.NO_ERROR]],
      ["then RST_STREAM(CANCEL)", [ErrorCode.CANCEL]],
    ] as const;

    it.each(endings)("trailers %s", async (_title, resets) => {
      const { client, backend } = await scriptedRelay(combo, {
        client: { refillWindows: false, settings: { INITIAL_WINDOW_SIZE: 1_000 } },
      });
      sendCall(client, false);
      const { streamId } = await backend.expectRequest(PATH);
      const body = message(Buffer.alloc(40_000, "x"));
      backend.send(frames.headers(streamId, response()));
      for (let at = 0; at < body.length; at += 10_000) {
        backend.send(frames.data(streamId, body.subarray(at, at + 10_000)));
      }
      backend.send(
        frames.headers(streamId, trailers(0, undefined, ["x-end", "1"]), { endStream: true }),
      );
      for (const code of resets) backend.send(frames.rst(streamId, code));
      await client.expectHeaders(1);
      await client.expectBytes(1, 1_000);
      await client.expectQuiet(1);
      client.send(frames.windowUpdate(1, 100_000));
      expect(await client.expectBytes(1, body.length - 1_000)).toEqual(body.subarray(1_000));
      expect(pairsOf(await client.expectTrailers(1))).toEqual([
        ["grpc-status", "0"],
        ["x-end", "1"],
      ]);
    });
  });
});
