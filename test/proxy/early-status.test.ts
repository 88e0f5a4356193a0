// Response headers that carry `grpc-status` although they do not end the stream: what they mean
// depends on what follows.

import { describe, expect, it } from "vitest";
import type { DestinationResult } from "../../src/index.ts";
import { StreamParameters } from "../../src/proxy/director.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { fieldValue, type HeaderList } from "../../src/wire/field.ts";
import { transportCombos } from "../support/combos.ts";
import {
  type FieldInput,
  frames,
  message,
  pairsOf,
  request,
  response,
  trailers,
} from "../support/frames.ts";
import { eventually, expectCall, PATH, scriptedRelay, sendCall } from "../support/relay-fixture.ts";

const STATUS: readonly FieldInput[] = [
  ["grpc-status", "5"],
  ["grpc-message", "no%20such"],
  ["grpc-status-details-bin", "CAU"],
];
/** As Go's HTTP server writes it for a handler that sets the status and returns. */
const EARLY: readonly FieldInput[] = [...response(), ...STATUS, ["x-h", "1"]];

describe.each(transportCombos)(
  "response headers with grpc-status, server on $server, client on $client,",
  (combo) => {
    async function unaryUnderWay(complete = true) {
      const results: DestinationResult[] = [];
      const relay = await scriptedRelay(combo, {
        director: (conn) => () =>
          new StreamParameters({ conn }, [], ({ primary }) => void results.push(primary)),
      });
      const { client, backend } = relay;
      sendCall(client, complete);
      const streamId = await expectCall(backend, complete);
      return { ...relay, streamId, results };
    }

    function names(fields: HeaderList): string[] {
      return fields.map(({ name }) => name);
    }

    it("that nothing follows but an empty DATA are a Trailers-Only response, field by field", async () => {
      const { client, backend, streamId, results } = await unaryUnderWay();
      backend.send(frames.headers(streamId, EARLY), frames.data(streamId).end());
      expect(pairsOf(await client.expectTrailers(1))).toEqual(EARLY);
      await client.expectQuiet(1);
      expect(results).toMatchObject([{ status: 5, details: "no such" }]);
    });

    it("are held until it is known what follows", async () => {
      const { client, backend, streamId } = await unaryUnderWay();
      backend.send(frames.headers(streamId, EARLY));
      await backend.sync();
      await client.expectQuiet(1);
      backend.send(frames.data(streamId).end());
      expect(pairsOf(await client.expectTrailers(1))).toEqual(EARLY);
    });

    it("of OK that an empty DATA follows are OK, and their length does not go on", async () => {
      const { client, backend, streamId } = await unaryUnderWay();
      const ok = response(["grpc-status", "0"]);
      backend.send(frames.headers(streamId, [...ok, ["content-length", "0"]]));
      backend.send(frames.data(streamId).end());
      expect(pairsOf(await client.expectTrailers(1))).toEqual(ok);
    });

    it("that an empty DATA follows end an upload that is under way, without an error", async () => {
      const { client, backend, streamId } = await unaryUnderWay(false);
      backend.send(frames.headers(streamId, EARLY), frames.data(streamId).end());
      expect(pairsOf(await client.expectTrailers(1))).toEqual(EARLY);
      await client.expectReset(1, ErrorCode.NO_ERROR);
      await backend.expectReset(streamId, ErrorCode.NO_ERROR);
    });

    it("that messages follow go out without it, and the trailers decide", async () => {
      const { client, backend, streamId, results } = await unaryUnderWay();
      backend.send(frames.headers(streamId, EARLY), frames.data(streamId, message("x")));
      expect(pairsOf(await client.expectHeaders(1))).toEqual(response(["x-h", "1"]));
      expect(await client.expectBytes(1, 6)).toEqual(message("x"));
      backend.send(frames.headers(streamId, trailers(0, "fine")).end());
      expect(pairsOf(await client.expectTrailers(1))).toEqual(trailers(0, "fine"));
      expect(results).toMatchObject([{ status: 0, details: "fine", responseMessages: 1 }]);
    });

    it("that trailers follow go out without it, and the trailers decide", async () => {
      const { client, backend, streamId } = await unaryUnderWay();
      backend.send(frames.headers(streamId, EARLY));
      backend.send(frames.headers(streamId, trailers(7)).end());
      expect(pairsOf(await client.expectHeaders(1))).toEqual(response(["x-h", "1"]));
      expect(pairsOf(await client.expectTrailers(1))).toEqual(trailers(7));
    });

    it("that messages follow and no trailers are missing a status, like any other", async () => {
      const { client, backend, streamId } = await unaryUnderWay();
      backend.send(frames.headers(streamId, EARLY), frames.data(streamId, message("x")).end());
      expect(names(await client.expectHeaders(1))).not.toContain("grpc-status");
      await client.expectBytes(1, 6);
      expect(fieldValue(await client.expectTrailers(1), "grpc-status")).toBe("2");
    });

    it.each(["a message", "trailers"])(
      "in front of %s that the client does not take end the call, once",
      async (what) => {
        const results: DestinationResult[] = [];
        const { client, backend } = await scriptedRelay(combo, {
          client: { settings: { MAX_HEADER_LIST_SIZE: 300 } },
          director: (conn) => () =>
            new StreamParameters({ conn }, [], ({ primary }) => void results.push(primary), {
              // The message would be an error as well.
              maxResponseMessageBytes: 0,
            }),
        });
        sendCall(client);
        const streamId = await expectCall(backend);
        backend.send(frames.headers(streamId, [...EARLY, ["x-long", "v".repeat(300)]]));
        if (what === "trailers") backend.send(frames.headers(streamId, trailers(0)).end());
        else {
          backend.send(frames.data(streamId, message("x")));
          await backend.expectReset(streamId, ErrorCode.CANCEL);
        }
        expect(fieldValue(await client.expectTrailers(1), "grpc-status")).toBe("13");
        expect(client.received(1, "DATA")).toEqual([]);
        await backend.sync();
        expect(results).toMatchObject([{ status: 13 }]);
      },
    );

    it("that a reset follows are no answer: the reset is", async () => {
      const { client, backend, streamId } = await unaryUnderWay();
      backend.send(frames.headers(streamId, EARLY), frames.rst(streamId, ErrorCode.CANCEL));
      const fields = await client.expectTrailers(1);
      expect(names(fields)).toContain(":status");
      expect(fieldValue(fields, "grpc-status")).toBe("1");
      expect(fieldValue(fields, "x-h")).toBeUndefined();
    });

    it.each([
      ["200", "text/html"],
      ["502", "text/html"],
      ["502", "application/grpc"],
    ])(
      "of HTTP %s %s that a body follows are that status, with none of the body",
      async (httpStatus, type) => {
        const { client, backend, streamId, conn } = await unaryUnderWay();
        backend.send(
          frames.headers(streamId, [
            [":status", httpStatus],
            ["content-type", type],
            ["content-length", "13"],
            ...STATUS,
          ]),
          frames.data(streamId, "<html></html>").end(),
        );
        const fields = await client.expectTrailers(1);
        expect(pairsOf(fields)).toEqual([...response(), ...STATUS]);
        await client.expectQuiet(1);
        expect(client.received(1, "DATA")).toEqual([]);
        await eventually("no stream is left", () => conn.openStreamCount === 0);
      },
    );

    it("do not change what the next response that has none is", async () => {
      const { client, backend, streamId } = await unaryUnderWay();
      backend.send(frames.headers(streamId, EARLY), frames.data(streamId).end());
      await client.expectTrailers(1);
      for (const id of [3, 5]) {
        client.send(frames.headers(id, request(PATH)), frames.data(id, message("abc")).end());
        const next = await backend.expectRequest(PATH);
        backend.send(frames.headers(next.streamId, response()));
        expect(pairsOf(await client.expectHeaders(id))).toEqual(response());
        backend.send(frames.headers(next.streamId, trailers(0)).end());
        await client.expectTrailers(id);
      }
    });

    it("of a secondary that nothing follows but an empty DATA are how it ended", async () => {
      const secondaries: DestinationResult[] = [];
      const { client, backend } = await scriptedRelay(combo, {
        director: (conn) => () =>
          new StreamParameters({ conn }, [{ conn, onError: () => undefined }], (result) => {
            secondaries.push(...result.secondaries);
          }),
      });
      sendCall(client);
      const [first, second] = [
        await backend.expectRequest(PATH),
        await backend.expectRequest(PATH),
      ];
      backend.send(frames.headers(second.streamId, EARLY), frames.data(second.streamId).end());
      backend.send(frames.headers(first.streamId, response(["grpc-status", "0"])).end());
      expect(fieldValue(await client.expectTrailers(1), "grpc-status")).toBe("0");
      expect(secondaries).toMatchObject([{ status: 5, details: "no such" }]);
    });
  },
);
