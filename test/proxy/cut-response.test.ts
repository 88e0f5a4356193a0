// A backend that dies within a message: the call ends by trailers, which say why, unless its client
// would wait for ever for the rest of a second message. What real clients make of either is in
// src/proxy/README.md.

import { describe, expect, it } from "vitest";
import { Status } from "../../src/grpc/status.ts";
import {
  type CallResult,
  GrpcError,
  type StreamInterceptor,
  StreamParameters,
} from "../../src/index.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { FakeClock } from "../support/clock.ts";
import { transportCombos } from "../support/combos.ts";
import { frames, message, pairsOf, request, response, trailers } from "../support/frames.ts";
import {
  PATH,
  type ScriptedRelay,
  type ScriptedRelayOptions,
  scriptedRelay,
  statusOf,
} from "../support/relay-fixture.ts";

const WHOLE = message("whole");
const HALF = message("0123456789").subarray(0, 9);

describe.each(transportCombos)(
  "a response that breaks off, server on $server, client on $client,",
  (combo) => {
    interface Request {
      /** @default 1 */
      readonly messages?: number;
      /** @default true */
      readonly complete?: boolean;
    }

    /** A call whose response has come as far as `whole` messages and `rest`. */
    async function begun(
      whole: number,
      rest: Buffer,
      { messages = 1, complete = true }: Request = {},
      options: ScriptedRelayOptions = {},
    ): Promise<ScriptedRelay & { readonly streamId: number }> {
      const relay = await scriptedRelay(combo, options);
      const { client, backend } = relay;
      const body = Buffer.concat(new Array<Buffer>(messages).fill(message("abc")));
      client.send(frames.headers(1, request(PATH, ["grpc-timeout", "10S"])));
      client.send(complete ? frames.data(1, body).end() : frames.data(1, body));
      const { streamId } = await backend.expectRequest(PATH);
      if (complete) await backend.expectBody(streamId);
      else await backend.expectBytes(streamId, body.length);
      backend.send(frames.headers(streamId, response()));
      const sent = Buffer.concat([...new Array<Buffer>(whole).fill(WHOLE), rest]);
      if (sent.length > 0) backend.send(frames.data(streamId, sent));
      await client.expectHeaders(1);
      if (sent.length > 0) expect(await client.expectBytes(1, sent.length)).toEqual(sent);
      return { ...relay, streamId };
    }

    it.each([
      ["within its first message", 0, HALF, {}],
      ["behind its only message", 1, Buffer.alloc(0), {}],
      ["within its third message", 2, HALF, {}],
      ["within its second message while the client still sends", 1, HALF, { complete: false }],
      ["within its second message to a client that sent two", 1, HALF, { messages: 2 }],
    ])("%s, ends by trailers that say why", async (_where, whole, rest, sent) => {
      const { client, backend } = await begun(whole, rest, sent);
      backend.destroy();
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.UNAVAILABLE);
    });

    it.each([
      ["within its first message", 0, HALF],
      ["within a prefix", 0, HALF.subarray(0, 3)],
      ["within its third message", 2, HALF],
    ])(
      "%s, with trailers that say OK, ends with INTERNAL, and with the status of any others",
      async (_where, whole, rest) => {
        for (const said of [Status.OK, Status.NOT_FOUND]) {
          const results: CallResult[] = [];
          const { client, backend, streamId } = await begun(
            whole,
            rest,
            {},
            {
              director: (conn) => () =>
                new StreamParameters({ conn }, [], (result) => void results.push(result)),
            },
          );
          backend.send(frames.headers(streamId, trailers(said)).end());
          const status = said === Status.OK ? Status.INTERNAL : said;
          expect(statusOf(await client.expectTrailers(1))).toBe(status);
          expect(results).toMatchObject([{ status, primary: { status } }]);
        }
      },
    );

    it("within its second message, with trailers that say OK, ends a call that may be unary by a reset", async () => {
      const { client, backend, streamId } = await begun(1, HALF);
      backend.send(frames.headers(streamId, trailers(0)).end());
      await client.expectReset(1, ErrorCode.INTERNAL_ERROR);
    });

    const ends = [
      ["whose connection is lost", undefined, ErrorCode.INTERNAL_ERROR],
      ["that is reset with INTERNAL_ERROR", ErrorCode.INTERNAL_ERROR, ErrorCode.INTERNAL_ERROR],
      ["that is refused", ErrorCode.REFUSED_STREAM, ErrorCode.INTERNAL_ERROR],
      ["that is reset with CANCEL", ErrorCode.CANCEL, ErrorCode.CANCEL],
      ["that is told to be calm", ErrorCode.ENHANCE_YOUR_CALM, ErrorCode.ENHANCE_YOUR_CALM],
    ] as const;

    it.each(ends)(
      "within its second message, %s, ends a call that may be unary by a reset",
      async (_how, received, sent) => {
        const { client, backend, streamId } = await begun(1, HALF);
        if (received === undefined) backend.destroy();
        else backend.send(frames.rst(streamId, received));
        await client.expectReset(1, sent);
        client.expectNoEndStream(1);
        await client.expectQuiet(1);
      },
    );

    it.each([1, 4])(
      "within the prefix of its second message, %i bytes of it, ends such a call by a reset, too",
      async (bytes) => {
        const { client, backend } = await begun(1, HALF.subarray(0, bytes), { messages: 1 });
        backend.destroy();
        await client.expectReset(1, ErrorCode.INTERNAL_ERROR);
      },
    );

    it("within its second message ends such a call by a reset whoever ends it", async () => {
      const clock = new FakeClock();
      const { client, backend, streamId } = await begun(1, HALF, {}, { clock });
      clock.advance(10_004);
      await client.expectReset(1, ErrorCode.CANCEL);
      await backend.expectReset(streamId, ErrorCode.CANCEL);
    });

    it.each([
      ["passes the error on", (next: () => Promise<void> | void) => next()],
      [
        "has an error of its own",
        async (next: () => Promise<void> | void) => {
          await Promise.resolve(next()).catch(() => {
            throw new GrpcError(Status.ABORTED, "mine");
          });
        },
      ],
    ])(
      "within its second message ends such a call by a reset behind an interceptor that %s",
      async (_how, run) => {
        const interceptor: StreamInterceptor = (stream, _info, handler) =>
          run(() => handler(stream));
        const { client, backend } = await begun(
          1,
          HALF,
          {},
          { server: { interceptors: [interceptor] } },
        );
        backend.destroy();
        await client.expectReset(1, ErrorCode.INTERNAL_ERROR);
        client.expectNoEndStream(1);
        await client.expectQuiet(1);
      },
    );

    it("and is swallowed by onError all the same ends such a call by a reset", async () => {
      const results: CallResult[] = [];
      const { client, backend } = await begun(
        1,
        HALF,
        {},
        {
          director: (conn) => () =>
            new StreamParameters({ conn, onError: () => undefined }, [], (result) => {
              results.push(result);
            }),
        },
      );
      backend.destroy();
      await client.expectReset(1, ErrorCode.INTERNAL_ERROR);
      expect(results).toMatchObject([{ primary: { status: Status.UNAVAILABLE, swallowed: true } }]);
    });

    it("by trailers of the backend's own ends by the same trailers", async () => {
      const { client, backend, streamId } = await begun(1, HALF);
      backend.send(frames.headers(streamId, trailers(14, "mine")).end());
      expect(pairsOf(await client.expectTrailers(1))).toEqual(trailers(14, "mine"));
    });

    it("counts as the status that it ended with, not as what a reset can say", async () => {
      const results: CallResult[] = [];
      const { client, backend, server } = await begun(
        1,
        HALF,
        {},
        {
          director: (conn) => () =>
            new StreamParameters({ conn }, [], (result) => void results.push(result)),
        },
      );
      backend.destroy();
      await client.expectReset(1);
      expect(results).toMatchObject([{ status: Status.UNAVAILABLE }]);
      expect(server.openCallCount).toBe(0);
    });
  },
);
