// A listening socket, or what another process hands over of one, and its connections until they
// speak HTTP/2. A transport makes sessions of the connections that it is handed.

import { createServer, type Server, type Socket } from "node:net";
import type { TLSSocket, TlsOptions, Server as TlsServer } from "node:tls";
import { type Clock, systemClock } from "../time/clock.ts";
import { bind } from "./bind.ts";
import { Handshakes } from "./handshakes.ts";
import { peerInfo } from "./peer-info.ts";
import { ProxyHeaders } from "./proxy-headers.ts";
import { withServerNames } from "./server-names.ts";
import type { ServerTlsOptions } from "./tls.ts";
import type {
  ConnectionSource,
  Listener,
  ListenerEvents,
  ListenOptions,
  SocketAddress,
} from "./transport.ts";

/** How much of its time the client on a TLS socket has left for its preface, in milliseconds. */
export type HandshakeLeft = (socket: TLSSocket) => number;

interface AcceptorOptions {
  readonly handshakeTimeoutMs: number;
  /** Nothing of a plain connection is read before `onPlain` gets it. */
  readonly pausesPlain: boolean;
  /** A plain connection has come. @returns the socket with which the connection goes on */
  onPlain(socket: Socket): Socket;
  /**
   * Makes a server that never listens. Connections are emitted on it, and it makes sessions of
   * those that agree on h2.
   */
  makeSecureServer(options: TlsOptions, handshakeLeft: HandshakeLeft): TlsServer;
}

/** Listens, as `Transport.listen` does. */
export async function accept(
  { address, tls, proxyProtocol, source, clock = systemClock }: ListenOptions,
  options: AcceptorOptions,
  events: ListenerEvents,
): Promise<Listener> {
  const secure = tls === undefined ? undefined : new SecureSide(tls, options, clock, events);
  const proxies =
    proxyProtocol === undefined ? undefined : new ProxyHeaders(proxyProtocol, clock, events);
  const path = "path" in address ? address.path : undefined;
  const { admission } = events;
  const take = (socket: Socket): Socket => secure?.take(socket) ?? options.onPlain(socket);
  const admit = (socket: Socket): void => {
    if (admission === undefined) {
      take(socket);
      return;
    }
    const peer = peerInfo(socket, path, "server");
    if (!admission.admit(peer)) socket.destroy();
    else take(socket).once("close", () => admission.release(peer));
  };
  const keepAlive = keepAliveOf(tls);
  // Of a descriptor that is known when the server listens.
  let isUnix = false;
  const server = createServer(
    {
      noDelay: true,
      pauseOnConnect: secure === undefined && options.pausesPlain,
      ...keepAlive,
    },
    (socket) => {
      // Asked now, the socket remembers the address when its client resets the connection.
      const { remoteAddress } = socket;
      if (proxies === undefined) admit(socket);
      // Who has reset a TCP connection already has no address, and must not pass for a UNIX peer,
      // whose header may be trusted.
      else if (!isUnix && remoteAddress === undefined) socket.destroy();
      else proxies.read(socket, admit);
    },
  );
  const bound =
    source === undefined || "fd" in address
      ? await bind(server, address, (error) => events.onError(error, undefined))
      : address;
  isUnix = "path" in bound;
  source?.begin((socket) => {
    socket.setNoDelay(true).setKeepAlive(keepAlive.keepAlive, keepAlive.keepAliveInitialDelay);
    server.emit("connection", socket);
  });
  return new Acceptor(server, secure, proxies, source, bound);
}

function keepAliveOf(
  tls: ServerTlsOptions = {},
): Pick<ServerTlsOptions, "keepAlive" | "keepAliveInitialDelay"> {
  const { keepAlive = false, keepAliveInitialDelay = 0 } = tls;
  return { keepAlive, keepAliveInitialDelay };
}

/** The TLS of a listening socket. It can be replaced while the socket listens. */
class SecureSide {
  readonly #options: AcceptorOptions;
  readonly #handshakes: Handshakes;
  /** The server for new handshakes. Handshakes of earlier servers go on with those. */
  #server: TlsServer;

  constructor(
    tls: ServerTlsOptions,
    options: AcceptorOptions,
    clock: Clock,
    events: ListenerEvents,
  ) {
    this.#options = options;
    this.#handshakes = new Handshakes(options.handshakeTimeoutMs, clock, events);
    this.#server = this.#make(tls);
  }

  /** @throws the errors of OpenSSL and node:tls; the former TLS stays */
  replace(tls: ServerTlsOptions): void {
    this.#server = this.#make(tls);
  }

  take(socket: Socket): Socket {
    this.#handshakes.add(socket);
    this.#server.emit("connection", socket);
    return socket;
  }

  destroyHandshakes(): void {
    this.#handshakes.destroyAll();
  }

  #make(tls: ServerTlsOptions): TlsServer {
    const { handshakeTimeoutMs, makeSecureServer } = this.#options;
    // Node begins its time anew with each octet. It counts where ours cannot.
    const options = { ...withServerNames(tls), handshakeTimeout: handshakeTimeoutMs };
    const server = makeSecureServer(options, (socket) => this.#handshakes.leftMs(socket));
    this.#handshakes.watch(server);
    return server;
  }
}

class Acceptor implements Listener {
  readonly address: SocketAddress;
  readonly #server: Server;
  readonly #secure: SecureSide | undefined;
  readonly #proxies: ProxyHeaders | undefined;
  readonly #source: ConnectionSource | undefined;

  constructor(
    server: Server,
    secure: SecureSide | undefined,
    proxies: ProxyHeaders | undefined,
    source: ConnectionSource | undefined,
    address: SocketAddress,
  ) {
    this.#server = server;
    this.#secure = secure;
    this.#proxies = proxies;
    this.#source = source;
    this.address = address;
  }

  setTls(tls: ServerTlsOptions): void {
    if (this.#secure === undefined) {
      throw new TypeError("setTls: expected a listener with TLS, got one without");
    }
    this.#secure.replace(tls);
  }

  close(): Promise<void> {
    // The callback of the server would also wait for its connections.
    this.#server.close();
    this.#source?.end();
    this.#secure?.destroyHandshakes();
    this.#proxies?.destroyAll();
    return Promise.resolve();
  }
}
