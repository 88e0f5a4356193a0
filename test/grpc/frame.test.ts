import { describe, expect, it } from "vitest";
import { encodePrefix, Frame, frameChunks, frameMessage } from "../../src/grpc/frame.ts";

describe("frame", () => {
  it.each([
    [0, false, "0000000000"],
    [1, true, "0100000001"],
    [0x01020304, false, "0001020304"],
    [0xffffffff, true, "01ffffffff"],
  ])("writes the prefix of %d bytes, compressed %s, as %s", (length, compressed, hex) => {
    expect(encodePrefix(length, compressed).toString("hex")).toBe(hex);
  });

  it.each([-1, 0x100000000, 1.5e10])(
    "refuses a length of %d, which four bytes cannot say",
    (length) => {
      expect(() => encodePrefix(length, false)).toThrow(RangeError);
    },
  );

  it("writes prefix and payload as one buffer", () => {
    expect(frameMessage(Buffer.from("abc")).toString("hex")).toBe("0000000003616263");
    expect(frameMessage(Buffer.from("abc"), true).toString("hex")).toBe("0100000003616263");
    expect(frameMessage(Buffer.alloc(0)).toString("hex")).toBe("0000000000");
  });

  it.each([0, 1, 4_096])("sends a payload of %d bytes as one chunk", (length) => {
    const payload = Buffer.alloc(length, 7);
    expect(frameChunks(payload)).toEqual([frameMessage(payload)]);
  });

  it("sends a large payload uncopied behind its prefix", () => {
    const payload = Buffer.alloc(4_097, 7);
    const chunks = frameChunks(payload, true);
    expect(chunks).toHaveLength(2);
    expect(chunks[1]).toBe(payload);
    expect(Buffer.concat(chunks)).toEqual(frameMessage(payload, true));
  });

  it("knows what a message takes on the wire", () => {
    expect(new Frame(Buffer.alloc(3)).wireBytes).toBe(8);
    expect(new Frame(Buffer.alloc(0)).compressed).toBe(false);
  });
});
