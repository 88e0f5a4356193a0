// Balancers that say whose connection they pass on.

import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { describe, expect, it } from "vitest";
import { Status } from "../../src/grpc/status.ts";
import { refused } from "../../src/observe/channels.ts";
import { type ListenSettings, Server, type ServerOptions } from "../../src/server/server.ts";
import type { PeerInfo, SocketAddress } from "../../src/transport/transport.ts";
import { makeCertificate } from "../support/certificate.ts";
import { closeAtEnd, socketPath, within } from "../support/cleanup.ts";
import { FakeClock } from "../support/clock.ts";
import { frames, request } from "../support/frames.ts";
import { eventually, PATH, statusOf, watchServer } from "../support/relay-fixture.ts";
import { resetBeforeAccepted } from "../support/reset-client.ts";
import { ScriptedPeer } from "../support/scripted-peer.ts";

const { cert, key } = makeCertificate();
const HEADER = "PROXY TCP4 192.0.2.1 192.0.2.2 4711 50051\r\n";
const TOLD = { remoteAddress: "192.0.2.1:4711", localAddress: "192.0.2.2:50051" };
const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const LOOPBACK = { from: ["127.0.0.0/8"] };

describe.each(["engine", "node"] as const)("a listener of %s", (transport) => {
  describe.each(["plain", "TLS"] as const)("for %s", (kind) => {
    async function start(settings: ListenSettings, options: ServerOptions = {}, where?: string) {
      const rules: string[] = [];
      const limits: unknown[] = [];
      closeAtEnd(
        refused.subscribe(({ rule, limit }) => {
          rules.push(rule);
          if (limit !== undefined) limits.push(limit);
        }),
      );
      const peers: PeerInfo[] = [];
      const server = watchServer(
        new Server({ transport, ...(kind === "TLS" ? { tls: { cert, key } } : {}), ...options }),
      );
      server.register("test.Service", {
        Method: ({ context }) => void peers.push(context.peer),
      });
      const { address } = await server.listen(where ?? "127.0.0.1:0", settings);
      return { server, address, rules, limits, peers };
    }

    function open(address: SocketAddress): Socket {
      const socket = connect(address);
      closeAtEnd(() => socket.destroy());
      return socket.on("error", () => {});
    }

    /** A client behind whatever was sent on `socket` so far. */
    function speak(socket: Socket): ScriptedPeer {
      const over =
        kind === "TLS"
          ? connectTls({ socket, ca: cert, servername: "localhost", ALPNProtocols: ["h2"] })
          : socket;
      return new ScriptedPeer(over, "client", {});
    }

    async function answered(client: ScriptedPeer): Promise<void> {
      client.send(frames.headers(1, request(PATH), { endStream: true }));
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
    }

    const closed = (socket: Socket): Promise<unknown> =>
      within("its end", new Promise((resolve) => socket.resume().once("close", resolve)));

    it("takes who a trusted address says for the peer", async () => {
      const { address, peers, rules } = await start({ proxyProtocol: LOOPBACK });
      const socket = open(address);
      socket.write(HEADER);
      await answered(speak(socket));
      expect(peers).toMatchObject([{ ...TOLD, proxyAddress: `127.0.0.1:${socket.localPort}` }]);
      expect(peers[0]?.tls !== undefined).toBe(kind === "TLS");
      expect(rules).toEqual([]);
    });

    it("waits for a header that comes octet by octet", async () => {
      const { address, peers } = await start({ proxyProtocol: LOOPBACK });
      const socket = open(address).setNoDelay(true);
      for (const octet of HEADER) {
        socket.write(octet);
        await new Promise((resolve) => setImmediate(resolve));
      }
      await answered(speak(socket));
      expect(peers).toMatchObject([TOLD]);
    });

    it("takes LOCAL for a connection of the balancer's own", async () => {
      const { address, peers } = await start({ proxyProtocol: { from: ["unix", "127.0.0.1"] } });
      const socket = open(address);
      socket.write(Buffer.from("0d0a0d0a000d0a515549540a20000000", "hex"));
      await answered(speak(socket));
      expect(peers[0]?.remoteAddress).toBe(`127.0.0.1:${socket.localPort}`);
      expect(peers[0]?.proxyAddress).toBeUndefined();
    });

    it("trusts the peers of a UNIX socket when it is told to", async () => {
      const where = `unix:${socketPath()}`;
      const { address, peers } = await start({ proxyProtocol: { from: ["unix"] } }, {}, where);
      const socket = open(address);
      socket.write(HEADER);
      await answered(speak(socket));
      expect(peers).toMatchObject([{ ...TOLD, proxyAddress: "unix:" }]);
    });

    it("takes no TCP client for a UNIX peer whose reset connection has no address", async () => {
      const { address, peers } = await start({ proxyProtocol: { from: ["unix"] } });
      const { port } = address as { readonly port: number };
      const bytes = frames.bytes(
        Buffer.from(HEADER + PREFACE, "latin1"),
        frames.settings(),
        frames.headers(1, request(PATH), { endStream: true }),
      );
      resetBeforeAccepted(port, bytes);
      await answered(speak(open(address)));
      expect(peers).toHaveLength(1);
      expect(peers[0]?.remoteAddress).toMatch(/^127\.0\.0\.1:/);
    });

    it("serves others without a header, and refuses one of theirs", async () => {
      const { address, peers, rules } = await start({
        proxyProtocol: { from: ["::1", "10.0.0.1"] },
      });
      await answered(speak(open(address)));
      expect(peers[0]?.remoteAddress).toMatch(/^127\.0\.0\.1:/);
      const socket = open(address);
      socket.write(HEADER);
      await closed(socket);
      await eventually("it is told", () => rules.length > 0);
      const rule =
        kind === "TLS"
          ? "failed the TLS handshake: wrong version number (the other side does not speak TLS)"
          : transport === "engine"
            ? "a PROXY protocol header from an address that is not trusted to send one"
            : "Received bad client magic byte string";
      expect(rules).toEqual([rule]);
    });

    it("refuses a trusted address that sends no header, a wrong one, or not all of one", async () => {
      const { address, rules } = await start({ proxyProtocol: LOOPBACK });
      for (const [bytes, ends] of [
        ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", false],
        ["PROXY TCP4 nobody\r\n", false],
        ["PROXY TCP4 192", true],
      ] as const) {
        const socket = open(address);
        socket.write(bytes);
        if (ends) socket.end();
        await closed(socket);
      }
      await eventually("they are told", () => rules.length === 3);
      expect(rules[0]).toMatch(/^sent no PROXY header: expected a PROXY header, got "PRI \* HTTP/);
      expect(rules[1]).toContain('two addresses and two ports, got "PROXY TCP4 nobody"');
      expect(rules[2]).toBe("closed the connection within its PROXY header");
    });

    it("does not wait for a header for ever, and says nothing of who looks and goes", async () => {
      const clock = new FakeClock();
      const { address, rules, limits, server } = await start(
        { proxyProtocol: LOOPBACK },
        { clock },
      );
      const gone = open(address);
      gone.end();
      await closed(gone);
      const socket = open(address);
      socket.write("PROXY");
      await eventually("it is here", () => clock.timerCount === 1);
      clock.advance(5_004);
      await closed(socket);
      await eventually("it is told", () => rules.length > 0);
      expect(rules).toEqual(["did not send its PROXY header within 5000 ms"]);
      expect(limits).toEqual([{ name: "proxyProtocol.timeoutMs", value: 5_000 }]);
      expect([server.sessionCount, clock.timerCount]).toEqual([0, 0]);
    });

    it("leaves none waiting when it is closed", async () => {
      const clock = new FakeClock();
      const { address, rules, server } = await start(
        { proxyProtocol: { ...LOOPBACK, timeoutMs: 60_000 } },
        { clock },
      );
      const socket = open(address);
      await eventually("it is here", () => clock.timerCount === 1);
      await server.close();
      await closed(socket);
      expect([rules, clock.timerCount]).toEqual([[], 0]);
    });

    it("counts those that wait for a header", async () => {
      const limit = { name: "maxConnections", value: 2 };
      const { address, rules } = await start({ proxyProtocol: LOOPBACK }, { maxConnections: 2 });
      const limits: unknown[] = [];
      closeAtEnd(refused.subscribe((event) => limits.push([event.peer, event.limit])));
      const first = open(address);
      first.write("PROXY");
      const second = open(address);
      second.write(HEADER);
      const client = speak(second);
      await answered(client);
      const third = open(address);
      await closed(third);
      await eventually("it is told", () => limits.length === 1);
      expect(rules).toEqual(["is one connection too many"]);
      expect(limits).toEqual([[expect.stringMatching(/^127\.0\.0\.1:/), limit]]);
      // One that goes within its header makes room, and one whose header has come is counted once.
      first.destroy();
      await eventually("it is gone", () => rules.length === 2);
      const fourth = open(address);
      fourth.write(HEADER);
      await answered(speak(fourth));
      await closed(open(address));
      await eventually("it is told", () => rules.length === 3);
    });

    it("asks acceptConnection for the client, not for the balancer", async () => {
      const asked: string[] = [];
      const { address } = await start(
        { proxyProtocol: LOOPBACK },
        {
          acceptConnection: ({ remoteAddress }) => {
            asked.push(remoteAddress);
            return asked.length > 1;
          },
        },
      );
      const first = open(address);
      first.write(HEADER);
      await closed(first);
      const second = open(address);
      second.write(HEADER);
      await answered(speak(second));
      expect(asked).toEqual([TOLD.remoteAddress, TOLD.remoteAddress]);
    });
  });
});

it("believes an IPv4 address on a socket for both versions", async () => {
  const server = watchServer(new Server());
  const peers: PeerInfo[] = [];
  server.register("test.Service", { Method: ({ context }) => void peers.push(context.peer) });
  const { address } = await server.listen("[::]:0", { proxyProtocol: { from: ["127.0.0.1"] } });
  const { port } = address as { port: number };
  const socket = connect(port, "127.0.0.1");
  closeAtEnd(() => socket.destroy());
  socket.write(HEADER);
  const client = new ScriptedPeer(socket, "client", {});
  client.send(frames.headers(1, request(PATH), { endStream: true }));
  await client.expectTrailers(1);
  expect(peers).toMatchObject([TOLD]);
});

it.each<[unknown, string]>([
  [true, "proxyProtocol: expected an object, got true"],
  [{}, "proxyProtocol.from: expected the addresses of balancers"],
  [{ from: [] }, "proxyProtocol.from: expected the addresses of balancers"],
  [{ from: "10.0.0.1" }, 'got "10.0.0.1"'],
  [{ from: [5] }, 'or "unix", got 5'],
  [{ from: ["balancer"] }, 'or "unix", got "balancer"'],
  [{ from: ["10.0.0.0/33"] }, 'got "10.0.0.0/33"'],
  [{ from: ["10.0.0.0/8/8"] }, 'got "10.0.0.0/8/8"'],
  [{ from: ["::/x"] }, 'got "::/x"'],
  [{ from: ["::/0"], timeoutMs: 0 }, "proxyProtocol.timeoutMs: expected a number from 1 up, got 0"],
  [{ form: ["::/0"] }, 'got "form"; did you mean from?'],
])("refuses settings that trust nobody: %j", async (proxyProtocol, message) => {
  const listening = new Server().listen("127.0.0.1:0", { proxyProtocol } as never);
  await expect(listening).rejects.toThrow(message);
});
