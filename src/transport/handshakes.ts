// The TLS handshakes under way on one listening socket: none outlives it, and each that fails is
// told, with who failed it.

import { Socket } from "node:net";
import type { Server, TLSSocket } from "node:tls";
import { handshakeError } from "./error-text.ts";
import { remoteAddressOf } from "./peer-info.ts";

/** A socket of TLS with the one below it, which Node does not document. */
type OverSocket = TLSSocket & { readonly _parent?: unknown };

export class Handshakes {
  readonly #sockets = new Set<Socket>();
  /** Asked for when they come: a socket that its client has closed has forgotten its address. */
  readonly #peers = new WeakMap<Socket, string>();
  readonly #onError: (error: Error, peer: string) => void;

  constructor(onError: (error: Error, peer: string) => void) {
    this.#onError = onError;
  }

  /** A connection that is about to begin its handshake. */
  add(socket: Socket): void {
    this.#sockets.add(socket);
    this.#peers.set(socket, remoteAddressOf(socket));
    // Closed together with the TLS socket that is made on it, whichever is destroyed.
    socket.once("close", () => this.#sockets.delete(socket));
  }

  /** @param server that makes the handshakes from now on */
  watch(server: Server): void {
    server.prependListener("secureConnection", (socket: OverSocket) => {
      // Were it unknown, any of them could be a session's by now.
      if (socket._parent instanceof Socket) this.#sockets.delete(socket._parent);
      else this.#sockets.clear();
    });
    server.on("tlsClientError", (error: Error, socket: OverSocket) => {
      const below = socket._parent instanceof Socket ? socket._parent : socket;
      const peer = this.#peers.get(below) ?? remoteAddressOf(socket);
      // Of a handshake that took too long Node tells, and leaves the rest to us.
      socket.destroy();
      this.#onError(handshakeError(peer, error, socket.authorizationError), peer);
    });
  }

  /** Ends them all, with the listening socket. */
  destroyAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
