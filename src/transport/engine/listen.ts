// A listening socket whose connections are server sessions: TCP or UNIX, plain or TLS with ALPN h2.

import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import type { H2Limits } from "../../h2/limits.ts";
import { resolveSessionOptions } from "../defaults.ts";
import { peerInfo } from "../peer-info.ts";
import type { ServerTlsOptions } from "../tls.ts";
import type { Listener, ListenerEvents, ListenOptions, SocketAddress } from "../transport.ts";
import { ServerSession } from "./session.ts";
import { acceptedBy, type SocketReader, socketReader } from "./socket-reader.ts";

export function listen(
  options: ListenOptions,
  limits: H2Limits,
  events: ListenerEvents,
): Promise<Listener> {
  const resolved = { ...resolveSessionOptions(options), limits };
  const { address, tls } = options;
  const path = "path" in address ? address.path : undefined;
  const accept = (socket: Socket, reader: SocketReader | undefined): void => {
    const session = new ServerSession(
      "server",
      socket,
      reader,
      peerInfo(socket, path, "server"),
      resolved,
    );
    session.open((opened) => events.onSession(opened));
  };
  const server =
    tls === undefined
      ? plainServer(accept)
      : tlsServer(
          tls,
          resolved.settingsTimeoutMs,
          (socket) => accept(socket, undefined),
          (error) => events.onError(error),
        );
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(address, () => {
      server.off("error", reject);
      server.on("error", (error: Error) => events.onError(error));
      resolve(new EngineListener(server, boundAddress(server, address)));
    });
  });
}

function plainServer(accept: (socket: Socket, reader: SocketReader | undefined) => void): Server {
  return createServer({ noDelay: true, pauseOnConnect: true }, (accepted) => {
    const reader = socketReader();
    const socket = reader === undefined ? undefined : acceptedBy(reader, accepted);
    if (socket !== undefined) {
      accept(socket, reader);
      return;
    }
    accept(accepted, undefined);
    accepted.resume();
  });
}

function tlsServer(
  tls: ServerTlsOptions,
  handshakeTimeoutMs: number,
  accept: (socket: Socket) => void,
  onError: (error: Error) => void,
): Server {
  // A client that offers protocols without h2 fails the handshake; one that offers none gets here.
  const options = {
    ...tls,
    noDelay: true,
    ALPNProtocols: ["h2"],
    handshakeTimeout: handshakeTimeoutMs,
  };
  const server = createTlsServer(options, (socket) => {
    if (socket.alpnProtocol === "h2") {
      accept(socket);
      return;
    }
    const who = peerInfo(socket, undefined, "server").remoteAddress;
    socket.on("error", () => socket.destroy());
    socket.end();
    socket.resume();
    onError(new Error(`${who} did not negotiate HTTP/2 (ALPN h2)`));
  });
  server.on("tlsClientError", (error: Error, socket: TLSSocket) => {
    socket.destroy();
    onError(error);
  });
  return server;
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
