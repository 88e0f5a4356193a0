// What is refused before any handler runs, and how.

import { describe, expect, it } from "vitest";
import { Status } from "../../src/grpc/status.ts";
import { Server } from "../../src/server/server.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { fieldValue } from "../../src/wire/field.ts";
import { FakeClock } from "../support/clock.ts";
import { transportCombos } from "../support/combos.ts";
import { type FieldInput, frames, message, pairsOf, request } from "../support/frames.ts";
import { eventually, listen, statusOf } from "../support/relay-fixture.ts";
import { ScriptedClient } from "../support/scripted-endpoints.ts";
import { Upload } from "../support/upload.ts";

/** A request that differs from a good one in one field; `undefined` leaves the field out. */
function requestWith(name: string, value: string | undefined): FieldInput[] {
  const fields = (request("/test.Service/Known") as [string, string][]).filter(
    ([key]) => key !== name,
  );
  if (value === undefined) return fields;
  return name.startsWith(":") ? [[name, value], ...fields] : [...fields, [name, value]];
}

describe.each(transportCombos)("a request to a server on $server", (combo) => {
  async function start(clock?: FakeClock) {
    const calls: (Date | undefined)[] = [];
    const { server, address } = await listen(combo, clock === undefined ? {} : { clock });
    server.register("test.Service", {
      Known: (stream) => {
        calls.push(stream.context.deadline);
      },
      Waits: (stream) => {
        calls.push(stream.context.deadline);
        return new Promise<void>((resolve) => {
          stream.context.signal.addEventListener("abort", () => resolve());
        });
      },
    });
    return { server, calls, client: await ScriptedClient.connect(address) };
  }

  describe("that is not gRPC is answered with HTTP 415 and one line of text, without a gRPC status", () => {
    it.each([
      [":method", "GET", "expected method POST, got GET"],
      [":method", "PUT", "expected method POST, got PUT"],
      ["content-type", undefined, "expected content-type application/grpc, got none"],
      ["content-type", "text/html", "expected content-type application/grpc, got text/html"],
      [
        "content-type",
        "application/grpc-web+proto",
        "expected content-type application/grpc, got application/grpc-web+proto",
      ],
      [
        "content-type",
        "application/grpcfoo",
        "expected content-type application/grpc, got application/grpcfoo",
      ],
    ])("%s: %s", async (name, value, text) => {
      const { client, calls, server } = await start();
      client.send(frames.headers(1, requestWith(name, value), { endStream: true }));
      const fields = await client.expectHeaders(1);
      expect(pairsOf(fields)).toEqual([
        [":status", "415"],
        ["content-type", "text/plain; charset=utf-8"],
        ["content-length", `${text.length + 1}`],
      ]);
      expect(`${await client.expectBody(1)}`).toBe(`${text}\n`);
      expect(calls).toEqual([]);
      expect(server.openCallCount).toBe(0);
    });

    it("with a short body that is still coming: read and dropped", async () => {
      const { client } = await start();
      client.send(frames.headers(1, requestWith("content-type", "text/html")));
      client.send(frames.data(1, "a short body"));
      expect(fieldValue(await client.expectHeaders(1), ":status")).toBe("415");
      await client.expectData(1, { endStream: false });
      client.send(frames.data(1).end());
      expect(await client.expectBody(1)).toHaveLength(0);
      await client.expectQuiet(1);
    });

    it("with a long body: after 64 KiB of it the client is told to stop by RST_STREAM(NO_ERROR)", async () => {
      const { client } = await start(new FakeClock());
      client.send(frames.headers(1, requestWith("content-type", "text/html")));
      expect(fieldValue(await client.expectHeaders(1), ":status")).toBe("415");
      await client.expectData(1, { endStream: false });
      const taken = await new Upload(client, 1).sendUntilStalled(Buffer.alloc(100_000), () =>
        client.sync(),
      );
      expect(taken).toBeGreaterThan(65_536);
      expect(await client.expectBody(1)).toHaveLength(0);
      await client.expectReset(1, ErrorCode.NO_ERROR);
    });

    it("with a body that never ends: a second later the client is told to stop", async () => {
      const clock = new FakeClock();
      const { client } = await start(clock);
      client.send(frames.headers(1, requestWith("content-type", "text/html")));
      await client.expectHeaders(1);
      await client.expectData(1, { endStream: false });
      await client.expectQuiet(1);
      clock.advance(1_004);
      await client.expectBody(1);
      await client.expectReset(1, ErrorCode.NO_ERROR);
      // That of the connection's keepalive.
      expect(clock.timerCount).toBe(1);
    });
  });

  it.each([
    "application/grpc",
    "application/grpc+json",
    "application/grpc;charset=utf-8",
    "application/GRPC",
  ])("with content-type %s is gRPC, and so is the answer", async (type) => {
    const { client, calls } = await start();
    client.send(frames.headers(1, requestWith("content-type", type), { endStream: true }));
    const fields = await client.expectTrailers(1);
    expect(statusOf(fields)).toBe(Status.OK);
    expect(fieldValue(fields, "content-type")).toMatch(/^application\/grpc/i);
    expect(calls).toHaveLength(1);
  });

  describe("for what is not registered is UNIMPLEMENTED, worded as grpc-go does", () => {
    it.each([
      ["/test.Service/Nope", "unknown method Nope for service test.Service"],
      ["/other.Service/Nope", "unknown service other.Service"],
      ["/deep/er/Nope", "unknown service deep/er"],
      ["//", "unknown service%20"],
      ["/Nope", 'malformed method name: "/Nope"'],
      ["/", 'malformed method name: "/"'],
    ])("%s", async (path, text) => {
      const { client } = await start();
      client.send(frames.headers(1, request(path), { endStream: true }));
      const entry = await client.recv("HEADERS", { stream: 1 });
      expect(statusOf(entry.fields!)).toBe(Status.UNIMPLEMENTED);
      expect(fieldValue(entry.fields!, "grpc-message")).toBe(text);
      expect(fieldValue(entry.fields!, ":status")).toBe("200");
    });

    it("while the client still sends: it is told to stop", async () => {
      const { client } = await start();
      client.send(frames.headers(1, request("/a.B/C")), frames.data(1, message("abc")));
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.UNIMPLEMENTED);
      await client.expectReset(1, ErrorCode.NO_ERROR);
    });
  });

  describe("whose grpc-timeout is malformed is INTERNAL", () => {
    it.each(["", "1", "S", "1s", "-1S", "+1S", "1.5S", "123456789S", "1 S", "1SS", "0x1S"])(
      "%j",
      async (timeout) => {
        const { client, calls } = await start();
        client.send(frames.headers(1, requestWith("grpc-timeout", timeout), { endStream: true }));
        const entry = await client.recv("HEADERS", { stream: 1 });
        expect(statusOf(entry.fields!)).toBe(Status.INTERNAL);
        expect(fieldValue(entry.fields!, "grpc-message")).toContain("malformed grpc-timeout");
        expect(calls).toEqual([]);
      },
    );
  });

  it.each([
    ["2S", 2_000],
    ["2000m", 2_000],
    ["3M", 180_000],
    ["1H", 3_600_000],
  ])("with grpc-timeout %s ends after it with DEADLINE_EXCEEDED", async (timeout, ms) => {
    const clock = new FakeClock();
    const { client, server } = await start(clock);
    const fields = request("/test.Service/Waits", ["grpc-timeout", timeout]);
    client.send(frames.headers(1, fields, { endStream: true }));
    await eventually("it is at work", () => server.openCallCount === 1);
    clock.advance(ms - 4);
    await client.expectQuiet(1);
    clock.advance(8);
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.DEADLINE_EXCEEDED);
    // That of the connection's keepalive.
    expect(clock.timerCount).toBe(1);
  });

  it.each(["0S", "0n", "1n"])(
    "with grpc-timeout %s is DEADLINE_EXCEEDED at the next tick",
    async (timeout) => {
      const clock = new FakeClock();
      const { client, calls } = await start(clock);
      const fields = request("/test.Service/Waits", ["grpc-timeout", timeout]);
      client.send(frames.headers(1, fields, { endStream: true }));
      await eventually("it is at work", () => calls.length === 1);
      clock.advance(8);
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.DEADLINE_EXCEEDED);
    },
  );

  it("with the largest grpc-timeout does not end, and has a deadline far off", async () => {
    const clock = new FakeClock();
    const { client, calls } = await start(clock);
    const fields = request("/test.Service/Waits", ["grpc-timeout", "99999999H"]);
    client.send(frames.headers(1, fields, { endStream: true }));
    await eventually("it is at work", () => calls.length === 1);
    clock.advance(2_147_483_648);
    await client.expectQuiet(1);
    expect(calls[0]!.getFullYear()).toBeGreaterThan(13_000);
    client.send(frames.rst(1, ErrorCode.CANCEL));
  });
});

describe("Server", () => {
  it.each([
    [{ maxConcurrentStreams: -1 }, "maxConcurrentStreams"],
    [{ streamWindowBytes: 0 }, "streamWindowBytes"],
    [{ maxRequestMessageBytes: Number.NaN }, "maxRequestMessageBytes"],
  ])("throws RangeError naming the option for %o", (options, name) => {
    expect(() => new Server(options)).toThrow(RangeError);
    expect(() => new Server(options)).toThrow(name);
  });

  it("throws TypeError for a transport that there is not", () => {
    expect(() => new Server({ transport: "nope" as "node" })).toThrow(TypeError);
  });
});
