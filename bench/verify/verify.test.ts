import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { nodeTransport } from "../../src/transport/node/index.ts";
import type { Listener } from "../../src/transport/transport.ts";
import { startGrpcJsBackend } from "../backends/grpc-js.ts";
import { leanBackend } from "../backends/lean.ts";
import { independentTransport } from "../transport.ts";
import { type BrokenProxy, type Fault, startBrokenProxy } from "./broken-proxy.ts";
import { type Verdict, verify } from "./verify.ts";

/** The time that a check waits in vain when it ought to fail. */
const SHORT_MS = 700;
/**
 * The limit where nothing ought to fail. Nothing waits that long, but a slow machine may need time.
 */
const LONG_MS = 10_000;

async function verdictOn(port: number, backendPort: number, limitMs: number): Promise<Verdict> {
  const options = { subject: { port }, backend: { port: backendPort }, limitMs };
  return await verify(independentTransport(), options);
}

describe("verify against the lean backend", () => {
  let listener: Listener;
  let backendPort: number;
  let proxy: BrokenProxy | undefined;

  beforeEach(async () => {
    listener = await nodeTransport().listen(
      { address: { host: "127.0.0.1", port: 0 } },
      leanBackend({ callCount: 0 }),
    );
    if (!("port" in listener.address)) throw new Error("no port");
    backendPort = listener.address.port;
  });

  afterEach(async () => {
    await proxy?.close();
    proxy = undefined;
    await listener.close();
  });

  it("finds nothing wrong with the backend itself", async () => {
    expect(await verdictOn(backendPort, backendPort, LONG_MS)).toEqual({
      failures: [],
      defects: [],
    });
  });

  it("finds no failure in a proxy that does its work", async () => {
    proxy = await startBrokenProxy(backendPort, "none");
    expect((await verdictOn(proxy.port, backendPort, LONG_MS)).failures).toEqual([]);
  });

  it.each<[Fault, RegExp]>([
    ["drops trailers", /without grpc-status in trailers/],
    ["buffers the response", /ping-pong.*no echo of message 1/],
    ["buffers the request", /ping-pong.*no echo of message 1/],
    ["ignores cancel", /cancelled download.*expected cancelled/],
    ["drops metadata", /metadata.*header: expected first value/],
    ["answers failures with OK", /failing status.*expected 9, got 0/],
    ["cuts messages", /unary echo.*messages: expected 1, got 0/],
  ])("fails a proxy that %s", async (fault, expected) => {
    proxy = await startBrokenProxy(backendPort, fault);
    const { failures } = await verdictOn(proxy.port, backendPort, SHORT_MS);
    expect(failures.join("\n")).toMatch(expected);
  });

  it("notes as a defect that a proxy takes everything for a client that does not read", async () => {
    proxy = await startBrokenProxy(backendPort, "never pushes back");
    const { failures, defects } = await verdictOn(proxy.port, backendPort, SHORT_MS);
    expect(failures).toEqual([]);
    expect(defects.join("\n")).toMatch(/MiB were taken from the backend/);
  });

  it("fails a subject that does not listen", async () => {
    proxy = await startBrokenProxy(backendPort, "none");
    const { port } = proxy;
    await proxy.close();
    proxy = undefined;
    const { failures } = await verdictOn(port, backendPort, SHORT_MS);
    expect(failures[0]).toMatch(/cannot connect/);
  });
});

describe("verify against the grpc-js backend", () => {
  it("finds no failure in the backend itself", async () => {
    const backend = await startGrpcJsBackend();
    try {
      expect((await verdictOn(backend.port, backend.port, LONG_MS)).failures).toEqual([]);
    } finally {
      backend.stop();
    }
  });
});
