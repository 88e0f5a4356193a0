// Contract: listening and connecting on real sockets: TLS, UNIX sockets, what fails before there is
// a session.

import { connect as connectSocket, Server, Socket } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { ErrorCode } from "../../../src/wire/error-code.ts";
import { makeCertificate } from "../../support/certificate.ts";
import { closeAtEnd, socketPath, within } from "../../support/cleanup.ts";
import { FakeClock } from "../../support/clock.ts";
import { fieldsOf, frames, message, request, trailersOnly } from "../../support/frames.ts";
import { answerLookups } from "../../support/lookup.ts";
import { SessionRecorder } from "../../support/recorder.ts";
import { refusingAddress } from "../../support/refusing.ts";
import { ScriptedClient, ScriptedServer } from "../../support/scripted-endpoints.ts";
import { type Contract, connect, open, serve } from "./harness.ts";

const { cert, key } = makeCertificate();

/** The next socket that a server of this process accepts. */
function untilAccepted(): Promise<{ readonly closed: Promise<unknown> }> {
  return new Promise((resolve) => {
    const { emit } = Server.prototype;
    const restore = (): boolean => Reflect.set(Server.prototype, "emit", emit);
    onTestFinished(() => {
      restore();
    });
    Reflect.set(
      Server.prototype,
      "emit",
      function (this: Server, ...event: [string, ...unknown[]]) {
        const [name, socket] = event;
        if (name === "connection" && socket instanceof Socket) {
          restore();
          resolve({ closed: new Promise((closed) => socket.once("close", closed)) });
        }
        return Reflect.apply(emit, this, event);
      },
    );
  });
}

