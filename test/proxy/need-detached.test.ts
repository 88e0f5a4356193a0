// Detached secondaries that are still at work when their call is over: what ends them, and who is
// told.

import { describe, expect, it } from "vitest";
import { ErrorReason } from "../../src/grpc/error.ts";
import { Status } from "../../src/grpc/status.ts";
import { MAX_LEFTOVER_BYTES } from "../../src/server/leftovers.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { transportCombos } from "../support/combos.ts";
import { frames, message, request, response, trailers, trailersOnly } from "../support/frames.ts";
import { ABC, eventually, PATH } from "../support/relay-fixture.ts";
import { detachedOnly, openedCall, type SecondaryCallOptions } from "../support/secondary-call.ts";
import { Upload } from "../support/upload.ts";

const MiB = 1024 * 1024;

describe.each(transportCombos)(
  "a secondary that is, server on $server, client on $client",
  (combo) => {
    describe.each(detachedOnly)("$need, $verdict, after its call", (subject) => {
      /** The client has its answer, and the secondary is still at work. */
      async function left(options: Partial<SecondaryCallOptions> = {}) {
        const call = await openedCall(combo, { ...subject, ...options });
        call.answerPrimary();
        expect(await call.status()).toBe(Status.OK);
        expect(call.server.openCallCount).toBe(0);
        expect(call.results).toHaveLength(1);
        expect(call.told).toEqual([]);
        return call;
      }

      const expired = { reason: ErrorReason.DEADLINE, status: Status.DEADLINE_EXCEEDED };
      it.each<[string, number, Partial<SecondaryCallOptions>]>([
        ["30 s", 30_000, {}],
        ["maxDetachedMs", 8_000, { destination: { maxDetachedMs: 8_000 } }],
        ["its own deadline", 3_000, { context: (ctx) => ctx.withTimeout(3_000) }],
        ["the client's deadline", 5_000, { timeout: "5S" }],
        [
          "the client's deadline, of a context of its own",
          5_000,
          { timeout: "5S", context: (ctx) => ctx.withTimeout(6_000) },
        ],
        [
          "the client's deadline, without a limit of its own",
          5_000,
          { timeout: "5S", destination: { maxDetachedMs: Number.POSITIVE_INFINITY } },
        ],
      ])("ends after %s", async (_what, afterMs, options) => {
        const call = await left(options);
        call.clock.advance(afterMs - 4);
        await call.peer.expectQuiet(call.id);
        call.clock.advance(8);
        await call.peer.expectReset(call.id, ErrorCode.CANCEL);
        await call.over(expired);
      });

      it("counts its time from the end of the others", async () => {
        const call = await openedCall(combo, subject);
        call.clock.advance(60_000);
        await call.peer.expectQuiet(call.id);
        call.answerPrimary();
        expect(await call.status()).toBe(Status.OK);
        call.clock.advance(29_996);
        await call.peer.expectQuiet(call.id);
        call.clock.advance(8);
        await call.over(expired);
      });

      it("may go on for ever when nothing limits it", async () => {
        const call = await left({ destination: { maxDetachedMs: Number.POSITIVE_INFINITY } });
        call.clock.advance(86_400_000);
        await eventually("it is known", () => call.server.leftovers.size === 1);
        await call.peer.expectQuiet(call.id);
        call.peer.send(frames.headers(call.id, trailersOnly(0), { endStream: true }));
        await call.over(undefined);
      });

      it("is not reached by a client that goes", async () => {
        const call = await left();
        call.client.destroy();
        await eventually("the client is gone", () => call.server.sessionCount === 0);
        await call.peer.expectQuiet(call.id);
        call.peer.send(frames.headers(call.id, trailersOnly(0), { endStream: true }));
        await call.over(undefined);
      });

      it("is reached by whoever cancels its own context", async () => {
        let cancel = (): void => {};
        const call = await left({
          context: (ctx) => {
            const own = ctx.withTimeout(60_000).withCancel();
            cancel = own.cancel;
            return own.ctx;
          },
        });
        cancel();
        await call.peer.expectReset(call.id, ErrorCode.CANCEL);
        await call.over({ status: Status.CANCELLED });
      });

      it("is ended by the end of the server, which does not wait for it", async () => {
        const call = await left();
        await call.server.close();
        await call.peer.expectReset(call.id, ErrorCode.CANCEL);
        await call.over({ reason: ErrorReason.SHUTDOWN, status: Status.UNAVAILABLE });
      });

      it("is ended by the orderly end of the server when its last connection has closed", async () => {
        const call = await left();
        call.client.send(frames.headers(3, request("/test.Service/Other")));
        const other = await call.primary.expectRequest("/test.Service/Other");
        const closed = call.server.close(60_000);
        await call.peer.expectQuiet(call.id);
        expect(call.server.leftovers.size).toBe(1);
        call.client.destroy();
        await call.primary.expectReset(other.streamId, ErrorCode.CANCEL);
        await closed;
        await call.peer.expectReset(call.id, ErrorCode.CANCEL);
        expect(call.server.leftovers.size).toBe(0);
      });

      it("has not been left over when too much is kept for others already", async () => {
        const call = await openedCall(combo, { ...subject });
        const other = { onServerClosed: () => {} };
        call.server.leftovers.add(other, MAX_LEFTOVER_BYTES - 3_000);
        call.answerPrimary();
        expect(await call.status()).toBe(Status.OK);
        await call.peer.expectReset(call.id, ErrorCode.CANCEL);
        call.server.leftovers.delete(other);
        await call.over({ reason: ErrorReason.SECONDARY_LAG, status: Status.RESOURCE_EXHAUSTED });
      });

      it("is sent again when the backend has not begun it", async () => {
        const call = await left();
        call.peer.send(frames.rst(call.id, ErrorCode.REFUSED_STREAM));
        const { streamId } = await call.peer.expectRequest(PATH);
        expect(await call.peer.expectBody(streamId)).toEqual(ABC);
        call.peer.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
        await call.over(undefined);
      });

      it("has its response read to the end", async () => {
        const call = await left();
        call.peer.send(frames.headers(call.id, response()));
        await new Upload(call.peer, call.id).send(message(Buffer.alloc(MiB)));
        call.peer.send(frames.headers(call.id, trailers(), { endStream: true }));
        await call.over(undefined);
        expect(call.results[0]?.secondaries[0]).toMatchObject({ responseBytes: MiB + 5 });
      });
    });
  },
);
