// Header lists at our own limit: what is below it passes whatever it is made of, and what is above
// costs one call, which says so.

import { describe, expect, it } from "vitest";
import { Status } from "../../src/grpc/status.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { fieldValue } from "../../src/wire/field.ts";
import { transportCombos } from "../support/combos.ts";
import {
  type FieldInput,
  frames,
  pairsOf,
  request,
  response,
  trailers,
  trailersOnly,
} from "../support/frames.ts";
import { PATH, scriptedRelay, statusOf } from "../support/relay-fixture.ts";

const SMALL_FIELDS: readonly FieldInput[] = Array.from({ length: 260 }, (_, i) => [`x-${i}`, "y"]);

describe.each(transportCombos)("header lists, server on $server, client on $client", (combo) => {
  it("of 260 small fields pass in a request, in response headers and in trailers", async () => {
    const { client, backend } = await scriptedRelay(combo);
    client.send(...frames.headersInPieces(1, request(PATH, ...SMALL_FIELDS)), frames.data(1).end());
    const { fields, streamId } = await backend.expectRequest(PATH);
    expect(pairsOf(fields)).toEqual(expect.arrayContaining([...SMALL_FIELDS]));
    const options = { endStream: true };
    backend.send(
      ...frames.headersInPieces(streamId, response(...SMALL_FIELDS)),
      ...frames.headersInPieces(streamId, trailers(0, "", ...SMALL_FIELDS), 16_384, options),
    );
    expect(pairsOf(await client.expectHeaders(1))).toEqual(
      expect.arrayContaining([...SMALL_FIELDS]),
    );
    const last = await client.expectTrailers(1);
    expect(pairsOf(last)).toEqual(expect.arrayContaining([...SMALL_FIELDS]));
    expect(statusOf(last)).toBe(Status.OK);
  });

  it("of a request over the limit cost the client that call alone, and are answered where they can be", async () => {
    const { client, backend } = await scriptedRelay(combo, {
      server: { maxHeaderListBytes: 2_000 },
    });
    client.send(
      ...frames.headersInPieces(1, request(PATH, ...SMALL_FIELDS)),
      frames.headers(3, request(PATH)),
    );
    if (combo.server === "node") {
      // nghttp2 resets the stream itself.
      await client.expectReset(1, ErrorCode.ENHANCE_YOUR_CALM);
    } else {
      const answer = await client.expectTrailers(1);
      expect(statusOf(answer)).toBe(Status.RESOURCE_EXHAUSTED);
      expect(fieldValue(answer, "grpc-message")).toMatch(
        /^request header list of \d{4,5} bytes, our limit is 2000 bytes \(maxHeaderListBytes\)$/,
      );
    }
    const { streamId } = await backend.expectRequest(PATH);
    backend.send(frames.headers(streamId, trailers(0), { endStream: true }));
    await client.expectTrailers(3);
  });

  it("of trailers over the limit are INTERNAL, which names the limit, whose and how much", async () => {
    const { client, backend } = await scriptedRelay(combo, { dial: { maxHeaderListBytes: 2_000 } });
    client.send(frames.headers(1, request(PATH)), frames.data(1).end());
    const { streamId } = await backend.expectRequest(PATH);
    backend.send(
      frames.headers(streamId, response()),
      frames.headers(streamId, trailers(0, "", ["x", "v".repeat(3_000)])).end(),
    );
    await client.expectHeaders(1);
    const last = await client.expectTrailers(1);
    if (combo.client === "node") {
      // nghttp2 resets the stream itself, which looks as if the backend had.
      expect(statusOf(last)).toBe(Status.RESOURCE_EXHAUSTED);
      return;
    }
    expect(statusOf(last)).toBe(Status.INTERNAL);
    expect(fieldValue(last, "grpc-message")).toMatch(
      /header list of \d{4,5} bytes, our limit is 2000 bytes \(maxHeaderListBytes\)$/,
    );
  });
});

/** nghttp2 ends the connection for such a block. */
const onEngine = transportCombos.filter(
  ({ server, client }) => server === "engine" && client === "engine",
);

describe.each(onEngine)(
  "header blocks of 600 KB, server on $server, client on $client",
  (combo) => {
    const huge: readonly FieldInput[] = Array.from({ length: 60 }, () => ["x", "v".repeat(10_000)]);

    it("from a backend cost the call whose headers they are, and no other", async () => {
      const { client, backend } = await scriptedRelay(combo);
      for (const id of [1, 3]) {
        client.send(frames.headers(id, request(PATH)), frames.data(id).end());
        await backend.expectRequest(PATH);
      }
      backend.send(...frames.headersInPieces(1, response(...huge)));
      const failed = await client.expectTrailers(1);
      expect(statusOf(failed)).toBe(Status.INTERNAL);
      expect(fieldValue(failed, "grpc-message")).toContain(
        "header list of 602082 bytes, our limit is 65536 bytes (maxHeaderListBytes)",
      );
      backend.send(frames.headers(3, trailersOnly(0)).end());
      expect(statusOf(await client.expectTrailers(3))).toBe(Status.OK);
    });

    it("from a client cost it that call, and no other", async () => {
      const { client, backend } = await scriptedRelay(combo);
      client.send(frames.headers(1, request(PATH)), frames.data(1).end());
      const { streamId } = await backend.expectRequest(PATH);
      client.send(...frames.headersInPieces(3, request(PATH, ...huge)));
      expect(statusOf(await client.expectTrailers(3))).toBe(Status.RESOURCE_EXHAUSTED);
      await client.expectReset(3, ErrorCode.NO_ERROR);
      backend.send(frames.headers(streamId, trailersOnly(0)).end());
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
    });
  },
);
