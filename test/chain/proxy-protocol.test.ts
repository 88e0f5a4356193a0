// HAProxy in front of a relay, as a balancer of connections that says whose they are. Where it is
// not installed, its tests are skipped and say so.

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect as connectSocket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { describe, expect, it } from "vitest";
import { freePort, launchProgram } from "../../bench/process/launch.ts";
import { Server } from "../../src/server/server.ts";
import type { PeerInfo } from "../../src/transport/transport.ts";
import { makeCertificate } from "../support/certificate.ts";
import { closeAtEnd, within } from "../support/cleanup.ts";
import { frames, request } from "../support/frames.ts";
import { PATH, watchServer } from "../support/relay-fixture.ts";
import { ScriptedPeer } from "../support/scripted-peer.ts";

const isInstalled = spawnSync("haproxy", ["-v"], { stdio: "ignore" }).error === undefined;
const note = isInstalled ? "" : ", SKIPPED: not installed (Debian package haproxy)";
if (!isInstalled) console.warn(`The PROXY protocol of HAProxy is not tested${note}`);

/** @returns the port of 127.0.0.1 where it takes connections for `target` */
async function haproxy(target: string, option: string): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), "relay-chain-"));
  closeAtEnd(() => rmSync(folder, { recursive: true, force: true }));
  const port = await freePort();
  const configuration = join(folder, "haproxy.cfg");
  writeFileSync(
    configuration,
    `global
  nbthread 1
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen through
  bind 127.0.0.1:${port}
  server next ${target} ${option}
`,
  );
  const running = await launchProgram("haproxy", ["-db", "-q", "-f", configuration], port);
  closeAtEnd(() => running.stop());
  return port;
}

describe.skipIf(!isInstalled).each(["engine", "node"] as const)(
  `%s behind HAProxy${note}`,
  (transport) => {
    it.each([
      ["send-proxy", "plain"],
      ["send-proxy-v2", "plain"],
      ["send-proxy-v2", "TLS"],
      ["send-proxy-v2 proxy-v2-options unique-id,crc32c", "plain"],
    ])("knows the client by %s (%s)", async (option, kind) => {
      const { cert, key } = makeCertificate();
      const server = watchServer(new Server({ transport }));
      const peers: PeerInfo[] = [];
      server.register("test.Service", { Method: ({ context }) => void peers.push(context.peer) });
      const { address } = await server.listen("127.0.0.1:0", {
        proxyProtocol: { from: ["127.0.0.1"] },
        ...(kind === "TLS" ? { tls: { cert, key } } : {}),
      });
      const port = await haproxy(`127.0.0.1:${(address as { port: number }).port}`, option);
      const socket = connectSocket(port, "127.0.0.1");
      closeAtEnd(() => socket.destroy());
      await within("a connection", new Promise((resolve) => socket.once("connect", resolve)));
      const over =
        kind === "TLS"
          ? connectTls({ socket, ca: cert, servername: "localhost", ALPNProtocols: ["h2"] })
          : socket;
      const client = new ScriptedPeer(over, "client", {});
      client.send(frames.headers(1, request(PATH), { endStream: true }));
      await client.expectTrailers(1);
      expect(peers).toMatchObject([
        {
          remoteAddress: `127.0.0.1:${socket.localPort}`,
          localAddress: `127.0.0.1:${port}`,
          proxyAddress: expect.stringMatching(/^127\.0\.0\.1:[0-9]+$/),
        },
      ]);
    });
  },
);
