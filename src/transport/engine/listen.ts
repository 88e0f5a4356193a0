// Makes sessions of the connections of a listening socket: TCP or UNIX, plain or TLS with ALPN h2.

import type { Socket } from "node:net";
import {
  createServer as createTlsServer,
  type TlsOptions,
  type Server as TlsServer,
} from "node:tls";
import { accept } from "../acceptor.ts";
import { handshakeTimeoutMs, resolveSessionOptions } from "../defaults.ts";
import { resolveServerKeepalive } from "../keepalive.ts";
import { peerInfo, remoteAddressOf } from "../peer-info.ts";
import type { Listener, ListenerEvents, ListenOptions } from "../transport.ts";
import { type EngineServerOptions, ServerSession } from "./server-session.ts";
import type { EngineBounds } from "./session.ts";
import { acceptedBy, type SocketReader, socketReader } from "./socket-reader.ts";

export function listen(
  options: ListenOptions,
  bounds: EngineBounds,
  events: ListenerEvents,
): Promise<Listener> {
  const { address } = options;
  const resolved = {
    ...resolveSessionOptions(options),
    ...bounds,
    ...resolveServerKeepalive(options.keepalive),
  };
  const path = "path" in address ? address.path : undefined;
  const begin = (socket: Socket, reader: SocketReader | undefined): void =>
    beginSession(socket, reader, path, resolved, events);
  return accept(
    options,
    {
      handshakeTimeoutMs: handshakeTimeoutMs(resolved),
      pausesPlain: true,
      onPlain: (socket) => takePlain(socket, begin),
      makeSecureServer: (tls) => secureServer(tls, begin, events),
    },
    events,
  );
}

function beginSession(
  socket: Socket,
  reader: SocketReader | undefined,
  path: string | undefined,
  options: EngineServerOptions,
  events: ListenerEvents,
): void {
  const peer = peerInfo(socket, path, "server");
  const session = new ServerSession(socket, reader, peer, options);
  session.open((opened) => events.onSession(opened));
}

type Begin = (socket: Socket, reader: SocketReader | undefined) => void;

/**
 * @param accepted with `pauseOnConnect`; one of which something was read keeps what it has read
 * ahead
 */
function takePlain(accepted: Socket, begin: Begin): Socket {
  const reader = accepted.bytesRead === 0 ? socketReader() : undefined;
  const socket = reader === undefined ? undefined : acceptedBy(reader, accepted);
  if (socket !== undefined) {
    begin(socket, reader);
    return socket;
  }
  begin(accepted, undefined);
  accepted.resume();
  return accepted;
}

function secureServer(tls: TlsOptions, begin: Begin, events: ListenerEvents): TlsServer {
  // A client that offers only other protocols fails the handshake; one that offers none gets here.
  return createTlsServer({ ...tls, ALPNProtocols: ["h2"] }, (socket) => {
    if (socket.alpnProtocol === "h2") {
      socket.setNoDelay(true);
      begin(socket, undefined);
      return;
    }
    const who = remoteAddressOf(socket);
    // Not end(): a peer that keeps its side open would keep the socket open.
    socket.destroy();
    events.onError(new Error(`${who} did not negotiate HTTP/2 (ALPN h2)`), who);
  });
}
