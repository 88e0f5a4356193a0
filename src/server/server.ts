// The server that users hold: its listeners, its handlers, and its end.

import { checkFunction, checkNumber, shown } from "../check/check.ts";
import { anything, type OptionTable, optionTable } from "../check/options.ts";
import { type Codec, checkCodec, newCodec } from "../grpc/codec.ts";
import { type Clock, systemClock } from "../time/clock.ts";
import {
  checkHandshakeTimeout,
  resolveSessionOptions,
  SESSION_CHECKS,
} from "../transport/defaults.ts";
import { attachServer, checkServer, type HandedOverServer } from "../transport/handed-over.ts";
import { findInherited } from "../transport/inherited.ts";
import { SERVER_KEEPALIVE_OPTIONS, type ServerKeepaliveOptions } from "../transport/keepalive.ts";
import {
  checkListenAddress,
  type InheritedSocket,
  isInherited,
  parseListenAddress,
} from "../transport/listen-address.ts";
import { PROXY_PROTOCOL_OPTIONS } from "../transport/proxy-headers.ts";
import { checkTransport, selectTransport, type TransportName } from "../transport/select.ts";
import { SERVER_TLS_OPTIONS, type ServerTlsOptions } from "../transport/tls.ts";
import type {
  ConnectionSource,
  OpenDescriptor,
  ProxyProtocolOptions,
  SessionOptions,
  SocketAddress,
  Transport,
} from "../transport/transport.ts";
import { ConnectionAdmission } from "./admission.ts";
import { type AttachOptions, claimOf } from "./attach-options.ts";
import { ConnectionLifetime, isBounded } from "./connection-lifetime.ts";
import {
  CONNECTION_CHECKS,
  resolveConnectionOptions,
  type ServerConnectionOptions,
} from "./connection-options.ts";
import { Connections } from "./connections.ts";
import { Dispatcher } from "./dispatcher.ts";
import type { StreamHandler, StreamInterceptor } from "./interceptor.ts";
import type { Leftovers } from "./leftovers.ts";
import { OpenCalls } from "./open-calls.ts";
import { ServerListener } from "./server-listener.ts";
import { Shutdown } from "./shutdown.ts";

export interface ServerOptions extends SessionOptions, ServerConnectionOptions {
  /**
   * The HTTP/2 implementation of listening sockets. Attached servers use `node:http2`.
   * @default "engine"
   */
  readonly transport?: TransportName | Transport;
  /** Uses TLS on listening sockets (ALPN `h2`). @default plain HTTP/2 with prior knowledge */
  readonly tls?: ServerTlsOptions;
  /**
   * When the server checks clients on listening sockets by PING, and how often clients may send
   * PING (gRFC A8, A9). Attached servers keep rules of their own.
   * @default after two hours of silence, 20 s for the answer; see `ServerKeepaliveOptions`
   */
  readonly keepalive?: ServerKeepaliveOptions;
  /**
   * How long a client of a listening socket may take from accept (behind a balancer: from its PROXY
   * header) until its TLS handshake is done, and its preface and first SETTINGS have come, in
   * milliseconds; then the connection ends. Clients do all of that at once, so this only bounds
   * what a silent one costs: a socket and the state of TLS. Ten seconds are several retransmissions
   * of TCP. Attached servers have times of their own.
   * @default 10_000
   */
  readonly handshakeTimeoutMs?: number;
  /**
   * Encodes and decodes the messages of local handlers; proxied calls stay bytes.
   * @default newCodec()
   */
  readonly codec?: Codec;
  /**
   * Answers calls of methods that are not registered: usually `transparentHandler(director)`.
   * @default UNIMPLEMENTED
   */
  readonly unknownServiceHandler?: StreamHandler;
  /** Run before every handler, the first one outermost. @default none */
  readonly interceptors?: readonly StreamInterceptor[];
  /**
   * Largest request message that a local handler reads, in bytes; proxied calls have no limit of
   * their own.
   * @default 4_194_304
   */
  readonly maxRequestMessageBytes?: number;
  /**
   * Told of connections that failed before they were sessions (TLS handshake, no `h2`), and of
   * listening sockets that failed.
   * @default ignored
   */
  readonly onConnectionError?: (error: Error) => void;
}

