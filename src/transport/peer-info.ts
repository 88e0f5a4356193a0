// The peer of a socket, as text. This file must not know HTTP/2.

import { Socket } from "node:net";
import { type PeerCertificate, TLSSocket } from "node:tls";
import { formatAddress } from "./address.ts";
import type { TlsInfo } from "./tls.ts";
import type { PeerInfo } from "./transport.ts";

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
  const remoteAddress = textOf(socket.remoteAddress, socket.remotePort);
  const localAddress = textOf(socket.localAddress, socket.localPort);
  const addresses = proxiedOf(socket) ?? {
    remoteAddress: remoteAddress ?? (side === "client" ? unixPath : "unix:"),
    localAddress: localAddress ?? (side === "server" ? unixPath : "unix:"),
  };
  return socket instanceof TLSSocket ? { ...addresses, tls: new SocketTlsInfo(socket) } : addresses;
}

/**
 * The address of an accepted connection that is no session yet. Reading more of such a TLS socket
 * may end the process.
 */
export function remoteAddressOf(socket: Socket): string {
  return (
    proxiedOf(socket)?.remoteAddress ?? textOf(socket.remoteAddress, socket.remotePort) ?? "unix:"
  );
}

/** By the connection that the balancer made. */
const proxied = new WeakMap<Socket, PeerInfo>();

/** `socket` is a balancer's, which has told whose connection it passes on. */
export function setProxied(socket: Socket, peer: PeerInfo): void {
  proxied.set(socket, peer);
}

/** @param socket that socket, or the one of TLS over it, which Node does not document */
function proxiedOf(socket: Socket & { readonly _parent?: unknown }): PeerInfo | undefined {
  const { _parent: below } = socket;
  return proxied.get(socket) ?? (below instanceof Socket ? proxied.get(below) : undefined);
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
