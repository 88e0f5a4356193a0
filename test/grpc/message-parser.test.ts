import { describe, expect, it } from "vitest";
import { GrpcError } from "../../src/grpc/error.ts";
import type { Frame } from "../../src/grpc/frame.ts";
import { MessageCounter, MessageParser, truncatedMessage } from "../../src/grpc/message-parser.ts";
import { Status } from "../../src/grpc/status.ts";
import { message as grpcMessage } from "../support/frames.ts";
import { lent } from "../support/lent.ts";
import { Random } from "./random.ts";

const THREE = [
  grpcMessage(Buffer.from("first")),
  grpcMessage(Buffer.alloc(0)),
  grpcMessage(Buffer.from("the third"), { compressed: true }),
];
const STREAM = Buffer.concat(THREE);
/** Where one of them ends. */
const BOUNDARIES = [0, 10, 15, 29];

function takeAll(parser: MessageParser): Frame[] {
  const frames: Frame[] = [];
  for (let frame = parser.next(); frame !== undefined; frame = parser.next()) frames.push(frame);
  return frames;
}

function parse(
  chunks: readonly Buffer[],
  options?: ConstructorParameters<typeof MessageParser>[0],
): Frame[] {
  const parser = new MessageParser(options);
  const frames: Frame[] = [];
  for (const chunk of chunks) {
    parser.push(chunk);
    frames.push(...takeAll(parser));
  }
  expect(parser.atMessageBoundary).toBe(true);
  return frames;
}

function count(chunks: readonly Buffer[]): MessageCounter {
  const counter = new MessageCounter();
  for (const chunk of chunks) counter.push(chunk);
  return counter;
}

function texts(frames: readonly Frame[]): string[] {
  return frames.map((frame) => frame.payload.toString("latin1"));
}

function thrownBy(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}

function tooLarge(got: number, max: number): object {
  return {
    status: Status.RESOURCE_EXHAUSTED,
    reason: "MESSAGE_TOO_LARGE",
    details: `grpc: received message larger than max (${got} vs. ${max})`,
  };
}

const bytewise = Array.from(STREAM, (_, at) => STREAM.subarray(at, at + 1));

