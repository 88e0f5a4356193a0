// Makes scripted peers: a server that a client under test connects to, and a client for a server
// under test.

import { connect as connectSocket, createServer, type Server, type Socket } from "node:net";
import { connect as connectTls, createServer as createTlsServer, type TlsOptions } from "node:tls";
import type { SocketAddress } from "../../src/transport/transport.ts";
import { closeAtEnd, within } from "./cleanup.ts";
import { type PeerOptions, ScriptedPeer } from "./scripted-peer.ts";

export interface ScriptedServerOptions extends PeerOptions {
  /** @default a free port of 127.0.0.1 */
  readonly address?: SocketAddress;
  readonly tls?: Pick<TlsOptions, "cert" | "key" | "ca" | "requestCert">;
  /** The protocols that TLS offers by ALPN. @default ["h2"] */
  readonly alpn?: readonly string[];
}

/** A backend for the client side under test. Closed with all its connections when the test ends. */
export class ScriptedServer {
  readonly address: SocketAddress;
  readonly #server: Server;
  readonly #options: ScriptedServerOptions;
  readonly #peers: ScriptedPeer[] = [];
  #claimed = 0;
  #onPeer: (() => void) | undefined;

  static async listen(options: ScriptedServerOptions = {}): Promise<ScriptedServer> {
    const server =
      options.tls === undefined
        ? createServer()
        : createTlsServer({ ...options.tls, ALPNProtocols: [...(options.alpn ?? ["h2"])] });
    const address = options.address ?? { host: "127.0.0.1", port: 0 };
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(address, resolve);
    });
    const scripted = new ScriptedServer(server, options);
    closeAtEnd(() => scripted.close());
    return scripted;
  }

  private constructor(server: Server, options: ScriptedServerOptions) {
    this.#server = server;
    this.#options = options;
    const bound = server.address();
    if (bound === null) throw new Error("not listening");
    this.address =
      typeof bound === "string" ? { path: bound } : { host: bound.address, port: bound.port };
    server.on(options.tls === undefined ? "connection" : "secureConnection", (socket: Socket) => {
      this.#peers.push(new ScriptedPeer(socket, "server", options));
      this.#onPeer?.();
    });
    server.on("tlsClientError", () => undefined);
  }

  /** Connections accepted so far. */
  get connectionCount(): number {
    return this.#peers.length;
  }

  /** The next connection, after the handshake unless the options say otherwise. */
  async connection(): Promise<ScriptedPeer> {
    const index = this.#claimed++;
    while (this.#peers.length <= index) {
      const accepted = new Promise<void>((resolve) => {
        this.#onPeer = resolve;
      });
      await within("a connection to the scripted server", accepted);
    }
    const peer = this.#peers[index] as ScriptedPeer;
    if (this.#options.handshake !== false) await finishHandshake(peer);
    return peer;
  }

  /** Stops listening; connections go on. */
  stopListening(): Promise<void> {
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  async close(): Promise<void> {
    const closed = this.stopListening();
    for (const peer of this.#peers) peer.socket.destroy();
    await closed;
  }
}

export interface ScriptedClientOptions extends PeerOptions {
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  readonly alpn?: readonly string[];
  readonly serverName?: string;
}

/** A client for the server side under test. Closed when the test ends. */
export const ScriptedClient = {
  async connect(
    address: SocketAddress,
    options: ScriptedClientOptions = {},
  ): Promise<ScriptedPeer> {
    const socket =
      options.tls === undefined
        ? connectSocket(address)
        : connectTls({
            ...address,
            ...options.tls,
            servername: options.serverName ?? "localhost",
            ALPNProtocols: [...(options.alpn ?? ["h2"])],
          });
    closeAtEnd(() => socket.destroy());
    const connected = new Promise<void>((resolve, reject) => {
      socket.once(options.tls === undefined ? "connect" : "secureConnect", resolve);
      socket.once("error", reject);
    });
    await within("the scripted client's connection", connected);
    const peer = new ScriptedPeer(socket, "client", options);
    if (options.handshake !== false) await finishHandshake(peer);
    return peer;
  },
} as const;

async function finishHandshake(peer: ScriptedPeer): Promise<void> {
  await peer.expectSettings();
  await peer.expectSettingsAck();
}
