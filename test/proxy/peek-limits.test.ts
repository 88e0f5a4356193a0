// How much a director may look at, and what the windows hold back meanwhile.

import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { ErrorReason, type GrpcError } from "../../src/grpc/error.ts";
import { Status } from "../../src/grpc/status.ts";
import { StreamParameters } from "../../src/proxy/director.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { fieldValue } from "../../src/wire/field.ts";
import { transportCombos } from "../support/combos.ts";
import { frames, message, request } from "../support/frames.ts";
import { finish, type Look, peekingRelay, type RelayOptions } from "../support/peeking.ts";
import { eventually, PATH, scriptedRelay, statusOf } from "../support/relay-fixture.ts";
import { Upload } from "../support/upload.ts";

const MiB = 1024 * 1024;

describe.each(transportCombos)("peek, server on $server, client on $client", (combo) => {
  const peeking = (look: Look, options?: RelayOptions) => peekingRelay(combo, look, options);

  it("a message larger than maxPeekBytes is RESOURCE_EXHAUSTED before it has arrived", async () => {
    const { client } = await peeking((peeker) => peeker.peek(), {
      server: { maxPeekBytes: 1_000 },
    });
    client.send(frames.headers(1, request(PATH)));
    client.send(frames.data(1, message(Buffer.alloc(1_001)).subarray(0, 5)));
    const fields = await client.expectTrailers(1);
    expect(statusOf(fields)).toBe(Status.RESOURCE_EXHAUSTED);
    expect(fieldValue(fields, "grpc-message")).toContain("at most 1000 bytes");
    await client.expectReset(1, ErrorCode.NO_ERROR);
  });

  it("a message of exactly maxPeekBytes passes", async () => {
    const relay = await peeking((peeker) => peeker.peek(), { server: { maxPeekBytes: 1_000 } });
    const body = message(Buffer.alloc(1_000));
    relay.client.send(frames.headers(1, request(PATH)), frames.data(1, body).end());
    await finish(relay, body);
  });

  it("is not for messages that nobody asked for", async () => {
    const relay = await peeking((peeker) => peeker.peek(), { server: { maxPeekBytes: 1_000 } });
    const body = Buffer.concat([message("small"), message(Buffer.alloc(2_000))]);
    relay.client.send(frames.headers(1, request(PATH)), frames.data(1, body).end());
    await finish(relay, body);
  });

  it("counts all messages that were asked for together", async () => {
    const { client } = await peeking((peeker) => peeker.peek(3), {
      server: { maxPeekBytes: 1_000 },
    });
    client.send(frames.headers(1, request(PATH)));
    client.send(
      frames.data(1, message(Buffer.alloc(600))),
      frames.data(1, message(Buffer.alloc(600))),
    );
    const fields = await client.expectTrailers(1);
    expect(statusOf(fields)).toBe(Status.RESOURCE_EXHAUSTED);
    expect(fieldValue(fields, "grpc-message")).toBe(
      "peek: expected at most 1000 bytes of messages, got 1210 bytes",
    );
    await client.expectReset(1, ErrorCode.NO_ERROR);
  });

  it.each([16, 17, 18])("three messages of %i bytes in all, with a limit of 17", async (total) => {
    const seen: unknown[] = [];
    const relay = await peeking(
      async (peeker) => {
        seen.push(
          await peeker.peek(3).then(
            (payloads) => payloads.map(({ length }) => length),
            (error: GrpcError) => error.reason,
          ),
        );
      },
      { server: { maxPeekBytes: 17 } },
    );
    const sizes = [3, 3, total - 6];
    const body = Buffer.concat(sizes.map((bytes) => message(Buffer.alloc(bytes))));
    relay.client.send(frames.headers(1, request(PATH)));
    // Two messages, the prefix of the third, and its payload.
    for (const [from, to] of [
      [0, 8],
      [8, 16],
      [16, 21],
    ] as const) {
      relay.client.send(frames.data(1, body.subarray(from, to)));
      await relay.client.sync();
    }
    relay.client.send(frames.data(1, body.subarray(21)).end());
    await finish(relay, body);
    expect(seen).toEqual([total <= 17 ? sizes : ErrorReason.PEEK_TOO_LARGE]);
  });

  it("counts what others of a peek became when a compressed one is opened", async () => {
    const seen: unknown[] = [];
    const relay = await peeking(
      (peeker) =>
        peeker.peek(2).catch((error: GrpcError) => seen.push(error.reason, error.details)),
      { server: { maxPeekBytes: 10_000 } },
    );
    const body = Buffer.concat([
      message(Buffer.alloc(6_000)),
      message(gzipSync(Buffer.alloc(6_000)), { compressed: true }),
    ]);
    relay.client.send(frames.headers(1, request(PATH, ["grpc-encoding", "gzip"])));
    relay.client.send(frames.data(1, body).end());
    await finish(relay, body);
    // It is opened as far as it may be long, and no further.
    expect(seen).toEqual([
      ErrorReason.PEEK_TOO_LARGE,
      expect.stringContaining("after decompression: expected at most 4000 bytes"),
    ]);
  });

  it("a compressed message may not become larger than it, either", async () => {
    const { client } = await peeking((peeker) => peeker.peek(), {
      server: { maxPeekBytes: 10_000 },
    });
    const bomb = message(gzipSync(Buffer.alloc(MiB)), { compressed: true });
    client.send(frames.headers(1, request(PATH, ["grpc-encoding", "gzip"])));
    client.send(frames.data(1, bomb).end());
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.RESOURCE_EXHAUSTED);
  });

  it("a message larger than the stream's window arrives all the same, and is relayed whole", async () => {
    const seen: number[] = [];
    const relay = await peeking(async (peeker) => seen.push((await peeker.peek()).length), {
      server: { streamWindowBytes: 65_535 },
    });
    const body = message(Buffer.alloc(MiB, "p"));
    relay.client.send(frames.headers(1, request(PATH)));
    await new Upload(relay.client, 1).send(body);
    relay.client.send(frames.data(1).end());
    await finish(relay, body);
    expect(seen).toEqual([MiB]);
  });

  it("a large message that is replaced by a small one gives its credit back", async () => {
    const relay = await scriptedRelay(combo, {
      director: (conn) => async (_ctx, _method, peeker) => {
        await peeker.peek();
        return new StreamParameters({ conn, message: Buffer.from("small") });
      },
      server: { streamWindowBytes: 65_535 },
    });
    relay.client.send(frames.headers(1, request(PATH)));
    const upload = new Upload(relay.client, 1);
    await upload.send(message(Buffer.alloc(200_000)));
    const rest = message(Buffer.alloc(200_000, "r"));
    await upload.send(rest);
    relay.client.send(frames.data(1).end());
    await finish(relay, Buffer.concat([message("small"), rest]));
  });

  it("what comes behind a peeked message is held back by the window while the director thinks", async () => {
    let answer = (): void => {};
    const answered = new Promise<void>((resolve) => {
      answer = resolve;
    });
    let peeked = false;
    const relay = await peeking(
      async (peeker) => {
        await peeker.peek();
        peeked = true;
        await answered;
      },
      { server: { streamWindowBytes: 65_535 } },
    );
    const upload = new Upload(relay.client, 1);
    relay.client.send(frames.headers(1, request(PATH)));
    const body = message(Buffer.alloc(MiB));
    await upload.send(message("first"));
    await eventually("it is peeked", () => peeked);
    const taken = await upload.sendUntilStalled(body, () => relay.client.sync());
    expect(taken).toBeLessThanOrEqual(65_535 + 65_535 / 2);
    answer();
    const { streamId } = await relay.backend.expectRequest(PATH);
    await upload.send(body.subarray(taken));
    await relay.backend.expectBytes(streamId, 10 + body.length);
    relay.client.send(frames.rst(1, ErrorCode.CANCEL));
  });
});