describe("MessageCounter", () => {
  it("counts a chunk that is one whole message", () => {
    const counter = new MessageCounter();
    expect(counter.atMessageBoundary).toBe(true);
    for (const message of THREE) counter.push(message);
    expect(counter.messageCount).toBe(3);
    expect(counter.atMessageBoundary).toBe(true);
  });

  it("counts a message when its last byte has passed", () => {
    const counter = new MessageCounter();
    const seen = bytewise.map((byte) => {
      counter.push(byte);
      return [counter.messageCount, counter.atMessageBoundary];
    });
    expect(seen).toEqual(
      bytewise.map((_, at) => [
        BOUNDARIES.filter((boundary) => boundary > 0 && boundary <= at + 1).length,
        BOUNDARIES.includes(at + 1),
      ]),
    );
  });

  it("counts the same wherever the stream is cut in three", () => {
    for (let first = 0; first <= STREAM.length; first++) {
      for (let second = first; second <= STREAM.length; second++) {
        const counter = count([
          STREAM.subarray(0, first),
          STREAM.subarray(first, second),
          STREAM.subarray(second),
        ]);
        expect(counter.messageCount).toBe(3);
        expect(counter.atMessageBoundary).toBe(true);
      }
    }
  });

  it("is not misled by a chunk inside a message that looks like a whole one", () => {
    const inner = grpcMessage(Buffer.from("x"));
    const counter = new MessageCounter();
    counter.push(grpcMessage(Buffer.concat([inner, inner])).subarray(0, 5));
    counter.push(inner);
    counter.push(inner);
    expect(counter.messageCount).toBe(1);
    expect(counter.atMessageBoundary).toBe(true);
    counter.push(Buffer.from([0, 0, 0, 1]));
    counter.push(inner);
    expect(counter.atMessageBoundary).toBe(false);
    expect(counter.messageCount).toBe(1);
  });

  it("reads lengths that need all four bytes", () => {
    const counter = new MessageCounter();
    counter.push(Buffer.from("00fffffffe", "hex"));
    expect(counter.atMessageBoundary).toBe(false);
    const limited = new MessageCounter(0xfffffffd);
    for (const byte of Buffer.from("00fffffff", "hex")) limited.push(Buffer.from([byte]));
    expect(thrownBy(() => limited.push(Buffer.from([0xfe, 0xfe])))).toMatchObject(
      tooLarge(0xfffffffe, 0xfffffffd),
    );
  });

  it("does not judge the flag byte", () => {
    expect(count([Buffer.from("ff0000000161", "hex")]).messageCount).toBe(1);
  });

  it("lets a message of exactly the limit pass and refuses one byte more", () => {
    const counter = new MessageCounter(4, "upstream");
    counter.push(grpcMessage(Buffer.alloc(4)));
    const error = thrownBy(() => counter.push(grpcMessage(Buffer.alloc(5))));
    expect(error).toBeInstanceOf(GrpcError);
    expect(error).toMatchObject({ ...tooLarge(5, 4), source: "upstream" });
    expect(counter.messageCount).toBe(1);
  });

  it("refuses a message above the limit as soon as its prefix has passed", () => {
    const counter = new MessageCounter(4);
    for (const byte of grpcMessage(Buffer.alloc(4))) counter.push(Buffer.from([byte]));
    expect(counter.messageCount).toBe(1);
    const message = grpcMessage(Buffer.alloc(5));
    counter.push(message.subarray(0, 4));
    expect(thrownBy(() => counter.push(message.subarray(4, 5)))).toMatchObject({
      ...tooLarge(5, 4),
      source: "downstream",
    });
  });

  it("agrees with the parser on random streams in random chunks", () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = new Random(seed);
      const messages = Array.from({ length: random.integer(30) }, () =>
        grpcMessage(random.bytes(random.integer(3) === 0 ? 0 : random.integer(60))),
      );
      const counter = count(random.split(Buffer.concat(messages), 1 + random.integer(40)));
      expect([seed, counter.messageCount]).toEqual([seed, messages.length]);
      expect(counter.atMessageBoundary).toBe(true);
    }
  });
});

