// The TLS handshakes under way on one listening socket. None outlives the socket, and each failed
// one is reported with its peer.

import { Socket } from "node:net";
import type { Server, TLSSocket } from "node:tls";
import { handshakeError } from "./error-text.ts";
import { remoteAddressOf } from "./peer-info.ts";

/** A TLS socket with the socket below it, which Node does not document. */
type OverSocket = TLSSocket & { readonly _parent?: unknown };

export class Handshakes {
  readonly #sockets = new Set<Socket>();
  /** Read when a socket comes: a socket that its client has closed has forgotten its address. */
  readonly #peers = new WeakMap<Socket, string>();
  readonly #onError: (error: Error, peer: string) => void;

  constructor(onError: (error: Error, peer: string) => void) {
    this.#onError = onError;
  }

  /** Adds a connection that is about to begin its handshake. */
  add(socket: Socket): void {
    this.#sockets.add(socket);
    this.#peers.set(socket, remoteAddressOf(socket));
    // The socket closes together with the TLS socket on it, whichever is destroyed.
    socket.once("close", () => this.#sockets.delete(socket));
  }

  /** @param server the server that makes the handshakes from now on */
  watch(server: Server): void {
    server.prependListener("secureConnection", (socket: OverSocket) => {
      // If the socket below is unknown, any of the sockets could be a session's by now.
      if (socket._parent instanceof Socket) this.#sockets.delete(socket._parent);
      else this.#sockets.clear();
    });
    server.on("tlsClientError", (error: Error, socket: OverSocket) => {
      const below = socket._parent instanceof Socket ? socket._parent : socket;
      const peer = this.#peers.get(below) ?? remoteAddressOf(socket);
      // Node reports a handshake that took too long, but does not end its socket.
      socket.destroy();
      this.#onError(handshakeError(peer, error, socket.authorizationError), peer);
    });
  }

  /** Ends all handshakes, with the listening socket. */
  destroyAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
