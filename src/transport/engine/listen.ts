// Makes sessions of the connections of a listening socket: TCP or UNIX, plain or TLS with ALPN h2.

import type { Socket } from "node:net";
import {
  createServer as createTlsServer,
  type TlsOptions,
  type Server as TlsServer,
} from "node:tls";
import { accept, type HandshakeLeft } from "../acceptor.ts";
import { resolveHandshakeTimeout, resolveSessionOptions } from "../defaults.ts";
import { resolveServerKeepalive } from "../keepalive.ts";
import { peerInfo, remoteAddressOf } from "../peer-info.ts";
import type { Listener, ListenerEvents, ListenOptions, PeerInfo } from "../transport.ts";
import { ServerSession } from "./server-session.ts";
import type { EngineBounds } from "./session.ts";
import { acceptedBy, type SocketReader, socketReader } from "./socket-reader.ts";

export function listen(
  options: ListenOptions,
  bounds: EngineBounds,
  events: ListenerEvents,
): Promise<Listener> {
  const { address } = options;
  const handshakeTimeoutMs = resolveHandshakeTimeout(options);
  const resolved = {
    ...resolveSessionOptions(options),
    ...bounds,
    ...resolveServerKeepalive(options.keepalive),
    handshakeTimeoutMs,
  };
  const path = "path" in address ? address.path : undefined;
  const begin = (
    socket: Socket,
    reader: SocketReader | undefined,
    peer: PeerInfo,
    handshakeLeftMs = handshakeTimeoutMs,
  ): void => {
    const session = new ServerSession(socket, reader, peer, resolved);
    session.open((opened) => events.onSession(opened), handshakeLeftMs);
  };
  return accept(
    options,
    {
      handshakeTimeoutMs,
      pausesPlain: true,
      onPlain: (socket) => takePlain(socket, path, begin),
      makeSecureServer: (tls, handshakeLeft) =>
        secureServer(tls, path, handshakeLeft, begin, events),
    },
    events,
  );
}

type Begin = (
  socket: Socket,
  reader: SocketReader | undefined,
  peer: PeerInfo,
  handshakeLeftMs?: number,
) => void;

/**
 * @param accepted with `pauseOnConnect`; one of which something was read keeps what it has read
 * ahead
 */
function takePlain(accepted: Socket, path: string | undefined, begin: Begin): Socket {
  // The socket that it moves to has to ask the system again, which has no address any more when the
  // client has reset the connection.
  const peer = peerInfo(accepted, path, "server");
  const reader = accepted.bytesRead === 0 ? socketReader() : undefined;
  const socket = reader === undefined ? undefined : acceptedBy(reader, accepted);
  if (socket !== undefined) {
    begin(socket, reader, peer);
    return socket;
  }
  begin(accepted, undefined, peer);
  accepted.resume();
  return accepted;
}

function secureServer(
  tls: TlsOptions,
  path: string | undefined,
  handshakeLeft: HandshakeLeft,
  begin: Begin,
  events: ListenerEvents,
): TlsServer {
  // A client that offers only other protocols fails the handshake; one that offers none gets here.
  return createTlsServer({ ...tls, ALPNProtocols: ["h2"] }, (socket) => {
    if (socket.alpnProtocol === "h2") {
      socket.setNoDelay(true);
      begin(socket, undefined, peerInfo(socket, path, "server"), handshakeLeft(socket));
      return;
    }
    const who = remoteAddressOf(socket);
    // Not end(): a peer that keeps its side open would keep the socket open.
    socket.destroy();
    events.onError(new Error(`${who} did not negotiate HTTP/2 (ALPN h2)`), who);
  });
}