describe("MessageParser", () => {
  const expected = ["first", "", "the third"];

  it("hands out a message of one chunk as a view of it", () => {
    const [frame] = parse([THREE[0]!]);
    expect(frame!.payload.toString()).toBe("first");
    expect(frame!.payload.buffer).toBe(THREE[0]!.buffer);
    expect(frame!.payload.byteOffset).toBe(THREE[0]!.byteOffset + 5);
  });

  it("hands out every message of a chunk as a view of it, the compressed flag kept", () => {
    const frames = parse([STREAM]);
    expect(texts(frames)).toEqual(expected);
    expect(frames.map((frame) => frame.compressed)).toEqual([false, false, true]);
    expect(frames.map((frame) => frame.wireBytes)).toEqual([10, 5, 14]);
    for (const frame of frames) expect(frame.payload.buffer).toBe(STREAM.buffer);
  });

  it("finds the same messages wherever the stream is cut in three", () => {
    for (let first = 0; first <= STREAM.length; first++) {
      for (let second = first; second <= STREAM.length; second++) {
        const frames = parse([
          STREAM.subarray(0, first),
          STREAM.subarray(first, second),
          STREAM.subarray(second),
        ]);
        expect(texts(frames)).toEqual(expected);
      }
    }
  });

  it("finds them one byte at a time, each with its last byte", () => {
    const parser = new MessageParser();
    const found = bytewise.map((byte) => {
      parser.push(byte);
      return parser.next()?.payload.toString();
    });
    expect(found.flatMap((text, at) => (text === undefined ? [] : [[at + 1, text]]))).toEqual([
      [10, "first"],
      [15, ""],
      [29, "the third"],
    ]);
  });

  it("copies nothing because of an empty chunk", () => {
    const parser = new MessageParser();
    parser.push(Buffer.alloc(0));
    parser.push(STREAM);
    expect(parser.next()!.payload.buffer).toBe(STREAM.buffer);
  });

  it("knows what is buffered", () => {
    const parser = new MessageParser();
    parser.push(Buffer.alloc(0));
    expect(parser.next()).toBeUndefined();
    expect(parser.atMessageBoundary).toBe(true);
    parser.push(STREAM.subarray(0, 12));
    expect(parser.bufferedBytes).toBe(12);
    parser.next();
    expect(parser.bufferedBytes).toBe(2);
    expect(parser.atMessageBoundary).toBe(false);
    expect(parser.next()).toBeUndefined();
  });

  it("finds the same messages in random streams and chunks, however late it is asked", () => {
    for (let seed = 1; seed <= 300; seed++) {
      const random = new Random(seed);
      const payloads = Array.from({ length: random.integer(40) }, () =>
        random.bytes(random.integer(4) === 0 ? random.integer(9_000) : random.integer(40)),
      );
      const stream = Buffer.concat(payloads.map((payload) => grpcMessage(payload)));
      const maxChunkBytes = [1, 3, 20, 1_100, 20_000][random.integer(5)]!;
      const askEvery = 1 + random.integer(60);
      const parser = new MessageParser({ retain: random.integer(2) === 0 });
      const frames: Frame[] = [];
      random.split(stream, maxChunkBytes).forEach((chunk, index) => {
        parser.push(chunk);
        if (index % askEvery === 0) frames.push(...takeAll(parser));
      });
      frames.push(...takeAll(parser));
      // Compared at the very end: bytes that were handed out must not change while more arrive.
      expect([seed, frames.length]).toEqual([seed, payloads.length]);
      frames.forEach((frame, index) => {
        if (!frame.payload.equals(payloads[index]!)) throw new Error(`seed ${seed}, ${index}`);
      });
      expect(parser.atMessageBoundary).toBe(true);
    }
  });

  it("refuses a message above the limit with its prefix, after the messages before it", () => {
    const parser = new MessageParser({ maxMessageBytes: 5, source: "upstream" });
    parser.push(STREAM.subarray(0, 20));
    expect(texts([parser.next()!, parser.next()!])).toEqual(["first", ""]);
    for (const _ of [1, 2]) {
      const error = thrownBy(() => parser.next());
      expect(error).toBeInstanceOf(GrpcError);
      expect(error).toMatchObject({ ...tooLarge(9, 5), source: "upstream" });
    }
  });

  it.each([
    ["downstream", "CLIENT_PROTOCOL"],
    ["upstream", "UPSTREAM_PROTOCOL"],
  ] as const)("refuses another flag than 0 and 1 from %s, as grpc-go does", (source, reason) => {
    const parser = new MessageParser({ source });
    parser.push(Buffer.from("0200000000", "hex"));
    expect(thrownBy(() => parser.next())).toMatchObject({
      status: Status.INTERNAL,
      details: "grpc: received unexpected payload format 2",
      source,
      reason,
    });
  });

  it("takes the messages to come from downstream unless told otherwise", () => {
    const parser = new MessageParser();
    parser.push(Buffer.from("ff00000000", "hex"));
    expect(thrownBy(() => parser.next())).toMatchObject({ source: "downstream" });
  });

  it("allocates nothing for a length that is only announced", () => {
    const parser = new MessageParser();
    parser.push(Buffer.from("00ffffffff", "hex"));
    expect(parser.next()).toBeUndefined();
    expect(parser.bufferedBytes).toBe(5);
  });

  it("joins single bytes instead of keeping a chunk for each", () => {
    const parser = new MessageParser();
    const message = grpcMessage(new Random(5).bytes(40_000));
    for (let at = 0; at < 30_000; at++) parser.push(message.subarray(at, at + 1));
    parser.push(message.subarray(30_000));
    expect(parser.next()?.payload.equals(message.subarray(5))).toBe(true);
    for (const byte of message.subarray(0, 30_000)) parser.push(Buffer.from([byte]));
    const rest = parser.drainRest();
    expect(rest.length).toBeLessThan(25);
    expect(Buffer.concat(rest).equals(message.subarray(0, 30_000))).toBe(true);
  });
});

