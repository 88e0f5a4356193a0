import { describe, expect, it } from "vitest";
import { FRAME_HEADER_BYTES } from "../../src/h2/frame.ts";
import { FrameWriter } from "../../src/h2/frame-writer.ts";
import { COPY_BELOW_BYTES, Output } from "../../src/h2/output.ts";
import { SendQueue } from "../../src/h2/send-queue.ts";
import {
  acquireSlab,
  acquireSmallSlab,
  FRAME_SLOT_BYTES,
  releaseSlab,
  SMALL_SLAB_BYTES,
} from "../../src/h2/slabs.ts";
import { Random } from "../fuzz/random.ts";
import { decodeFrames } from "../support/frames.ts";
import { lent, liesIn } from "../support/lent.ts";

const FRAME_BYTES = 16_384;
const SLAB_BYTES = 5 * FRAME_SLOT_BYTES;

class Bench {
  readonly output = new Output();
  readonly writer = new FrameWriter(this.output);
  readonly queue = new SendQueue();

  /** Pushes a copy that is spoilt afterwards. */
  lend(bytes: Buffer, from = 0): void {
    lent(bytes, (chunk) => this.queue.push(chunk, from));
  }

  /**
   * Writes frames as long as the queue would have them until `bytes` are gone; returns their
   * lengths.
   */
  write(bytes: number): number[] {
    const lengths: number[] = [];
    for (let left = bytes; left > 0; ) {
      const length = Math.min(left, this.queue.frameBytes);
      this.queue.writeFrame(this.writer, 1, length, left === length);
      lengths.push(length);
      left -= length;
    }
    return lengths;
  }

  take(): { pieces: readonly Buffer[]; data: Buffer; ends: boolean[] } {
    const pieces = this.output.take();
    const frames = decodeFrames(Buffer.concat(pieces));
    const data = Buffer.concat(frames.map((frame) => frame.payload));
    return { pieces, data, ends: frames.map((frame) => frame.endStream) };
  }
}

