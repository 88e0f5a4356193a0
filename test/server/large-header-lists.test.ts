// Clients that announce how little they take (RFC 9113 §6.5.2): the answer is made smaller, or
// there is none.

import { describe, expect, it } from "vitest";
import { GrpcError } from "../../src/grpc/error.ts";
import { Metadata } from "../../src/grpc/metadata.ts";
import { Status } from "../../src/grpc/status.ts";
import type { StreamHandler } from "../../src/server/interceptor.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { fieldValue } from "../../src/wire/field.ts";
import { transportCombos } from "../support/combos.ts";
import { fieldsOf, frames, message, request } from "../support/frames.ts";
import { listen, PATH } from "../support/relay-fixture.ts";
import { ScriptedClient } from "../support/scripted-endpoints.ts";

describe.each(transportCombos)("an answer that is too large for its client, $server", (combo) => {
  async function start(handler: StreamHandler, maxHeaderListBytes: number) {
    const { server, address } = await listen(combo);
    server.register("test.Service", { Method: handler });
    const settings = { MAX_HEADER_LIST_SIZE: maxHeaderListBytes };
    return ScriptedClient.connect(address, { refillWindows: true, settings });
  }

  const failing: StreamHandler = () => {
    const metadata = new Metadata();
    metadata.append("x-large", "v".repeat(500));
    throw new GrpcError(Status.ABORTED, "no", { metadata });
  };

  it("is INTERNAL without what was too large", async () => {
    const client = await start(failing, 400);
    client.send(frames.headers(1, request(PATH)).end());
    const fields = await client.expectTrailers(1);
    expect(fieldValue(fields, "grpc-status")).toBe(String(Status.INTERNAL));
    expect(fieldValue(fields, "grpc-message")).toMatch(
      /^trailers cannot be sent: expected a header list of at most 400 bytes, .* got \d+$/,
    );
  });

  it("is INTERNAL also behind a response", async () => {
    const client = await start(async (stream) => {
      await stream.sendMessage(Buffer.from("one"));
      await failing(stream);
    }, 400);
    client.send(frames.headers(1, request(PATH)).end());
    await client.expectHeaders(1);
    expect(await client.expectBytes(1, 8)).toEqual(message("one"));
    const fields = await client.expectTrailers(1);
    expect(fieldValue(fields, "grpc-status")).toBe(String(Status.INTERNAL));
  });

  it.each([
    ["a call", request(PATH)],
    [
      "a request that is not gRPC",
      fieldsOf(request(PATH)).filter(({ name }) => name !== "content-type"),
    ],
  ])(
    "is a reset of %s when no answer is small enough, and the connection lives",
    async (_, fields) => {
      const client = await start(failing, 10);
      for (const id of [1, 3]) {
        client.send(frames.headers(id, fields).end());
        await client.expectReset(id, ErrorCode.INTERNAL_ERROR);
      }
    },
  );
});