describe("MessageParser.drainRest", () => {
  it("gives the chunks after the messages taken, uncopied", () => {
    const parser = new MessageParser();
    const last = Buffer.from("more");
    parser.push(STREAM.subarray(0, 12));
    parser.push(last);
    parser.next();
    const rest = parser.drainRest();
    expect(texts(rest.map((payload) => ({ payload }) as Frame))).toEqual(["\0\0", "more"]);
    expect(rest[0]!.buffer).toBe(STREAM.buffer);
    expect(rest[1]).toBe(last);
    expect(parser.bufferedBytes).toBe(0);
    expect(parser.drainRest()).toEqual([]);
  });

  it("gives everything after the first message, at every split point", () => {
    for (let cut = 0; cut <= STREAM.length; cut++) {
      const parser = new MessageParser();
      parser.push(STREAM.subarray(0, cut));
      parser.push(STREAM.subarray(cut));
      parser.next();
      expect(Buffer.concat(parser.drainRest()).equals(STREAM.subarray(10))).toBe(true);
    }
  });

  it("gives an unfinished message back whole and leaves a parser that starts anew", () => {
    const parser = new MessageParser();
    parser.push(STREAM.subarray(0, 25));
    expect(texts(takeAll(parser))).toEqual(["first", ""]);
    expect(Buffer.concat(parser.drainRest()).equals(STREAM.subarray(15, 25))).toBe(true);
    parser.push(STREAM);
    expect(texts(takeAll(parser))).toEqual(["first", "", "the third"]);
  });
});

describe("MessageParser.drainAll", () => {
  it("gives the pushed chunks themselves, however many messages were taken", () => {
    for (let taken = 0; taken <= 3; taken++) {
      const parser = new MessageParser({ retain: true });
      const chunks = [STREAM.subarray(0, 3), STREAM.subarray(3, 12), STREAM.subarray(12)];
      for (const chunk of chunks) parser.push(chunk);
      for (let i = 0; i < taken; i++) parser.next();
      const all = parser.drainAll();
      expect(all).toHaveLength(3);
      all.forEach((chunk, index) => {
        expect(chunk).toBe(chunks[index]);
      });
      expect(parser.bufferedBytes).toBe(0);
      expect(parser.drainAll()).toEqual([]);
    }
  });

  it("keeps nothing of the messages taken unless told to", () => {
    const parser = new MessageParser();
    parser.push(Buffer.from(THREE[0]!));
    parser.push(Buffer.from(THREE[1]!));
    parser.next();
    expect(Buffer.concat(parser.drainAll()).equals(THREE[1]!)).toBe(true);
  });
});

it("a MessageParser knows where its bytes end, whatever was taken", () => {
  for (let size = 0; size <= STREAM.length; size++) {
    const counter = new MessageCounter();
    counter.push(STREAM.subarray(0, size));
    for (let taken = 0; taken <= counter.messageCount; taken++) {
      const parser = new MessageParser();
      for (let at = 0; at < size; at += 4) parser.push(STREAM.subarray(at, Math.min(size, at + 4)));
      for (let i = 0; i < taken; i++) parser.next();
      expect(parser.isCut).toBe(!counter.atMessageBoundary);
    }
  }
});

describe("truncatedMessage", () => {
  it("is INTERNAL and names whose stream it was", () => {
    expect(truncatedMessage("upstream")).toMatchObject({
      status: Status.INTERNAL,
      reason: "TRUNCATED_MESSAGE",
      source: "upstream",
      details: "the stream ended in the middle of a message",
    });
  });
});

it("has messages of its own out of chunks that are only lent", () => {
  const parser = new MessageParser();
  const payload = Buffer.alloc(10_000, "lent");
  const wire = Buffer.concat([Buffer.from([0, 0, 0, 0x27, 0x10]), payload]);
  lent(Buffer.concat([wire, wire.subarray(0, 4_000)]), (chunk) => parser.push(chunk));
  const first = parser.next();
  lent(wire.subarray(4_000), (chunk) => parser.push(chunk));
  expect(first?.payload.equals(payload)).toBe(true);
  expect(parser.next()?.payload.equals(payload)).toBe(true);
});
