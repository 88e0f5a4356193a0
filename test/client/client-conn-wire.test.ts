// A connection to a backend on real sockets: what the wire has to do with it.

import { connect as connectHttp2, createServer as createHttp2Server } from "node:http2";
import { type AddressInfo, createServer } from "node:net";
import { describe, expect, it } from "vitest";
import { ClientConn } from "../../src/client/client-conn.ts";
import type { ClientStream } from "../../src/client/client-stream.ts";
import type { GrpcError } from "../../src/grpc/error.ts";
import { tolerant } from "../../src/grpc/message-writer.ts";
import { Status } from "../../src/grpc/status.ts";
import { ErrorCode } from "../../src/wire/error-code.ts";
import { fieldValue } from "../../src/wire/field.ts";
import { makeCertificate } from "../support/certificate.ts";
import { closeAtEnd, socketPath, within } from "../support/cleanup.ts";
import { FakeClock } from "../support/clock.ts";
import { transportCombos } from "../support/combos.ts";
import { frames, trailersOnly } from "../support/frames.ts";
import { refusingAddress } from "../support/refusing.ts";
import {
  connectTo,
  dialTo,
  eventually,
  PATH,
  scriptedBackend,
  watchConn,
} from "../support/relay-fixture.ts";
import { ScriptedServer } from "../support/scripted-endpoints.ts";

function failureOf(promise: Promise<unknown>): Promise<GrpcError> {
  return promise.then(
    () => {
      throw new Error("expected a failure");
    },
    (error: GrpcError) => error,
  );
}

