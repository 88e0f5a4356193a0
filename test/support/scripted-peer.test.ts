import * as http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { HeaderField } from "../../src/wire/field.ts";
import { makeCertificate } from "./certificate.ts";
import { closeAtEnd, socketPath } from "./cleanup.ts";
import {
  decodeFrames,
  FrameDecoder,
  frames,
  message,
  pairsOf,
  printFrame,
  request,
  response,
  trailers,
} from "./frames.ts";
import { ScriptedClient, ScriptedServer } from "./scripted-endpoints.ts";

// The peer is checked against node:http2: an implementation that neither it nor the relay's engine
// shares code with.

async function echoServer(): Promise<{ host: string; port: number }> {
  const server = http2.createServer();
  server.on("stream", (stream) => {
    stream.respond({ ":status": 200 }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.on("error", () => undefined);
    stream.pipe(stream);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closeAtEnd(() => server.close());
  return { host: "127.0.0.1", port: (server.address() as AddressInfo).port };
}

function clientOf(server: ScriptedServer, options: http2.SecureClientSessionOptions = {}) {
  const { address } = server;
  const authority =
    "path" in address
      ? "http://localhost"
      : `${options.ca ? "https" : "http"}://localhost:${address.port}`;
  const session = http2.connect(authority, {
    ...options,
    ...("path" in address ? { path: address.path } : { host: "127.0.0.1" }),
  });
  session.on("error", () => undefined);
  closeAtEnd(() => session.destroy());
  return session;
}

describe("ScriptedClient", () => {
  it("completes a call against node:http2", async () => {
    const peer = await ScriptedClient.connect(await echoServer());
    peer.send(frames.headers(1, request("/a/B")), frames.data(1, message("abc")).end());
    expect(pairsOf(await peer.expectHeaders(1))[0]).toEqual([":status", "200"]);
    expect(await peer.expectData(1)).toEqual(message("abc"));
    expect(pairsOf(await peer.expectTrailers(1))).toEqual([["grpc-status", "0"]]);
    await peer.expectQuiet(1);
  });

  it("fails with the trace when another frame than the expected one comes first", async () => {
    const peer = await ScriptedClient.connect(await echoServer());
    peer.send(frames.headers(1, request("/a/B")).end());
    const failed = peer.expectReset(1, ErrorCode.CANCEL);
    await expect(failed).rejects.toThrow(
      /expected RST_STREAM on stream 1, got HEADERS\(1, END_HEADERS\) :status=200(.|\n)*-> HEADERS\(1, END_STREAM\|END_HEADERS\)/,
    );
  });

  it("fails at once when the connection closes before what it waits for", async () => {
    const server = await ScriptedServer.listen();
    const [backend, peer] = await Promise.all([
      server.connection(),
      ScriptedClient.connect(server.address),
    ]);
    backend.destroy();
    await expect(peer.expectHeaders(1)).rejects.toThrow(/closed .*ECONNRESET.* before HEADERS/);
    await peer.expectClosed();
  });
});

describe("ScriptedServer", () => {
  it("answers a call of node:http2, which sees the frames as they were written", async () => {
    const server = await ScriptedServer.listen();
    const call = clientOf(server).request({ ":method": "POST", ":path": "/a/B", "x-a": "1" });
    const peer = await server.connection();
    const { streamId, fields } = await peer.expectRequest("/a/B");
    expect(pairsOf(fields)).toContainEqual(["x-a", "1"]);
    peer.send(frames.headers(streamId, response()), frames.data(streamId, message("abc")));
    peer.send(frames.headers(streamId, trailers(5, "no"), { endStream: true }));
    const got: unknown[] = [];
    call.on("data", (chunk: Buffer) => got.push(chunk));
    call.on("trailers", (headers: http2.IncomingHttpHeaders) => got.push(headers["grpc-status"]));
    await new Promise((resolve) => call.end().on("close", resolve));
    expect(got).toEqual([message("abc"), "5"]);
  });

  it("speaks TLS with ALPN h2", async () => {
    const { cert, key } = makeCertificate();
    const server = await ScriptedServer.listen({ tls: { cert, key } });
    clientOf(server, { ca: cert }).request({ ":path": "/a/B" });
    const peer = await server.connection();
    await peer.expectRequest("/a/B");
    peer.destroy();
    await peer.until("the end", () => peer.closed || undefined);
  });

  it("listens on a UNIX socket", async () => {
    const server = await ScriptedServer.listen({ address: { path: socketPath() } });
    clientOf(server).request({ ":path": "/a/B" });
    await (await server.connection()).expectRequest("/a/B");
  });

  it("sees a header block that came in CONTINUATION frames as one HEADERS", async () => {
    const server = await ScriptedServer.listen();
    const peerPromise = server.connection();
    const client = await ScriptedClient.connect(server.address);
    const peer = await peerPromise;
    const big = ["x-big", "v".repeat(40_000)] as const;
    client.send(...frames.headersInPieces(1, request("/a/B", big), 16_384, { endStream: true }));
    expect(pairsOf(await peer.expectTrailers(1))).toContainEqual(big);
    expect(peer.received(1).map((frame) => frame.name)).toEqual([
      "HEADERS",
      "CONTINUATION",
      "HEADERS",
    ]);
  });
});

describe("frames", () => {
  const all = [
    frames.settings({ INITIAL_WINDOW_SIZE: 10, 4242: 1 }),
    frames.settingsAck(),
    frames.headers(1, request("/a/B"), { padded: 3, priority: { dependsOn: 0 } }),
    frames.headers(3, [new HeaderField("a", "b", true)], { endStream: true }),
    frames.data(1, "abc", { padded: 2 }).end(),
    frames.rst(1, ErrorCode.CANCEL),
    frames.goaway(7, ErrorCode.ENHANCE_YOUR_CALM, "calm"),
    frames.windowUpdate(0, 99),
    frames.ping("01234567"),
    frames.raw(0x2a, 0xff, 5, "x"),
  ];

  it("reads back what it wrote, also one byte at a time", () => {
    const bytes = frames.bytes(...all);
    expect(decodeFrames(bytes)).toEqual(all);
    const decoder = new FrameDecoder();
    expect([...bytes].flatMap((byte) => decoder.push(Buffer.from([byte])))).toEqual(all);
  });

  it("prints as a trace", () => {
    expect(all.map((frame) => printFrame(frame))).toEqual([
      "SETTINGS(4242=1, INITIAL_WINDOW_SIZE=10)",
      "SETTINGS(ACK)",
      "HEADERS(1, END_HEADERS|PADDED|PRIORITY)",
      "HEADERS(3, END_STREAM|END_HEADERS)",
      "DATA(1, END_STREAM|PADDED, 3 bytes)",
      "RST_STREAM(1, CANCEL)",
      'GOAWAY(last=7, ENHANCE_YOUR_CALM, "calm")',
      "WINDOW_UPDATE(99)",
      "PING(3031323334353637)",
      "type 0x2a(5, 78)",
    ]);
  });
});
