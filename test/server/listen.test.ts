// Where a server listens, what it says when it cannot, and servers that somebody else made.

import { connect as connectHttp2, createServer as createHttp2Server } from "node:http2";
import { type AddressInfo, connect, createServer } from "node:net";
import { connect as connectTls } from "node:tls";
import { describe, expect, it } from "vitest";
import { Status } from "../../src/grpc/status.ts";
import { Server } from "../../src/server/server.ts";
import { formatAddress } from "../../src/transport/address.ts";
import { bind } from "../../src/transport/bind.ts";
import { DealtConnections } from "../../src/transport/dealt-connections.ts";
import type { PeerInfo } from "../../src/transport/transport.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { makeCertificate } from "../support/certificate.ts";
import { closeAtEnd, socketPath } from "../support/cleanup.ts";
import { transportCombos } from "../support/combos.ts";
import { frames, request } from "../support/frames.ts";
import {
  dialTo,
  eventually,
  listen,
  PATH,
  statusOf,
  watchServer,
} from "../support/relay-fixture.ts";
import { ResettingClient, resetBeforeAccepted } from "../support/reset-client.ts";
import { ScriptedClient } from "../support/scripted-endpoints.ts";
import { ScriptedPeer } from "../support/scripted-peer.ts";

/** All that a client says. */
const CALL = frames.bytes(
  Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1"),
  frames.settings(),
  frames.headers(1, request(PATH), { endStream: true }),
);

async function expectOk(client: ScriptedPeer, streamId = 1): Promise<void> {
  client.send(frames.headers(streamId, request(PATH), { endStream: true }));
  expect(statusOf(await client.expectTrailers(streamId))).toBe(Status.OK);
}

