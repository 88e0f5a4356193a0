// A listening socket whose connections are server sessions: TCP or UNIX, plain or TLS with ALPN h2.

import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type Server as TlsServer } from "node:tls";
import type { EngineLimits } from "../../h2/limits.ts";
import { handshakeTimeoutMs, resolveSessionOptions } from "../defaults.ts";
import { Handshakes } from "../handshakes.ts";
import { peerInfo, remoteAddressOf } from "../peer-info.ts";
import type { ServerTlsOptions } from "../tls.ts";
import type { Listener, ListenerEvents, ListenOptions, SocketAddress } from "../transport.ts";
import { ServerSession } from "./server-session.ts";
import { acceptedBy, type SocketReader, socketReader } from "./socket-reader.ts";

export function listen(
  options: ListenOptions,
  limits: EngineLimits,
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
  let server: Server;
  let handshakes: Handshakes | undefined;
  if (tls === undefined) {
    server = plainServer(accept);
  } else {
    const secure = tlsServer(
      tls,
      handshakeTimeoutMs(resolved),
      (socket) => accept(socket, undefined),
      (error, peer) => events.onError(error, peer),
    );
    handshakes = new Handshakes(secure, (error, peer) => events.onError(error, peer));
    server = secure;
  }
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(address, () => {
      server.off("error", reject);
      server.on("error", (error: Error) => events.onError(error, undefined));
      resolve(new EngineListener(server, handshakes, boundAddress(server, address)));
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
  handshakeTimeout: number,
  accept: (socket: Socket) => void,
  onError: (error: Error, peer: string) => void,
): TlsServer {
  // A client that offers protocols without h2 fails the handshake; one that offers none gets here.
  const options = {
    ...tls,
    noDelay: true,
    ALPNProtocols: ["h2"],
    handshakeTimeout,
  };
  return createTlsServer(options, (socket) => {
    if (socket.alpnProtocol === "h2") {
      accept(socket);
      return;
    }
    const who = remoteAddressOf(socket);
    // Not end(): a peer that keeps its side open would keep the socket.
    socket.destroy();
    onError(new Error(`${who} did not negotiate HTTP/2 (ALPN h2)`), who);
  });
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
  readonly #handshakes: Handshakes | undefined;

  constructor(server: Server, handshakes: Handshakes | undefined, address: SocketAddress) {
    this.#server = server;
    this.#handshakes = handshakes;
    this.address = address;
  }

  close(): Promise<void> {
    // The server's own callback would wait for the connections, too.
    this.#server.close();
    this.#handshakes?.destroyAll();
    return Promise.resolve();
  }
}
