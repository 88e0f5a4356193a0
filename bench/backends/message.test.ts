import { describe, expect, it } from "vitest";
import {
  decodeMessage,
  encodeMessage,
  MessageCounter,
  messageOfSize,
  withPrefix,
} from "./message.ts";

describe("messageOfSize()", () => {
  it.each([0, 3, 32, 100, 129, 131, 1_024, 65_536, 1_048_576])(
    "makes %d bytes exactly",
    (bytes) => {
      const message = messageOfSize(bytes);
      expect(message.length).toBe(bytes);
      expect(encodeMessage(decodeMessage(message)).equals(message)).toBe(true);
    },
  );
});

describe("decodeMessage()", () => {
  it("reads back what encodeMessage() wrote", () => {
    const message = { payload: Buffer.from("abc"), replyCount: 300, replyBytes: 70_000 };
    expect(decodeMessage(encodeMessage(message))).toEqual(message);
  });

  it.each([["0a05aa"], ["0a"], ["10ff"], ["2201"]])("refuses the bytes %s", (hex) => {
    expect(() => decodeMessage(Buffer.from(hex, "hex"))).toThrow(RangeError);
  });
});

describe("MessageCounter", () => {
  const bytes = Buffer.concat([0, 3, 200, 32].map((size) => withPrefix(messageOfSize(size))));

  it.each([1, 2, 7, bytes.length])("counts messages in pieces of %d bytes", (size) => {
    const counter = new MessageCounter();
    for (let at = 0; at < bytes.length; at += size) counter.push(bytes.subarray(at, at + size));
    expect(counter.messageCount).toBe(4);
    expect(counter.whole).toBe(true);
  });

  it("knows when a message is cut off", () => {
    const counter = new MessageCounter();
    counter.push(bytes.subarray(0, bytes.length - 1));
    expect(counter.messageCount).toBe(3);
    expect(counter.whole).toBe(false);
  });
});
