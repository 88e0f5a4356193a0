// Which HTTP/2 speaks where nobody chooses, and where somebody does. Either is known by its first
// SETTINGS: node:http2 names HEADER_TABLE_SIZE there, the engine only one that is not the default
// of RFC 9113.

import { describe, expect, it } from "vitest";
import { dial } from "../../src/client/dial.ts";
import { Server } from "../../src/server/server.ts";
import { formatAddress } from "../../src/transport/address.ts";
import {
  engineTransport,
  selectTransport,
  type TransportName,
} from "../../src/transport/select.ts";
import { start } from "../cli/terminal.ts";
import { watchConn, watchServer } from "../support/relay-fixture.ts";
import { ScriptedClient, ScriptedServer } from "../support/scripted-endpoints.ts";
import type { ScriptedPeer } from "../support/scripted-peer.ts";

const HEADER_TABLE_SIZE = 1;

function spokenTo(peer: ScriptedPeer): TransportName {
  const settings = peer.trace.find(
    ({ direction, frame }) => direction === "recv" && frame.name === "SETTINGS",
  );
  return settings?.frame.payload.readUInt16BE(0) === HEADER_TABLE_SIZE ? "node" : "engine";
}

const choices: readonly (readonly [TransportName, { readonly transport?: TransportName }])[] = [
  ["engine", {}],
  ["engine", { transport: "engine" }],
  ["node", { transport: "node" }],
];

it.each(choices)("selects %s by %j", (name, { transport }) => {
  expect(selectTransport(transport).name).toBe(name);
});

it("takes a transport as it is", () => {
  const transport = engineTransport({ limits: { pingsPerSecond: 5 } });
  expect(selectTransport(transport)).toBe(transport);
});

describe("what is spoken", () => {
  it.each(choices)("by a listening socket is %s with %j", async (name, options) => {
    const server = watchServer(new Server(options));
    const { address } = await server.listen("127.0.0.1:0");
    expect(spokenTo(await ScriptedClient.connect(address))).toBe(name);
  });

  it.each(choices)(
    "by one socket of a server is %s with %j for it alone",
    async (name, options) => {
      const server = watchServer(new Server());
      const { address } = await server.listen("127.0.0.1:0", options);
      expect(spokenTo(await ScriptedClient.connect(address))).toBe(name);
    },
  );

  it.each(choices)("by a conn is %s with %j", async (name, options) => {
    const backend = await ScriptedServer.listen();
    watchConn(dial(formatAddress(backend.address), options)).connect();
    expect(spokenTo(await backend.connection())).toBe(name);
  });

  it.each(choices)("by the command is %s with %j", async (name, { transport }) => {
    const backend = await ScriptedServer.listen();
    const { terminal } = start(
      ...["serve", "--listen", "127.0.0.1:0", "--backend", formatAddress(backend.address)],
      ...(transport === undefined ? [] : ["--transport", transport]),
    );
    const port = await terminal.line(/^listening on 127\.0\.0\.1:(\d+)$/);
    const client = await ScriptedClient.connect({ host: "127.0.0.1", port: Number(port) });
    expect(spokenTo(client)).toBe(name);
    expect(spokenTo(await backend.connection())).toBe(name);
  });
});
