// Listening sockets, and servers that a user made, behind the seam's `Listener` and `ListenerEvents`.

import {
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type SecureServerOptions,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import { Server as NetServer, type Socket } from "node:net";
import {
  handshakeTimeoutMs,
  type ResolvedSessionOptions,
  resolveSessionOptions,
} from "../defaults.ts";
import { Handshakes } from "../handshakes.ts";
import { peerInfo, remoteAddressOf } from "../peer-info.ts";
import type {
  Listener,
  ListenerEvents,
  ListenOptions,
  SessionOptions,
  SocketAddress,
} from "../transport.ts";
import { receivedFields } from "./header-lists.ts";
import { NodeServerSession } from "./server-session.ts";
import { nodeSessionOptions, nodeSettings } from "./session-options.ts";
import { END_STREAM_FLAG } from "./stream.ts";

const SESSION: unique symbol = Symbol("grpc-relay session");
type CarryingSession = ServerHttp2Session & { [SESSION]?: NodeServerSession };

type AnyServer = Http2Server | Http2SecureServer;

export async function listen(options: ListenOptions, events: ListenerEvents): Promise<Listener> {
  const resolved = resolveSessionOptions(options);
  const { address, tls } = options;
  let server: AnyServer;
  let handshakes: Handshakes | undefined;
  if (tls === undefined) {
    server = createServer(nodeSessionOptions(resolved));
  } else {
    const secure = createSecureServer({
      ...secureOptions(tls, handshakeTimeoutMs(resolved)),
      ...nodeSessionOptions(resolved),
    });
    handshakes = new Handshakes(secure);
    server = secure;
  }
  const path = "path" in address ? address.path : undefined;
  subscribe(server, resolved, events, path);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(address, () => {
      server.removeListener("error", reject);
      resolve();
    });
  });
  server.on("error", (error) => events.onError(error, undefined));
  return {
    address: boundAddress(server, address),
    close: async () => {
      // Not the close() of newer node:http2 servers, which closes the sessions too. Its callback waits for them: the listening
      // socket itself is closed at once.
      if (server.listening) NetServer.prototype.close.call(server);
      handshakes?.destroyAll();
    },
  };
}

/**
 * Takes the sessions and streams of a server that a user made, from now on. The user's server keeps its own settings where
 * `options` is silent, and its own listening socket. Connections that stand already are taken with their next stream.
 * @returns a function that detaches: sessions taken so far end as they would, but no new stream is taken
 */
export function attachServer(
  server: AnyServer,
  options: SessionOptions,
  events: ListenerEvents,
): () => void {
  const resolved = resolveSessionOptions(options);
  return subscribe(server, resolved, events, undefined, options);
}

function subscribe(
  server: AnyServer,
  options: ResolvedSessionOptions,
  events: ListenerEvents,
  path: string | undefined,
  given?: SessionOptions,
): () => void {
  const isSecure = "setSecureContext" in server;
  const connectionEvent = isSecure ? "secureConnection" : "connection";
  // node:http2 makes the session while this event runs and hides its socket; it must be destroyed when a peer stops reading.
  let accepted: Socket | undefined;
  const onConnection = (socket: Socket): void => {
    accepted = socket;
    // A socket that fails after its session let go of it must not end the process.
    socket.on("error", () => {});
  };
  const take = (node: CarryingSession, socket: Socket | undefined): NodeServerSession => {
    const peer = peerInfo(socket ?? node.socket, path, "server");
    const session = new NodeServerSession(node, socket, peer, options, events);
    node[SESSION] = session;
    return session;
  };
  const onSession = (node: ServerHttp2Session): void => {
    const socket = accepted;
    accepted = undefined;
    if (given !== undefined) node.settings(settingsGiven(options, given));
    take(node, socket);
  };
  const onStream = (
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    flags: number,
    rawHeaders: string[],
  ): void => {
    const node: CarryingSession | undefined = stream.session as CarryingSession | undefined;
    if (node === undefined || node.destroyed) {
      stream.on("error", () => {});
      return;
    }
    const session = node[SESSION] ?? take(node, undefined);
    const endStream = (flags & END_STREAM_FLAG) !== 0;
    session.recvStream(stream, receivedFields(rawHeaders, headers), endStream);
  };
  const onUnknownProtocol = (socket: Socket): void => {
    const peer = remoteAddressOf(socket);
    socket.destroy();
    events.onError(new Error(`${peer} did not negotiate HTTP/2 (ALPN h2)`), peer);
  };
  const onTlsError = (error: Error, socket: Socket): void => {
    const peer = remoteAddressOf(socket);
    // Of a handshake that took too long Node tells, and leaves the rest to us.
    socket.destroy();
    events.onError(error, peer);
  };
  server.prependListener(connectionEvent, onConnection);
  server.on("session", onSession);
  server.on("stream", onStream);
  if (given === undefined) {
    server.on("unknownProtocol", onUnknownProtocol);
    if (isSecure) server.on("tlsClientError", onTlsError);
  }
  return () => {
    server.removeListener(connectionEvent, onConnection);
    server.removeListener("session", onSession);
    server.removeListener("stream", onStream);
  };
}

/** Only what was asked for: the user's server has its own settings. */
function settingsGiven(
  options: ResolvedSessionOptions,
  given: SessionOptions,
): ReturnType<typeof nodeSettings> {
  const all = nodeSettings(options);
  return {
    ...(given.streamWindowBytes !== undefined ? { initialWindowSize: all.initialWindowSize } : {}),
    ...(given.headerTableBytes !== undefined ? { headerTableSize: all.headerTableSize } : {}),
    ...(given.maxHeaderListBytes !== undefined ? { maxHeaderListSize: all.maxHeaderListSize } : {}),
    ...(given.maxConcurrentStreams !== undefined
      ? { maxConcurrentStreams: all.maxConcurrentStreams }
      : {}),
  };
}

function secureOptions(
  tls: NonNullable<ListenOptions["tls"]>,
  handshakeTimeout: number,
): SecureServerOptions {
  // HTTP/1 has no place here.
  return { ...tls, allowHTTP1: false, handshakeTimeout };
}

function boundAddress(server: AnyServer, asked: SocketAddress): SocketAddress {
  const bound = server.address();
  if (bound === null || typeof bound === "string") return asked;
  return { host: bound.address, port: bound.port };
}
