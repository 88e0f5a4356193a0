// Handlers that pass calls on: what they refuse to be given, and what a relay makes of a handler
// that does not wait for it.

import { describe, expect, it } from "vitest";
import { GrpcError } from "../../src/grpc/error.ts";
import { Status } from "../../src/grpc/status.ts";
import { StreamParameters } from "../../src/proxy/director.ts";
import { handleStream, transparentHandler } from "../../src/proxy/transparent-handler.ts";
import type { ServerStream } from "../../src/server/server-stream.ts";
import { transportCombos } from "../support/combos.ts";
import { frames, request, trailersOnly } from "../support/frames.ts";
import {
  connectTo,
  eventually,
  listen,
  PATH,
  scriptedBackend,
  statusOf,
} from "../support/relay-fixture.ts";
import { ScriptedClient } from "../support/scripted-endpoints.ts";

describe.each(transportCombos)("a handler, server on $server, client on $client", (combo) => {
  async function handling(handler: (stream: ServerStream) => void | Promise<void>) {
    const { address } = await listen(combo, { unknownServiceHandler: handler });
    const client = await ScriptedClient.connect(address);
    client.send(frames.headers(1, request(PATH), { endStream: true }));
    return client;
  }

  it("sends a call on under another name", async () => {
    const backend = await scriptedBackend(combo);
    const peer = await connectTo(backend);
    const client = await handling((stream) =>
      handleStream(stream, "/other.Service/Name", new StreamParameters({ conn: backend.conn })),
    );
    const { streamId } = await peer.expectRequest("/other.Service/Name");
    peer.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
  });

  it("is told at once of a stream that is none, and of a method that is none", async () => {
    const { conn } = await scriptedBackend(combo);
    const params = new StreamParameters({ conn });
    expect(() => handleStream({} as never, PATH, params)).toThrow(/expected the ServerStream/);
    const told: unknown[] = [];
    const client = await handling((stream) => {
      for (const method of ["", "test.Service/Method", "/test.Service", "/a b/c"]) {
        expect(() => handleStream(stream, method, params)).toThrow(/expected "\/package/);
        told.push(method);
      }
    });
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
    expect(told).toHaveLength(4);
  });

  it("that does not wait for a director leaves its refusal to the client", async () => {
    let refuse: (error: GrpcError) => void = () => {};
    const passOn = transparentHandler(
      () =>
        new Promise((_resolve, reject) => {
          refuse = reject;
        }),
    );
    let returned = false;
    const client = await handling((stream) => {
      void passOn(stream);
      returned = true;
    });
    await eventually("the handler has returned", () => returned);
    refuse(new GrpcError(Status.PERMISSION_DENIED, "not you"));
    expect(statusOf(await client.expectTrailers(1))).toBe(Status.PERMISSION_DENIED);
  });
});

it("transparentHandler takes no director but a function", () => {
  expect(() => transparentHandler({} as never)).toThrow(
    "director: expected a function, got object",
  );
});
