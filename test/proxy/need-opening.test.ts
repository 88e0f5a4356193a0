// Secondaries of every need that are not open when the call comes: whom that delays, whose outcome
// it is, and that each call ends once, with each onError told at most once and the finalizer run
// once.

import { describe, expect, it } from "vitest";
import { ErrorReason } from "../../src/grpc/error.ts";
import { Status } from "../../src/grpc/status.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { transportCombos } from "../support/combos.ts";
import { frames, trailersOnly } from "../support/frames.ts";
import { ABC, eventually } from "../support/relay-fixture.ts";
import {
  detachedOnly,
  others,
  outcomeOf,
  type SecondaryCall,
  secondaryCall,
  subjects,
} from "../support/secondary-call.ts";
import { Upload } from "../support/upload.ts";

const MiB = 1024 * 1024;

describe.each(transportCombos)("a secondary, server on $server, client on $client", (combo) => {
  async function failsOnPrimary({ primary, primaryId, primaryTold }: SecondaryCall): Promise<void> {
    await primary.expectReset(primaryId, ErrorCode.CANCEL);
    primary.expectNoEndStream(primaryId);
    expect(primary.receivedBytes(primaryId)).toBe(0);
    expect(primaryTold).toHaveLength(1);
  }

  describe("that cannot be reached", () => {
    it.each(subjects)("$need, $verdict", async (subject) => {
      const call = await secondaryCall(combo, { ...subject, way: "unreachable" });
      const error = { reason: ErrorReason.UPSTREAM_CONNECT, status: Status.UNAVAILABLE };
      if (subject.need === "required") {
        expect(await call.status()).toBe(Status.UNAVAILABLE);
        await failsOnPrimary(call);
      } else {
        expect(await call.primary.expectBody(call.primaryId)).toEqual(ABC);
        call.answerPrimary();
        expect(await call.status()).toBe(outcomeOf(subject, Status.UNAVAILABLE));
      }
      await call.over(error);
    });
  });

  describe.each(["connecting", "full"] as const)("that is %s for the time being", (way) => {
    it.each(subjects)(
      "$need, $verdict: gets the whole request when it is open",
      async (subject) => {
        const call = await secondaryCall(combo, { ...subject, way });
        if (subject.need === "required") {
          await call.primary.expectQuiet(call.primaryId);
          call.release();
        }
        expect(await call.primary.expectBody(call.primaryId)).toEqual(ABC);
        call.answerPrimary();
        if (subject.need === "detached") {
          expect(await call.status()).toBe(Status.OK);
          expect(call.server.openCallCount).toBe(0);
          expect(call.results[0]?.secondaries).toMatchObject([
            { ended: false, status: Status.UNKNOWN, error: undefined, requestMessages: 0 },
          ]);
        } else await call.client.expectQuiet(1);
        if (subject.need !== "required") call.release();
        const { peer, id } = await call.secondary();
        expect(await peer.expectBody(id)).toEqual(ABC);
        peer.send(frames.headers(id, trailersOnly(0), { endStream: true }));
        if (subject.need !== "detached") expect(await call.status()).toBe(Status.OK);
        await call.over(undefined);
        expect(call.results[0]?.secondaries).toMatchObject([
          { requestMessages: 1, requestBytes: ABC.length, status: Status.OK },
        ]);
      },
    );

    it.each(subjects)("$need, $verdict: its own deadline passes first", async (subject) => {
      const call = await secondaryCall(combo, {
        ...subject,
        way,
        context: (ctx) => ctx.withTimeout(40),
      });
      const error = { reason: ErrorReason.DEADLINE, status: Status.DEADLINE_EXCEEDED };
      await eventually("it waits", () => call.conn.waitingCount === 1);
      if (subject.need === "required") {
        await call.primary.expectQuiet(call.primaryId);
        call.clock.advance(44);
        expect(await call.status()).toBe(Status.DEADLINE_EXCEEDED);
        await failsOnPrimary(call);
      } else {
        expect(await call.primary.expectBody(call.primaryId)).toEqual(ABC);
        call.clock.advance(44);
        expect(call.conn.waitingCount).toBe(0);
        call.answerPrimary();
        expect(await call.status()).toBe(outcomeOf(subject, Status.DEADLINE_EXCEEDED));
      }
      await call.over(error);
    });

    it.each(subjects)("$need, $verdict: the client cancels", async (subject) => {
      const call = await secondaryCall(combo, { ...subject, way });
      await eventually("it waits", () => call.conn.waitingCount === 1);
      call.client.send(frames.rst(1, ErrorCode.CANCEL));
      await call.over({ reason: ErrorReason.CLIENT_CANCELLED, status: Status.CANCELLED });
      await call.primary.expectReset(call.primaryId, ErrorCode.CANCEL, { skip: ["DATA"] });
    });

    it.each(subjects)("$need, $verdict: the client's deadline passes", async (subject) => {
      const call = await secondaryCall(combo, { ...subject, way, timeout: "5S" });
      await eventually("it waits", () => call.conn.waitingCount === 1);
      call.clock.advance(5_004);
      expect(await call.status()).toBe(Status.DEADLINE_EXCEEDED);
      await call.over({ reason: ErrorReason.DEADLINE, status: Status.DEADLINE_EXCEEDED });
    });

    it.each(subjects)("$need, $verdict: the server is closed", async (subject) => {
      const call = await secondaryCall(combo, { ...subject, way });
      await eventually("it waits", () => call.conn.waitingCount === 1);
      void call.server.close();
      expect(await call.status()).toBe(Status.UNAVAILABLE);
      await call.over({ reason: ErrorReason.SHUTDOWN, status: Status.UNAVAILABLE });
    });

    it.each(subjects)("$need, $verdict: its connection is closed", async (subject) => {
      const call = await secondaryCall(combo, { ...subject, way });
      await eventually("it waits", () => call.conn.waitingCount === 1);
      if (way === "full") call.release();
      void call.conn.close();
      const error = { reason: ErrorReason.CONN_CLOSED, status: Status.UNAVAILABLE };
      if (subject.need === "required") expect(await call.status()).toBe(Status.UNAVAILABLE);
      else {
        expect(await call.primary.expectBody(call.primaryId)).toEqual(ABC);
        call.answerPrimary();
        expect(await call.status()).toBe(outcomeOf(subject, Status.UNAVAILABLE));
      }
      await call.over(error);
    });

    it.each(others)("$need, $verdict: the primary's connection is lost", async (subject) => {
      const call = await secondaryCall(combo, { ...subject, way });
      await eventually("it waits", () => call.conn.waitingCount === 1);
      call.primary.destroy();
      expect(await call.status()).toBe(Status.UNAVAILABLE);
      expect(call.conn.waitingCount).toBe(0);
      await call.over({ status: Status.CANCELLED });
    });

    it.each(detachedOnly)("$need, $verdict: the primary's connection is lost", async (subject) => {
      const call = await secondaryCall(combo, { ...subject, way });
      expect(await call.primary.expectBody(call.primaryId)).toEqual(ABC);
      call.primary.destroy();
      expect(await call.status()).toBe(Status.UNAVAILABLE);
      expect(call.server.openCallCount).toBe(0);
      call.release();
      const { peer, id } = await call.secondary();
      expect(await peer.expectBody(id)).toEqual(ABC);
      peer.send(frames.headers(id, trailersOnly(0), { endStream: true }));
      await call.over(undefined);
    });

    it.each(detachedOnly)("$need, $verdict: it never is open", async (subject) => {
      const call = await secondaryCall(combo, {
        ...subject,
        way,
        destination: { maxDetachedMs: 8_000 },
      });
      expect(await call.primary.expectBody(call.primaryId)).toEqual(ABC);
      call.answerPrimary();
      expect(await call.status()).toBe(Status.OK);
      call.clock.advance(7_996);
      expect(call.conn.waitingCount).toBe(1);
      expect(call.told).toEqual([]);
      call.clock.advance(8);
      await call.over({ reason: ErrorReason.DEADLINE, status: Status.DEADLINE_EXCEEDED });
    });

    const lagging: readonly (readonly [limit: number | undefined, bytes: number])[] = [
      [undefined, 2 * MiB],
      [200_000, MiB],
    ];
    it.each(
      subjects
        .filter(({ need }) => need !== "required")
        .flatMap((subject) => lagging.map(([limit, bytes]) => ({ ...subject, limit, bytes }))),
    )("$need, $verdict: lags, with the limit $limit", async ({ limit, bytes, ...subject }) => {
      const destination = limit === undefined ? {} : { maxLagBytes: limit };
      const call = await secondaryCall(combo, { ...subject, way, destination, complete: false });
      call.primary.refillWindows = true;
      await call.primary.expectBytes(call.primaryId, ABC.length);
      const upload = new Upload(call.client, 1);
      const allowed = Buffer.alloc((limit ?? MiB) - 1_000);
      await upload.send(allowed);
      await call.primary.expectBytes(call.primaryId, allowed.length);
      expect(call.conn.waitingCount).toBe(1);
      await upload.send(Buffer.alloc(bytes));
      await call.primary.expectBytes(call.primaryId, bytes);
      expect(call.conn.waitingCount).toBe(0);
      call.client.send(frames.data(1).end());
      call.answerPrimary();
      expect(await call.status()).toBe(outcomeOf(subject, Status.RESOURCE_EXHAUSTED));
      await call.over({ reason: ErrorReason.SECONDARY_LAG, status: Status.RESOURCE_EXHAUSTED });
    });
  });
});
