import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import { GrpcError } from "../../src/grpc/error.ts";
import { Metadata } from "../../src/grpc/metadata.ts";
import { Status } from "../../src/grpc/status.ts";
import { CallContext, incomingToOutgoing } from "../../src/server/call-context.ts";
import { HeaderField } from "../../src/wire/field.ts";
import { FakeClock } from "../support/clock.ts";

function makeContext(timeoutMs = Number.POSITIVE_INFINITY) {
  const clock = new FakeClock();
  const requestMetadata = [new HeaderField("x-a", "1"), new HeaderField("x-b", "2")];
  const origin = {
    method: "/pkg.Service/Method",
    authority: "relay.test",
    peer: { remoteAddress: "192.0.2.1:1", localAddress: "192.0.2.2:2" },
    clock,
    requestMetadata,
  };
  return { clock, requestMetadata, ctx: CallContext.create(origin, clock.nowMs() + timeoutMs) };
}

const cancelled = new GrpcError(Status.CANCELLED, "client cancelled the call");

describe("CallContext", () => {
  it("says what the call is, also to contexts derived from it", () => {
    const { ctx } = makeContext();
    const derived = ctx.withMetadata(new Metadata()).withTimeout(10).withCancel().ctx;
    expect(derived).toMatchObject({
      method: "/pkg.Service/Method",
      authority: "relay.test",
      peer: { remoteAddress: "192.0.2.1:1" },
    });
  });

  it("ends with an error that says why", () => {
    const { ctx, clock } = makeContext();
    const { ctx: mine, cancel } = ctx.withCancel();
    cancel();
    expect(mine.reason).toMatchObject({ status: Status.CANCELLED, details: "context cancelled" });
    const { ctx: named, cancel: cancelNamed } = ctx.withCancel();
    cancelNamed("no need");
    expect(named.reason).toMatchObject({ status: Status.CANCELLED, details: "no need" });
    const late = ctx.withTimeout(8);
    clock.advance(8);
    expect(late.reason).toMatchObject({
      status: Status.DEADLINE_EXCEEDED,
      details: "deadline exceeded",
    });
    expect(() => ctx.withTimeout(-1)).toThrow("timeoutMs");
  });

  describe("metadata", () => {
    it("is forwarded as the same field objects while nobody has changed it", () => {
      const { ctx, requestMetadata } = makeContext();
      expect(ctx.metadataFields()).toBe(requestMetadata);
      expect(ctx.withTimeout(5).withCancel().ctx.metadataFields()).toBe(requestMetadata);
      expect([...ctx.metadata]).toEqual([
        ["x-a", "1"],
        ["x-b", "2"],
      ]);
      expect(ctx.metadataFields()).toBe(requestMetadata);
    });

    it("of withMetadata stands instead; the parent's stays", () => {
      const { ctx } = makeContext();
      const other = new Metadata();
      other.set("x-c", "3");
      expect(ctx.withMetadata(other).withTimeout(5).metadata).toBe(other);
      expect(ctx.withMetadata(new Metadata()).metadataFields()).toEqual([]);
      expect(ctx.withMetadata(other).withTimeout(5).metadataFields()).toEqual(other.toFields());
      expect(ctx.metadata.has("x-c")).toBe(false);
    });

    it("of incomingToOutgoing is a copy that can be edited alone", () => {
      const { ctx } = makeContext();
      const [one, two] = [incomingToOutgoing(ctx), incomingToOutgoing(ctx)];
      one.metadata.set("x-a", "changed");
      expect(one.metadata.first("x-a")).toBe("changed");
      expect(two.metadata.first("x-a")).toBe("1");
      expect(ctx.metadata.first("x-a")).toBe("1");
    });
  });

  describe("signal", () => {
    it("is made once, when it is read", () => {
      const { ctx } = makeContext();
      expect(ctx.signal).toBe(ctx.signal);
      expect(ctx.signal.aborted).toBe(false);
    });

    it("is aborted with the reason when the context is cancelled", () => {
      const { ctx } = makeContext();
      const { signal } = ctx;
      ctx.cancel(cancelled);
      expect(signal.reason).toBe(cancelled);
    });

    it("is aborted already when it is read after the end", () => {
      const { ctx } = makeContext();
      ctx.cancel(cancelled);
      expect(ctx.signal.reason).toBe(cancelled);
      expect(ctx.withTimeout(5).signal.reason).toBe(cancelled);
    });

    it("of a derived context is aborted by its parent", () => {
      const { ctx } = makeContext();
      const { signal } = ctx.withMetadata(new Metadata()).withTimeout(1_000);
      ctx.cancel(cancelled);
      expect(signal.reason).toBe(cancelled);
    });
  });

  describe("withTimeout", () => {
    it("ends with DEADLINE_EXCEEDED when its own time is over; the parent goes on", () => {
      const { ctx, clock } = makeContext(1_000);
      const derived = ctx.withTimeout(100);
      const { signal } = derived;
      clock.advance(96);
      expect(signal.aborted).toBe(false);
      clock.advance(8);
      expect(signal.reason).toMatchObject({ status: Status.DEADLINE_EXCEEDED });
      expect(derived.reason).toBe(signal.reason);
      expect(ctx.reason).toBeUndefined();
    });

    it("never prolongs a deadline", () => {
      const { ctx } = makeContext(100);
      expect(ctx.withTimeout(1_000).remainingMs).toBe(100);
      expect(ctx.withTimeout(Number.POSITIVE_INFINITY).remainingMs).toBe(100);
    });

    it("knows that it is over also when nobody listened", () => {
      const { ctx, clock } = makeContext();
      const derived = ctx.withTimeout(100);
      const below = derived.withMetadata(new Metadata());
      clock.advance(100);
      expect(below.reason).toMatchObject({ status: Status.DEADLINE_EXCEEDED });
      expect(derived.reason).toMatchObject({ status: Status.DEADLINE_EXCEEDED });
      expect(derived.remainingMs).toBe(0);
    });

    it.each([-1, Number.NaN])("throws RangeError for %d", (timeoutMs) => {
      expect(() => makeContext().ctx.withTimeout(timeoutMs)).toThrow(RangeError);
    });

    it("gives the deadline as a date, and none without one", () => {
      const before = Date.now();
      const deadline = makeContext().ctx.withTimeout(60_000).deadline;
      expect(deadline!.getTime()).toBeGreaterThanOrEqual(before + 60_000);
      expect(deadline!.getTime()).toBeLessThan(before + 70_000);
      expect(makeContext().ctx.deadline).toBeUndefined();
      expect(makeContext().ctx.remainingMs).toBe(Number.POSITIVE_INFINITY);
    });
  });

  describe("withCancel", () => {
    it("ends it and what is derived from it; not its parent, not its siblings", () => {
      const { ctx } = makeContext();
      const one = ctx.withCancel();
      const two = ctx.withCancel();
      const below = one.ctx.withMetadata(new Metadata());
      one.cancel("enough");
      one.cancel("again");
      expect(below.reason).toMatchObject({ status: Status.CANCELLED, details: "enough" });
      expect(one.ctx.reason).toMatchObject({ details: "enough" });
      expect(two.ctx.reason).toBeUndefined();
      expect(ctx.reason).toBeUndefined();
    });
  });

  describe("listeners", () => {
    it("are told once, with the first reason", () => {
      const { ctx } = makeContext();
      const told: GrpcError[] = [];
      ctx.subscribe({ onContextDone: (reason) => told.push(reason) });
      ctx.cancel(cancelled);
      ctx.cancel(new GrpcError(Status.DEADLINE_EXCEEDED, "late"));
      expect(told).toEqual([cancelled]);
    });

    it("that come late are told at once; those that left are not", () => {
      const { ctx } = makeContext();
      const told: string[] = [];
      const left = { onContextDone: () => void told.push("left") };
      ctx.subscribe(left);
      ctx.unsubscribe(left);
      ctx.cancel(cancelled);
      ctx.subscribe({ onContextDone: () => void told.push("late") });
      expect(told).toEqual(["late"]);
    });
  });

  describe("a context that is done", () => {
    function listened(ctx: CallContext): GrpcError[] {
      const told: GrpcError[] = [];
      ctx.subscribe({ onContextDone: (reason) => told.push(reason) });
      return told;
    }

    it("tells nobody because somebody asks it why", () => {
      const { ctx, clock } = makeContext();
      const derived = ctx.withTimeout(100);
      const told = listened(derived);
      clock.nowMs = () => 1e9;
      const { reason } = derived;
      expect(reason).toMatchObject({ status: Status.DEADLINE_EXCEEDED, reason: "DEADLINE" });
      expect(derived.reason).toBe(reason);
      expect(told).toEqual([]);
      derived.onTimer();
      expect(told).toEqual([reason]);
    });

    it("is known to all that are derived from it before anybody is told", () => {
      const { ctx } = makeContext();
      const derived = ctx.withCancel().ctx;
      const told = listened(derived);
      const { signal } = derived;
      ctx.tell();
      ctx.mark(cancelled);
      ctx.mark(new GrpcError(Status.DEADLINE_EXCEEDED, "late"));
      expect([derived.reason, told.length, signal.aborted]).toEqual([cancelled, 0, false]);
      ctx.tell();
      ctx.tell();
      expect([told, signal.reason]).toEqual([[cancelled], cancelled]);
    });

    it("tells those who listen also when the call ends in between", () => {
      const { ctx, clock } = makeContext();
      const told = listened(ctx.withTimeout(1_000));
      ctx.mark(cancelled);
      ctx.release();
      ctx.tell();
      expect(told).toEqual([cancelled]);
      expect(clock.timerCount).toBe(0);
    });

    it("that the program cancels is CLIENT_CANCELLED, unless it was done before", () => {
      const { ctx } = makeContext();
      const [one, other] = [ctx.withCancel(), ctx.withCancel()];
      one.cancel();
      expect(one.ctx.reason).toMatchObject({
        status: Status.CANCELLED,
        reason: "CLIENT_CANCELLED",
      });
      ctx.cancel(cancelled);
      other.cancel();
      expect(other.ctx.reason).toBe(cancelled);
    });
  });

  describe("timers", () => {
    it("exist only while somebody watches", () => {
      const { ctx, clock } = makeContext();
      const derived = ctx.withTimeout(1_000).withMetadata(new Metadata());
      expect(clock.timerCount).toBe(0);
      const listener = { onContextDone: () => {} };
      derived.subscribe(listener);
      expect(clock.timerCount).toBe(1);
      derived.unsubscribe(listener);
      expect(clock.timerCount).toBe(0);
    });

    it("do not outlive the context's end", () => {
      const { ctx, clock } = makeContext();
      const derived = ctx.withTimeout(1_000);
      expect(derived.signal.aborted).toBe(false);
      expect(clock.timerCount).toBe(1);
      ctx.cancel(cancelled);
      expect(clock.timerCount).toBe(0);
    });

    it("do not outlive the call, whose completion aborts nothing", () => {
      const { ctx, clock } = makeContext();
      const { signal } = ctx.withTimeout(1_000).withTimeout(500);
      expect(clock.timerCount).toBe(2);
      ctx.release();
      expect(clock.timerCount).toBe(0);
      clock.advance(2_000);
      expect(signal.aborted).toBe(false);
    });

    it("of a context that is derived after the call work: for what goes on afterwards", () => {
      const { ctx, clock } = makeContext();
      ctx.release();
      const { signal } = ctx.withTimeout(100);
      clock.advance(104);
      expect(signal.aborted).toBe(true);
      expect(clock.timerCount).toBe(0);
    });

    it("are one for all who listen, until the last one leaves", () => {
      const { ctx, clock } = makeContext();
      const derived = ctx.withTimeout(1_000);
      const [one, two] = [{ onContextDone: () => {} }, { onContextDone: () => {} }];
      derived.subscribe(one);
      derived.subscribe(two);
      expect(clock.timerCount).toBe(1);
      derived.unsubscribe(one);
      expect(clock.timerCount).toBe(1);
      derived.unsubscribe(two);
      expect(clock.timerCount).toBe(0);
    });

    it("stay for a signal when those who listen besides it have left", () => {
      const { ctx, clock } = makeContext();
      const derived = ctx.withTimeout(1_000);
      const { signal } = derived;
      const listener = { onContextDone: () => {} };
      derived.subscribe(listener);
      derived.unsubscribe(listener);
      clock.advance(1_004);
      expect(signal.reason).toMatchObject({ status: Status.DEADLINE_EXCEEDED });
    });

    it("leave who listens to a context of its own to its cancellation when the call is over", () => {
      const { ctx } = makeContext();
      const reasons: GrpcError[] = [];
      const { ctx: derived, cancel } = ctx.withCancel();
      derived.subscribe({ onContextDone: (reason) => reasons.push(reason) });
      ctx.release();
      expect(reasons).toEqual([]);
      cancel("enough");
      expect(reasons).toMatchObject([{ status: Status.CANCELLED, details: "enough" }]);
    });

    it("leave no listener on a signal of a derived context", () => {
      const { ctx } = makeContext();
      const { signal } = ctx;
      for (let i = 0; i < 10; i++) ctx.withCancel().ctx.subscribe({ onContextDone: () => {} });
      expect(getEventListeners(signal, "abort")).toHaveLength(0);
    });
  });
});
