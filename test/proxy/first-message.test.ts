// `message` of a destination: sent at once, in the place of the client's first message, whoever has
// looked at that.

import { describe, expect, it } from "vitest";
import { ErrorReason, type GrpcError } from "../../src/grpc/error.ts";
import { Status } from "../../src/grpc/status.ts";
import { type StreamDirector, StreamParameters } from "../../src/proxy/director.ts";
import type { CallResult } from "../../src/proxy/results.ts";
import { handleStream } from "../../src/proxy/transparent-handler.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { transportCombos } from "../support/combos.ts";
import { frames, message, request, trailersOnly } from "../support/frames.ts";
import {
  connectTo,
  eventually,
  listen,
  listenRelay,
  PATH,
  scriptedBackend,
  scriptedRelay,
  statusOf,
} from "../support/relay-fixture.ts";
import { ScriptedClient } from "../support/scripted-endpoints.ts";
import { Upload } from "../support/upload.ts";

const own = Buffer.from("own");
const [first, second, third] = [message("first one"), message("second"), message("third")];

describe.each(transportCombos)(
  "a destination's own message, server on $server, client on $client",
  (combo) => {
    /** A call to a backend that gets `own`; `results` has what the finalizer is told. */
    async function relayed(peeks = 0) {
      const results: CallResult[] = [];
      const errors: (GrpcError | undefined)[] = [];
      const finalizer = (result: CallResult): void => {
        results.push({ ...result });
        errors.push(result.error);
      };
      const relay = await scriptedRelay(combo, {
        director: (conn): StreamDirector => {
          const params = () => new StreamParameters({ conn, message: own }, [], finalizer);
          if (peeks === 0) return params;
          return async (_ctx, _method, peeker) => {
            await peeker.peek(peeks);
            return params();
          };
        },
      });
      const begin = async (): Promise<number> => {
        relay.client.send(frames.headers(1, request(PATH)));
        return (await relay.backend.expectRequest(PATH)).streamId;
      };
      const finish = async (streamId: number): Promise<number> => {
        relay.backend.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
        return statusOf(await relay.client.expectTrailers(1));
      };
      return { ...relay, results, errors, begin, finish };
    }

    it("is sent at once, before the client has sent anything", async () => {
      const call = await relayed();
      const id = await call.begin();
      expect(await call.backend.expectData(id, { endStream: false })).toEqual(message(own));
      call.client.send(frames.data(1, first), frames.data(1, second).end());
      expect(await call.backend.expectBody(id)).toEqual(second);
      expect(await call.finish(id)).toBe(Status.OK);
      expect(call.results[0]?.primary).toMatchObject({
        requestMessages: 2,
        requestBytes: message(own).length + second.length,
      });
    });

    it("is the only one of a unary call", async () => {
      const call = await relayed();
      const id = await call.begin();
      call.client.send(frames.data(1, first).end());
      expect(await call.backend.expectBody(id)).toEqual(message(own));
      expect(await call.finish(id)).toBe(Status.OK);
      expect(call.results[0]?.primary).toMatchObject({ requestMessages: 1 });
    });

    it.each([
      ["with its headers", [frames.headers(1, request(PATH), { endStream: true })]],
      ["later", [frames.headers(1, request(PATH)), frames.data(1).end()]],
    ])("is the only one of a client that ends without a message %s", async (_when, parts) => {
      const call = await relayed();
      call.client.send(...parts);
      const { streamId } = await call.backend.expectRequest(PATH);
      expect(await call.backend.expectBody(streamId)).toEqual(message(own));
      expect(await call.finish(streamId)).toBe(Status.OK);
      expect(call.results[0]?.primary).toMatchObject({ requestMessages: 1 });
    });

    it("replaces a message that comes in single bytes, and only that", async () => {
      const call = await relayed();
      const id = await call.begin();
      const all = Buffer.concat([first, second, third]);
      for (let i = 0; i < all.length - 1; i++) {
        call.client.send(frames.data(1, all.subarray(i, i + 1)));
      }
      call.client.send(frames.data(1, all.subarray(-1)).end());
      const expected = Buffer.concat([message(own), second, third]);
      expect(await call.backend.expectBody(id)).toEqual(expected);
      expect(await call.finish(id)).toBe(Status.OK);
      expect(call.results[0]?.primary).toMatchObject({ requestMessages: 3 });
    });

    it.each([
      ["is compressed", Buffer.concat([Buffer.from([1, 0, 0, 0, 4]), Buffer.from("zzzz")])],
      ["has no bytes", message(Buffer.alloc(0))],
    ])("replaces a message that %s", async (_what, replaced) => {
      const call = await relayed();
      const id = await call.begin();
      call.client.send(frames.data(1, Buffer.concat([replaced, second])).end());
      expect(await call.backend.expectBody(id)).toEqual(Buffer.concat([message(own), second]));
      expect(await call.finish(id)).toBe(Status.OK);
    });

    it("gives the client credit for a replaced message that is larger than every window", async () => {
      const call = await relayed();
      const id = await call.begin();
      await new Upload(call.client, 1).send(message(Buffer.alloc(1_048_576)));
      call.client.send(frames.data(1, second).end());
      expect(await call.backend.expectBody(id)).toEqual(Buffer.concat([message(own), second]));
      expect(await call.finish(id)).toBe(Status.OK);
    });

    it.each([1, 3, 5, 9])(
      "is taken back when the client ends after %i bytes of the message that it replaces",
      async (bytes) => {
        const call = await relayed();
        const id = await call.begin();
        await call.backend.expectData(id);
        call.client.send(frames.data(1, first.subarray(0, bytes)).end());
        await call.backend.expectReset(id, ErrorCode.CANCEL);
        call.backend.expectNoEndStream(id);
        expect(statusOf(await call.client.expectTrailers(1))).toBe(Status.INTERNAL);
        expect(call.errors).toMatchObject([{ reason: ErrorReason.TRUNCATED_MESSAGE }]);
      },
    );

    it("is sent again, once, to a backend that has refused the stream", async () => {
      const call = await relayed();
      const id = await call.begin();
      call.client.send(frames.data(1, Buffer.concat([first, second])));
      await call.backend.expectBytes(id, message(own).length + second.length);
      call.backend.send(frames.rst(id, ErrorCode.REFUSED_STREAM));
      const again = await call.backend.expectRequest(PATH);
      call.client.send(frames.data(1, third).end());
      const expected = Buffer.concat([message(own), second, third]);
      expect(await call.backend.expectBody(again.streamId)).toEqual(expected);
      expect(await call.finish(again.streamId)).toBe(Status.OK);
    });

    it.each([1, 2])("replaces the first message when the director has peeked at %i", async (n) => {
      const call = await relayed(n);
      call.client.send(frames.headers(1, request(PATH)));
      call.client.send(frames.data(1, Buffer.concat([first, second, third])).end());
      const { streamId } = await call.backend.expectRequest(PATH);
      const expected = Buffer.concat([message(own), second, third]);
      expect(await call.backend.expectBody(streamId)).toEqual(expected);
      expect(await call.finish(streamId)).toBe(Status.OK);
    });

    it("is that of one destination, and others get the client's", async () => {
      const [one, other] = [await scriptedBackend(combo), await scriptedBackend(combo)];
      const { address } = await listenRelay(
        combo,
        () => new StreamParameters({ conn: one.conn }, [{ conn: other.conn, message: own }]),
      );
      const client = await ScriptedClient.connect(address);
      client.send(frames.headers(1, request(PATH)), frames.data(1, first.subarray(0, 7)));
      client.send(frames.data(1, Buffer.concat([first.subarray(7), second])).end());
      for (const [backend, head] of [
        [one, first],
        [other, message(own)],
      ] as const) {
        const peer = await backend.peer();
        const { streamId } = await peer.expectRequest(PATH);
        expect(await peer.expectBody(streamId)).toEqual(Buffer.concat([head, second]));
        peer.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
      }
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
    });

    describe("in a handler", () => {
      it.each([
        [0, [second, third]],
        [1, [second, third]],
        [2, [third]],
        [3, []],
        // All of them, and the end.
        [4, []],
      ])("replaces what was read when that are %i", async (reads, rest) => {
        const backend = await scriptedBackend(combo);
        const results: CallResult[] = [];
        const { address } = await listen(combo, {
          unknownServiceHandler: async (stream) => {
            for (let i = 0; i < reads; i++) await stream.recvMessage();
            const destination = { conn: backend.conn, message: own };
            const params = new StreamParameters(destination, [], (r) => void results.push(r));
            await handleStream(stream, stream.method, params);
          },
        });
        const peer = await connectTo(backend);
        const client = await ScriptedClient.connect(address);
        client.send(frames.headers(1, request(PATH)));
        client.send(frames.data(1, Buffer.concat([first, second, third])).end());
        const { streamId } = await peer.expectRequest(PATH);
        expect(await peer.expectBody(streamId)).toEqual(Buffer.concat([message(own), ...rest]));
        peer.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
        expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
        await eventually("the finalizer has run", () => results.length === 1);
        expect(results[0]?.primary.requestMessages).toBe(1 + rest.length);
      });
    });

    describe("behind an interceptor that has read the first message", () => {
      it.each([
        ["replaces that", 0, [second, third]],
        ["replaces the one that the director has peeked at", 1, [third]],
      ])("%s", async (_title, peeks, rest) => {
        const backend = await scriptedBackend(combo);
        const { address } = await listenRelay(
          combo,
          async (_ctx, _method, peeker) => {
            if (peeks > 0) expect((await peeker.peek()).toString()).toBe("second");
            return new StreamParameters({ conn: backend.conn, message: own });
          },
          {
            interceptors: [
              async (stream, _info, next) => {
                await stream.recvMessage();
                await next(stream);
              },
            ],
          },
        );
        const peer = await connectTo(backend);
        const client = await ScriptedClient.connect(address);
        client.send(frames.headers(1, request(PATH)));
        client.send(frames.data(1, Buffer.concat([first, second, third])).end());
        const { streamId } = await peer.expectRequest(PATH);
        expect(await peer.expectBody(streamId)).toEqual(Buffer.concat([message(own), ...rest]));
        peer.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
        expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
      });
    });
  },
);
