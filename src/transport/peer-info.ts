// The peer of a socket, as text. This file must not know HTTP/2.

import { Socket } from "node:net";
import { type PeerCertificate, TLSSocket } from "node:tls";
import { formatAddress } from "./address.ts";
import type { TlsInfo } from "./tls.ts";
import type { PeerInfo } from "./transport.ts";

/** Of a TCP peer that had reset its connection before anybody asked for its address. */
const UNKNOWN_ADDRESS = "unknown";

/**
 * Call this while the socket is connected; a closed socket has forgotten its addresses.
 * @param path of a UNIX socket. Only the listening side has one; the other side is not named
 */
export function peerInfo(
  socket: Socket,
  path: string | undefined,
  side: "client" | "server",
): PeerInfo {
  const unixPath = `unix:${path ?? ""}`;
  const localAddress = textOf(socket.localAddress, socket.localPort);
  const unnamed =
    localAddress !== undefined ? UNKNOWN_ADDRESS : side === "client" ? unixPath : "unix:";
  const addresses = proxiedOf(socket) ?? {
    remoteAddress: remoteTextOf(socket) ?? unnamed,
    localAddress: localAddress ?? (side === "server" ? unixPath : "unix:"),
  };
  return socket instanceof TLSSocket ? { ...addresses, tls: new SocketTlsInfo(socket) } : addresses;
}

/**
 * The address of an accepted connection that is no session yet. Reading more of such a TLS socket
 * may end the process.
 */
export function remoteAddressOf(socket: Socket): string {
  return proxiedOf(socket)?.remoteAddress ?? remoteTextOf(socket) ?? "unix:";
}

function remoteTextOf(socket: Socket): string | undefined {
  // A client may reset its connection right after the handshake. The socket below has kept the
  // address from when it was accepted.
  const { remoteAddress, remotePort } =
    socket.remoteAddress === undefined ? (belowOf(socket) ?? socket) : socket;
  return textOf(remoteAddress, remotePort);
}

/** By the connection that the balancer made. */
const proxied = new WeakMap<Socket, PeerInfo>();

/** `socket` is a balancer's, which has told whose connection it passes on. */
export function setProxied(socket: Socket, peer: PeerInfo): void {
  proxied.set(socket, peer);
}

/** @param socket that socket, or the one of TLS over it */
function proxiedOf(socket: Socket): PeerInfo | undefined {
  const below = belowOf(socket);
  return proxied.get(socket) ?? (below === undefined ? undefined : proxied.get(below));
}

/** The socket below one of TLS, which Node does not document. */
function belowOf({ _parent: below }: Socket & { readonly _parent?: unknown }): Socket | undefined {
  return below instanceof Socket ? below : undefined;
}

function textOf(host: string | undefined, port: number | undefined): string | undefined {
  return host === undefined || port === undefined ? undefined : formatAddress({ host, port });
}

class SocketTlsInfo implements TlsInfo {
  readonly protocol: string;
  readonly authorized: boolean;
  readonly serverName: string | undefined;
  readonly #socket: TLSSocket;

  constructor(socket: TLSSocket) {
    this.#socket = socket;
    this.protocol = socket.getProtocol() ?? "";
    this.authorized = socket.authorized;
    // `false` where the client sent no SNI.
    const name: unknown = "servername" in socket ? socket.servername : undefined;
    this.serverName = typeof name === "string" && name !== "" ? name : undefined;
  }

  get peerCertificate(): TlsInfo["peerCertificate"] {
    const certificate: PeerCertificate | undefined = this.#socket.getPeerCertificate(true);
    // An empty object stands for a missing certificate.
    return certificate?.raw === undefined ? undefined : certificate;
  }
}
