// Which connections may come in.

import { connect } from "node:net";
import { describe, expect, it } from "vitest";
import { Status } from "../../src/grpc/status.ts";
import { refused } from "../../src/observe/channels.ts";
import type { ServerOptions } from "../../src/server/server.ts";
import type { PeerInfo, SocketAddress } from "../../src/transport/transport.ts";
import { makeCertificate } from "../support/certificate.ts";
import { closeAtEnd, socketPath, within } from "../support/cleanup.ts";
import { transportCombos } from "../support/combos.ts";
import { frames, request } from "../support/frames.ts";
import { eventually, listen, PATH, statusOf } from "../support/relay-fixture.ts";
import { ScriptedClient } from "../support/scripted-endpoints.ts";

const { cert, key } = makeCertificate();
const onServers = transportCombos.filter(({ server, client }) => server === client);
const kinds = [
  ["plain", {}, {}],
  ["TLS", { tls: { cert, key } }, { tls: { ca: cert } }],
] as const;

describe.each(onServers)("a server on $server", (combo) => {
  describe.each(kinds)("with %s connections", (_, serverOptions, clientOptions) => {
    async function start(options: ServerOptions, where?: string) {
      const rules: unknown[] = [];
      closeAtEnd(refused.subscribe(({ scope, rule, limit }) => rules.push([scope, rule, limit])));
      const { server, address } = await listen(combo, { ...serverOptions, ...options }, where);
      server.register("test.Service", { Method: () => {} });
      return { server, address, rules };
    }

    async function served(address: SocketAddress) {
      const client = await ScriptedClient.connect(address, clientOptions);
      client.send(frames.headers(1, request(PATH), { endStream: true }));
      expect(statusOf(await client.expectTrailers(1))).toBe(Status.OK);
      return client;
    }

    /** A connection that is closed before anything is said on it, also not by TLS. */
    function turnedAway(address: SocketAddress): Promise<void> {
      const socket = connect(address);
      closeAtEnd(() => socket.destroy());
      socket.on("error", () => {}).resume();
      return within("its end", new Promise((resolve) => socket.on("close", () => resolve())));
    }

    it("closes one above maxConnections at once, and takes another when one is gone", async () => {
      const { server, address, rules } = await start({ maxConnections: 2 });
      const first = await served(address);
      const second = await served(address);
      await turnedAway(address);
      const limit = { name: "maxConnections", value: 2 };
      expect(rules).toEqual([["connection", "is one connection too many", limit]]);
      first.end();
      await eventually("it is gone", () => server.sessionCount === 1);
      const third = await eventuallyServed(address);
      second.send(frames.headers(3, request(PATH), { endStream: true }));
      expect(statusOf(await second.expectTrailers(3))).toBe(Status.OK);
      third.destroy();
    });

    /** The session is told to be gone a moment before its socket is. */
    async function eventuallyServed(address: SocketAddress) {
      for (;;) {
        try {
          return await served(address);
        } catch {
          await new Promise((resolve) => setImmediate(resolve));
        }
      }
    }

    it("counts those of one address, but not those of UNIX sockets", async () => {
      const { server, address, rules } = await start({ maxConnectionsPerClientAddress: 1 });
      await served(address);
      await turnedAway(address);
      const limit = { name: "maxConnectionsPerClientAddress", value: 1 };
      expect(rules).toEqual([["connection", "is one connection too many of its address", limit]]);
      const { address: path } = await server.listen(`unix:${socketPath()}`);
      const local = await served(path);
      (await served(path)).end();
      local.end();
      await eventually("they are gone", () => server.sessionCount === 1);
    });

    it("forgets an address whose connections are gone", async () => {
      const { server, address } = await start({ maxConnectionsPerClientAddress: 2 });
      const clients = [await served(address), await served(address)];
      for (const client of clients) client.end();
      await eventually("they are gone", () => server.sessionCount === 0);
      (await eventuallyServed(address)).destroy();
    });

    it.each([
      ["answers false", () => false],
      [
        "throws",
        () => {
          throw new Error("no");
        },
      ],
      ["promises", () => Promise.resolve(true)],
    ])("closes those for which acceptConnection %s", async (_name, acceptConnection) => {
      const { address, rules } = await start({
        acceptConnection: acceptConnection as () => boolean,
      });
      await turnedAway(address);
      expect(rules).toEqual([["connection", "was refused by acceptConnection", undefined]]);
    });

    it("tells acceptConnection who comes, and where", async () => {
      const peers: PeerInfo[] = [];
      const { address } = await start({ acceptConnection: (peer) => peers.push(peer) > 0 });
      await served(address);
      const { host, port } = address as { host: string; port: number };
      expect(peers).toEqual([
        {
          remoteAddress: expect.stringMatching(/^127\.0\.0\.1:[0-9]+$/),
          localAddress: `${host}:${port}`,
        },
      ]);
    });
  });
});