export interface ListenSettings {
  /** @default the server's */
  readonly transport?: TransportName | Transport;
  /** @default the server's */
  readonly tls?: ServerTlsOptions;
  /**
   * The balancers in front of it that say by the PROXY protocol whose connection they pass on.
   * `ctx.peer` is who they say, and so it is for `maxConnectionsPerClientAddress` and
   * `acceptConnection`.
   * @default none
   */
  readonly proxyProtocol?: ProxyProtocolOptions;
  /**
   * @internal Brings the connections of the address, on which another process listens.
   * @default this process listens
   */
  readonly source?: ConnectionSource;
}

/**
 * Answers gRPC calls, by handlers of its own or by a relay, on any number of listening sockets and
 * servers of `node:http2`.
 */
export class Server {
  /** @internal */
  readonly clock: Clock;
  readonly #options: ServerOptions;
  readonly #transport: Transport;
  readonly #calls: OpenCalls;
  readonly #dispatcher: Dispatcher;
  readonly #attached = new WeakSet<HandedOverServer>();
  readonly #connections: Connections;
  readonly #shutdown: Shutdown;

  /** @throws {TypeError | RangeError} naming the option, what was expected and what came */
  constructor(options: ServerOptions = {}) {
    SERVER_OPTIONS.check(options);
    this.#options = options;
    this.clock = options.clock ?? systemClock;
    this.#transport = selectTransport(options.transport);
    resolveSessionOptions(options);
    this.#calls = new OpenCalls(this.clock);
    this.#dispatcher = new Dispatcher(this.#calls, {
      codec: options.codec ?? newCodec(),
      maxRequestMessageBytes: options.maxRequestMessageBytes ?? 4_194_304,
      unknownServiceHandler: options.unknownServiceHandler,
      interceptors: options.interceptors ?? [],
    });
    const bounds = resolveConnectionOptions(options);
    this.#connections = new Connections({
      dispatcher: this.#dispatcher,
      admission: ConnectionAdmission.of(bounds),
      lifetimeOf: isBounded(bounds)
        ? (session) => new ConnectionLifetime(session, this.#calls, bounds)
        : undefined,
      onSession: (session) => this.#shutdown.onSession(session),
      onConnectionError: options.onConnectionError,
    });
    this.#shutdown = new Shutdown(this.#connections, this.#calls);
  }

  /** The number of calls under way. */
  get openCallCount(): number {
    return this.#calls.count;
  }

  /** The number of open connections. */
  get sessionCount(): number {
    return this.#connections.count;
  }

  /**
   * Aborted when `close` is called, so that handlers of calls without an end can finish them during
   * the grace. The reason is a `GrpcError`, UNAVAILABLE. A handler may throw it; the client then
   * tries elsewhere.
   */
  get draining(): AbortSignal {
    return this.#shutdown.draining;
  }

  /** @internal Destinations that go on although their call is over. */
  get leftovers(): Leftovers {
    return this.#calls.leftovers;
  }

  /**
   * Registers the handlers of a service. Methods that are left out go to the unknown-service
   * handler.
   * @throws {Error} when the service is registered already
   * @throws {TypeError} for names that no path can have, and for a service without methods
   */
  register(serviceName: string, handlers: Readonly<Record<string, StreamHandler>>): void {
    this.#dispatcher.registry.register(serviceName, handlers);
  }

  /**
   * Listens on `HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`; port 0 lets the system choose. `fd:N` and
   * `systemd:NAME` (sd_listen_fds(3)) are sockets that the process was started with. Such a socket
   * is closed with its listener, and may be listened on once. May be called several times.
   * @returns the listener, with its address (and the port that the system chose), `setTls` and
   *   `close`
   * @throws the system's error (`EADDRINUSE`, ...) when it cannot listen, `Error` for a socket that
   *   the process was not started with, and `TypeError` for an invalid address and for settings
   *   that are unknown or wrong
   */
  async listen(
    address: string | SocketAddress | InheritedSocket,
    settings: ListenSettings = {},
  ): Promise<ServerListener> {
    LISTEN_SETTINGS.check(settings);
    if (this.#shutdown.hasBegun) throw new Error("the server is closed");
    const transport =
      settings.transport === undefined ? this.#transport : selectTransport(settings.transport);
    const { proxyProtocol, source } = settings;
    const tls = settings.tls ?? this.#options.tls;
    const asked =
      typeof address === "string" ? parseListenAddress(address) : checkListenAddress(address);
    const listener = await transport.listen(
      {
        ...this.#options,
        address: isInherited(asked) ? await ownSocket(asked, source) : asked,
        ...(tls === undefined ? {} : { tls }),
        ...(proxyProtocol === undefined ? {} : { proxyProtocol }),
        ...(source === undefined ? {} : { source }),
      },
      this.#connections,
    );
    this.#connections.add(listener);
    if (this.#shutdown.hasBegun) await listener.close();
    return ServerListener.create(listener, this.#connections);
  }

  /**
   * Answers the requests of a server made by `http2.createServer` or `http2.createSecureServer`
   * that are gRPC, or that `match` takes. All others, HTTP/1 included, go to the server's own
   * handlers, whether these were added before or after. The server's owner makes it listen and
   * closes it. `close` here only ends the calls, and drains the connections that had any. Of
   * several relays on one server, the one that was attached last takes the requests that it
   * matches.
   * @throws {TypeError} for a server that does not speak HTTP/2, and on a `Server` that was made
   *   for another transport than `"node"`
   * @throws {Error} when this `Server` is attached to it already
   */
  attach(http2Server: HandedOverServer, options: AttachOptions = {}): void {
    if (this.#shutdown.hasBegun) throw new Error("the server is closed");
    checkServer(http2Server);
    const claim = claimOf(options);
    const { transport } = this.#options;
    if (transport !== undefined && this.#transport.name !== "node") {
      throw new TypeError(
        `attach: expected a Server without the option transport or with "node", because the requests of http2Server are read by node:http2, got ${JSON.stringify(this.#transport.name)}; listen takes a transport for one socket`,
      );
    }
    if (this.#attached.has(http2Server)) {
      throw new Error(
        "attach: expected a server of node:http2 that this Server is not attached to, got one that it is attached to already; one attach takes all of its requests",
      );
    }
    this.#attached.add(http2Server);
    const connections = this.#connections;
    const detach = attachServer(http2Server, this.#options, claim, {
      onSession: (session) => connections.onAttachedSession(session),
      onError: (error, peer, limit) => connections.onError(error, peer, limit),
    });
    this.#connections.add({ close: async () => detach() });
  }

  /**
   * Stops listening and lets calls finish for up to `graceMs` milliseconds. Then calls that are
   * still open end with UNAVAILABLE. GOAWAY tells clients to open no new calls here. The promise
   * resolves when every connection is closed. A second call with a shorter grace shortens it.
   * Detached destinations of calls that are over are not waited for, but ended.
   * @default graceMs 0
   */
  close(graceMs = 0): Promise<void> {
    checkNumber("graceMs", graceMs, 0);
    return this.#shutdown.close(graceMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** A process whose connections another one brings has no socket of its own. */
async function ownSocket(
  socket: InheritedSocket,
  source: ConnectionSource | undefined,
): Promise<SocketAddress | OpenDescriptor> {
  return source === undefined ? findInherited(socket) : { path: "" };
}

const SERVER_OPTIONS: OptionTable = optionTable<ServerOptions>(
  "options of Server",
  {
    ...SESSION_CHECKS,
    transport: checkTransport,
    tls: SERVER_TLS_OPTIONS,
    keepalive: SERVER_KEEPALIVE_OPTIONS,
    handshakeTimeoutMs: checkHandshakeTimeout,
    codec: checkCodec,
    unknownServiceHandler: checkFunction,
    interceptors: checkInterceptors,
    maxRequestMessageBytes: (name, value) => checkNumber(name, value, 0),
    onConnectionError: checkFunction,
    ...CONNECTION_CHECKS,
  },
  { unsaid: ["clock", "random"] },
);

const LISTEN_SETTINGS: OptionTable = optionTable<ListenSettings>(
  "settings of listen",
  {
    transport: checkTransport,
    tls: SERVER_TLS_OPTIONS,
    proxyProtocol: PROXY_PROTOCOL_OPTIONS,
    source: anything,
  },
  { unsaid: ["source"] },
);

function checkInterceptors(name: string, interceptors: unknown): void {
  if (!Array.isArray(interceptors)) {
    throw new TypeError(`${name}: expected an array, got ${shown(interceptors)}`);
  }
  for (const interceptor of interceptors) {
    if (typeof interceptor === "function") continue;
    throw new TypeError(`${name}: expected functions, got ${shown(interceptor)}`);
  }
}
