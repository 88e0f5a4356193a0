import { describe, expect, it } from "vitest";
import { FirstMessage } from "../../src/grpc/first-message.ts";
import { message as grpcMessage } from "../support/frames.ts";

describe("the first message", () => {
  const first = grpcMessage(Buffer.alloc(300, "a"), { compressed: true });
  const stream = Buffer.concat([first, grpcMessage(Buffer.from("second"))]);

  it("ends at the same byte wherever the stream is cut", () => {
    for (let cut = 0; cut <= stream.length; cut++) {
      const message = new FirstMessage();
      expect([message.begun, message.complete]).toEqual([false, false]);
      const before = message.take(stream.subarray(0, cut));
      expect(before).toBe(Math.min(cut, first.length));
      expect([message.begun, message.complete]).toEqual([cut > 0, cut >= first.length]);
      expect(before + message.take(stream.subarray(cut))).toBe(first.length);
      expect(message.complete).toBe(true);
      expect(message.take(stream)).toBe(0);
    }
  });

  it("ends at the same byte when it comes in single bytes", () => {
    const message = new FirstMessage();
    let taken = 0;
    for (let i = 0; i < stream.length; i++) taken += message.take(stream.subarray(i, i + 1));
    expect(taken).toBe(first.length);
  });

  it("of no bytes is its prefix alone", () => {
    const message = new FirstMessage();
    expect(message.take(Buffer.concat([grpcMessage(Buffer.alloc(0)), first]))).toBe(5);
    expect(message.complete).toBe(true);
  });

  it("may be as long as four bytes can say", () => {
    const message = new FirstMessage();
    expect(message.take(Buffer.concat([Buffer.from("00ffffffff", "hex"), first]))).toBe(
      5 + first.length,
    );
    expect(message.complete).toBe(false);
  });
});
