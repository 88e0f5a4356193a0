// Listening sockets behind the seam's `Listener` and `ListenerEvents`.

import {
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type SecureServerOptions,
  type ServerHttp2Stream,
} from "node:http2";
import { Server as NetServer, type Socket } from "node:net";
import {
  handshakeTimeoutMs,
  type ResolvedSessionOptions,
  resolveSessionOptions,
} from "../defaults.ts";
import { Handshakes } from "../handshakes.ts";
import { remoteAddressOf } from "../peer-info.ts";
import type { Listener, ListenerEvents, ListenOptions, SocketAddress } from "../transport.ts";
import { ServerSessions } from "./server-sessions.ts";
import { nodeSessionOptions } from "./session-options.ts";

type AnyServer = Http2Server | Http2SecureServer;

export async function listen(options: ListenOptions, events: ListenerEvents): Promise<Listener> {
  const resolved = resolveSessionOptions(options);
  const { address, tls } = options;
  let server: AnyServer;
  let handshakes: Handshakes | undefined;
  if (tls === undefined) {
    server = createServer(nodeSessionOptions(resolved));
  } else {
    const secure = createSecureServer({
      ...secureOptions(tls, handshakeTimeoutMs(resolved)),
      ...nodeSessionOptions(resolved),
    });
    handshakes = new Handshakes(secure, (error, peer) => events.onError(error, peer));
    server = secure;
  }
  const path = "path" in address ? address.path : undefined;
  subscribe(server, resolved, events, path);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(address, () => {
      server.removeListener("error", reject);
      resolve();
    });
  });
  server.on("error", (error) => events.onError(error, undefined));
  return {
    address: boundAddress(server, address),
    close: async () => {
      // Not the close() of newer node:http2 servers, which closes the sessions too. Its callback
      // waits for them: the listening socket itself is closed at once.
      if (server.listening) NetServer.prototype.close.call(server);
      handshakes?.destroyAll();
    },
  };
}

function subscribe(
  server: AnyServer,
  options: ResolvedSessionOptions,
  events: ListenerEvents,
  path: string | undefined,
): void {
  const sessions = new ServerSessions(options, events, path);
  const isSecure = "setSecureContext" in server;
  server.prependListener(isSecure ? "secureConnection" : "connection", (socket: Socket) =>
    sessions.accepted(socket),
  );
  server.on("session", (node) => {
    sessions.begun(node);
    sessions.take(node);
  });
  server.on(
    "stream",
    (
      stream: ServerHttp2Stream,
      headers: IncomingHttpHeaders,
      flags: number,
      rawHeaders: string[],
    ) => sessions.recvStream(stream, headers, flags, rawHeaders),
  );
  server.on("unknownProtocol", (socket: Socket) => {
    const peer = remoteAddressOf(socket);
    socket.destroy();
    events.onError(new Error(`${peer} did not negotiate HTTP/2 (ALPN h2)`), peer);
  });
}

function secureOptions(
  tls: NonNullable<ListenOptions["tls"]>,
  handshakeTimeout: number,
): SecureServerOptions {
  // HTTP/1 has no place here.
  return { ...tls, allowHTTP1: false, handshakeTimeout };
}

function boundAddress(server: AnyServer, asked: SocketAddress): SocketAddress {
  const bound = server.address();
  if (bound === null || typeof bound === "string") return asked;
  return { host: bound.address, port: bound.port };
}
