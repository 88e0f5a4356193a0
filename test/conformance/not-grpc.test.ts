// Requests that are HTTP/2 but not gRPC, on the wire: 415 with a line of text, never a gRPC status
// (gRPC PROTOCOL-HTTP2 "Content-Type"), and no RST_STREAM that a client other than gRPC's would
// take for a failure.

import { describe, expect, it } from "vitest";
import { Server } from "../../src/index.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { fieldValue } from "../../src/wire/field.ts";
import { closeAtEnd } from "../support/cleanup.ts";
import { FakeClock } from "../support/clock.ts";
import { type FieldInput, frames } from "../support/frames.ts";
import { ScriptedClient } from "../support/scripted-endpoints.ts";
import type { ScriptedPeer } from "../support/scripted-peer.ts";

interface Fixture {
  readonly peer: ScriptedPeer;
  readonly clock: FakeClock;
  readonly server: Server;
}

async function connect(transport: "engine" | "node"): Promise<Fixture> {
  const clock = new FakeClock();
  const server = new Server({ transport, clock });
  closeAtEnd(() => server.close());
  const { address } = await server.listen("127.0.0.1:0");
  return { server, clock, peer: await ScriptedClient.connect(address) };
}

function http(method: string, ...more: FieldInput[]): FieldInput[] {
  return [
    [":method", method],
    [":scheme", "http"],
    [":path", "/"],
    [":authority", "relay.test"],
    ...more,
  ];
}

const UPLOAD = http("POST", ["content-type", "application/json"]);
const REFUSAL = "expected content-type application/grpc, got application/json\n";

describe.each(["engine", "node"] as const)("a request that is not gRPC, on %s,", (transport) => {
  it("gets 415 with a line of text and no gRPC status", async () => {
    const { peer } = await connect(transport);
    peer.send(frames.headers(1, http("GET")).end());
    const head = await peer.expectHeaders(1);
    const body = await peer.expectBody(1);
    expect(body.toString()).toBe("expected method POST, got GET\n");
    expect(fieldValue(head, ":status")).toBe("415");
    expect(fieldValue(head, "content-length")).toBe(`${body.length}`);
    expect(fieldValue(head, "grpc-status")).toBeUndefined();
    await peer.expectQuiet(1);
  });

  it("with HEAD gets headers alone", async () => {
    const { peer } = await connect(transport);
    peer.send(frames.headers(1, http("HEAD")).end());
    const head = await peer.expectHeaders(1, { endStream: true });
    expect(fieldValue(head, ":status")).toBe("415");
  });

  it("is answered before its body has come, and its stream ends with the body, without RST_STREAM", async () => {
    const { peer } = await connect(transport);
    peer.send(frames.headers(1, UPLOAD), frames.data(1, "{"));
    await peer.expectHeaders(1);
    const text = await peer.expectBytes(1, REFUSAL.length);
    expect(text.toString()).toBe(REFUSAL);
    await peer.sync();
    peer.send(frames.data(1, "}").end());
    expect(await peer.expectData(1, { endStream: true })).toHaveLength(0);
    await peer.expectQuiet(1);
  });

  it("may end with trailers", async () => {
    const { peer } = await connect(transport);
    peer.send(frames.headers(1, UPLOAD));
    peer.send(frames.headers(1, [["x", "y"]]).end());
    await peer.expectHeaders(1);
    expect((await peer.expectBody(1)).toString()).toBe(REFUSAL);
    await peer.expectQuiet(1);
  });

  it("that goes on beyond 64 KiB is told to stop", async () => {
    const { peer } = await connect(transport);
    peer.send(frames.headers(1, UPLOAD));
    const chunk = frames.data(1, Buffer.alloc(16_384));
    peer.send(chunk, chunk, chunk, frames.data(1, Buffer.alloc(16_000)));
    await peer.expectHeaders(1);
    await peer.expectBytes(1, REFUSAL.length);
    peer.send(frames.data(1, Buffer.alloc(600)));
    expect(await peer.expectData(1, { endStream: true })).toHaveLength(0);
    await peer.expectReset(1, ErrorCode.NO_ERROR);
  });

  it("that never ends is told to stop after a second", async () => {
    const { peer, clock } = await connect(transport);
    peer.send(frames.headers(1, UPLOAD));
    await peer.expectHeaders(1);
    await peer.expectBytes(1, REFUSAL.length);
    clock.advance(996);
    await peer.expectQuiet(1);
    clock.advance(12);
    expect(await peer.expectData(1, { endStream: true })).toHaveLength(0);
    await peer.expectReset(1, ErrorCode.NO_ERROR);
  });

  it("that its client resets leaves no timer behind", async () => {
    const { peer, clock } = await connect(transport);
    await peer.sync();
    const before = clock.timerCount;
    peer.send(frames.headers(1, UPLOAD));
    await peer.expectHeaders(1);
    await peer.expectBytes(1, REFUSAL.length);
    expect(clock.timerCount).toBe(before + 1);
    peer.send(frames.rst(1, ErrorCode.CANCEL));
    await peer.sync();
    expect(clock.timerCount).toBe(before);
  });
});