export function listenerCases(contract: Contract): void {
  describe("a UNIX socket", () => {
    it("carries a session", async () => {
      const address = { path: socketPath() };
      const server = await serve(contract, { address });
      expect(server.listener.address).toEqual(address);
      const client = connect(contract, { address });
      const session = await server.nextSession();
      await client.events.untilAvailable();
      open(client).stream.sendData(message("abc"), true);
      await (await session.events.nextStream()).untilEnded();
      expect(client.session.peer.remoteAddress).toBe(`unix:${address.path}`);
      expect(session.session.peer.remoteAddress).toBe("unix:");
    });

    it("that is not there is told as kind connect", async () => {
      const end = connect(contract, { address: { path: socketPath() } });
      const { kind, message: text } = await end.events.untilClosed();
      expect(kind).toBe("connect");
      expect(text).toContain("ENOENT");
    });
  });

  describe("a host", () => {
    // Not a URL's host, any of them.
    it.each(["10.0.0.256", "a^b"])("that is %s is the resolver's to refuse", async (host) => {
      answerLookups(Object.assign(new Error(`ENOTFOUND ${host}`), { code: "ENOTFOUND" }));
      const end = connect(contract, { address: { host, port: 1 } });
      const { kind, message: text, cause } = await end.events.untilClosed();
      expect(kind).toBe("connect");
      expect(text).toContain(host);
      expect(cause).toMatchObject({ code: expect.any(String) });
    });

    it("with a zone is the system's to connect to", async () => {
      const end = connect(contract, { address: { host: "fe80::1%none", port: 1 } });
      // Systems differ in what they do, and in how long it takes.
      end.session.destroy(ErrorCode.NO_ERROR, "seen enough");
      expect((await end.events.untilClosed()).kind).toBe("destroyed");
    });
  });

  it("a name none of whose addresses can be connected to fails with what each of them said", async () => {
    const { port } = await refusingAddress();
    answerLookups(["127.0.0.1", "127.0.0.2"]);
    const end = connect(contract, { address: { host: "two.test", port } });
    const { kind, message: text } = await end.events.untilClosed();
    expect(kind).toBe("connect");
    expect(text.match(/ECONNREFUSED/g)).toHaveLength(2);
  });

  describe("what is refused before there is a socket", () => {
    const address = { host: "127.0.0.1", port: 1 };
    it.each([
      ["a certificate that is none", { address, tls: { cert: "x" } }],
      ["ciphers that nobody knows", { address, tls: { ciphers: "none-of-those" } }],
      ["a name that is no text", { address, tls: { serverName: 5 as unknown as string } }],
      ["a port that is none", { address: { host: "127.0.0.1", port: 65_536 } }],
    ])("as %s, is told once as kind connect", async (_, options) => {
      const clock = new FakeClock();
      const end = connect(contract, { ...options, clock });
      expect([end.session.accepting, end.session.availableStreamCount]).toEqual([false, 0]);
      expect(end.session.nowMs).toBe(clock.nowMs());
      end.session.ping(() => expect.unreachable("a PING without a connection"));
      end.session.drain();
      end.session.destroy(0, "not needed");
      const { kind, message: text, cause } = await end.events.untilClosed();
      expect(kind).toBe("connect");
      expect(text).toContain("127.0.0.1:");
      expect(cause).toBeInstanceOf(Error);
      end.session.drain();
      end.session.destroy(0, "not needed");
      expect(() => open(end)).toThrow();
      expect(end.events.log).toEqual(["closed(connect, NO_ERROR)"]);
      expect(clock.timerCount).toBe(0);
    });
  });

  describe("TLS", () => {
    it("with ALPN h2 carries a session that knows how it is secured", async () => {
      const server = await serve(contract, { tls: { cert, key } });
      const client = connect(contract, {
        address: server.listener.address,
        tls: { ca: cert, serverName: "localhost" },
      });
      const { session, events } = await server.nextSession();
      await client.events.untilAvailable();
      open(client).stream.sendData(message("abc"), true);
      await (await events.nextStream()).untilEnded();
      expect(client.session.peer.tls).toMatchObject({ protocol: "TLSv1.3", authorized: true });
      expect(client.session.peer.tls?.peerCertificate?.subject.CN).toBe("localhost");
      expect(session.peer.tls).toMatchObject({ serverName: "localhost", authorized: false });
      expect(session.peer.tls?.peerCertificate).toBeUndefined();
    });

    it("with a client certificate tells the server whose it is", async () => {
      const client = makeCertificate("caller");
      const tls = { cert, key, ca: client.cert, requestCert: true };
      const server = await serve(contract, { tls });
      connect(contract, {
        address: server.listener.address,
        tls: { ca: cert, cert: client.cert, key: client.key, serverName: "localhost" },
      });
      const { session } = await server.nextSession();
      expect(session.peer.tls?.authorized).toBe(true);
      expect(session.peer.tls?.peerCertificate?.subject.CN).toBe("caller");
    });

    it("of a server that wants a certificate which we have not is kind connect, and says so", async () => {
      const tls = { cert, key, ca: cert, requestCert: true };
      const server = await ScriptedServer.listen({ tls, handshake: false });
      const clock = new FakeClock();
      const end = connect(contract, {
        address: server.address,
        tls: { ca: cert, serverName: "localhost" },
        clock,
      });
      // The alert comes when our side of the handshake is over. No timer moves: it is the socket
      // that tells.
      const { kind, message: text, cause } = await end.events.untilClosed();
      expect(kind).toBe("connect");
      expect(text).toContain("alert");
      expect(cause).toMatchObject({ code: expect.stringMatching(/^ERR_SSL/) });
      expect(clock.timerCount).toBe(0);
    });

    it("of a server whose certificate nobody vouches for is kind connect", async () => {
      const server = await ScriptedServer.listen({ tls: { cert, key }, handshake: false });
      const end = connect(contract, { address: server.address, tls: { serverName: "localhost" } });
      expect((await end.events.untilClosed()).kind).toBe("connect");
    });

    it("of a server without ALPN h2 is kind connect", async () => {
      const server = await ScriptedServer.listen({
        tls: { cert, key },
        alpn: [],
        handshake: false,
      });
      const end = connect(contract, {
        address: server.address,
        tls: { ca: cert, serverName: "localhost" },
      });
      const { kind, message: text } = await end.events.untilClosed();
      expect(kind).toBe("connect");
      expect(text).toContain("h2");
    });

    it("from a client without ALPN h2 is an error of the listener, not a session", async () => {
      const server = await serve(contract, { tls: { cert, key } });
      const options = { tls: { ca: cert }, alpn: [], handshake: false } as const;
      const peer = await ScriptedClient.connect(server.listener.address, options);
      await peer.expectClosed();
      expect([server.sessionCount, server.errors.length]).toEqual([0, 1]);
    });

    it("from a client without ALPN h2 that keeps its side open is closed all the same", async () => {
      const server = await serve(contract, { tls: { cert, key } });
      const told = untilAccepted();
      const options = { tls: { ca: cert }, alpn: [], handshake: false } as const;
      const peer = await ScriptedClient.connect(server.listener.address, options);
      peer.socket.allowHalfOpen = true;
      const accepted = await told;
      await within("the end of the accepted socket", accepted.closed);
      expect([server.sessionCount, server.errors.length]).toEqual([0, 1]);
    });

    it("whose handshake takes too long is an error of the listener, and is over", async () => {
      const server = await serve(contract, { tls: { cert, key }, handshakeTimeoutMs: 20 });
      const socket = connectSocket(server.listener.address as { host: string; port: number });
      closeAtEnd(() => socket.destroy());
      socket.on("error", () => undefined).resume();
      await within(
        "the end of the handshake",
        new Promise((resolve) => socket.on("close", resolve)),
      );
      expect([server.sessionCount, server.errors.length]).toEqual([0, 1]);
      expect(server.errors[0]).toMatchObject({ code: "ERR_TLS_HANDSHAKE_TIMEOUT" });
    });

    it("whose handshake is under way when the listener closes is over; sessions go on", async () => {
      const server = await serve(contract, { tls: { cert, key } });
      const address = server.listener.address as { host: string; port: number };
      const client = connect(contract, { address, tls: { ca: cert, serverName: "localhost" } });
      await client.events.untilAvailable();
      const session = await server.nextSession();
      const accepted = untilAccepted();
      const socket = connectSocket(address);
      closeAtEnd(() => socket.destroy());
      socket.on("error", () => undefined).resume();
      const closed = new Promise((resolve) => socket.on("close", resolve));
      await accepted;
      await server.listener.close();
      await within("the end of the handshake", closed);
      open(client).stream.sendData(message("abc"), true);
      await (await session.events.nextStream()).untilEnded();
      expect(server.sessionCount).toBe(1);
    });

    it("that is not TLS at all is an error of the listener, which goes on", async () => {
      const server = await serve(contract, { tls: { cert, key } });
      const address = server.listener.address as { host: string; port: number };
      const socket = connectSocket(address);
      closeAtEnd(() => socket.destroy());
      socket.on("error", () => undefined);
      await new Promise((resolve) => {
        socket.on("close", resolve);
        socket.resume().write("GET / HTTP/1.1\r\n\r\n");
      });
      expect([server.sessionCount, server.errors.length]).toEqual([0, 1]);
      connect(contract, { address, tls: { ca: cert, serverName: "localhost" } });
      await server.nextSession();
    });
  });

  describe.each(["plain", "TLS"])("a session that is drained as it begins (%s)", (kind) => {
    it("announces GOAWAY behind SETTINGS, and begins nothing that it does not name", async () => {
      const events = new SessionRecorder("server");
      const listener = await contract.makeTransport().listen(
        {
          address: { host: "127.0.0.1", port: 0 },
          ...(kind === "TLS" ? { tls: { cert, key } } : {}),
        },
        {
          onSession(session) {
            events.attach(session);
            session.drain();
            return events;
          },
          onError: () => expect.unreachable(),
        },
      );
      closeAtEnd(() => listener.close());
      const peer = await ScriptedClient.connect(listener.address, {
        handshake: false,
        ...(kind === "TLS" ? { tls: { ca: cert } } : {}),
      });
      // In one flight.
      peer.send(frames.preface(), frames.settings(), frames.headers(1, request("/a/B")).end());
      await peer.expectSettings();
      let last = await peer.expectGoAway(ErrorCode.NO_ERROR);
      if (last.lastStreamId === 0x7fffffff) last = await peer.expectGoAway(ErrorCode.NO_ERROR);
      const begun = events.streams;
      expect(begun.map(({ stream }) => stream.id)).toEqual(last.lastStreamId === 0 ? [] : [1]);
      for (const { stream } of begun) stream.sendHeaders(fieldsOf(trailersOnly(0)), true);
      await peer.expectClosed();
      expect((await events.untilClosed()).kind).toBe("closed");
      expect(begun.map(({ stream }) => stream.id)).toEqual(last.lastStreamId === 0 ? [] : [1]);
      expect(events.allViolations).toEqual([]);
      expect(peer.trace.find(({ direction }) => direction === "recv")?.frame.name).toBe("SETTINGS");
    });
  });

  describe("a listener", () => {
    it("rejects with the system's error where another listens", async () => {
      const { listener } = await serve(contract);
      const again = contract
        .makeTransport()
        .listen(
          { address: listener.address },
          { onSession: () => expect.unreachable(), onError: () => undefined },
        );
      await expect(again).rejects.toMatchObject({ code: "EADDRINUSE" });
    });

    it("tells the port that the system chose", async () => {
      const { listener } = await serve(contract);
      expect(listener.address).toEqual({ host: "127.0.0.1", port: expect.any(Number) });
      expect((listener.address as { port: number }).port).toBeGreaterThan(0);
    });

    it("closes while connections stand and streams are open", async () => {
      const server = await serve(contract);
      const peer = await ScriptedClient.connect(server.listener.address);
      peer.send(frames.headers(1, request("/a/B")).end());
      const { events } = await server.nextSession();
      const { stream } = await events.nextStream();
      await server.listener.close();
      await server.listener.close();
      stream.sendHeaders(fieldsOf(trailersOnly(0)), true);
      await peer.expectTrailers(1);
    });

    it("survives a connection that is not HTTP/2", async () => {
      const server = await serve(contract);
      const address = server.listener.address as { host: string; port: number };
      const socket = connectSocket(address);
      closeAtEnd(() => socket.destroy());
      socket.on("error", () => undefined);
      await new Promise((resolve) => {
        socket.on("close", resolve);
        socket.resume().write("GET / HTTP/1.1\r\nhost: relay.test\r\n\r\n");
      });
      const end = await server.nextSession();
      expect((await end.events.untilClosed()).kind).toBe("protocol");
      await ScriptedClient.connect(address);
    });

    it("hears of connections that come and go at once", async () => {
      const server = await serve(contract);
      const peers = await Promise.all(
        Array.from({ length: 20 }, () =>
          ScriptedClient.connect(server.listener.address, { handshake: false }),
        ),
      );
      for (const peer of peers) peer.destroy();
      for (const _ of peers) {
        const { events } = await server.nextSession();
        expect((await events.untilClosed()).kind).toMatch(/^(closed|socket)$/);
      }
    });
  });
}