describe.each(transportCombos)("Server.listen on $server", (combo) => {
  function makeServer(options = {}): Server {
    const server = watchServer(new Server({ transport: combo.server, ...options }));
    server.register("test.Service", { Method: () => {} });
    return server;
  }

  it("knows the address of a TLS client that resets its connection after the handshake", async () => {
    const peers: string[] = [];
    const { cert, key } = makeCertificate();
    const server = watchServer(new Server({ transport: combo.server, tls: { cert, key } }));
    server.register("test.Service", {
      Method: ({ context }) => void peers.push(context.peer.remoteAddress),
    });
    const { address } = await server.listen("127.0.0.1:0");
    const raw = connect(address).on("error", () => {});
    const socket = connectTls({
      socket: raw,
      ca: cert,
      servername: "localhost",
      ALPNProtocols: ["h2"],
    });
    socket.on("error", () => {});
    await new Promise((resolve) => socket.once("secureConnect", resolve));
    const { localPort } = raw;
    // When the system has all of it, and before the server reads any.
    socket.write(CALL, () => raw.resetAndDestroy());
    await eventually("the call", () => peers.length > 0);
    expect(peers).toEqual([`127.0.0.1:${localPort}`]);
  });

  it("takes no TCP client whose reset connection has no address for a UNIX peer", async () => {
    const peers: string[] = [];
    const server = watchServer(new Server({ transport: combo.server }));
    server.register("test.Service", {
      Method: ({ context }) => void peers.push(context.peer.remoteAddress),
    });
    const { address } = await server.listen("127.0.0.1:0");
    resetBeforeAccepted((address as { readonly port: number }).port, CALL);
    await eventually("the call", () => peers.length > 0);
    expect(peers).toEqual(["unknown"]);
  });

  it("remembers the address of a client that resets its connection when it is accepted", async () => {
    const peers: string[] = [];
    const asked: string[] = [];
    const acceptConnection = ({ remoteAddress }: PeerInfo): boolean => {
      asked.push(remoteAddress);
      client.reset();
      return true;
    };
    const server = watchServer(new Server({ transport: combo.server, acceptConnection }));
    server.register("test.Service", {
      Method: ({ context }) => void peers.push(context.peer.remoteAddress),
    });
    const { address } = await server.listen("127.0.0.1:0");
    const client = new ResettingClient((address as { readonly port: number }).port, CALL);
    await eventually("the call", () => peers.length > 0);
    expect(peers).toEqual(asked);
  });

  it("returns the port that the system chose", async () => {
    const { address } = await makeServer().listen("127.0.0.1:0");
    expect(address).toEqual({ host: "127.0.0.1", port: expect.any(Number) });
    await expectOk(await ScriptedClient.connect(address));
  });

  it("may be called several times, also for other kinds of sockets", async () => {
    const server = makeServer();
    const listeners = [
      await server.listen("127.0.0.1:0"),
      await server.listen({ host: "127.0.0.1", port: 0 }),
      await server.listen(`unix:${socketPath()}`),
    ];
    for (const { address } of listeners) await expectOk(await ScriptedClient.connect(address));
    expect(server.sessionCount).toBe(3);
  });

  it("listens on a UNIX socket, whose peers have no name", async () => {
    const peers: string[] = [];
    const { server, address } = await listen(combo, {}, `unix:${socketPath()}`);
    server.register("test.Service", {
      Method: (stream) => void peers.push(stream.context.peer.remoteAddress),
    });
    await expectOk(await ScriptedClient.connect(address));
    expect(peers).toEqual([expect.stringMatching(/^unix:/)]);
  });

  it("rejects with EADDRINUSE for a port that is taken; the server is still good", async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    closeAtEnd(() => other.close());
    const server = makeServer();
    await expect(
      server.listen(`127.0.0.1:${(other.address() as AddressInfo).port}`),
    ).rejects.toMatchObject({
      code: "EADDRINUSE",
    });
    await expectOk(await ScriptedClient.connect((await server.listen("127.0.0.1:0")).address));
  });

  it.each([
    "",
    "localhost",
    "127.0.0.1",
    "127.0.0.1:http",
    "127.0.0.1:65536",
    ":1",
    "unix:",
    "::1:80",
  ])("rejects %j with TypeError, saying what was expected and what came", async (address) => {
    const listening = makeServer().listen(address);
    await expect(listening).rejects.toThrow(TypeError);
    await expect(listening).rejects.toThrow(JSON.stringify(address));
  });

  it("serves connections that somebody else accepted, until it is closed, and tells their end", async () => {
    let closedCount = 0;
    const dealt = new DealtConnections(() => closedCount++);
    const acceptor = createServer((connection) => dealt.take(0, connection));
    closeAtEnd(() => acceptor.close());
    await new Promise<void>((resolve) => acceptor.listen(0, "127.0.0.1", resolve));
    const address = { host: "127.0.0.1", port: (acceptor.address() as AddressInfo).port };
    const server = makeServer();
    const listener = await server.listen(address, { source: dealt.source(0) });
    expect(listener.address).toEqual(address);
    expect(dealt.isTaken(0)).toBe(true);
    const client = await ScriptedClient.connect(address);
    await expectOk(client);
    client.destroy();
    await eventually("the end is told", () => closedCount === 1);
    dealt.take(0, undefined);
    expect(closedCount).toBe(2);
    await server.close();
    expect(dealt.isTaken(0)).toBe(false);
  });

  it("listens on a socket that the process was started with, or leaves that to another process", async () => {
    const server = makeServer();
    await expect(server.listen("fd:1000000")).rejects.toThrow(
      "fd:1000000: expected a listening TCP or UNIX socket, got a descriptor that is not open",
    );
    const dealt = new DealtConnections(() => {});
    const { address } = await server.listen({ fd: 1_000_000 }, { source: dealt.source(0) });
    expect(address).toEqual({ path: "" });
    expect(dealt.isTaken(0)).toBe(true);
  });

  it.each<[string, { unix?: boolean; tls?: boolean; proxy?: boolean }]>([
    ["plain, on a UNIX socket", { unix: true }],
    ["TLS", { tls: true }],
    ["plain, behind a balancer", { proxy: true }],
    ["TLS, behind a balancer", { tls: true, proxy: true }],
    ["plain, behind a balancer, on a UNIX socket", { unix: true, proxy: true }],
  ])("serves connections that somebody else accepted: %s", async (_, { unix, tls, proxy }) => {
    const dealt = new DealtConnections(() => {});
    const acceptor = createServer((connection) => dealt.take(0, connection));
    closeAtEnd(() => acceptor.close());
    const where = unix === true ? { path: socketPath() } : { host: "127.0.0.1", port: 0 };
    const address = await bind(acceptor, where, () => {});
    const { cert, key } = makeCertificate();
    const peers: PeerInfo[] = [];
    const server = watchServer(new Server({ transport: combo.server }));
    server.register("test.Service", {
      Method: ({ context }) => void peers.push(context.peer),
    });
    await server.listen(address, {
      source: dealt.source(0),
      ...(tls === true ? { tls: { cert, key } } : {}),
      ...(proxy === true ? { proxyProtocol: { from: ["127.0.0.1", "unix"] } } : {}),
    });
    const raw = connect(address).on("error", () => {});
    closeAtEnd(() => raw.destroy());
    if (proxy === true) raw.write("PROXY TCP4 192.0.2.1 192.0.2.2 4711 50051\r\n");
    const over =
      tls === true
        ? connectTls({ socket: raw, ca: cert, servername: "localhost", ALPNProtocols: ["h2"] })
        : raw;
    await expectOk(new ScriptedPeer(over, "client", {}));
    const localAddress = formatAddress(address);
    const seen = proxy === true ? { remoteAddress: "192.0.2.1:4711" } : { localAddress };
    expect(peers).toMatchObject([seen]);
    expect(peers[0]?.tls !== undefined).toBe(tls === true);
  });

  it("rejects once the server is closed", async () => {
    const server = makeServer();
    await server.close();
    await expect(server.listen("127.0.0.1:0")).rejects.toThrow("the server is closed");
    expect(() => server.attach(createHttp2Server())).toThrow("the server is closed");
  });

  it("takes another transport for one socket", async () => {
    const server = makeServer();
    for (const transport of ["engine", "node"] as const) {
      const { address } = await server.listen("127.0.0.1:0", { transport });
      await expectOk(await ScriptedClient.connect(address));
    }
  });

  it("leaves no socket behind when the server is closed meanwhile", async () => {
    const server = makeServer();
    const listening = server.listen("127.0.0.1:0");
    await server.close();
    const address = (await listening).address as { host: string; port: number };
    const refused = await new Promise<NodeJS.ErrnoException>((resolve) => {
      connect(address).once("error", resolve);
    });
    expect(refused.code).toBe("ECONNREFUSED");
  });

  it("speaks TLS with ALPN h2, tells handlers of it, and reports who fails the handshake", async () => {
    const { cert, key } = makeCertificate();
    const errors: Error[] = [];
    const tls: unknown[] = [];
    const { server, address } = await listen(combo, {
      tls: { cert, key },
      onConnectionError: (error) => errors.push(error),
    });
    server.register("test.Service", {
      Method: (stream) => void tls.push(stream.context.peer.tls),
    });
    await expectOk(await ScriptedClient.connect(address, { tls: { ca: cert } }));
    expect(tls).toMatchObject([
      { protocol: "TLSv1.3", authorized: false, serverName: "localhost" },
    ]);
    const plain = await ScriptedClient.connect(address, { handshake: false });
    plain.send(frames.preface());
    await plain.expectClosed();
    await eventually("the failure is told", () => errors.length > 0);
    await expectOk(await ScriptedClient.connect(address, { tls: { ca: cert } }));
  });

  it.each([
    [
      "HTTP without TLS",
      "GET / HTTP/1.1\r\n\r\n",
      "http request (the other side speaks HTTP without TLS)",
    ],
    ["no TLS", "hello, hello, hello", "wrong version number (the other side does not speak TLS)"],
  ])("tells of a client that speaks %s in one line that can be read", async (_, bytes, text) => {
    const errors: Error[] = [];
    const { cert, key } = makeCertificate();
    const { address } = await listen(combo, {
      tls: { cert, key },
      onConnectionError: (error) => errors.push(error),
    });
    const socket = connect(address);
    socket.on("error", () => {});
    closeAtEnd(() => socket.destroy());
    socket.write(bytes);
    await eventually("it is told", () => errors.length > 0);
    const said = errors[0]?.message.replace(/^127\.0\.0\.1:[0-9]+ /, "");
    expect(said).toBe(`failed the TLS handshake: ${text}`);
    expect(errors[0]).toMatchObject({
      code: expect.stringMatching(/^ERR_SSL_/),
      cause: expect.any(Error),
    });
  });

  it("names a client that is gone by the time its handshake has failed", async () => {
    const told: string[] = [];
    const { cert, key } = makeCertificate();
    const { address } = await listen(combo, {
      tls: { cert, key },
      onConnectionError: (error) => told.push(error.message),
    });
    // It does not trust the certificate, and closes its socket at once.
    const conn = dialTo(combo, address, { tls: { ca: makeCertificate("other").cert } });
    await expect(conn.newStream(PATH).trailer()).rejects.toMatchObject({
      status: Status.UNAVAILABLE,
    });
    await eventually("the failure is told", () => told.length > 0);
    expect(told[0]).toMatch(/^127\.0\.0\.1:[0-9]+ failed the TLS handshake: /);
  });

  it("asks for a client's certificate and refuses one without", async () => {
    const ours = makeCertificate();
    const theirs = makeCertificate("client");
    const { server, address } = await listen(combo, {
      tls: { cert: ours.cert, key: ours.key, ca: theirs.cert, requestCert: true },
    });
    const names: unknown[] = [];
    server.register("test.Service", {
      Method: (stream) => void names.push(stream.context.peer.tls?.peerCertificate?.subject.CN),
    });
    const tls = { ca: ours.cert, cert: theirs.cert, key: theirs.key };
    await expectOk(await ScriptedClient.connect(address, { tls }));
    expect(names).toEqual(["client"]);
    const refused = await ScriptedClient.connect(address, {
      tls: { ca: ours.cert },
      handshake: false,
    });
    await refused.expectClosed();
  });

  it("takes TLS for one listener and none for another", async () => {
    const { cert, key } = makeCertificate();
    const server = makeServer();
    const { address: secure } = await server.listen("127.0.0.1:0", { tls: { cert, key } });
    const { address: plain } = await server.listen("127.0.0.1:0");
    await expectOk(await ScriptedClient.connect(secure, { tls: { ca: cert } }));
    await expectOk(await ScriptedClient.connect(plain));
  });

  it("is dialled by our own client, over TLS too, which checks the name", async () => {
    const { cert, key } = makeCertificate();
    const server = makeServer();
    const { address: secure } = await server.listen("127.0.0.1:0", { tls: { cert, key } });
    const good = dialTo(combo, secure, { tls: { ca: cert } }).newStream(PATH);
    good.closeSend();
    await good.trailer();
    const bad = dialTo(combo, secure, { tls: { ca: cert, serverName: "other.test" } }).newStream(
      PATH,
    );
    await expect(bad.trailer()).rejects.toMatchObject({ status: Status.UNAVAILABLE });
  });
});

