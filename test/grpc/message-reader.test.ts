import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { type Codec, newCodec } from "../../src/grpc/codec.ts";
import { GrpcError } from "../../src/grpc/error.ts";
import { Frame } from "../../src/grpc/frame.ts";
import { MessageReader } from "../../src/grpc/message-reader.ts";
import { Status } from "../../src/grpc/status.ts";
import { message } from "../support/frames.ts";

const text: Codec = {
  name: "text",
  marshal: (message) => Buffer.from(String(message)),
  unmarshal: (data) => data.toString(),
};

/** What was given back to the sender, call by call. */
class Credit {
  readonly given: number[] = [];

  acknowledge(bytes: number): void {
    this.given.push(bytes);
  }
}

function createReader(codec = text, maxMessageBytes = 100) {
  const credit = new Credit();
  return {
    reader: new MessageReader({ codec, maxMessageBytes, source: "upstream" }, credit),
    credit,
  };
}

describe("MessageReader", () => {
  it("hands out messages in order, to readers before and after their arrival", async () => {
    const { reader } = createReader();
    const early = [reader.read(), reader.read()];
    reader.push(Buffer.concat([message("a"), message("b"), message("c")]), false);
    expect(await Promise.all(early)).toEqual(["a", "b"]);
    expect(await reader.read()).toBe("c");
  });

  it.each([
    ["with the last bytes", (reader: MessageReader) => reader.push(message("a"), true)],
    [
      "after them",
      (reader: MessageReader) => {
        reader.push(message("a"), false);
        reader.end();
      },
    ],
  ])("says that there are no more when the stream ended %s", async (_, finish) => {
    const { reader } = createReader();
    const reads = [reader.read(), reader.read(), reader.read()];
    finish(reader);
    expect(await Promise.all(reads)).toEqual(["a", undefined, undefined]);
    expect(await reader.read()).toBeUndefined();
  });

  it("gives no credit for what nobody has asked for", async () => {
    const { reader, credit } = createReader();
    reader.push(Buffer.concat([message("a"), message("bc")]), false);
    expect(credit.given).toEqual([]);
    await reader.read();
    expect(credit.given).toEqual([6]);
    await reader.read();
    expect(credit.given).toEqual([6, 7]);
  });

  it("gives credit for a part of a message that somebody waits for, and once only", async () => {
    const { reader, credit } = createReader();
    const read = reader.read();
    expect(credit.given).toEqual([]);
    reader.push(message("abcd").subarray(0, 3), false);
    expect(credit.given).toEqual([3]);
    reader.push(message("abcd").subarray(3), false);
    expect(credit.given).toEqual([3, 6]);
    expect(await read).toBe("abcd");
    expect(credit.given).toEqual([3, 6]);
  });

  it("hands out what is complete before it reports a failure, to every later reader too", async () => {
    const { reader } = createReader();
    reader.push(message("a"), false);
    const first = new GrpcError(Status.UNAVAILABLE, "first");
    reader.fail(first);
    reader.fail(new GrpcError(Status.INTERNAL, "second"));
    expect(await reader.read()).toBe("a");
    await expect(reader.read()).rejects.toBe(first);
    await expect(reader.read()).rejects.toBe(first);
  });

  it("reports a failure to readers that wait", async () => {
    const { reader } = createReader();
    const reads = Promise.allSettled([reader.read(), reader.read()]);
    const error = new GrpcError(Status.CANCELLED, "x");
    reader.fail(error);
    expect(await reads).toEqual([
      { status: "rejected", reason: error },
      { status: "rejected", reason: error },
    ]);
  });

  it("refuses a stream that ends within a message", async () => {
    const { reader } = createReader();
    reader.push(Buffer.concat([message("a"), message("bc").subarray(0, 6)]), true);
    expect(await reader.read()).toBe("a");
    await expect(reader.read()).rejects.toMatchObject({
      status: Status.INTERNAL,
      reason: "TRUNCATED_MESSAGE",
      source: "upstream",
    });
  });

  it("refuses a message above the limit", async () => {
    const { reader } = createReader(text, 2);
    reader.push(Buffer.concat([message("ab"), message("abc")]), false);
    expect(await reader.read()).toBe("ab");
    await expect(reader.read()).rejects.toMatchObject({
      status: Status.RESOURCE_EXHAUSTED,
      source: "upstream",
    });
  });

  it("decompresses what a codec is to read, and goes on after a message that it cannot", async () => {
    const { reader } = createReader();
    reader.push(message(gzipSync("zipped"), { compressed: true }), false);
    reader.push(message(Buffer.from("broken"), { compressed: true }), false);
    reader.push(message("plain"), false);
    reader.encoding = "gzip";
    expect(await reader.read()).toBe("zipped");
    await expect(reader.read()).rejects.toMatchObject({ reason: "COMPRESSED_MESSAGE" });
    expect(await reader.read()).toBe("plain");
  });

  it("hands out compressed frames as they are to a codec of raw frames", async () => {
    const { reader } = createReader(newCodec());
    reader.push(message(Buffer.from("any bytes"), { compressed: true }), true);
    expect(await reader.read()).toEqual(new Frame(Buffer.from("any bytes"), true));
  });

  it("gives the rest up, and says what of it the sender has credit for already", async () => {
    const { reader, credit } = createReader();
    const read = reader.read();
    reader.push(message("abcd").subarray(0, 3), false);
    reader.push(Buffer.concat([message("abcd").subarray(3), message("ef")]), false);
    expect(await read).toBe("abcd");
    expect(credit.given).toEqual([3, 9]);
    const { chunks, creditedBytes } = reader.takeRest();
    expect(Buffer.concat(chunks)).toEqual(message("ef"));
    expect(creditedBytes).toBe(3);
    expect(createReader().reader.takeRest()).toEqual({ chunks: [], creditedBytes: 0 });
  });
});
