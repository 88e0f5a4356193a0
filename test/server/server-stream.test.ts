// Handlers that read and write messages: the four kinds of call, headers and trailers, errors, the
// brake.

import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { type Codec, codecWithParent } from "../../src/grpc/codec.ts";
import { ErrorReason, GrpcError } from "../../src/grpc/error.ts";
import { Frame } from "../../src/grpc/frame.ts";
import { Metadata } from "../../src/grpc/metadata.ts";
import { Status } from "../../src/grpc/status.ts";
import type { StreamHandler } from "../../src/server/interceptor.ts";
import type { ServerOptions } from "../../src/server/server.ts";
import type { ServerStream } from "../../src/server/server-stream.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { FakeClock } from "../support/clock.ts";
import { transportCombos } from "../support/combos.ts";
import { warnings } from "../support/events.ts";
import { frames, message, pairsOf, request, response } from "../support/frames.ts";
import { eventually, listen, PATH, statusOf } from "../support/relay-fixture.ts";
import { ScriptedClient, type ScriptedClientOptions } from "../support/scripted-endpoints.ts";
import { Upload } from "../support/upload.ts";

const json: Codec<unknown> = {
  name: "json",
  marshal: (value) => {
    if (value === undefined) throw new Error("no value");
    return Buffer.from(JSON.stringify(value));
  },
  unmarshal: (data) => JSON.parse(data.toString()) as unknown,
};

function metadata(...pairs: [string, string][]): Metadata {
  const made = new Metadata();
  for (const [name, value] of pairs) made.append(name, value);
  return made;
}

