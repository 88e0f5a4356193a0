// One listening socket of a server, in the form that users hold.

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

  /** The address, with the port that the system chose. */
  get address(): SocketAddress {
    return this.#listener.address;
  }

  /**
   * Replaces all of the former `tls`. Handshakes that begin from now on use the new `tls`.
   * Connections that stand are left alone. Clients have to make a full handshake once, because
   * tickets of earlier sessions are not taken.
   * @throws {TypeError} on a listener without TLS, and for certificates, keys and settings that
   *   cannot be used; the former `tls` stays in use
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
