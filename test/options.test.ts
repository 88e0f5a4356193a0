// Every options object of the public API refuses what it does not know, where it is given.

import { createServer as createHttpServer } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import { createServer as createNetServer } from "node:net";
import { describe, expect, it } from "vitest";
import {
  ClientConn,
  dial,
  engineTransport,
  GrpcError,
  Metadata,
  Server,
  Status,
  StreamParameters,
  transparentHandler,
} from "../src/index.ts";
import { makeCertificate } from "./support/certificate.ts";

const { cert, key } = makeCertificate();
const conn = dial("127.0.0.1:1");
const director = (): StreamParameters => new StreamParameters({ conn });
const server = new Server();

/** As a program without types would call it. */
const any = (value: unknown): never => value as never;

describe("an option that is unknown", () => {
  it.each<[string, () => unknown, string]>([
    [
      "of Server",
      () => new Server(any({ maxConcurentStreams: 5 })),
      'got "maxConcurentStreams"; did you mean maxConcurrentStreams?',
    ],
    ["of Server, which is one of tls", () => new Server(any({ cert })), "did you mean tls.cert?"],
    ["of dial", () => dial("a:1", any({ authorty: "b" })), "did you mean authority?"],
    [
      "of dial, which is one of backoff",
      () => dial("a:1", any({ initialMs: 5 })),
      "did you mean backoff.initialMs?",
    ],
    ["of backoff", () => dial("a:1", any({ backoff: { max: 5 } })), "backoff: expected one of"],
    [
      "of the tls of dial",
      () => dial("a:1", any({ tls: { rejectUnauthorised: false } })),
      "did you mean rejectUnauthorized?",
    ],
    [
      "of the tls of dial, which node:tls knows and is ours",
      () => dial("a:1", any({ tls: { ALPNProtocols: ["h2"] } })),
      "tls: expected no ALPN protocols, because only h2 is spoken here, got ALPNProtocols",
    ],
    [
      "of the tls of Server",
      () => new Server(any({ tls: { cert, key, requestCertificate: true } })),
      "tls: expected one of ca, cert, key,",
    ],
    [
      "of transparentHandler",
      () => transparentHandler(director, any({ maxPeek: 1 })),
      'options of transparentHandler: expected one of maxPeekBytes, peekTimeoutMs, got "maxPeek"; did you mean maxPeekBytes?',
    ],
    [
      "of a primary",
      () => new StreamParameters(any({ conn, onerror: () => {} })),
      'got "onerror"; did you mean onError?',
    ],
    [
      "of a secondary",
      () => new StreamParameters({ conn }, [any({ conn, messages: Buffer.alloc(1) })]),
      "did you mean message?",
    ],
    [
      "of a call to one destination",
      () => new StreamParameters({ conn, callOptions: any({ timeout: 5 }) }),
      'authority, retryPolicy, hashKey, fairnessKey, got "timeout"; did you mean timeoutMs?',
    ],
    [
      "of a call that is relayed",
      () => new StreamParameters({ conn }, [], undefined, any({ timeout: 5 })),
      'call options: expected one of timeoutMs, waitForReady, maxRequestMessageBytes, maxResponseMessageBytes, metadata, authority, retryPolicy, hashKey, fairnessKey, got "timeout"; did you mean timeoutMs?',
    ],
    [
      "of dial, which does not offer what is for tests",
      () => dial("a:1", any({ random_: 5 })),
      'connectTimeoutMs, backoff, keepalive, maxWaitingCalls, maxConnectionsPerAddress, maxInFlightPerAddress, idleTimeoutMs, maxConnectionAgeMs, retryThrottling, balancing, outlierDetection, healthCheck, minResolveIntervalMs, got "random_"',
    ],
    [
      "of a Server, which does not either",
      () => new Server(any({ clocks: 5 })),
      'settingsTimeoutMs, stallTimeoutMs, streamStallTimeoutMs, transport, tls, keepalive, handshakeTimeoutMs, codec, unknownServiceHandler, interceptors, maxRequestMessageBytes, onConnectionError, maxConnectionAgeMs, maxConnectionAgeGraceMs, maxConnectionIdleMs, maxConnections, maxConnectionsPerClientAddress, acceptConnection, got "clocks"',
    ],
    [
      "of a policy",
      () => new StreamParameters({ conn }, [], undefined, { retryPolicy: any({ attempts: 3 }) }),
      'retryPolicy: expected one of maxAttempts, initialBackoffMs, maxBackoffMs, backoffMultiplier, retryableStatuses, got "attempts"',
    ],
    [
      "of throttling",
      () => dial("a:1", { retryThrottling: any({ max: 3 }) }),
      'retryThrottling: expected one of maxTokens, tokenRatio, got "max"',
    ],
    [
      "of a call of our own, which nobody sends again",
      () => conn.newStream("/a/B", any({ retryPolicy: {} })),
      "call options: expected no retryPolicy, for whoever makes a call has its messages, got retryPolicy",
    ],
    [
      "of a call of our own",
      () => conn.newStream("/a/B", any({ abortSignal: undefined })),
      "metadata, authority, hashKey, fairnessKey, codec, signal, got",
    ],
    [
      "of engineTransport",
      () => engineTransport(any({ limit: {} })),
      'options of engineTransport: expected one of limits, windowBudgetBytes, got "limit"; did you mean limits?',
    ],
    [
      "of the limits of engineTransport",
      () => engineTransport({ limits: any({ resetsPerMinute: 1 }) }),
      'got "resetsPerMinute"',
    ],
    [
      "of GrpcError",
      () => new GrpcError(Status.ABORTED, "", any({ cuase: 1 })),
      'got "cuase"; did you mean cause?',
    ],
    [
      "of a metadata field",
      () => new Metadata().set("a", "b", any({ sensitiv: true })),
      "did you mean sensitive?",
    ],
  ])("%s is refused", (_, act, message) => {
    expect(act).toThrow(TypeError);
    expect(act).toThrow(message);
  });

  it.each<[string, unknown, string]>([
    ["that is near", { tsl: { cert, key } }, 'got "tsl"; did you mean tls?'],
    ["that is one of tls", { cert, key }, 'got "cert"; did you mean tls.cert?'],
    ["in the tls", { tls: { cert, key, keys: key } }, 'got "keys"; did you mean key?'],
  ])("of listen, one %s, keeps it from listening in plaintext", async (_, settings, message) => {
    await expect(server.listen("127.0.0.1:0", any(settings))).rejects.toThrow(message);
  });

  it("of an address is refused", async () => {
    const address = any({ host: "127.0.0.1", port: 0, tls: { cert, key } });
    await expect(server.listen(address)).rejects.toThrow(
      'address: expected one of host, port, got "tls"',
    );
  });
});

