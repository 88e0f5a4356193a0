// What a correct proxy says on the wire, continued: deadlines, compression, broken metadata, floods
// of cancels.

import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { Metadata } from "../../src/grpc/metadata.ts";
import { Status } from "../../src/grpc/status.ts";
import { StreamParameters } from "../../src/proxy/director.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { fieldValue, HeaderField } from "../../src/wire/field.ts";
import { FakeClock } from "../support/clock.ts";
import { transportCombos } from "../support/combos.ts";
import { frames, message, request, response, trailers, trailersOnly } from "../support/frames.ts";
import { eventually, PATH, scriptedRelay, statusOf } from "../support/relay-fixture.ts";
import { ScriptedClient } from "../support/scripted-endpoints.ts";
import type { ScriptedPeer } from "../support/scripted-peer.ts";

describe.each(transportCombos)("on the wire, server on $server, client on $client", (combo) => {
  it("a thousand cancels at once do not kill the backend's connection, which other calls use", async () => {
    const { address, server, scripted, backend, client, conn } = await scriptedRelay(combo);
    client.send(frames.headers(1, request(PATH)), frames.data(1, message("stays")));
    const sibling = await backend.expectRequest(PATH);
    // Node's HTTP/2 takes 1,000 resets from one client connection before it drops that; the cancels
    // come over four.
    const CONNECTIONS = 4;
    const CALLS = 250;
    for (let n = 0; n < CONNECTIONS; n++) {
      const canceller = await ScriptedClient.connect(address);
      for (let i = 0; i < CALLS; i++) {
        const id = 2 * i + 1;
        canceller.send(frames.headers(id, request(PATH)), frames.data(id, message("x")));
      }
      await eventually("all are under way", () => conn.openStreamCount === 1 + CALLS);
      for (let i = 0; i < CALLS; i++) canceller.send(frames.rst(2 * i + 1, ErrorCode.CANCEL));
      await eventually("all are cancelled", () => server.openCallCount === 1);
    }
    await eventually("all are reset", () => conn.openStreamCount === 1);
    await backend.sync();
    // No connection gets more resets than backends bear that count them: others take its place.
    const peers = [backend];
    while (peers.length < scripted.connectionCount) peers.push(await scripted.connection());
    const resetsOf = (peer: ScriptedPeer) =>
      peer.trace.filter(
        ({ direction, frame }) => direction === "recv" && frame.name === "RST_STREAM",
      );
    await eventually("all have come", () => {
      const counts = peers.map((peer) => resetsOf(peer).length);
      return counts.reduce((sum, count) => sum + count) === CONNECTIONS * CALLS;
    });
    for (const peer of peers) {
      const resets = resetsOf(peer);
      expect(resets.length).toBeLessThan(1_000);
      expect(resets.every(({ frame }) => frame.errorCode === ErrorCode.CANCEL)).toBe(true);
    }
    expect(backend.closed).toBe(false);
    backend.send(frames.headers(sibling.streamId, trailersOnly(0), { endStream: true }));
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
  });

  it("metadata from the director that cannot be sent fails its own call and no other", async () => {
    const { client, backend } = await scriptedRelay(combo, {
      director: (conn) => (ctx) => {
        const broken = Metadata.fromFields([new HeaderField("bad name", "x")]);
        return new StreamParameters(
          ctx.metadata.has("x-break") ? { conn, ctx: ctx.withMetadata(broken) } : { conn },
        );
      },
    });
    client.send(frames.headers(1, request(PATH)), frames.data(1, message("stays")).end());
    const sibling = await backend.expectRequest(PATH);
    client.send(frames.headers(3, request(PATH, ["x-break", "1"])), frames.data(3).end());
    const refused = await client.expectTrailers(3);
    expect(statusOf(refused)).toBe(Status.INTERNAL);
    expect(fieldValue(refused, "grpc-message")).toContain("bad name");
    backend.send(frames.headers(sibling.streamId, trailersOnly(0), { endStream: true }));
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
    expect(backend.closed).toBe(false);
  });

  describe("grpc-timeout", () => {
    it("is what remains when the request goes on, not what the client wrote", async () => {
      const clock = new FakeClock();
      let answer = (): void => {};
      const answered = new Promise<void>((resolve) => {
        answer = resolve;
      });
      const { client, backend, server } = await scriptedRelay(combo, {
        clock,
        director: (conn) => async () => {
          await answered;
          return new StreamParameters({ conn });
        },
      });
      client.send(frames.headers(1, request(PATH, ["grpc-timeout", "2S"])), frames.data(1).end());
      await eventually("the call is here", () => server.openCallCount === 1);
      clock.advance(500);
      answer();
      const { streamId, fields } = await backend.expectRequest(PATH);
      expect(fieldValue(fields, "grpc-timeout")).toMatch(/^1500000u$|^1500m$/);
      backend.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
      await client.expectTrailers(1);
    });

    it("is not sent when the client sets none", async () => {
      const { client, backend } = await scriptedRelay(combo);
      client.send(frames.headers(1, request(PATH)), frames.data(1).end());
      const { streamId, fields } = await backend.expectRequest(PATH);
      expect(fieldValue(fields, "grpc-timeout")).toBeUndefined();
      backend.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
      await client.expectTrailers(1);
    });

    it("is the shorter one when call options set one, too", async () => {
      const clock = new FakeClock();
      const { client, backend } = await scriptedRelay(combo, {
        clock,
        director: (conn) => () => new StreamParameters({ conn }, [], undefined, { timeoutMs: 400 }),
      });
      client.send(frames.headers(1, request(PATH, ["grpc-timeout", "2S"])), frames.data(1).end());
      const { streamId, fields } = await backend.expectRequest(PATH);
      expect(fieldValue(fields, "grpc-timeout")).toMatch(/^400000u$|^400m$/);
      clock.advance(404);
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.DEADLINE_EXCEEDED);
      await backend.expectReset(streamId, ErrorCode.CANCEL, { skip: ["DATA"] });
    });

    it("of 99999999H is no limit that overflows", async () => {
      const { client, backend } = await scriptedRelay(combo);
      client.send(
        frames.headers(1, request(PATH, ["grpc-timeout", "99999999H"])),
        frames.data(1).end(),
      );
      const { streamId, fields } = await backend.expectRequest(PATH);
      expect(fieldValue(fields, "grpc-timeout")).toMatch(/^[0-9]{1,8}H$/);
      backend.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
    });
  });

  describe("compressed messages", () => {
    const packed = gzipSync("compressed payload");
    const gzip: [string, string] = ["grpc-encoding", "gzip"];

    it("pass untouched both ways, flag and encoding included", async () => {
      const { client, backend } = await scriptedRelay(combo);
      const wire = message(packed, { compressed: true });
      client.send(frames.headers(1, request(PATH, gzip)), frames.data(1, wire).end());
      const { streamId, fields } = await backend.expectRequest(PATH);
      expect(fieldValue(fields, "grpc-encoding")).toBe("gzip");
      expect(await backend.expectBody(streamId)).toEqual(wire);
      backend.send(frames.headers(streamId, response(gzip)), frames.data(streamId, wire));
      backend.send(frames.headers(streamId, trailers(), { endStream: true }));
      expect(fieldValue(await client.expectHeaders(1), "grpc-encoding")).toBe("gzip");
      expect(await client.expectBytes(1, wire.length)).toEqual(wire);
      await client.expectTrailers(1);
    });

    it("are shown decompressed to a director, and go on as they came", async () => {
      const peeked: string[] = [];
      const { client, backend } = await scriptedRelay(combo, {
        director: (conn) => async (_ctx, _method, peeker) => {
          peeked.push((await peeker.peek()).toString());
          return new StreamParameters({ conn });
        },
      });
      const wire = message(packed, { compressed: true });
      client.send(frames.headers(1, request(PATH, gzip)), frames.data(1, wire).end());
      const { streamId } = await backend.expectRequest(PATH);
      expect(await backend.expectBody(streamId)).toEqual(wire);
      expect(peeked).toEqual(["compressed payload"]);
      backend.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
      await client.expectTrailers(1);
    });

    it("that are rewritten go out uncompressed and say so, the ones behind untouched", async () => {
      const { client, backend } = await scriptedRelay(combo, {
        director: (conn) => async (_ctx, _method, peeker) => {
          const first = await peeker.peek();
          return new StreamParameters({ conn, message: Buffer.from(`${first}!`) });
        },
      });
      const wire = message(packed, { compressed: true });
      client.send(frames.headers(1, request(PATH, gzip)));
      client.send(frames.data(1, Buffer.concat([wire, wire])).end());
      const { streamId, fields } = await backend.expectRequest(PATH);
      expect(fieldValue(fields, "grpc-encoding")).toBe("gzip");
      expect(await backend.expectBody(streamId)).toEqual(
        Buffer.concat([message("compressed payload!"), wire]),
      );
      backend.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
      await client.expectTrailers(1);
    });
  });
});
