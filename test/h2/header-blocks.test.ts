// Header blocks that span frames: what is too much for a call, and what is too much for its
// connection (RFC 9113 §4.3, §6.10).

import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../src/wire/error-code.ts";
import {
  type FieldInput,
  frames,
  headerBlock,
  pairsOf,
  request,
  response,
} from "../support/frames.ts";
import { client, server, type Wire } from "./wire.ts";

const { ENHANCE_YOUR_CALM } = ErrorCode;
const FRAME_BYTES = 16_384;

/** `length` below 127, plain. */
function short(text: string): Buffer {
  return Buffer.concat([Buffer.from([text.length]), Buffer.from(text)]);
}

/** A literal that enters the table (RFC 7541 §6.2.1). */
function indexed(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([0x40]), short(name), short(value)]);
}

/** A literal of `bytes` octets (at least 16,511), beginning with `first`. */
function long(first: number, bytes: number): Buffer {
  const rest = bytes - 127;
  const octets = [0x7f, (rest & 0x7f) | 0x80, ((rest >> 7) & 0x7f) | 0x80, rest >> 14];
  return Buffer.concat([
    Buffer.from([first]),
    short("big"),
    Buffer.from(octets),
    Buffer.alloc(bytes, 0x61),
  ]);
}

function inFrames(streamId: number, block: Buffer, endStream = false): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < block.length; at += FRAME_BYTES) {
    const piece = block.subarray(at, at + FRAME_BYTES);
    const endHeaders = at + FRAME_BYTES >= block.length;
    parts.push(
      frames.bytes(
        at === 0
          ? frames.headers(streamId, piece, { endHeaders, endStream })
          : frames.continuation(streamId, piece, { endHeaders }),
      ),
    );
  }
  return parts;
}

/** More than a list may have, and two entries for the table around it. */
const HUGE: Buffer = Buffer.concat([
  indexed("a", "1"),
  ...Array.from({ length: 30 }, () => long(0x00, 20_000)),
  indexed("b", "2"),
]);
/** Both entries by their index (RFC 7541 §2.3.3): the newest is 62. */
const BOTH: Buffer = Buffer.from([0xbe, 0xbf]);

describe("a header block of 600 KB", () => {
  it("of a request costs its stream alone, and HPACK stays in step", () => {
    const wire = server();
    const head = headerBlock(request("/a/B"));
    wire.recv(...inFrames(1, Buffer.concat([head, HUGE])));
    wire.expectStreamError(1, ENHANCE_YOUR_CALM);
    wire.recv(frames.headers(3, Buffer.concat([head, BOTH])));
    expect(pairsOf(wire.lastStream().headers[0] ?? []).slice(-2)).toEqual([
      ["b", "2"],
      ["a", "1"],
    ]);
  });

  it.each([
    ["headers", false],
    ["trailers", true],
  ])("of response %s costs its stream alone, and HPACK stays in step", (_, endStream) => {
    const wire = client();
    const [big, small] = [wire.open(), wire.open()];
    wire.sent();
    const head = headerBlock(response());
    if (endStream) wire.recv(frames.headers(1, response()));
    wire.recv(...inFrames(1, endStream ? HUGE : Buffer.concat([head, HUGE]), endStream));
    wire.expectStreamError(1, ENHANCE_YOUR_CALM);
    expect(big.log.at(-1)).toBe("reset protocol ENHANCE_YOUR_CALM");
    wire.recv(frames.headers(3, Buffer.concat([head, BOTH])));
    expect(pairsOf(small.headers[0] ?? []).slice(-2)).toEqual([
      ["b", "2"],
      ["a", "1"],
    ]);
  });

  it("with one value that is larger than the table empties it — RFC 7541 §4.4", () => {
    const wire = server();
    const head = headerBlock(request("/a/B"));
    const block = [head, indexed("a", "1"), long(0x40, 600_000), indexed("b", "2")];
    wire.recv(...inFrames(1, Buffer.concat(block)));
    wire.expectStreamError(1, ENHANCE_YOUR_CALM);
    wire.recv(frames.headers(3, Buffer.concat([head, BOTH.subarray(0, 1)])));
    expect(pairsOf(wire.lastStream().headers[0] ?? []).at(-1)).toEqual(["b", "2"]);
    wire.recv(frames.headers(5, Buffer.concat([head, BOTH])));
    wire.expectConnectionError(ErrorCode.COMPRESSION_ERROR);
  });
});

describe("the bounds of a header block", () => {
  const ended = (wire: Wire): unknown => wire.connection.ended?.cause;

  it("end the connection beyond a mebibyte, and name themselves", () => {
    const wire = server();
    wire.recv(...inFrames(1, Buffer.alloc(1_048_576 + 1)));
    expect(ended(wire)).toMatchObject({
      limit: { name: "maxHeaderBlockBytes", value: 1_048_576 },
      message:
        "header block of 1048577 bytes so far, our limit is 1048576 bytes (maxHeaderBlockBytes)",
    });
    wire.expectConnectionError(ENHANCE_YOUR_CALM);
  });

  it("end the connection beyond the frames of a block, and name themselves", () => {
    const wire = server({ limits: { maxContinuationFrames: 2 } });
    wire.recv(...frames.headersInPieces(1, request("/a/B"), 12));
    expect(ended(wire)).toMatchObject({ limit: { name: "maxContinuationFrames", value: 2 } });
  });

  it("have room for every list that we announce to take", () => {
    const limits = { maxHeaderBlockBytes: 1_000, maxContinuationFrames: 1 };
    const maxHeaderListBytes = 4_194_304;
    const fields = Array.from({ length: 40 }, (): FieldInput => ["x", "v".repeat(100_000)]);
    const wire = server({ limits, maxHeaderListBytes });
    wire.recv(...frames.headersInPieces(1, request("/a/B", ...fields)));
    expect(wire.lastStream().headers[0]).toHaveLength(request("/a/B").length + fields.length);
  });
});

describe("header fields that have begun", () => {
  const block = headerBlock(request("/a.B/C"));

  it("are told by their stream, whether the frame or the block is not complete", () => {
    const wire = server();
    const { connection } = wire;
    expect(connection.openHeaderId).toBe(0);
    const whole = frames.bytes(frames.headers(1, block));
    wire.recv(whole.subarray(0, 12));
    expect(connection.openHeaderId).toBe(1);
    wire.recv(whole.subarray(12));
    expect(connection.openHeaderId).toBe(0);
  });
});
