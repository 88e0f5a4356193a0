// One listening socket of a server, as users hold it.

import { SERVER_TLS_OPTIONS, type ServerTlsOptions } from "../transport/tls.ts";
import type { Listener, SocketAddress } from "../transport/transport.ts";
import type { Connections } from "./connections.ts";

/** Where a server listens. Made by `server.listen`, and closed with the server. */
export class ServerListener {
  readonly #listener: Listener;
  readonly #connections: Connections;

  private constructor(listener: Listener, connections: Connections) {
    this.#listener = listener;
    this.#connections = connections;
  }

  /** @internal */
  static create(listener: Listener, connections: Connections): ServerListener {
    return new ServerListener(listener, connections);
  }

  /** With the port that the system chose. */
  get address(): SocketAddress {
    return this.#listener.address;
  }

  /**
   * Replaces what it was given as `tls`, all of it: handshakes that begin from now on use `tls`.
   * Connections that stand are left alone. Clients have to make a full handshake once, for tickets
   * of sessions before it are not taken.
   * @throws {TypeError} on a listener without TLS, and for certificates, keys and settings that
   * cannot be used; what was used before stays
   */
  setTls(tls: ServerTlsOptions): void {
    SERVER_TLS_OPTIONS.check(tls);
    this.#listener.setTls(tls);
  }

  /**
   * Stops listening here. Connections that stand go on until `server.close`, and other listeners
   * are left alone.
   */
  async close(): Promise<void> {
    this.#connections.remove(this.#listener);
    await this.#listener.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
