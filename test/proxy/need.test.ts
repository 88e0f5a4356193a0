// Secondaries of every need that are open: what their end, the primary's, the client's and the
// server's make of the call, in either order, and that each call ends once, with each onError told
// at most once and the finalizer run once.

import { describe, expect, it } from "vitest";
import { ErrorReason } from "../../src/grpc/error.ts";
import { Status } from "../../src/grpc/status.ts";
import type { CallContext } from "../../src/server/call-context.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { transportCombos } from "../support/combos.ts";
import { frames, message, trailersOnly } from "../support/frames.ts";
import { eventually } from "../support/relay-fixture.ts";
import {
  detachedOnly,
  type OpenedCall,
  openedCall,
  others,
  outcomeOf,
  subjects,
} from "../support/secondary-call.ts";
import { Upload } from "../support/upload.ts";

const MiB = 1024 * 1024;

describe.each(transportCombos)("a secondary, server on $server, client on $client", (combo) => {
  describe("that is open", () => {
    interface Failure {
      readonly title: string;
      readonly fails: (call: OpenedCall) => void;
      readonly status: number;
      readonly reason: ErrorReason;
      readonly context?: (ctx: CallContext) => CallContext;
    }
    const failures: readonly Failure[] = [
      {
        title: "fails with a status",
        fails: ({ peer, id }) =>
          peer.send(frames.headers(id, trailersOnly(7, "denied"), { endStream: true })),
        status: Status.PERMISSION_DENIED,
        reason: ErrorReason.UPSTREAM_STATUS,
      },
      {
        title: "is reset",
        fails: ({ peer, id }) => peer.send(frames.rst(id, ErrorCode.INTERNAL_ERROR)),
        status: Status.INTERNAL,
        reason: ErrorReason.UPSTREAM_RESET,
      },
      {
        title: "loses its connection",
        fails: ({ peer }) => peer.destroy(),
        status: Status.UNAVAILABLE,
        reason: ErrorReason.UPSTREAM_SESSION,
      },
      {
        title: "has its deadline passed",
        fails: ({ clock }) => clock.advance(3_004),
        status: Status.DEADLINE_EXCEEDED,
        reason: ErrorReason.DEADLINE,
        context: (ctx) => ctx.withTimeout(3_000),
      },
      {
        title: "has its connection closed",
        fails: ({ conn }) => void conn.close(),
        status: Status.UNAVAILABLE,
        reason: ErrorReason.UPSTREAM_SESSION,
      },
    ];
    const failing = subjects.flatMap((subject) =>
      failures.map((failure) => ({ ...subject, failure, title: failure.title })),
    );

    it.each(failing)(
      "$need, $verdict: $title before the primary ends",
      async ({ failure, ...subject }) => {
        const call = await openedCall(combo, {
          ...subject,
          ...(failure.context && { context: failure.context }),
        });
        failure.fails(call);
        await eventually("it has failed", () => call.conn.openStreamCount === 0);
        await call.client.expectQuiet(1);
        call.answerPrimary();
        expect(await call.status()).toBe(outcomeOf(subject, failure.status));
        await call.over({ reason: failure.reason, status: failure.status });
      },
    );

    it.each(failing)(
      "$need, $verdict: $title after the primary has ended",
      async ({ failure, ...subject }) => {
        const call = await openedCall(combo, {
          ...subject,
          ...(failure.context && { context: failure.context }),
        });
        call.answerPrimary();
        if (subject.need === "detached") {
          expect(await call.status()).toBe(Status.OK);
          expect(call.told).toEqual([]);
        } else await call.client.expectQuiet(1);
        failure.fails(call);
        if (subject.need !== "detached") {
          expect(await call.status()).toBe(outcomeOf(subject, failure.status));
        }
        await call.over({ reason: failure.reason, status: failure.status });
      },
    );

    it.each(subjects)("$need, $verdict: is well after the primary", async (subject) => {
      const call = await openedCall(combo, subject);
      call.answerPrimary();
      if (subject.need === "detached") {
        expect(await call.status()).toBe(Status.OK);
        expect(call.server.openCallCount).toBe(0);
        expect(call.server.leftovers.size).toBe(1);
      } else await call.client.expectQuiet(1);
      call.peer.send(frames.headers(call.id, trailersOnly(0), { endStream: true }));
      if (subject.need !== "detached") expect(await call.status()).toBe(Status.OK);
      await call.over(undefined);
    });

    it.each(subjects)("$need, $verdict: the primary fails by its status", async (subject) => {
      const call = await openedCall(combo, subject);
      call.answerPrimary(Status.NOT_FOUND);
      if (subject.need === "detached") expect(await call.status()).toBe(Status.NOT_FOUND);
      else await call.client.expectQuiet(1);
      call.peer.send(frames.headers(call.id, trailersOnly(0), { endStream: true }));
      if (subject.need !== "detached") expect(await call.status()).toBe(Status.NOT_FOUND);
      await call.over(undefined);
    });

    it.each(others)("$need, $verdict: the primary is reset", async (subject) => {
      const call = await openedCall(combo, subject);
      call.primary.send(frames.rst(call.primaryId, ErrorCode.INTERNAL_ERROR));
      await call.peer.expectReset(call.id, ErrorCode.CANCEL);
      expect(await call.status()).toBe(Status.INTERNAL);
      await call.over({ reason: ErrorReason.CALL_ENDED, status: Status.CANCELLED });
    });

    it.each(detachedOnly)("$need, $verdict: the primary is reset", async (subject) => {
      const call = await openedCall(combo, subject);
      call.primary.send(frames.rst(call.primaryId, ErrorCode.INTERNAL_ERROR));
      expect(await call.status()).toBe(Status.INTERNAL);
      await call.peer.expectQuiet(call.id);
      call.peer.send(frames.headers(call.id, trailersOnly(0), { endStream: true }));
      await call.over(undefined);
    });

    it.each(others)(
      "$need, $verdict: gets the rest of the request when the primary was early",
      async (subject) => {
        const call = await openedCall(combo, { ...subject, complete: false });
        call.answerPrimary();
        await call.primary.expectReset(call.primaryId, ErrorCode.NO_ERROR);
        call.client.send(frames.data(1, message("more")).end());
        expect(await call.peer.expectBody(call.id)).toEqual(message("more"));
        call.peer.send(frames.headers(call.id, trailersOnly(0), { endStream: true }));
        expect(await call.status()).toBe(Status.OK);
        await call.over(undefined);
      },
    );

    it.each(detachedOnly)(
      "$need, $verdict: is ended with a call that ends before its request",
      async (subject) => {
        const call = await openedCall(combo, { ...subject, complete: false });
        call.answerPrimary();
        expect(await call.status()).toBe(Status.OK);
        await call.peer.expectReset(call.id, ErrorCode.CANCEL);
        call.peer.expectNoEndStream(call.id);
        await call.over({ reason: ErrorReason.CALL_ENDED, status: Status.CANCELLED });
      },
    );

    it.each(subjects)("$need, $verdict: the client cancels", async (subject) => {
      const call = await openedCall(combo, subject);
      call.client.send(frames.rst(1, ErrorCode.CANCEL));
      await call.peer.expectReset(call.id, ErrorCode.CANCEL);
      await call.primary.expectReset(call.primaryId, ErrorCode.CANCEL);
      await call.over({ reason: ErrorReason.CLIENT_CANCELLED, status: Status.CANCELLED });
      expect(call.primaryTold).toHaveLength(1);
    });

    it.each(subjects)(
      "$need, $verdict, with a context of its own: the client cancels",
      async (subject) => {
        const call = await openedCall(combo, {
          ...subject,
          context: (ctx) => ctx.withTimeout(60_000),
        });
        call.client.send(frames.rst(1, ErrorCode.CANCEL));
        await call.peer.expectReset(call.id, ErrorCode.CANCEL);
        await call.over({ reason: ErrorReason.CLIENT_CANCELLED, status: Status.CANCELLED });
        expect(call.results[0]).toMatchObject({ status: Status.CANCELLED, clientGone: true });
      },
    );

    it.each(subjects)("$need, $verdict: the client's deadline passes", async (subject) => {
      const call = await openedCall(combo, { ...subject, timeout: "5S" });
      call.clock.advance(5_004);
      expect(await call.status()).toBe(Status.DEADLINE_EXCEEDED);
      await call.peer.expectReset(call.id, ErrorCode.CANCEL);
      await call.over({ reason: ErrorReason.DEADLINE, status: Status.DEADLINE_EXCEEDED });
    });

    it.each(detachedOnly)(
      "$need, $verdict: the client cancels while the finalizer runs",
      async (subject) => {
        let finish = (): void => {};
        const finished = new Promise<void>((resolve) => {
          finish = resolve;
        });
        const call = await openedCall(combo, { ...subject, finalizer: () => finished });
        call.answerPrimary();
        await eventually("the finalizer runs", () => call.results.length === 1);
        call.client.send(frames.rst(1, ErrorCode.CANCEL));
        await call.peer.expectReset(call.id, ErrorCode.CANCEL);
        finish();
        await call.over({ reason: ErrorReason.CLIENT_CANCELLED, status: Status.CANCELLED });
      },
    );

    it.each(subjects)("$need, $verdict: does not read", async (subject) => {
      const call = await openedCall(combo, { ...subject, complete: false, refillWindows: false });
      const upload = new Upload(call.client, 1);
      const body = Buffer.alloc(4 * MiB);
      if (subject.need !== "detached") {
        const settle = () => Promise.all([call.primary.sync(), call.peer.sync()]);
        const taken = await upload.sendUntilStalled(body, settle);
        expect(taken).toBeLessThanOrEqual(65_535 + 131_072 + 65_536);
        expect(call.told).toEqual([]);
        call.client.send(frames.rst(1, ErrorCode.CANCEL));
        await call.over({ status: Status.CANCELLED });
        return;
      }
      await upload.send(body);
      await call.primary.expectBytes(call.primaryId, body.length);
      await call.peer.expectReset(call.id, ErrorCode.CANCEL, { skip: ["DATA"] });
      call.client.send(frames.data(1).end());
      call.answerPrimary();
      expect(await call.status()).toBe(Status.OK);
      await call.over({ reason: ErrorReason.SECONDARY_LAG, status: Status.RESOURCE_EXHAUSTED });
    });

    it.each(subjects)("$need, $verdict: does not read and has a limit", async (subject) => {
      const destination = { maxLagBytes: 100_000 };
      const call = await openedCall(combo, {
        ...subject,
        destination,
        complete: false,
        refillWindows: false,
      });
      const body = Buffer.alloc(MiB);
      await new Upload(call.client, 1).send(body);
      await call.primary.expectBytes(call.primaryId, body.length);
      await call.peer.expectReset(call.id, ErrorCode.CANCEL, { skip: ["DATA"] });
      call.client.send(frames.data(1).end());
      call.answerPrimary();
      expect(await call.status()).toBe(outcomeOf(subject, Status.RESOURCE_EXHAUSTED));
      await call.over({ reason: ErrorReason.SECONDARY_LAG, status: Status.RESOURCE_EXHAUSTED });
    });

    it.each(subjects)("$need, $verdict: the server is closed", async (subject) => {
      const call = await openedCall(combo, subject);
      void call.server.close();
      expect(await call.status()).toBe(Status.UNAVAILABLE);
      await call.peer.expectReset(call.id, ErrorCode.CANCEL);
      await call.over({ reason: ErrorReason.SHUTDOWN, status: Status.UNAVAILABLE });
    });
  });
});
