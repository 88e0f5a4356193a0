// Fields that a peer should not have sent so: the call works as it would without the relay, and
// nobody gets them from it.

import { describe, expect, it } from "vitest";
import { Status } from "../../src/grpc/status.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { fieldValue, type HeaderList } from "../../src/wire/field.ts";
import { transportCombos } from "../support/combos.ts";
import {
  type FieldInput,
  frames,
  message,
  pairsOf,
  request,
  response,
  trailers,
  trailersOnly,
} from "../support/frames.ts";
import { NODE_KEEPS_BLANKS } from "../support/node-abilities.ts";
import { PATH, scriptedRelay, statusOf } from "../support/relay-fixture.ts";

/** A request, or response headers, with another content type. */
function typed(fields: readonly FieldInput[], ...types: readonly string[]): FieldInput[] {
  const others = fields.filter((field) => !Array.isArray(field) || field[0] !== "content-type");
  return [...others, ...types.map((type) => ["content-type", type] as const)];
}

function valuesOf(fields: HeaderList, name: string): string[] {
  return fields.filter((field) => field.name === name).map(({ value }) => value);
}

describe.each(transportCombos)("untidy fields, server on $server, client on $client", (combo) => {
  const serverStrips = combo.server === "engine" || NODE_KEEPS_BLANKS;
  const clientStrips = combo.client === "engine" || NODE_KEEPS_BLANKS;

  it("of response headers go on without content-length: the relay may have to cut the response short", async () => {
    const { client, backend } = await scriptedRelay(combo);
    for (const id of [1, 3]) {
      client.send(frames.headers(id, request(PATH), { endStream: true }));
      const { streamId } = await backend.expectRequest();
      backend.send(
        frames.headers(streamId, response(["content-length", "8"], ["x-a", "1"])),
        frames.data(streamId, message("abc")),
        frames.headers(streamId, trailers(0), { endStream: true }),
      );
      const headers = await client.expectHeaders(id);
      expect(valuesOf(headers, "content-length")).toEqual([]);
      expect(valuesOf(headers, "x-a")).toEqual(["1"]);
      await client.expectBytes(id, 8);
      expect(statusOf(await client.expectTrailers(id))).toBe(Status.OK);
    }
  });

  it("of a request reach the backend without blanks around their values", async () => {
    const { client, backend } = await scriptedRelay(combo);
    const untidy: readonly FieldInput[] = [
      ["authorization", "Bearer abc "],
      ["x-tab", "\ta b"],
      ["grpc-timeout", " 1H "],
    ];
    client.send(frames.headers(1, request(PATH, ...untidy)), frames.data(1).end());
    const { fields, streamId } = await backend.expectRequest(PATH);
    expect(fieldValue(fields, "authorization")).toBe(serverStrips ? "Bearer abc" : undefined);
    expect(fieldValue(fields, "x-tab")).toBe(serverStrips ? "a b" : undefined);
    expect(fieldValue(fields, "grpc-timeout") !== undefined).toBe(serverStrips);
    backend.send(frames.headers(streamId, trailersOnly(0)).end());
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
  });

  it.each([
    [
      "trailers",
      (fields: FieldInput[]) => [frames.headers(1, response()), frames.headers(1, fields).end()],
    ],
    [
      "a Trailers-Only response",
      (fields: FieldInput[]) => [frames.headers(1, response(...fields)).end()],
    ],
  ])("of %s have their status and message understood", async (what, answer) => {
    const { client, backend } = await scriptedRelay(combo);
    client.send(frames.headers(1, request(PATH)), frames.data(1).end());
    await backend.expectRequest(PATH);
    const details = "x-detail";
    backend.send(
      ...answer([
        ["grpc-status", " 5"],
        ["grpc-message", "not found: "],
        [details, " y\t"],
      ]),
    );
    if (what === "trailers") await client.expectHeaders(1);
    const last = await client.expectTrailers(1);
    expect(statusOf(last)).toBe(clientStrips ? Status.NOT_FOUND : Status.UNKNOWN);
    if (!clientStrips) return;
    expect(fieldValue(last, "grpc-message")).toBe("not found:");
    expect(fieldValue(last, details)).toBe("y");
  });

  it("left over from an upgrade are dropped, in requests, responses and trailers", async () => {
    const { client, backend } = await scriptedRelay(combo);
    const upgrade = ["http2-settings", "AAMAAABk"] as const;
    const host = ["host", "other.test"] as const;
    client.send(frames.headers(1, request(PATH, upgrade, host)), frames.data(1).end());
    const { fields, streamId } = await backend.expectRequest(PATH);
    expect(valuesOf(fields, "http2-settings")).toEqual([]);
    expect(valuesOf(fields, "host")).toEqual([]);
    backend.send(
      frames.headers(streamId, response(upgrade)),
      frames.headers(streamId, trailers(0, undefined, upgrade)).end(),
    );
    expect(pairsOf(await client.expectHeaders(1))).toEqual(response());
    expect(pairsOf(await client.expectTrailers(1))).toEqual(trailers(0));
  });

  it.each([
    "application/grpc ; charset=utf-8",
    "application/grpc\t;charset=utf-8",
    "application/grpc+proto ; charset=utf-8",
  ])("of a content type are none: %j passes as it is, both ways", async (type) => {
    const { client, backend } = await scriptedRelay(combo);
    client.send(frames.headers(1, typed(request(PATH), type)), frames.data(1).end());
    const { fields, streamId } = await backend.expectRequest(PATH);
    expect(valuesOf(fields, "content-type")).toEqual([type]);
    backend.send(
      frames.headers(streamId, typed(response(), type)),
      frames.headers(streamId, trailers(0)).end(),
    );
    expect(valuesOf(await client.expectHeaders(1), "content-type")).toEqual([type]);
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
  });

  it.each([
    ["agree", "application/grpc+proto"],
    ["do not", "text/html"],
  ])("of two content types that %s the first one travels, both ways", async (_, second) => {
    const { client, backend } = await scriptedRelay(combo);
    const types = ["application/grpc+proto", second] as const;
    client.send(frames.headers(1, typed(request(PATH), ...types)), frames.data(1).end());
    const { fields, streamId } = await backend.expectRequest(PATH);
    expect(valuesOf(fields, "content-type")).toEqual([types[0]]);
    backend.send(
      frames.headers(streamId, typed(response(), ...types)),
      frames.headers(streamId, trailers(0)).end(),
    );
    expect(valuesOf(await client.expectHeaders(1), "content-type")).toEqual([types[0]]);
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
  });

  it("of two content types that disagree in a Trailers-Only response the first one travels", async () => {
    const { client, backend } = await scriptedRelay(combo);
    client.send(frames.headers(1, request(PATH)), frames.data(1).end());
    const { streamId } = await backend.expectRequest(PATH);
    const types = ["application/grpc+proto", "text/html"] as const;
    backend.send(frames.headers(streamId, typed(trailersOnly(5, "x"), ...types)).end());
    const last = await client.expectTrailers(1);
    expect(valuesOf(last, "content-type")).toEqual([types[0]]);
    expect(statusOf(last)).toBe(Status.NOT_FOUND);
  });

  it.each(["/run/relay.sock", "", "unix:/run/relay.sock", "@relay"])(
    "of a client over a UNIX socket are taken, and the backend gets its own: :authority %j",
    async (authority) => {
      const { client, backend } = await scriptedRelay(combo);
      const fields = request(PATH).map((field) =>
        Array.isArray(field) && field[0] === ":authority" ? [":authority", authority] : field,
      ) as FieldInput[];
      client.send(frames.headers(1, fields), frames.data(1).end());
      if (combo.server === "node" && !(await reachesBackend())) {
        await client.expectReset(1, ErrorCode.PROTOCOL_ERROR);
        return;
      }
      const got = await backend.expectRequest(PATH);
      expect(fieldValue(got.fields, ":authority")).toMatch(/^127\.0\.0\.1:\d+$/);
      backend.send(frames.headers(got.streamId, trailersOnly(0)).end());
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);

      /** nghttp2 resets it, but on Node 20 for an abstract socket. */
      async function reachesBackend(): Promise<boolean> {
        await client.sync();
        return client.received(1, "RST_STREAM").length === 0;
      }
    },
  );

  it("with control octets from a backend fail that call alone, and say why", async () => {
    const { client, backend } = await scriptedRelay(combo);
    for (const id of [1, 3]) {
      client.send(frames.headers(id, request(PATH)), frames.data(id).end());
      await backend.expectRequest(PATH);
    }
    const bad = trailers(0, undefined, ["x-control", "a\x1b[31mb"]);
    backend.send(frames.headers(1, response()), frames.headers(1, bad).end());
    await client.expectHeaders(1);
    const last = await client.expectTrailers(1);
    expect(fieldValue(last, "x-control")).toBeUndefined();
    if (combo.client === "engine") {
      expect(statusOf(last)).toBe(Status.INTERNAL);
      expect(fieldValue(last, "grpc-message")).toContain('field "x-control": octet 0x1b at 1');
    } else {
      // nghttp2 drops the field and tells nobody.
      expect(statusOf(last)).toBe(Status.OK);
    }
    backend.send(frames.headers(3, trailersOnly(0)).end());
    expect(statusOf(await client.expectTrailers(3))).toBe(Status.OK);
  });
});
