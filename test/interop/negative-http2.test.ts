import * as grpc from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { StreamParameters } from "../../src/proxy/director.ts";
import { transportCombos } from "../support/combos.ts";
import { frames, message, response, trailers } from "../support/frames.ts";
import { GrpcClient } from "../support/grpc-js.ts";
import {
  connectTo,
  eventually,
  listenRelay,
  type ScriptedBackend,
  scriptedBackend,
} from "../support/relay-fixture.ts";
import type { ScriptedServerOptions } from "../support/scripted-endpoints.ts";
import type { ScriptedPeer } from "../support/scripted-peer.ts";

// grpc/grpc doc/negative-http2-interop-test-descriptions.md: a backend that misbehaves, the relay
// as its client, and a grpc-js client that is to notice as little as possible.

const PATH = "/grpc.testing.TestService/UnaryCall";
const REQUEST = Buffer.alloc(271_828);
/** Fits into a stream's window, of which the scripts keep no account. */
const RESPONSE = Buffer.alloc(100_000, "r");

interface Case {
  readonly client: GrpcClient;
  readonly backend: ScriptedBackend;
  readonly peer: ScriptedPeer;
}

/**
 * The large unary response, in frames that no default limit forbids, up to `byteCount` of its
 * bytes.
 */
function body(streamId: number, byteCount = Number.POSITIVE_INFINITY): Buffer {
  const bytes = message(RESPONSE).subarray(0, byteCount);
  const pieces = [];
  for (let at = 0; at < bytes.length; at += 16_384) {
    pieces.push(frames.data(streamId, bytes.subarray(at, at + 16_384)));
  }
  return frames.bytes(...pieces);
}

async function recvRequest(peer: ScriptedPeer): Promise<number> {
  const { streamId } = await peer.expectRequest(PATH);
  expect((await peer.expectBody(streamId)).length).toBe(REQUEST.length + 5);
  return streamId;
}

async function answer(peer: ScriptedPeer): Promise<number> {
  const streamId = await recvRequest(peer);
  peer.send(frames.headers(streamId, response()), body(streamId));
  peer.send(frames.headers(streamId, trailers(), { endStream: true }));
  return streamId;
}

describe.each(transportCombos)("a backend that misbehaves, $server $client", (combo) => {
  async function begin(options: ScriptedServerOptions = {}): Promise<Case> {
    // The script plays one connection.
    const backend = await scriptedBackend(combo, options, { maxConnectionsPerAddress: 1 });
    const { conn } = backend;
    const { address } = await listenRelay(combo, () => new StreamParameters({ conn }));
    return { client: new GrpcClient(address), backend, peer: await connectTo(backend) };
  }

  it("goaway: the call after a GOAWAY goes over a new connection", async () => {
    const { client, backend, peer } = await begin();
    const first = client.unary(PATH, REQUEST);
    const streamId = await answer(peer);
    peer.send(frames.goaway(streamId, 0));
    expect((await first).response?.equals(RESPONSE)).toBe(true);
    await eventually("the GOAWAY is seen", () => backend.conn.state === "idle");
    const second = client.unary(PATH, REQUEST);
    await answer(await backend.peer());
    expect((await second).response?.equals(RESPONSE)).toBe(true);
    expect(backend.scripted.connectionCount).toBe(2);
  });

  it.each([
    ["rst_after_header", 0],
    ["rst_during_data", 100_000],
    ["rst_after_data", Number.POSITIVE_INFINITY],
  ])("%s: RST_STREAM(NO_ERROR) in place of trailers fails the call", async (_, byteCount) => {
    const { client, peer } = await begin();
    const call = client.unary(PATH, REQUEST);
    const streamId = await recvRequest(peer);
    peer.send(
      frames.headers(streamId, response()),
      body(streamId, byteCount),
      frames.rst(streamId, 0),
    );
    const { status, response: got } = await call;
    expect(status.code).toBe(grpc.status.INTERNAL);
    expect(status.details).toMatch(/reset stream \d+: NO_ERROR/);
    expect(got).toBeUndefined();
    // The connection is none the worse for it.
    const next = client.unary(PATH, REQUEST);
    await answer(peer);
    expect((await next).status.code).toBe(grpc.status.OK);
  });

  it("ping: each of the backend's PINGs is acknowledged while a call goes on", async () => {
    const { client, peer } = await begin();
    const call = client.unary(PATH, REQUEST);
    await peer.sync();
    const streamId = await recvRequest(peer);
    await peer.sync();
    peer.send(frames.headers(streamId, response()));
    await peer.sync();
    for (let at = 0; at < RESPONSE.length; at += 16_384) await peer.sync();
    peer.send(body(streamId));
    await peer.sync();
    peer.send(frames.headers(streamId, trailers(), { endStream: true }));
    await peer.sync();
    expect((await call).response?.equals(RESPONSE)).toBe(true);
  });

  it("max_streams: with MAX_CONCURRENT_STREAMS 1 all of 10 concurrent calls succeed", async () => {
    const { client, backend, peer } = await begin({ settings: { MAX_CONCURRENT_STREAMS: 1 } });
    const first = client.unary(PATH, REQUEST);
    await answer(peer);
    expect((await first).status.code).toBe(grpc.status.OK);
    const calls = Array.from({ length: 10 }, () => client.unary(PATH, REQUEST));
    await eventually("all but one wait in the relay", () => backend.conn.waitingCount === 9);
    for (let i = 0; i < 10; i++) {
      const streamId = await recvRequest(peer);
      // Nothing else may be open now.
      await peer.sync();
      expect(peer.trace.filter(({ frame, taken }) => frame.name === "HEADERS" && !taken)).toEqual(
        [],
      );
      peer.send(frames.headers(streamId, response()), body(streamId));
      peer.send(frames.headers(streamId, trailers(), { endStream: true }));
    }
    const outcomes = await Promise.all(calls);
    expect(outcomes.map(({ status }) => status.code)).toEqual(outcomes.map(() => 0));
  });
});