describe.each(transportCombos)("a handler on $server", (combo) => {
  async function start<Request = unknown, Response = unknown>(
    handler: StreamHandler<Request, Response>,
    options: ServerOptions = {},
    clientOptions: ScriptedClientOptions = {},
  ) {
    const { server, address } = await listen(combo, options);
    server.register("test.Service", { Method: handler as StreamHandler });
    const client = await ScriptedClient.connect(address, { refillWindows: true, ...clientOptions });
    return { server, client };
  }

  describe("answers the four kinds of call", () => {
    it("unary", async () => {
      const { client } = await start<Frame>(async (stream) => {
        const one = await stream.recvMessage();
        expect(await stream.recvMessage()).toBeUndefined();
        await stream.sendMessage(Buffer.from(`got ${one!.payload}`));
      });
      client.send(frames.headers(1, request(PATH)), frames.data(1, message("one")).end());
      expect(pairsOf(await client.expectHeaders(1))).toEqual(response());
      expect(await client.expectBytes(1, 12)).toEqual(message("got one"));
      expect(pairsOf(await client.expectTrailers(1))).toEqual([["grpc-status", "0"]]);
    });

    it("client-streaming, by iterating", async () => {
      const { client } = await start<Frame>(async (stream) => {
        const parts: string[] = [];
        for await (const part of stream) parts.push(part.payload.toString());
        await stream.sendMessage(Buffer.from(parts.join()));
      });
      client.send(frames.headers(1, request(PATH)));
      for (const part of ["a", "b", "c"]) client.send(frames.data(1, message(part)));
      client.send(frames.data(1).end());
      await client.expectHeaders(1);
      expect(await client.expectBytes(1, 10)).toEqual(message("a,b,c"));
      await client.expectTrailers(1);
    });

    it("server-streaming, without a request message", async () => {
      const { client } = await start(async (stream) => {
        for (const part of ["a", "b", "c"]) await stream.sendMessage(Buffer.from(part));
      });
      client.send(frames.headers(1, request(PATH), { endStream: true }));
      await client.expectHeaders(1);
      expect(await client.expectBytes(1, 18)).toEqual(
        Buffer.concat([message("a"), message("b"), message("c")]),
      );
      await client.expectTrailers(1);
    });

    it("bidirectional", async () => {
      const { client } = await start<Frame, Frame>(async (stream) => {
        for await (const part of stream) await stream.sendMessage(part);
      });
      client.send(frames.headers(1, request(PATH)));
      for (const part of ["a", "b"]) {
        client.send(frames.data(1, message(part)));
        if (part === "a") await client.expectHeaders(1);
        expect(await client.expectBytes(1, 6)).toEqual(message(part));
      }
      client.send(frames.data(1).end());
      await client.expectTrailers(1);
    });
  });

  describe("ends the call", () => {
    it("with OK in one HEADERS frame when it returns without a message", async () => {
      const { client } = await start(() => {});
      client.send(frames.headers(1, request(PATH), { endStream: true }));
      expect(pairsOf(await client.expectTrailers(1))).toEqual([
        ...response(),
        ["grpc-status", "0"],
      ]);
    });

    it("before the client has: by trailers, then RST_STREAM(NO_ERROR)", async () => {
      const { client } = await start<Frame>(async (stream) => {
        await stream.recvMessage();
        await stream.sendMessage(Buffer.from("early"));
      });
      client.send(frames.headers(1, request(PATH)), frames.data(1, message("one")));
      await client.expectHeaders(1);
      await client.expectBytes(1, 10);
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
      await client.expectReset(1, ErrorCode.NO_ERROR);
    });

    it.each([
      ["GrpcError", new GrpcError(Status.NOT_FOUND, "höher"), 5, "h%C3%B6her"],
      ["Error", new Error("plain"), Status.UNKNOWN, "internal error in the proxy"],
      ["a string", "text", Status.UNKNOWN, "internal error in the proxy"],
    ])(
      "with the status of the %s that it throws, at once or later",
      async (_what, thrown, status, text) => {
        for (const later of [false, true]) {
          const { client } = await start(async () => {
            if (later) await Promise.resolve();
            throw thrown;
          });
          client.send(frames.headers(1, request(PATH), { endStream: true }));
          expect(pairsOf(await client.expectTrailers(1)).slice(2)).toEqual([
            ["grpc-status", `${status}`],
            ["grpc-message", text],
          ]);
        }
      },
    );

    it("with the error's metadata and its own trailer, when it throws after messages", async () => {
      const { client } = await start(async (stream) => {
        await stream.sendMessage(Buffer.from("x"));
        stream.setTrailer(metadata(["x-trailer", "1"]));
        throw new GrpcError(Status.ABORTED, "no", { metadata: metadata(["x-error", "1"]) });
      });
      client.send(frames.headers(1, request(PATH), { endStream: true }));
      await client.expectHeaders(1);
      await client.expectBytes(1, 6);
      const fields = pairsOf(await client.expectTrailers(1));
      expect(fields).toContainEqual(["grpc-status", "10"]);
      expect(fields).toContainEqual(["x-error", "1"]);
      expect(fields).toContainEqual(["x-trailer", "1"]);
    });

    it("and leaves no timer: not of its deadline, not of contexts made from it", async () => {
      const clock = new FakeClock();
      const { client } = await start(
        (stream) => {
          expect(stream.context.withTimeout(50_000).signal.aborted).toBe(false);
          expect(clock.timerCount).toBeGreaterThanOrEqual(2);
        },
        { clock },
      );
      const fields = request(PATH, ["grpc-timeout", "60S"]);
      client.send(frames.headers(1, fields, { endStream: true }));
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
      await client.sync();
      // That of the connection's keepalive.
      expect(clock.timerCount).toBe(1);
    });

    it("with an error that it throws for every call, which keeps nothing of any", async () => {
      const shared = new GrpcError(Status.NOT_FOUND, "no");
      const { client } = await start((stream) => {
        stream.setTrailer(metadata(["x-user", stream.context.metadata.first("x-user") as string]));
        throw shared;
      });
      for (const [id, user] of [
        [1, "alice"],
        [3, "bob"],
      ] as const) {
        client.send(frames.headers(id, request(PATH, ["x-user", user]), { endStream: true }));
        const fields = pairsOf(await client.expectTrailers(id));
        expect(fields.filter(([name]) => name === "x-user")).toEqual([["x-user", user]]);
      }
      expect(shared.metadata.size).toBe(0);
    });

    it("by the deadline when it never returns; what it does afterwards harms nobody", async () => {
      const clock = new FakeClock();
      const log: unknown[] = [];
      let stream: ServerStream | undefined;
      const { client, server } = await start(
        async (given) => {
          stream = given;
          log.push(await given.recvMessage().catch((error: GrpcError) => error.status));
          await new Promise(() => {});
        },
        { clock },
      );
      client.send(frames.headers(1, request(PATH, ["grpc-timeout", "1S"])));
      await eventually("it is at work", () => stream !== undefined);
      expect(stream!.context.signal.aborted).toBe(false);
      clock.advance(1_004);
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.DEADLINE_EXCEEDED);
      expect(server.openCallCount).toBe(0);
      expect(stream!.context.signal.reason).toMatchObject({ status: Status.DEADLINE_EXCEEDED });
      expect(log).toEqual([Status.DEADLINE_EXCEEDED]);
      await expect(stream!.sendMessage(Buffer.from("late"))).rejects.toMatchObject({
        status: Status.DEADLINE_EXCEEDED,
      });
      expect(() => stream!.sendHeader()).toThrow(GrpcError);
      // That of the connection's keepalive.
      expect(clock.timerCount).toBe(1);
    });

    it("hears of the client's cancel by its signal and by whatever it waits for", async () => {
      const log: unknown[] = [];
      const { client, server } = await start(async (stream) => {
        stream.context.signal.addEventListener("abort", () => log.push("aborted"));
        log.push(await stream.recvMessage().catch((error: GrpcError) => error.status));
      });
      client.send(frames.headers(1, request(PATH)));
      await eventually("it is here", () => server.openCallCount === 1);
      client.send(frames.rst(1, ErrorCode.CANCEL));
      await eventually("it has heard", () => log.length === 2);
      expect(log).toEqual(["aborted", Status.CANCELLED]);
      await client.expectQuiet(1);
    });

    it("and a late failure of a promise that it did not wait for ends no process", async () => {
      const { client, server } = await start((stream) => {
        void stream.sendMessage(Buffer.alloc(1_000_000));
        void stream.recvMessage();
        return new Promise<void>(() => {});
      });
      client.send(frames.headers(1, request(PATH)));
      await client.expectHeaders(1);
      client.send(frames.rst(1, ErrorCode.CANCEL));
      await eventually("it is over", () => server.openCallCount === 0);
      await client.sync();
    });
  });

  describe("headers and trailers", () => {
    it("setHeader adds to what goes out with the first message, setTrailer to the status", async () => {
      const { client } = await start(async (stream) => {
        stream.setHeader(metadata(["x-a", "1"]));
        stream.setHeader(metadata(["x-b", "2"], ["x-a", "3"]));
        stream.setTrailer(metadata(["x-t", "1"]));
        await stream.sendMessage(Buffer.from("x"));
        stream.setTrailer(metadata(["x-u", "2"]));
      });
      client.send(frames.headers(1, request(PATH), { endStream: true }));
      const headers = pairsOf(await client.expectHeaders(1));
      expect(headers.filter(([name]) => name === "x-a")).toEqual([
        ["x-a", "1"],
        ["x-a", "3"],
      ]);
      expect(headers).toContainEqual(["x-b", "2"]);
      await client.expectBytes(1, 6);
      expect(pairsOf(await client.expectTrailers(1))).toEqual([
        ["grpc-status", "0"],
        ["x-t", "1"],
        ["x-u", "2"],
      ]);
    });

    it("sendHeader sends them at once; a second time, and setHeader after it, is INTERNAL", async () => {
      const errors: unknown[] = [];
      let go = (): void => {};
      const wait = new Promise<void>((resolve) => {
        go = resolve;
      });
      const { client } = await start(async (stream) => {
        stream.sendHeader(metadata(["x-a", "1"]));
        for (const again of [() => stream.sendHeader(), () => stream.setHeader(metadata())]) {
          try {
            again();
          } catch (error) {
            errors.push(error);
          }
        }
        await wait;
      });
      client.send(frames.headers(1, request(PATH), { endStream: true }));
      expect(pairsOf(await client.expectHeaders(1))).toEqual(response(["x-a", "1"]));
      await client.expectQuiet(1);
      go();
      await client.expectTrailers(1);
      expect(errors).toMatchObject([{ status: Status.INTERNAL }, { status: Status.INTERNAL }]);
    });

    it("a header that was set and no message: headers, then trailers", async () => {
      const { client } = await start((stream) => stream.setHeader(metadata(["x-a", "1"])));
      client.send(frames.headers(1, request(PATH), { endStream: true }));
      expect(pairsOf(await client.expectHeaders(1))).toEqual(response(["x-a", "1"]));
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
    });

    it("the answer has the content-type of the request", async () => {
      const { client } = await start((stream) => stream.sendMessage(Buffer.from("x")));
      const fields = request(PATH).map((field) =>
        (field as [string, string])[0] === "content-type"
          ? (["content-type", "application/grpc+json"] as const)
          : field,
      );
      client.send(frames.headers(1, fields, { endStream: true }));
      expect(pairsOf(await client.expectHeaders(1))[1]).toEqual([
        "content-type",
        "application/grpc+json",
      ]);
      await client.expectBytes(1, 6);
      await client.expectTrailers(1);
    });
  });

  describe("messages", () => {
    it("are what the codec makes of them; a Frame goes out as it is, compressed or not", async () => {
      const { client } = await start<{ a: number }>(
        async (stream) => {
          const { a } = (await stream.recvMessage())!;
          await stream.sendMessage({ b: a + 1 });
          await stream.sendMessage(new Frame(Buffer.from("raw"), true));
        },
        { codec: codecWithParent(json) },
      );
      client.send(frames.headers(1, request(PATH)), frames.data(1, message('{"a":1}')).end());
      await client.expectHeaders(1);
      expect(await client.expectBytes(1, 20)).toEqual(
        Buffer.concat([message('{"b":2}'), message("raw", { compressed: true })]),
      );
      await client.expectTrailers(1);
    });

    it("that are compressed are decompressed before they are decoded", async () => {
      const seen: unknown[] = [];
      const { client } = await start(
        async (stream) => {
          seen.push(await stream.recvMessage());
        },
        { codec: codecWithParent(json) },
      );
      client.send(frames.headers(1, request(PATH, ["grpc-encoding", "gzip"])));
      client.send(frames.data(1, message(gzipSync("[1]"), { compressed: true })).end());
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
      expect(seen).toEqual([[1]]);
    });

    it.each([
      ["cannot be decoded", message("{"), ErrorReason.CODEC, Status.INTERNAL],
      [
        "is too large",
        message(Buffer.alloc(101)),
        ErrorReason.MESSAGE_TOO_LARGE,
        Status.RESOURCE_EXHAUSTED,
      ],
      ["is cut off", message("[1]").subarray(0, 6), ErrorReason.TRUNCATED_MESSAGE, Status.INTERNAL],
      [
        "is of an unknown encoding",
        message("x", { compressed: true }),
        ErrorReason.COMPRESSED_MESSAGE,
        Status.INTERNAL,
      ],
    ])(
      "one that %s is told to the handler, and ends the call with it",
      async (_what, bytes, reason, status) => {
        const errors: unknown[] = [];
        const { client } = await start(
          async (stream) => {
            try {
              await stream.recvMessage();
            } catch (error) {
              errors.push(error);
              throw error;
            }
          },
          { codec: codecWithParent(json), maxRequestMessageBytes: 100 },
        );
        client.send(frames.headers(1, request(PATH)), frames.data(1, bytes).end());
        expect(statusOf(await client.expectTrailers(1))).toBe(status);
        expect(errors).toMatchObject([{ reason }]);
      },
    );

    it("one that cannot be encoded rejects, INTERNAL; nothing of it is sent", async () => {
      const { client } = await start((stream) => stream.sendMessage(undefined), {
        codec: codecWithParent(json),
      });
      client.send(frames.headers(1, request(PATH), { endStream: true }));
      const entry = await client.recv("HEADERS", { stream: 1 });
      const last = entry.frame.endStream ? entry : await client.recv("HEADERS", { stream: 1 });
      expect(statusOf(last.fields!)).toBe(Status.INTERNAL);
      expect(client.received(1, "DATA")).toEqual([]);
    });
  });

  describe("the brake", () => {
    it("stops a client whose messages are not read, at its window", async () => {
      let read = (): void => {};
      const wait = new Promise<void>((resolve) => {
        read = resolve;
      });
      const { client } = await start<Frame>(
        async (stream) => {
          await wait;
          for await (const _ of stream);
        },
        { streamWindowBytes: 65_535 },
      );
      client.send(frames.headers(1, request(PATH)));
      const upload = new Upload(client, 1);
      const body = message(Buffer.alloc(1_000_000));
      const taken = await upload.sendUntilStalled(body, () => client.sync());
      expect(taken).toBeLessThanOrEqual(65_535 + 65_535 / 2);
      read();
      await upload.send(body.subarray(taken));
      client.send(frames.data(1).end());
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
    });

    it("stops a handler that awaits sendMessage when the client does not read", async () => {
      let sent = 0;
      const { client, server } = await start(
        async (stream) => {
          for (;;) {
            await stream.sendMessage(Buffer.alloc(9_995));
            sent++;
          }
        },
        {},
        { refillWindows: false },
      );
      client.send(frames.headers(1, request(PATH), { endStream: true }));
      await client.expectHeaders(1);
      await client.expectBytes(1, 65_535);
      for (let i = 0; i < 5; i++) await client.sync();
      // The client's window, what the writer lets pass unsent, and what the transport holds.
      expect(sent).toBeLessThan((65_535 + 65_536 + 65_536) / 10_000);
      client.send(frames.windowUpdate(1, 100_000), frames.windowUpdate(0, 100_000));
      await client.expectBytes(1, 100_000);
      client.send(frames.rst(1, ErrorCode.CANCEL));
      await eventually("it is over", () => server.openCallCount === 0);
    });
  });
});

it("a handler whose promise gives something ends its call with OK; the process is warned", async () => {
  const warned = warnings();
  const { server, address } = await listen({ server: "engine", client: "engine" });
  server.register("test.Service", { Method: async () => "an answer" as never });
  const client = await ScriptedClient.connect(address);
  client.send(frames.headers(1, request(PATH), { endStream: true }));
  expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
  await eventually("the process is warned", () => warned.length > 0);
  expect(warned).toMatchObject([{ code: "GRPC_RELAY_HANDLER" }]);
});
