import { describe, expect, it } from "vitest";
import { Frame, frameChunks } from "../../src/grpc/frame.ts";
import { message } from "../support/frames.ts";

/** As a payload of that length is seen before anybody reads it. */
function payloadOf(length: number): Buffer {
  return length <= 4_096 ? Buffer.alloc(length) : ({ length } as Buffer);
}

describe("frame", () => {
  it.each([
    [0, false, "0000000000"],
    [1, true, "0100000001"],
    [0x01020304, false, "0001020304"],
    [0xffffffff, true, "01ffffffff"],
  ])("writes the prefix of %d bytes, compressed %s, as %s", (length, compressed, hex) => {
    expect(frameChunks(payloadOf(length), compressed)[0]?.toString("hex", 0, 5)).toBe(hex);
  });

  it.each([0x100000000, 1.5e10])(
    "refuses a length of %d, which four bytes cannot say",
    (length) => {
      expect(() => frameChunks({ length } as Buffer)).toThrow(RangeError);
    },
  );

  it("writes prefix and payload as one buffer", () => {
    const hex = (payload: Buffer, compressed?: boolean): string[] =>
      frameChunks(payload, compressed).map((chunk) => chunk.toString("hex"));
    expect(hex(Buffer.from("abc"))).toEqual(["0000000003616263"]);
    expect(hex(Buffer.from("abc"), true)).toEqual(["0100000003616263"]);
    expect(hex(Buffer.alloc(0))).toEqual(["0000000000"]);
  });

  it.each([0, 1, 4_096])("sends a payload of %d bytes as one chunk", (length) => {
    const payload = Buffer.alloc(length, 7);
    expect(frameChunks(payload)).toEqual([message(payload)]);
  });

  it("sends a large payload uncopied behind its prefix", () => {
    const payload = Buffer.alloc(4_097, 7);
    const chunks = frameChunks(payload, true);
    expect(chunks).toHaveLength(2);
    expect(chunks[1]).toBe(payload);
    expect(Buffer.concat(chunks)).toEqual(message(payload, { compressed: true }));
  });

  it("knows what a message takes on the wire", () => {
    expect(new Frame(Buffer.alloc(3)).wireBytes).toBe(8);
    expect(new Frame(Buffer.alloc(0)).compressed).toBe(false);
  });
});