describe("a send queue", () => {
  const random = new Random(7);
  const BODY = random.bytes(4 * FRAME_BYTES);

  it("sends lent frames from where they were copied to, as many in one piece as a slab holds", () => {
    const bench = new Bench();
    for (let i = 0; i < 8; i++) {
      const at = (i % 4) * FRAME_BYTES;
      bench.lend(BODY.subarray(at, at + FRAME_BYTES));
    }
    expect(bench.write(2 * BODY.length)).toEqual(Array.from({ length: 8 }, () => FRAME_BYTES));
    const { pieces, data, ends } = bench.take();
    expect(pieces.map((piece) => piece.length)).toEqual([SLAB_BYTES, 3 * FRAME_SLOT_BYTES]);
    expect(data.equals(Buffer.concat([BODY, BODY]))).toBe(true);
    expect(ends).toEqual([...Array.from({ length: 7 }, () => false), true]);
  });

  it("begins with a small slab for what fits in there, and goes on in large ones", () => {
    const small = acquireSmallSlab();
    releaseSlab(small);
    const bench = new Bench();
    bench.lend(BODY.subarray(0, 3_000));
    expect(acquireSmallSlab()).not.toBe(small);
    bench.lend(BODY.subarray(3_000, 6_000));
    bench.lend(BODY.subarray(6_000, 30_000));
    expect(bench.write(30_000)).toEqual([4_087, FRAME_BYTES, 9_529]);
    const { pieces, data } = bench.take();
    expect(pieces.map((piece) => liesIn(piece, small))).toEqual([true, false]);
    expect(data.equals(BODY.subarray(0, 30_000))).toBe(true);
    bench.output.settle(0);
    expect(acquireSmallSlab()).toBe(small);
    bench.lend(BODY.subarray(0, SMALL_SLAB_BYTES - FRAME_HEADER_BYTES + 1));
    expect(bench.queue.frameBytes).toBe(SMALL_SLAB_BYTES - FRAME_HEADER_BYTES + 1);
  });

  it("begins with a small slab for a rest that fits, whatever its chunk was", () => {
    const small = acquireSmallSlab();
    releaseSlab(small);
    for (const rest of [SMALL_SLAB_BYTES - FRAME_HEADER_BYTES, 100]) {
      const bench = new Bench();
      bench.lend(BODY, BODY.length - rest);
      bench.write(rest);
      const { pieces, data } = bench.take();
      expect(pieces.map((piece) => liesIn(piece, small))).toEqual([true]);
      expect(data.equals(BODY.subarray(-rest))).toBe(true);
      bench.output.settle(0);
    }
  });

  it("joins what came in parts to full frames", () => {
    const bench = new Bench();
    for (let at = 0; at < BODY.length; at += 5_000) bench.lend(BODY.subarray(at, at + 5_000));
    expect(bench.write(BODY.length)).toEqual([FRAME_BYTES, FRAME_BYTES, FRAME_BYTES, FRAME_BYTES]);
    expect(bench.take().data.equals(BODY)).toBe(true);
  });

  it("leaves out what was sent of the first chunk already", () => {
    const bench = new Bench();
    bench.lend(BODY.subarray(0, 10_000), 4_000);
    bench.queue.push(Buffer.from(BODY.subarray(0, 10_000)), 9_000);
    expect(bench.write(7_000)).toEqual([7_000]);
    const expected = Buffer.concat([BODY.subarray(4_000, 10_000), BODY.subarray(9_000, 10_000)]);
    expect(bench.take().data.equals(expected)).toBe(true);
  });

  it("goes on in the middle of a frame where a window ended", () => {
    const bench = new Bench();
    bench.lend(BODY.subarray(0, 30_000));
    bench.queue.writeFrame(bench.writer, 1, 10_000, false);
    expect(bench.queue.frameBytes).toBe(FRAME_BYTES - 10_000);
    bench.queue.writeFrame(bench.writer, 1, 5_000, false);
    bench.lend(BODY.subarray(30_000, 40_000));
    expect(bench.write(25_000)).toEqual([1_384, FRAME_BYTES, 7_232]);
    expect(bench.take().data.equals(BODY.subarray(0, 40_000))).toBe(true);
  });

  it("copies what is short behind lent bytes, and refers to what stays", () => {
    const bench = new Bench();
    const short = Buffer.from(BODY.subarray(10_000, 11_000));
    const long = Buffer.from(BODY.subarray(11_000, 31_000));
    bench.lend(BODY.subarray(0, 10_000));
    bench.queue.push(short, 0);
    short.fill(0);
    bench.queue.push(long, 0);
    expect(bench.write(31_000)).toEqual([11_000, FRAME_BYTES, 3_616]);
    const { pieces, data } = bench.take();
    expect(data.equals(BODY.subarray(0, 31_000))).toBe(true);
    expect(pieces.some((piece) => piece.buffer === long.buffer)).toBe(true);
  });

  it("writes what it refers to whole, and nothing in front of it", () => {
    const bench = new Bench();
    const read = Buffer.from(BODY);
    // There would be room for the header of a frame.
    bench.queue.push(read, FRAME_HEADER_BYTES);
    bench.queue.writeFrame(bench.writer, 1, read.length - FRAME_HEADER_BYTES, true);
    const { pieces, data } = bench.take();
    expect(pieces.map((piece) => piece.length)).toEqual([
      FRAME_HEADER_BYTES,
      read.length - FRAME_HEADER_BYTES,
    ]);
    expect(data.equals(BODY.subarray(FRAME_HEADER_BYTES))).toBe(true);
    expect(read.equals(BODY)).toBe(true);
  });

  it("writes a frame longer than the run that it begins with", () => {
    const bench = new Bench();
    bench.lend(BODY.subarray(0, 10_000));
    bench.queue.push(Buffer.from(BODY.subarray(10_000, 16_000)), 0);
    expect(bench.queue.frameBytes).toBe(10_000);
    bench.queue.writeFrame(bench.writer, 1, 16_000, true);
    const { data, ends } = bench.take();
    expect(data.equals(BODY.subarray(0, 16_000))).toBe(true);
    expect(ends).toEqual([true]);
  });

  it("keeps no memory that it was only shown, whether that is written or dropped", () => {
    const shown = Buffer.alloc(SLAB_BYTES);
    for (const write of [true, false]) {
      const bench = new Bench();
      bench.queue.push(shown, 0);
      if (write) bench.write(SLAB_BYTES);
      bench.queue.drop(bench.output);
      bench.take();
      bench.output.settle(0);
      expect(acquireSlab()).not.toBe(shown);
    }
  });

  it("copies bytes that stay only where they are short", () => {
    const bench = new Bench();
    const read = Buffer.alloc(65_536, 1);
    const exact = Buffer.alloc(100, 1);
    bench.queue.push(read.subarray(0, COPY_BELOW_BYTES), 0);
    bench.queue.push(read.subarray(100, 200), 0);
    bench.queue.push(exact, 0);
    read.fill(2);
    exact.fill(3);
    bench.write(COPY_BELOW_BYTES + 200);
    const expected = [Buffer.alloc(COPY_BELOW_BYTES, 2), Buffer.alloc(200, 1)];
    expect(bench.take().data.equals(Buffer.concat(expected))).toBe(true);
  });

  it("holds single octets in slabs, whatever comes in between", () => {
    const bench = new Bench();
    for (let i = 0; i < 5_000; i++) bench.queue.push(Buffer.from([i]), 0);
    bench.queue.push(Buffer.alloc(COPY_BELOW_BYTES, 7), 0);
    for (let i = 0; i < 5_000; i++) bench.queue.push(Buffer.from([i]), 0);
    // A small slab and a large one, what is referred to, and the same again.
    expect(Reflect.get(bench.queue, "pieces")).toHaveLength(5);
    bench.write(10_000 + COPY_BELOW_BYTES);
    const octets = Buffer.from(Array.from({ length: 5_000 }, (_, i) => i));
    const expected = [octets, Buffer.alloc(COPY_BELOW_BYTES, 7), octets];
    expect(bench.take().data.equals(Buffer.concat(expected))).toBe(true);
  });

  it("gives a slab back when its last byte is written, not before", () => {
    const bench = new Bench();
    const slab = acquireSlab();
    releaseSlab(slab);
    bench.lend(BODY.subarray(0, 10_000));
    bench.write(4_000);
    bench.take();
    bench.output.settle(0);
    const other = acquireSlab();
    expect(other).not.toBe(slab);
    bench.write(6_000);
    bench.take();
    bench.output.settle(6_009);
    expect(acquireSlab()).not.toBe(slab);
    bench.output.releaseWritten(0);
    expect(acquireSlab()).toBe(slab);
  });

  it("that is dropped gives back what was under way after it is written", () => {
    const bench = new Bench();
    const slab = acquireSlab();
    releaseSlab(slab);
    bench.lend(BODY.subarray(0, FRAME_SLOT_BYTES));
    bench.queue.push(Buffer.alloc(5_000), 0);
    bench.write(4_000);
    bench.queue.drop(bench.output);
    const { data } = bench.take();
    bench.output.settle(1);
    expect(acquireSlab()).not.toBe(slab);
    expect(data.equals(BODY.subarray(0, 4_000))).toBe(true);
    bench.output.releaseWritten(0);
    expect(acquireSlab()).toBe(slab);
  });
});
