// Looking at the first messages of a call: what the director sees, and that nobody can tell
// afterwards. How much it may look at is in peek-limits.test.ts.

import { deflateSync, gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { ErrorReason, GrpcError } from "../../src/grpc/error.ts";
import { Status } from "../../src/grpc/status.ts";
import { StreamParameters } from "../../src/proxy/director.ts";
import { InvalidPeekCountError, type StreamPeeker } from "../../src/proxy/peeker.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { fieldValue } from "../../src/wire/field.ts";
import { FakeClock } from "../support/clock.ts";
import { transportCombos } from "../support/combos.ts";
import { frames, message, request, trailersOnly } from "../support/frames.ts";
import { finish, type Look, peekingRelay, type RelayOptions } from "../support/peeking.ts";
import { eventually, PATH, scriptedRelay, sendCall, statusOf } from "../support/relay-fixture.ts";

describe.each(transportCombos)("peek, server on $server, client on $client", (combo) => {
  const peeking = (look: Look, options?: RelayOptions) => peekingRelay(combo, look, options);

  it("gives the first message; what follows stays where it is", async () => {
    const seen: string[] = [];
    const relay = await peeking(async (peeker) => seen.push(`${await peeker.peek()}`));
    const body = Buffer.concat([message("one"), message("two"), message("three").subarray(0, 7)]);
    relay.client.send(frames.headers(1, request(PATH)), frames.data(1, body));
    relay.client.send(frames.data(1, message("three").subarray(7)).end());
    await finish(relay, Buffer.concat([message("one"), message("two"), message("three")]));
    expect(seen).toEqual(["one"]);
  });

  it("gives it when it comes byte by byte, its prefix split", async () => {
    const seen: string[] = [];
    const relay = await peeking(async (peeker) => seen.push(`${await peeker.peek()}`));
    relay.client.send(frames.headers(1, request(PATH)));
    for (const byte of message("split")) {
      relay.client.send(frames.data(1, Buffer.from([byte])));
      await relay.client.sync();
    }
    relay.client.send(frames.data(1).end());
    await finish(relay, message("split"));
    expect(seen).toEqual(["split"]);
  });

  it("is refused when the director has answered, also when it has never looked", async () => {
    let late: StreamPeeker | undefined;
    const relay = await peeking((peeker) => {
      late = peeker;
    });
    relay.client.send(frames.headers(1, request(PATH)), frames.data(1, message("one")).end());
    await finish(relay, message("one"));
    await expect(late!.peek()).rejects.toMatchObject({
      status: Status.INTERNAL,
      reason: ErrorReason.DIRECTOR,
      details: "peek: the director has answered already",
    });
  });

  it("is refused when messages that fit the limit one by one do not fit it together", async () => {
    const seen: unknown[] = [];
    const relay = await peeking(
      async (peeker) => {
        seen.push(`${await peeker.peek()}`);
        await peeker.peek(2).catch((error: GrpcError) => seen.push(error.reason, error.details));
      },
      { server: { maxPeekBytes: 8 } },
    );
    const body = Buffer.concat([message("12345"), message("6789")]);
    relay.client.send(frames.headers(1, request(PATH)), frames.data(1, body).end());
    await finish(relay, body);
    expect(seen).toEqual([
      "12345",
      ErrorReason.PEEK_TOO_LARGE,
      "peek: expected at most 8 bytes of messages, got 9 bytes",
    ]);
  });

  it("is refused for a message whose flag is none, which goes on as it came", async () => {
    const seen: unknown[] = [];
    const relay = await peeking((peeker) =>
      peeker.peek().catch((error: GrpcError) => seen.push(error.status)),
    );
    const body = message("one");
    body[0] = 2;
    relay.client.send(frames.headers(1, request(PATH)), frames.data(1, body).end());
    await finish(relay, body);
    expect(seen).toEqual([Status.INTERNAL]);
  });

  it("gives an empty message as one of no bytes", async () => {
    const seen: number[] = [];
    const relay = await peeking(async (peeker) => seen.push((await peeker.peek()).length));
    relay.client.send(frames.headers(1, request(PATH)), frames.data(1, message("")).end());
    await finish(relay, message(""));
    expect(seen).toEqual([0]);
  });

  it("gives the same bytes each time it is asked, also at once, and in any count", async () => {
    const seen: string[] = [];
    const relay = await peeking(async (peeker) => {
      const all = await Promise.all([peeker.peek(), peeker.peek(2), peeker.peek(), peeker.peek(1)]);
      seen.push(...all.flat().map(String), `${await peeker.peek()}`, `${await peeker.peek(2)}`);
    });
    relay.client.send(frames.headers(1, request(PATH)), frames.data(1, message("a")));
    await relay.client.sync();
    relay.client.send(frames.data(1, message("b")).end());
    await finish(relay, Buffer.concat([message("a"), message("b")]));
    expect(seen).toEqual(["a", "a", "b", "a", "a", "a", "a,b"]);
  });

  it("gives fewer messages than asked for when the stream ends after some", async () => {
    const seen: string[] = [];
    const relay = await peeking(async (peeker) => seen.push(...(await peeker.peek(5)).map(String)));
    relay.client.send(frames.headers(1, request(PATH)));
    relay.client.send(frames.data(1, Buffer.concat([message("a"), message("b")])).end());
    await finish(relay, Buffer.concat([message("a"), message("b")]));
    expect(seen).toEqual(["a", "b"]);
  });

  it.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])(
    "refuses to peek at %d messages",
    async (count) => {
      const errors: unknown[] = [];
      const relay = await peeking(async (peeker) => {
        await peeker.peek(count).catch((error: unknown) => errors.push(error));
      });
      relay.client.send(frames.headers(1, request(PATH)), frames.data(1, message("a")).end());
      await finish(relay, message("a"));
      expect(errors).toMatchObject([expect.any(InvalidPeekCountError)]);
      expect(`${errors[0]}`).toContain(
        "InvalidPeekCountError: peek count must be greater than zero",
      );
    },
  );

  it("of an invalid count that nobody catches is UNKNOWN, and the client does not read why", async () => {
    const { client } = await peeking((peeker) => peeker.peek(0));
    client.send(frames.headers(1, request(PATH)), frames.data(1).end());
    const fields = await client.expectTrailers(1);
    expect(statusOf(fields)).toBe(Status.UNKNOWN);
    expect(fieldValue(fields, "grpc-message")).toBe("internal error in the proxy");
  });

  describe("without a message", () => {
    const rows = [
      [
        "END_STREAM on the headers",
        "none",
        [frames.headers(1, request(PATH), { endStream: true })],
      ],
      ["an empty DATA", "none", [frames.headers(1, request(PATH)), frames.data(1).end()]],
      [
        "half a message",
        "6 bytes of an incomplete one",
        [frames.headers(1, request(PATH)), frames.data(1, message("abc").subarray(0, 6)).end()],
      ],
      [
        "half a prefix",
        "3 bytes of an incomplete one",
        [frames.headers(1, request(PATH)), frames.data(1, message("abc").subarray(0, 3)).end()],
      ],
    ] as const;

    it.each(rows)("%s: INVALID_ARGUMENT, reason NO_MESSAGE", async (_title, got, parts) => {
      const errors: GrpcError[] = [];
      const { client } = await peeking(async (peeker) => {
        try {
          await peeker.peek();
        } catch (error) {
          errors.push(error as GrpcError);
          throw error;
        }
      });
      client.send(...parts);
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.INVALID_ARGUMENT);
      expect(errors).toMatchObject([
        {
          reason: ErrorReason.NO_MESSAGE,
          source: "downstream",
          details: `peek: expected a message before the end of the stream, got ${got}`,
        },
      ]);
    });

    it("a director that minds it not can still send the call on, END_STREAM included", async () => {
      const relay = await peeking((peeker) => peeker.peek().catch(() => undefined));
      relay.client.send(frames.headers(1, request(PATH)), frames.data(1).end());
      await finish(relay, Buffer.alloc(0));
    });
  });

  it.each([
    ["gzip", gzipSync],
    ["deflate", deflateSync],
  ])("decompresses %s", async (encoding, compress) => {
    const seen: string[] = [];
    const relay = await peeking(async (peeker) => seen.push(`${await peeker.peek()}`));
    const body = message(compress("packed"), { compressed: true });
    relay.client.send(frames.headers(1, request(PATH, ["grpc-encoding", encoding])));
    relay.client.send(frames.data(1, body).end());
    await finish(relay, body);
    expect(seen).toEqual(["packed"]);
  });

  it.each([
    ["an unknown encoding", "snappy", gzipSync("x"), Status.UNIMPLEMENTED],
    ["no encoding", undefined, gzipSync("x"), Status.INTERNAL],
    ["damaged data", "gzip", Buffer.from("not gzip"), Status.INTERNAL],
  ])("of a compressed message with %s fails", async (_title, encoding, payload, status) => {
    const { client } = await peeking((peeker) => peeker.peek());
    const fields = encoding === undefined ? [] : [["grpc-encoding", encoding] as const];
    client.send(frames.headers(1, request(PATH, ...fields)));
    client.send(frames.data(1, message(payload, { compressed: true })).end());
    expect(statusOf(await client.expectTrailers(1))).toBe(status);
  });

  describe("when the call ends first", () => {
    function watched(errors: GrpcError[]) {
      return async (peeker: StreamPeeker): Promise<void> => {
        try {
          await peeker.peek();
        } catch (error) {
          errors.push(error as GrpcError);
          throw error;
        }
      };
    }

    it("by the client's cancel: CANCELLED, and the backend never hears of it", async () => {
      const errors: GrpcError[] = [];
      const { client, server, backend } = await peeking(watched(errors));
      client.send(frames.headers(1, request(PATH)), frames.data(1, message("abc").subarray(0, 4)));
      await eventually("it is here", () => server.openCallCount === 1);
      client.send(frames.rst(1, ErrorCode.CANCEL));
      await eventually("it is over", () => errors.length === 1);
      expect(errors).toMatchObject([{ status: Status.CANCELLED, source: "downstream" }]);
      expect(backend.trace.some(({ frame }) => frame.name === "HEADERS")).toBe(false);
    });

    it("by the deadline: DEADLINE_EXCEEDED, told to the client at once", async () => {
      const errors: GrpcError[] = [];
      const clock = new FakeClock();
      const { client, server } = await peeking(watched(errors), { clock });
      client.send(frames.headers(1, request(PATH, ["grpc-timeout", "100m"])));
      await eventually("it is here", () => server.openCallCount === 1);
      clock.advance(104);
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.DEADLINE_EXCEEDED);
      expect(errors).toMatchObject([{ status: Status.DEADLINE_EXCEEDED }]);
      // That of the connection's keepalive.
      expect(clock.timerCount).toBe(1);
    });

    it("before it was asked: rejects at once", async () => {
      const errors: GrpcError[] = [];
      let go = (): void => {};
      const wait = new Promise<void>((resolve) => {
        go = resolve;
      });
      const { client, server } = await peeking(async (peeker) => {
        await wait;
        await watched(errors)(peeker);
      });
      sendCall(client, false);
      await eventually("it is here", () => server.openCallCount === 1);
      client.send(frames.rst(1, ErrorCode.CANCEL));
      await eventually("it is over", () => server.openCallCount === 0);
      go();
      await eventually("peek has failed", () => errors.length === 1);
      expect(errors[0]).toMatchObject({ status: Status.CANCELLED });
    });
  });

  describe("and a director that does not wait for it", () => {
    it("answers at once: the call goes on, the promise is rejected and harms nobody", async () => {
      let pending: Promise<Buffer> | undefined;
      const relay = await scriptedRelay(combo, {
        director: (conn) => (_ctx, _method, peeker) => {
          pending = peeker.peek();
          return new StreamParameters({ conn });
        },
      });
      relay.client.send(frames.headers(1, request(PATH)));
      await relay.client.sync();
      relay.client.send(frames.data(1, message("abc")).end());
      await finish(relay, message("abc"));
      await expect(pending).rejects.toMatchObject({ reason: ErrorReason.DIRECTOR });
    });

    it("keeps the peeker and asks later: what was seen before, or rejected", async () => {
      let kept: StreamPeeker | undefined;
      const { client, backend } = await peeking(async (peeker) => {
        kept = peeker;
        await peeker.peek();
      });
      sendCall(client, false);
      const { streamId } = await backend.expectRequest(PATH);
      expect(`${await kept!.peek()}`).toBe("abc");
      await expect(kept!.peek(2)).rejects.toBeInstanceOf(GrpcError);
      client.send(frames.data(1, message("def")).end());
      expect(await backend.expectBody(streamId)).toEqual(
        Buffer.concat([message("abc"), message("def")]),
      );
      backend.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
      expect(`${await kept!.peek()}`).toBe("abc");
    });

    it("refuses the call: the promise is rejected", async () => {
      let pending: Promise<Buffer> | undefined;
      const { client } = await scriptedRelay(combo, {
        director: () => (_ctx, _method, peeker) => {
          pending = peeker.peek();
          throw new GrpcError(Status.PERMISSION_DENIED, "no");
        },
      });
      client.send(frames.headers(1, request(PATH)));
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.PERMISSION_DENIED);
      await expect(pending).rejects.toBeInstanceOf(GrpcError);
      await client.expectReset(1, ErrorCode.NO_ERROR);
    });
  });
});
