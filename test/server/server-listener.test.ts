// What `server.listen` gives: where it listens, certificates that change, and an end of its own.

import { connect } from "node:net";
import { describe, expect, it } from "vitest";
import { Status } from "../../src/grpc/status.ts";
import type { ClientTlsOptions } from "../../src/transport/tls.ts";
import type { SocketAddress } from "../../src/transport/transport.ts";
import { makeCertificate } from "../support/certificate.ts";
import { transportCombos } from "../support/combos.ts";
import { frames, request } from "../support/frames.ts";
import { dialTo, eventually, listen, PATH, statusOf } from "../support/relay-fixture.ts";
import { ScriptedClient } from "../support/scripted-endpoints.ts";
import type { ScriptedPeer } from "../support/scripted-peer.ts";

const old = makeCertificate("old.test");
const renewed = makeCertificate("new.test");

describe.each(transportCombos)("a listener of $server, dialled by $client,", (combo) => {
  async function start(tls = {}) {
    const listening = await listen(combo, { tls: { cert: old.cert, key: old.key, ...tls } });
    const names: unknown[] = [];
    listening.server.register("test.Service", {
      Method: ({ context }) => void names.push(context.peer.tls?.peerCertificate?.subject.CN),
    });
    return { ...listening, names };
  }

  /** One call on a connection of its own. */
  async function call(address: SocketAddress, tls: ClientTlsOptions): Promise<void> {
    const conn = dialTo(combo, address, { tls: { serverName: "localhost", ...tls } });
    const stream = conn.newStream(PATH);
    stream.closeSend();
    await stream.trailer();
    await conn.close();
  }

  async function answered(peer: ScriptedPeer, streamId: number): Promise<void> {
    peer.send(frames.headers(streamId, request(PATH), { endStream: true }));
    expect(statusOf(await peer.expectTrailers(streamId))).toBe(Status.OK);
  }

  it("shows new certificates to new connections, and leaves those that stand alone", async () => {
    const { listener, address } = await start();
    const before = await ScriptedClient.connect(address, { tls: { ca: old.cert } });
    listener.setTls({ cert: renewed.cert, key: renewed.key });
    await answered(before, 1);
    await call(address, { ca: renewed.cert });
    await expect(call(address, { ca: old.cert })).rejects.toMatchObject({
      status: Status.UNAVAILABLE,
    });
    await answered(before, 3);
  });

  it("keeps what it has when it is given what TLS cannot be made of", async () => {
    const { listener, address } = await start();
    expect(() => listener.setTls({ cert: renewed.cert, key: old.key })).toThrow(
      "tls: expected certificates, keys and settings that OpenSSL takes, got: ",
    );
    expect(() => listener.setTls({ cert: renewed.cert })).toThrow("got cert alone");
    expect(() => listener.setTls(undefined as never)).toThrow("tls: expected an object");
    await call(address, { ca: old.cert });
  });

  it("asks for client certificates from then on when it is told to, and for none no more", async () => {
    const { listener, address, names } = await start();
    const client = makeCertificate("client.test");
    const { cert, key } = old;
    await call(address, { ca: cert, cert: client.cert, key: client.key });
    listener.setTls({ cert, key, ca: client.cert, requestCert: true });
    await call(address, { ca: cert, cert: client.cert, key: client.key });
    await expect(call(address, { ca: cert })).rejects.toMatchObject({
      status: Status.UNAVAILABLE,
    });
    listener.setTls({ cert, key });
    await call(address, { ca: cert });
    expect(names).toEqual([undefined, "client.test", undefined]);
  });

  it("loses no call when certificates change while calls come", async () => {
    const { listener, address, names } = await start();
    const both = [old.cert, renewed.cert];
    // One connection through it all, and new ones all the time.
    const standing = dialTo(combo, address, { tls: { ca: both, serverName: "localhost" } });
    const calls: Promise<unknown>[] = [];
    for (let round = 0; round < 20; round++) {
      const { cert, key } = round % 2 === 0 ? renewed : old;
      calls.push(call(address, { ca: both }), call(address, { ca: both }));
      const stream = standing.newStream(PATH);
      stream.closeSend();
      calls.push(stream.trailer());
      listener.setTls({ cert, key });
      // Handshakes and calls are under way at the next change, too.
      if (round % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
      if (round % 7 === 6) await calls[round];
    }
    await Promise.all(calls);
    expect(names).toHaveLength(60);
  });

  it("asks the function tls at each connect", async () => {
    const { listener, server, address } = await start();
    let ca = old.cert;
    let asked = 0;
    const conn = dialTo(combo, address, {
      tls: () => {
        asked++;
        return { ca, serverName: "localhost" };
      },
    });
    expect(asked).toBe(0);
    const first = conn.newStream(PATH);
    first.closeSend();
    await first.trailer();
    expect(asked).toBe(1);
    ca = renewed.cert;
    listener.setTls({ cert: renewed.cert, key: renewed.key });
    await server.close();
    await eventually("the connection is lost", () => conn.state === "idle");
    expect(asked).toBe(1);
  });

  it.each<[string, () => unknown, string]>([
    [
      "throws",
      () => {
        throw new Error("ENOENT: no such file");
      },
      "the function tls threw: ENOENT: no such file",
    ],
    [
      "throws what is no error",
      () => {
        throw "no";
      },
      'the function tls threw: "no"',
    ],
    ["returns nothing", () => undefined, "what the function tls returned: expected an object"],
    ["returns an option that is none", () => ({ cret: "" }), "did you mean cert?"],
    [
      "returns a promise",
      () => Promise.reject(new Error("unseen")),
      "expected a function that returns an object, got one that returns a promise",
    ],
  ])("takes a function tls that %s for a failure to connect", async (_, tls, text) => {
    const { address } = await start();
    const conn = dialTo(combo, address, { tls: tls as () => ClientTlsOptions });
    const failed = expect(conn.newStream(PATH).trailer()).rejects;
    await failed.toMatchObject({
      status: Status.UNAVAILABLE,
      reason: "UPSTREAM_CONNECT",
      retry: "safe",
      details: expect.not.stringContaining(text),
      message: expect.stringContaining(text),
    });
  });

  it("without TLS has none to replace", async () => {
    const { listener } = await listen(combo);
    expect(() => listener.setTls({ cert: old.cert, key: old.key })).toThrow(
      "setTls: expected a listener with TLS, got one without",
    );
  });

  it("closes alone: its connections and other listeners go on", async () => {
    const { server, listener, address } = await listen(combo);
    server.register("test.Service", { Method: () => {} });
    const other = await server.listen("127.0.0.1:0");
    const client = await ScriptedClient.connect(address);
    await listener.close();
    await listener.close();
    const refused = await new Promise<NodeJS.ErrnoException>((resolve) => {
      connect(address as { host: string; port: number }).once("error", resolve);
    });
    expect(refused.code).toBe("ECONNREFUSED");
    await answered(client, 1);
    await answered(await ScriptedClient.connect(other.address), 1);
    expect(server.sessionCount).toBe(2);
    await other[Symbol.asyncDispose]();
  });
});
