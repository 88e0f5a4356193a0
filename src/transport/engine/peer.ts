// Who is on the other end of a socket, in the words of the seam.

import type { Socket } from "node:net";
import { type DetailedPeerCertificate, type PeerCertificate, TLSSocket } from "node:tls";
import { formatAddress } from "../address.ts";
import type { TlsInfo } from "../tls.ts";
import type { PeerInfo } from "../transport.ts";

/** What is known of a connected socket; `path` for a UNIX socket, `""` where the peer is not named. */
export function peerOf(socket: Socket, path: string | undefined): PeerInfo {
  const remoteAddress = addressOf(socket.remoteAddress, socket.remotePort, path);
  const localAddress = addressOf(socket.localAddress, socket.localPort, path);
  return socket instanceof TLSSocket
    ? { remoteAddress, localAddress, tls: new SocketTlsInfo(socket) }
    : { remoteAddress, localAddress };
}

function addressOf(
  host: string | undefined,
  port: number | undefined,
  path: string | undefined,
): string {
  return host === undefined || port === undefined
    ? `unix:${path ?? ""}`
    : formatAddress({ host, port });
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
    // Node says `false` for a client without SNI, which its types do not know.
    const name: unknown = Reflect.get(socket, "servername");
    this.serverName = typeof name === "string" && name !== "" ? name : undefined;
  }

  get peerCertificate(): PeerCertificate | undefined {
    const certificate: DetailedPeerCertificate | undefined = this.#socket.getPeerCertificate(true);
    // An empty object stands for a peer without one.
    return certificate?.raw === undefined ? undefined : certificate;
  }
}
