// A listening socket whose connections are server sessions: TCP or UNIX, plain or TLS with ALPN h2.

import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import { type ResolvedSessionOptions, resolveSessionOptions } from "../defaults.ts";
import type { ServerTlsOptions } from "../tls.ts";
import type { Listener, ListenerEvents, ListenOptions, SocketAddress } from "../transport.ts";
import { peerOf } from "./peer.ts";
import { ServerSession } from "./session.ts";

export function listen(options: ListenOptions, events: ListenerEvents): Promise<Listener> {
  const resolved = resolveSessionOptions(options);
  const { address, tls } = options;
  const server =
    tls === undefined ? plainServer(resolved, events) : tlsServer(resolved, tls, events);
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(address, () => {
      server.off("error", reject);
      server.on("error", (error: Error) => events.onError(error));
      resolve(new EngineListener(server, boundAddress(server, address)));
    });
  });
}

function plainServer(resolved: ResolvedSessionOptions, events: ListenerEvents): Server {
  return createServer({ noDelay: true }, (socket) => accept(socket, resolved, events));
}

function tlsServer(
  resolved: ResolvedSessionOptions,
  tls: ServerTlsOptions,
  events: ListenerEvents,
): Server {
  // A client that offers protocols without h2 fails the handshake; one that offers none gets here.
  const server = createTlsServer({ ...tls, noDelay: true, ALPNProtocols: ["h2"] }, (socket) => {
    if (socket.alpnProtocol === "h2") {
      accept(socket, resolved, events);
      return;
    }
    const who = peerOf(socket, undefined).remoteAddress;
    socket.on("error", () => socket.destroy());
    socket.end();
    socket.resume();
    events.onError(new Error(`${who} did not negotiate HTTP/2 (ALPN h2)`));
  });
  server.on("tlsClientError", (error: Error, socket: TLSSocket) => {
    socket.destroy();
    events.onError(error);
  });
  return server;
}

function accept(socket: Socket, resolved: ResolvedSessionOptions, events: ListenerEvents): void {
  const session = new ServerSession("server", socket, peerOf(socket, undefined), resolved);
  session.open((opened) => events.onSession(opened));
}

function boundAddress(server: Server, asked: SocketAddress): SocketAddress {
  const bound = server.address();
  return bound === null || typeof bound === "string"
    ? asked
    : { host: bound.address, port: bound.port };
}

class EngineListener implements Listener {
  readonly address: SocketAddress;
  readonly #server: Server;

  constructor(server: Server, address: SocketAddress) {
    this.#server = server;
    this.address = address;
  }

  close(): Promise<void> {
    // The server's own callback would wait for the connections, too.
    this.#server.close();
    return Promise.resolve();
  }
}
