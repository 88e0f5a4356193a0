// The TLS handshakes under way on one listening socket, so that none outlives it.

import { Socket } from "node:net";
import type { Server, TLSSocket } from "node:tls";

export class Handshakes {
  readonly #sockets = new Set<Socket>();

  /** @param server that does not listen yet */
  constructor(server: Server) {
    server.prependListener("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      // Closed together with the TLS socket that is made on it, whichever is destroyed.
      socket.once("close", () => this.#sockets.delete(socket));
    });
    server.prependListener("secureConnection", (socket: TLSSocket & { _parent?: unknown }) => {
      // The socket below it, which Node does not document. Were it unknown, any of them could be a session's by now.
      if (socket._parent instanceof Socket) this.#sockets.delete(socket._parent);
      else this.#sockets.clear();
    });
  }

  /** Ends them all, with the listening socket. */
  destroyAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