describe("Server.attach", () => {
  async function attached() {
    const http2Server = createHttp2Server();
    const server = watchServer(new Server());
    server.register("test.Service", { Method: () => {} });
    server.attach(http2Server);
    await new Promise<void>((resolve) => http2Server.listen(0, "127.0.0.1", resolve));
    closeAtEnd(() => http2Server.close());
    const { port } = http2Server.address() as AddressInfo;
    return { http2Server, server, address: { host: "127.0.0.1", port } };
  }

  it("answers the requests of a server that somebody else made", async () => {
    const { address, server } = await attached();
    const client = await ScriptedClient.connect(address);
    await expectOk(client);
    await expectOk(client, 3);
    expect(server.sessionCount).toBe(1);
  });

  it("close drains its sessions and leaves the listening to whoever made it", async () => {
    const { address, server, http2Server } = await attached();
    const client = await ScriptedClient.connect(address);
    await expectOk(client);
    const closed = server.close(1_000);
    await client.expectGoAway(ErrorCode.NO_ERROR);
    await client.expectClosed();
    await closed;
    expect(http2Server.listening).toBe(true);
    const session = connectHttp2(`http://127.0.0.1:${address.port}`);
    session.on("error", () => undefined);
    closeAtEnd(() => session.destroy());
    await new Promise((resolve) => session.once("connect", resolve));
    expect(server.sessionCount).toBe(0);
  });
});
