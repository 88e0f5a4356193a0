// Makes sessions of the connections of a listening socket, for the seam's `Listener` and
// `ListenerEvents`.

import {
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { accept, type HandshakeLeft } from "../acceptor.ts";
import { resolveHandshakeTimeout, resolveSessionOptions } from "../defaults.ts";
import { resolveServerKeepalive } from "../keepalive.ts";
import { remoteAddressOf } from "../peer-info.ts";
import type { Listener, ListenerEvents, ListenOptions } from "../transport.ts";
import { ServerSessions } from "./server-sessions.ts";
import { nodeSessionOptions } from "./session-options.ts";

/** The servers of node:http2 that are made here do not listen: connections are emitted on them. */
export function listen(options: ListenOptions, events: ListenerEvents): Promise<Listener> {
  const resolved = resolveSessionOptions(options);
  const handshakeTimeoutMs = resolveHandshakeTimeout(options);
  const terms = { ...resolveServerKeepalive(options.keepalive), handshakeTimeoutMs };
  const { address } = options;
  const sessionOptions = nodeSessionOptions(resolved);
  const path = "path" in address ? address.path : undefined;
  const sessions = new ServerSessions(resolved, events, path, terms);
  const plain = createServer(sessionOptions);
  subscribe(plain, "connection", sessions, () => handshakeTimeoutMs, events);
  return accept(
    options,
    {
      handshakeTimeoutMs,
      pausesPlain: false,
      onPlain: (socket) => {
        plain.emit("connection", socket);
        return socket;
      },
      makeSecureServer: (tls, handshakeLeft) => {
        // HTTP/1 is not spoken here.
        const secure = createSecureServer({ ...tls, allowHTTP1: false, ...sessionOptions });
        subscribe(secure, "secureConnection", sessions, handshakeLeft, events);
        return secure;
      },
    },
    events,
  );
}

/** @param connectionEvent announces a socket of which node:http2 makes a session */
function subscribe(
  server: Http2Server | Http2SecureServer,
  connectionEvent: "connection" | "secureConnection",
  sessions: ServerSessions,
  handshakeLeft: HandshakeLeft,
  events: ListenerEvents,
): void {
  let handshakeLeftMs: number | undefined;
  server.prependListener(connectionEvent, (socket: TLSSocket) => {
    sessions.accepted(socket);
    handshakeLeftMs = handshakeLeft(socket);
  });
  server.on("session", (node) => {
    sessions.begun(node);
    sessions.take(node, handshakeLeftMs);
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