describe("a value of another type, or out of range,", () => {
  it.each<[string, () => unknown, string]>([
    [
      "of maxPeekBytes",
      () => transparentHandler(director, { maxPeekBytes: any("1") }),
      'maxPeekBytes: expected a number from 0 up, got "1"',
    ],
    [
      "of a call option of a director",
      () => new StreamParameters({ conn }, [], undefined, { timeoutMs: any("1s") }),
      'call option timeoutMs: expected a number from 0 up, got "1s"',
    ],
    [
      "of waitForReady",
      () => conn.newStream("/a/B", { waitForReady: any("yes") }),
      'call option waitForReady: expected true or false, got "yes"',
    ],
    [
      "of the signal of a call",
      () => conn.newStream("/a/B", { signal: any(new AbortController()) }),
      "call option signal: expected an AbortSignal, got an object (AbortController)",
    ],
    [
      "of the codec of a call",
      () => conn.newStream("/a/B", { codec: any({}) }),
      "call option codec: expected a codec with the method marshal, got none",
    ],
    [
      "of rejectUnauthorized",
      () => dial("a:1", { tls: { rejectUnauthorized: any("false") } }),
      'tls.rejectUnauthorized: expected true or false, got "false"',
    ],
    [
      "of requestCert",
      () => new Server({ tls: { cert, key, requestCert: any(1) } }),
      "tls.requestCert: expected true or false, got 1",
    ],
    [
      "of backoff",
      () => dial("a:1", { backoff: { initialMs: any("5") } }),
      'backoff.initialMs: expected a number from 0 to 2147483647, got "5"',
    ],
    [
      "of maxWaitingCalls",
      () => dial("a:1", { maxWaitingCalls: any(null) }),
      "maxWaitingCalls: expected an integer from 0 up, got null",
    ],
    [
      "of a window",
      () => new Server({ streamWindowBytes: any(null) }),
      "streamWindowBytes: expected an integer from 1 to 2147483647, got null",
    ],
    [
      "of windowBudgetBytes",
      () => engineTransport({ windowBudgetBytes: -1 }),
      "windowBudgetBytes: expected an integer from 0 up, got -1",
    ],
    [
      "of the clock",
      () => dial("a:1", { clock: any(Date) }),
      "clock: expected a Clock with the method nowMs, got a function",
    ],
    [
      "of the reason of an error",
      () => new GrpcError(Status.ABORTED, "", { reason: any("BECAUSE") }),
      'got "BECAUSE"',
    ],
    [
      "of retry",
      () => new GrpcError(Status.ABORTED, "", { retry: any(true) }),
      "retry: expected one of never, safe, got true",
    ],
    [
      "of sensitive",
      () => new Metadata().append("a", "b", { sensitive: any("no") }),
      'sensitive: expected true or false, got "no"',
    ],
  ])("%s is refused", (_, act, message) => {
    expect(act).toThrow(message);
  });

  it.each([
    ["a server of node:http", createHttpServer()],
    ["a server of node:net", createNetServer()],
    ["a server of ours", new Server()],
    ["nothing", undefined],
  ])("%s is not attached to", (_, given) => {
    expect(() => server.attach(any(given))).toThrow(
      "attach: expected a server of http2.createServer or http2.createSecureServer, got",
    );
  });

  it.each([
    ["a target", "127.0.0.1:1"],
    ["a server", createHttp2Server()],
  ])("%s is no session", (_, given) => {
    expect(() => ClientConn.fromSession(any(given))).toThrow(
      "session: expected a session of http2.connect, got",
    );
  });
});

it("takes what node:tls takes for keys, trust and handshakes", async () => {
  const tls = { cert, key, honorCipherOrder: true, sessionTimeout: 60, keepAlive: true };
  const secure = new Server({
    tls: { ...tls, SNICallback: undefined, ...{ pskIdentityHint: "a" } },
  });
  await secure.listen("127.0.0.1:0");
  await secure.close();
  dial("a:1", { tls: { checkServerIdentity: () => undefined, family: 4, minDHSize: 1_024 } });
});