describe.each(transportCombos)("ClientConn on $client", (combo) => {
  it("with one connection at MAX_CONCURRENT_STREAMS 1 has one stream open at a time, and ten calls at once all succeed", async () => {
    const settings = { MAX_CONCURRENT_STREAMS: 1 };
    const backend = await scriptedBackend(combo, { settings }, { maxConnectionsPerAddress: 1 });
    const calls = Array.from({ length: 10 }, () => {
      const stream = backend.conn.newStream(PATH);
      stream.closeSend();
      return stream.trailer();
    });
    const peer = await backend.peer();
    for (let i = 0; i < 10; i++) {
      const { streamId } = await peer.expectRequest(PATH);
      await peer.expectBody(streamId);
      await peer.sync();
      expect(peer.received(streamId + 2)).toEqual([]);
      peer.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
    }
    await Promise.all(calls);
    expect(backend.scripted.connectionCount).toBe(1);
  });

  it("opens more streams when the backend raises the limit", async () => {
    const settings = { MAX_CONCURRENT_STREAMS: 1 };
    const backend = await scriptedBackend(combo, { settings }, { maxConnectionsPerAddress: 1 });
    const calls = [backend.conn.newStream(PATH), backend.conn.newStream(PATH)];
    const peer = await backend.peer();
    const first = await peer.expectRequest(PATH);
    await peer.sync();
    expect(backend.conn.waitingCount).toBe(1);
    peer.send(frames.settings({ MAX_CONCURRENT_STREAMS: 2 }));
    const second = await peer.expectRequest(PATH);
    for (const { streamId } of [first, second]) {
      peer.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
    }
    await Promise.all(calls.map((call) => call.trailer()));
  });

  it("fails with UNAVAILABLE naming the address when nobody listens there", async () => {
    const { port } = await refusingAddress();
    const conn = dialTo(combo, `127.0.0.1:${port}`);
    const error = await failureOf(conn.newStream(PATH).trailer());
    expect(error).toMatchObject({ status: Status.UNAVAILABLE, retry: "safe" });
    expect(error.message).toContain(`127.0.0.1:${port}`);
    expect(error.details).toBe("the backend cannot be reached: connection refused");
    expect(error.cause).toMatchObject({ code: "ECONNREFUSED" });
  });

  it.each(["backend.invalid:80", "unix:/nonexistent/socket"])(
    "fails with UNAVAILABLE for %s",
    async (target) => {
      const error = await failureOf(dialTo(combo, target).newStream(PATH).trailer());
      expect(error).toMatchObject({ status: Status.UNAVAILABLE, reason: "UPSTREAM_CONNECT" });
    },
  );

  it("gives up a backend that takes the connection and says nothing, by the clock", async () => {
    const clock = new FakeClock();
    const silent = { handshake: false, ackSettings: false };
    const backend = await scriptedBackend(combo, silent, { clock, connectTimeoutMs: 2_000 });
    const call = failureOf(backend.conn.newStream(PATH).trailer());
    const peer = await backend.peer();
    await peer.expectSettings();
    clock.advance(1_996);
    expect(backend.conn.state).toBe("connecting");
    clock.advance(8);
    expect(await call).toMatchObject({ status: Status.UNAVAILABLE, reason: "UPSTREAM_CONNECT" });
    await peer.expectClosed();
    clock.advance(2_000);
  });

  it("fails with UNAVAILABLE for a server that speaks another protocol", async () => {
    const server = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.write("HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    closeAtEnd(() => server.close());
    const conn = dialTo(combo, `127.0.0.1:${(server.address() as AddressInfo).port}`);
    expect(await failureOf(conn.newStream(PATH).trailer())).toMatchObject({
      status: Status.UNAVAILABLE,
    });
    expect(conn.state).toBe("transientFailure");
  });

  it("dials UNIX sockets, with localhost as authority", async () => {
    const scripted = await ScriptedServer.listen({ address: { path: socketPath() } });
    const call = dialTo(combo, scripted.address).newStream(PATH);
    const peer = await scripted.connection();
    const { streamId, fields } = await peer.expectRequest(PATH);
    expect(fieldValue(fields, ":authority")).toBe("localhost");
    peer.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
    await call.trailer();
  });

  it("sends the authority of the call, of the connection, or its target, in that order", async () => {
    const backend = await scriptedBackend(combo);
    const named = dialTo(combo, backend.scripted.address, { authority: "conn.test" });
    const calls = [
      backend.conn.newStream(PATH),
      named.newStream(PATH),
      named.newStream(PATH, { authority: "call.test" }),
    ];
    const [first, second] = [await backend.peer(), await backend.peer()];
    const seen: (string | undefined)[] = [];
    for (const peer of [first, second, second]) {
      const { streamId, fields } = await peer.expectRequest(PATH);
      seen.push(fieldValue(fields, ":authority"));
      peer.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
    }
    expect(seen).toEqual([named.target, "conn.test", "call.test"]);
    await Promise.all(calls.map((call) => call.trailer()));
  });

  it("after GOAWAY makes new calls on a new connection, and closes the old one with its last stream", async () => {
    const backend = await scriptedBackend(combo);
    const old = backend.conn.newStream(PATH);
    const peer = await backend.peer();
    const { streamId } = await peer.expectRequest(PATH);
    peer.send(frames.goaway(streamId, ErrorCode.NO_ERROR));
    await eventually("it is left", () => backend.conn.state === "idle");
    const call = backend.conn.newStream(PATH);
    const next = await backend.peer();
    const request = await next.expectRequest(PATH);
    next.send(frames.headers(request.streamId, trailersOnly(0), { endStream: true }));
    await call.trailer();
    peer.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
    await old.trailer();
    await peer.expectClosed();
    expect(backend.conn.state).toBe("ready");
  });

  it.each([
    ["begun", 1],
    ["not begun", 0],
  ])(
    "whose backend answers each call by GOAWAY, the call %s, and nothing more, connects as after failures",
    async (_, lastStreamId) => {
      const clock = new FakeClock();
      const backend = await scriptedBackend(combo, {}, { clock, random: () => 0.5 });
      const { conn, scripted } = backend;
      const call = (): ClientStream => {
        const stream = conn.newStream(PATH);
        closeAtEnd(() => stream.cancel());
        stream.trailer().catch(() => undefined);
        return stream;
      };
      const callGoneAway = async (): Promise<void> => {
        // Too long to be sent again.
        void tolerant(call().sendMessage(Buffer.alloc(65_536)));
        const peer = await backend.peer();
        await peer.expectRequest(PATH);
        peer.send(frames.goaway(lastStreamId, ErrorCode.NO_ERROR));
        await eventually("it is left", () => conn.state === "idle");
      };
      await callGoneAway();
      // The first may have been about to go anyway.
      await callGoneAway();
      for (let connections = 2, waitMs = 1_000; connections < 5; connections++, waitMs *= 1.6) {
        for (let i = 0; i < 10; i++) {
          const failure = failureOf(call().trailer());
          expect(await within("a failure", failure, 5_000)).toMatchObject({
            status: Status.UNAVAILABLE,
            reason: "UPSTREAM_CONNECT",
            retry: "safe",
            message: expect.stringContaining("went away before it answered"),
          });
        }
        expect([conn.state, scripted.connectionCount]).toEqual(["transientFailure", connections]);
        clock.advance(waitMs - 4);
        expect(conn.state).toBe("transientFailure");
        clock.advance(8);
        await callGoneAway();
      }
    },
  );

  it("whose backend says GOAWAY to each call, and answers it, connects at once for the next", async () => {
    const backend = await scriptedBackend(combo, {}, { clock: new FakeClock() });
    for (let i = 0; i < 5; i++) {
      const call = backend.conn.newStream(PATH);
      const peer = await backend.peer();
      const { streamId } = await peer.expectRequest(PATH);
      peer.send(
        frames.goaway(streamId, ErrorCode.NO_ERROR),
        frames.headers(streamId, trailersOnly(0)).end(),
      );
      await call.trailer();
    }
    expect(backend.scripted.connectionCount).toBe(5);
  });

  it("whose backend says GOAWAY when it has taken 16 calls, before it answers them, connects at once for those that are left", async () => {
    const settings = { MAX_CONCURRENT_STREAMS: 16 };
    const options = { clock: new FakeClock(), maxConnectionsPerAddress: 1 };
    const backend = await scriptedBackend(combo, { settings }, options);
    const calls = Promise.all(
      Array.from({ length: 80 }, () => backend.conn.newStream(PATH).trailer()),
    );
    const answers: (() => void)[] = [];
    for (let connections = 0; connections < 5; connections++) {
      const peer = await backend.peer();
      for (let i = 0; i < 16; i++) {
        const { streamId } = await peer.expectRequest(PATH);
        answers.push(() => peer.send(frames.headers(streamId, trailersOnly(0)).end()));
      }
      peer.send(frames.goaway(31, ErrorCode.NO_ERROR));
    }
    for (const answer of answers) answer();
    await calls;
  });

  it("does not send a call again that the backend may have processed", async () => {
    const backend = await scriptedBackend(combo);
    const call = failureOf(backend.conn.newStream(PATH).trailer());
    const peer = await backend.peer();
    await peer.expectRequest(PATH);
    peer.destroy();
    expect(await call).toMatchObject({ status: Status.UNAVAILABLE, retry: "never" });
    expect(backend.scripted.connectionCount).toBe(1);
  });

  it("close says GOAWAY and ends the connection", async () => {
    const backend = await scriptedBackend(combo);
    const peer = await connectTo(backend);
    const closed = backend.conn.close();
    await peer.expectClosed();
    await closed;
    expect(backend.conn.state).toBe("shutdown");
  });
});

describe("ClientConn.fromSession", () => {
  async function backendAndSession() {
    const scripted = await ScriptedServer.listen();
    const { port } = scripted.address as { port: number };
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    session.on("error", () => undefined);
    closeAtEnd(() => session.destroy());
    return { scripted, session };
  }

  it.each(["before", "after"])(
    "makes calls over a session that it was given %s it connected",
    async (when) => {
      const { scripted, session } = await backendAndSession();
      if (when === "after") {
        await new Promise((resolve) => session.once("remoteSettings", resolve));
      }
      const conn = watchConn(ClientConn.fromSession(session));
      const call = conn.newStream(PATH);
      const peer = await scripted.connection();
      const { streamId } = await peer.expectRequest(PATH);
      peer.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
      await call.trailer();
      expect(conn.state).toBe("ready");
    },
  );

  it("does not reconnect: with the session the connection is over", async () => {
    const { scripted, session } = await backendAndSession();
    const conn = watchConn(ClientConn.fromSession(session));
    const call = failureOf(conn.newStream(PATH).trailer());
    const peer = await scripted.connection();
    await peer.expectRequest(PATH);
    peer.destroy();
    expect(await call).toMatchObject({ status: Status.UNAVAILABLE });
    await eventually("it is over", () => conn.state === "shutdown");
    expect(await failureOf(conn.newStream(PATH).trailer())).toMatchObject({
      reason: "CONN_CLOSED",
    });
    expect(scripted.connectionCount).toBe(1);
  });

  it("of a session that is destroyed already fails calls with UNAVAILABLE", async () => {
    const { session } = await backendAndSession();
    await new Promise((resolve) => session.once("connect", resolve));
    session.destroy();
    const conn = watchConn(ClientConn.fromSession(session));
    expect(await failureOf(conn.newStream(PATH).trailer())).toMatchObject({
      status: Status.UNAVAILABLE,
    });
  });

  it("of a session that is closing, with streams of its owner, fails calls at once", async () => {
    const { scripted, session } = await backendAndSession();
    const peer = await scripted.connection();
    const own = session.request({ ":path": "/own" });
    own.on("error", () => undefined);
    await peer.expectRequest("/own");
    session.close();
    const conn = watchConn(ClientConn.fromSession(session));
    expect(await failureOf(conn.newStream(PATH).trailer())).toMatchObject({
      status: Status.UNAVAILABLE,
      message: expect.stringContaining("closed before"),
    });
    expect(conn.state).toBe("shutdown");
    await conn.close();
    expect(session.destroyed).toBe(false);
  });

  it("of a session that cannot connect fails calls with the system's error", async () => {
    const { port } = await refusingAddress();
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    session.on("error", () => undefined);
    const conn = watchConn(ClientConn.fromSession(session));
    expect(await failureOf(conn.newStream(PATH).trailer())).toMatchObject({
      status: Status.UNAVAILABLE,
      message: expect.stringContaining("ECONNREFUSED"),
      cause: { code: "ECONNREFUSED" },
    });
  });

  it("close does not wait for a server that says nothing", async () => {
    const scripted = await ScriptedServer.listen({ handshake: false });
    const { port } = scripted.address as { port: number };
    const session = connectHttp2(`http://127.0.0.1:${port}`);
    session.on("error", () => undefined);
    closeAtEnd(() => session.destroy());
    const conn = ClientConn.fromSession(session);
    conn.connect();
    await new Promise((resolve) => session.once("connect", resolve));
    await within("the end of the connection", conn.close());
    expect(session.destroyed).toBe(true);
  });

  it("over TLS says so in :scheme", async () => {
    const { cert, key } = makeCertificate();
    const scripted = await ScriptedServer.listen({ tls: { cert, key } });
    const { port } = scripted.address as { port: number };
    const session = connectHttp2(`https://localhost:${port}`, { ca: cert });
    session.on("error", () => undefined);
    closeAtEnd(() => session.destroy());
    const call = watchConn(ClientConn.fromSession(session)).newStream(PATH);
    const peer = await scripted.connection();
    const { streamId, fields } = await peer.expectRequest(PATH);
    expect(fieldValue(fields, ":scheme")).toBe("https");
    peer.send(frames.headers(streamId, trailersOnly(0), { endStream: true }));
    await call.trailer();
  });

  it("close closes the session", async () => {
    const server = createHttp2Server();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    closeAtEnd(() => server.close());
    const session = connectHttp2(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    session.on("error", () => undefined);
    const conn = ClientConn.fromSession(session);
    conn.connect();
    await eventually("it is ready", () => conn.state === "ready");
    await conn.close();
    expect(session.destroyed).toBe(true);
  });
});
