// The request half of a destination on a stream that says what it was given: what is kept to be
// sent again, from when on nothing is, and what is not sent at all.

import { describe, expect, it } from "vitest";
import { LegRequest } from "../../src/proxy/leg-request.ts";
import { FakeStream } from "../support/fake-stream.ts";
import { message } from "../support/frames.ts";

const KEPT_AT_MOST = 65_536;

class Leg extends LegRequest {
  readonly told: string[] = [];

  get ended(): boolean {
    return false;
  }

  /** It is open on a new stream, and sends what is there. */
  open(): FakeStream {
    const stream = new FakeStream();
    this.stream = stream;
    this.flush();
    return stream;
  }

  /** The backend has not processed it: it is sent again. */
  openAgain(): FakeStream {
    this.rewind();
    return this.open();
  }

  answered(): void {
    this.commit();
  }

  replace(own: string): void {
    this.beginWith(Buffer.from(own), true);
  }

  get repeatable(): boolean {
    return this.replayable;
  }

  protected onTruncated(): void {
    this.told.push("truncated");
  }

  protected onTooLarge(): void {
    this.told.push("too large");
  }
}

function released(): Leg {
  const leg = new Leg();
  leg.release();
  return leg;
}

describe("the request of a destination", () => {
  it("is kept up to 64 KiB, and sent again from the beginning", () => {
    const leg = released();
    const first = leg.open();
    leg.send(Buffer.alloc(KEPT_AT_MOST - 10), false);
    leg.send(Buffer.alloc(10), true);
    expect(first.log).toEqual([`data(${KEPT_AT_MOST - 10})`, "data(10, END)"]);
    expect([leg.repeatable, leg.keptBytes, leg.requestComplete]).toEqual([
      true,
      KEPT_AT_MOST,
      true,
    ]);
    expect(leg.openAgain().log).toEqual(first.log);
    expect([leg.requestBytes, leg.progressBytes]).toEqual([KEPT_AT_MOST, KEPT_AT_MOST]);
  });

  it("is not kept from one byte more on", () => {
    const leg = released();
    const stream = leg.open();
    leg.send(Buffer.alloc(KEPT_AT_MOST), false);
    expect(leg.repeatable).toBe(true);
    leg.send(Buffer.alloc(1), false);
    expect([leg.repeatable, leg.keptBytes]).toEqual([false, 0]);
    leg.send(Buffer.alloc(5), true);
    expect([leg.keptBytes, leg.requestComplete, leg.requestGiven]).toEqual([0, true, true]);
    expect(stream.log).toEqual([`data(${KEPT_AT_MOST})`, "data(1)", "data(5, END)"]);
  });

  it("is not kept from the backend's answer on, nor sent twice for that", () => {
    const leg = released();
    const stream = leg.open();
    leg.send(Buffer.from("one"), false);
    leg.send(Buffer.from("two"), false);
    expect(leg.keptBytes).toBe(6);
    leg.answered();
    expect([leg.repeatable, leg.keptBytes]).toEqual([false, 0]);
    leg.answered();
    leg.send(Buffer.from("three"), true);
    expect(stream.log).toEqual(["data(3)", "data(3)", "data(5, END)"]);
  });

  it("waits until it is released, even where the backend has answered", () => {
    const leg = new Leg();
    const stream = leg.open();
    leg.send(Buffer.from("one"), false);
    leg.answered();
    leg.send(Buffer.from("two"), true);
    expect([leg.keptBytes, stream.log]).toEqual([6, []]);
    leg.release();
    expect(stream.log).toEqual(["data(3)", "data(3, END)"]);
    expect([leg.keptBytes, leg.requestComplete]).toEqual([0, true]);
  });

  it("counts as kept what its stream has not sent", () => {
    const leg = released();
    const stream = leg.open();
    stream.queuedBytes = 100;
    expect(leg.keptBytes).toBe(100);
    leg.send(Buffer.from("one"), false);
    expect(leg.keptBytes).toBe(103);
    leg.send(Buffer.from("four"), false);
    expect(leg.keptBytes).toBe(107);
    expect(new Leg().keptBytes).toBe(0);
  });

  it("has nothing sent for bytes that are left out, but for the end", () => {
    const leg = released();
    leg.replace("own");
    const stream = leg.open();
    expect(stream.log).toEqual(["data(8)"]);
    leg.send(message("theirs").subarray(0, 4), false);
    leg.send(message("theirs").subarray(4), false);
    expect(stream.log).toEqual(["data(8)"]);
    leg.send(Buffer.alloc(0), true);
    expect(stream.log).toEqual(["data(8)", "data(0, END)"]);
    expect([leg.progressBytes, leg.requestBytes, leg.told]).toEqual([11, 8, []]);
  });
});
