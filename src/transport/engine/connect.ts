// Connects a socket for a client session: TCP or UNIX, plain or TLS with ALPN h2.

import { connect as connectSocket, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { formatAddress } from "../address.ts";
import { tlsConnectOptions } from "../client-tls.ts";
import { DEFAULT_CONNECT_TIMEOUT_MS, resolveSessionOptions } from "../defaults.ts";
import { FailedSession } from "../failed-session.ts";
import { resolveKeepalive } from "../keepalive.ts";
import { peerInfo } from "../peer-info.ts";
import { currentTls } from "../tls.ts";
import type {
  ClientSession,
  ClientSessionListener,
  ConnectOptions,
  SocketAddress,
} from "../transport.ts";
import { EngineClientSession } from "./client-session.ts";
import type { EngineBounds } from "./session.ts";
import { type SocketReader, socketReader } from "./socket-reader.ts";

export function connect(
  options: ConnectOptions,
  bounds: EngineBounds,
  listener: ClientSessionListener,
): ClientSession {
  const { address, connectTimeoutMs = DEFAULT_CONNECT_TIMEOUT_MS } = options;
  const keepalive = resolveKeepalive(options.keepalive);
  const resolved = { ...resolveSessionOptions(options), ...bounds, connectTimeoutMs, keepalive };
  const path = "path" in address ? address.path : undefined;
  const peer = { remoteAddress: formatAddress(address), localAddress: "" };
  const reader = options.tls === undefined ? socketReader() : undefined;
  let secure: TLSSocket | undefined;
  let socket: Socket;
  try {
    const tls = currentTls(options.tls);
    secure = tls === undefined ? undefined : connectTls(tlsConnectOptions(address, tls));
    socket = secure ?? openPlain(address, reader);
  } catch (error) {
    return new FailedSession(peer, resolved.clock, error, listener);
  }
  const session = new EngineClientSession(socket, reader, peer, resolved, listener);
  socket.setNoDelay(true);
  if (secure === undefined) {
    socket.once("connect", () => session.connected(peerInfo(socket, path, "client")));
  } else {
    secure.once("secureConnect", () => {
      if (secure.alpnProtocol === "h2") session.connected(peerInfo(secure, path, "client"));
      else session.failed("the server did not choose h2 by ALPN");
    });
  }
  return session;
}

function openPlain(address: SocketAddress, reader: SocketReader | undefined): Socket {
  const reading = reader === undefined ? {} : { onread: reader.onread };
  return "path" in address
    ? connectSocket({ path: address.path, ...reading })
    : connectSocket({ host: address.host, port: address.port, ...reading });
}
