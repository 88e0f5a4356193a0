import { describe, expect, it } from "vitest";
import { newCodec } from "../../src/grpc/codec.ts";
import { GrpcError } from "../../src/grpc/error.ts";
import { Frame } from "../../src/grpc/frame.ts";
import { MessageWriter, tolerant } from "../../src/grpc/message-writer.ts";
import { Status } from "../../src/grpc/status.ts";
import { message } from "../support/frames.ts";

/** A stream that accepts nothing at once, or everything. */
class Sink {
  readonly chunks: Buffer[] = [];
  blocked = false;

  sendData(chunk: Buffer): number {
    this.chunks.push(chunk);
    return this.blocked ? 0 : chunk.length;
  }
}

function createWriter() {
  const sink = new Sink();
  return { sink, writer: new MessageWriter(newCodec(), sink) };
}

/** Whether `promise` has settled by the time everything that is due has run. */
async function isPending(promise: Promise<void>): Promise<boolean> {
  let pending = true;
  const settle = (): void => {
    pending = false;
  };
  promise.then(settle, settle);
  await new Promise(setImmediate);
  return pending;
}

/** As many may wait before the sender does. */
const HIGH_WATER_BYTES = 65_536;
const large = Buffer.alloc(HIGH_WATER_BYTES - 5);

describe("MessageWriter", () => {
  it("sends each message behind its prefix, the compressed flag of a frame kept", async () => {
    const { sink, writer } = createWriter();
    await writer.write(Buffer.from("a"));
    await writer.write(new Frame(Buffer.from("b"), true));
    await writer.write(Buffer.alloc(5_000, 1));
    expect(Buffer.concat(sink.chunks)).toEqual(
      Buffer.concat([
        message(Buffer.from("a")),
        message(Buffer.from("b"), { compressed: true }),
        message(Buffer.alloc(5_000, 1)),
      ]),
    );
    expect(writer.messageCount).toBe(3);
  });

  it("lets the sender go on until more than the high-water mark is queued", async () => {
    const { sink, writer } = createWriter();
    sink.blocked = true;
    await writer.write(large);
    const waiting = writer.write(Buffer.alloc(0));
    const alsoWaiting = writer.write(Buffer.alloc(0));
    writer.onWritable(9);
    expect(await isPending(waiting)).toBe(true);
    writer.onWritable(1);
    await Promise.all([waiting, alsoWaiting]);
    writer.onWritable(HIGH_WATER_BYTES);
    await writer.write(large);
  });

  it("rejects a message that the codec cannot encode, and sends nothing of it", async () => {
    const { sink, writer } = createWriter();
    await expect(writer.write("text")).rejects.toMatchObject({
      status: Status.INTERNAL,
      reason: "CODEC",
    });
    expect(sink.chunks).toEqual([]);
    expect(writer.messageCount).toBe(0);
  });

  it("rejects who waits and who comes later with the first failure", async () => {
    const { sink, writer } = createWriter();
    sink.blocked = true;
    const waiting = writer.write(Buffer.alloc(HIGH_WATER_BYTES));
    const error = new GrpcError(Status.CANCELLED, "x");
    writer.fail(error);
    writer.fail(new GrpcError(Status.INTERNAL, "later"));
    await expect(waiting).rejects.toBe(error);
    await expect(writer.write(Buffer.alloc(0))).rejects.toBe(error);
    expect(sink.chunks).toHaveLength(2);
  });
});

describe("tolerant", () => {
  it("hands the rejection to who waits, and lets nobody wait", async () => {
    const unhandled: unknown[] = [];
    const listen = (error: unknown): void => void unhandled.push(error);
    process.on("unhandledRejection", listen);
    const error = new GrpcError(Status.CANCELLED, "x");
    const promise = tolerant(Promise.reject(error));
    await new Promise(setImmediate);
    process.off("unhandledRejection", listen);
    expect(unhandled).toEqual([]);
    await expect(promise).rejects.toBe(error);
  });
});
