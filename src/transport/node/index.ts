// The `node` transport: HTTP/2 by node:http2. The only folder that imports node:http2; its types leave under our names.

import type {
  ClientHttp2Session,
  Http2Server as PlainServer,
  Http2SecureServer as SecureServer,
} from "node:http2";
import { shown } from "../../check/check.ts";
import { resolveSessionOptions } from "../defaults.ts";
import type {
  ClientSession,
  ClientSessionListener,
  SessionOptions,
  Transport,
} from "../transport.ts";
import { connect, NodeClientSession } from "./client-session.ts";
import { attachServer, listen } from "./listen.ts";

/** A server of `http2.createServer` or `http2.createSecureServer`. */
export type HandedOverServer = PlainServer | SecureServer;
/** A session of `http2.connect`. */
export type HandedOverClientSession = ClientHttp2Session;

export { attachServer };

const transport: Transport = { name: "node", connect, listen };

/** HTTP/2 by node:http2. Its limits are listed in ARCHITECTURE.md. */
export function nodeTransport(): Transport {
  return transport;
}

/** @throws {TypeError} unless it can be attached: `http.createServer` speaks no HTTP/2 */
export function checkServer(server: unknown): void {
  // Of the servers of Node only those of node:http2 have it; their classes cannot be had.
  if (typeof Reflect.get(Object(server), "updateSettings") === "function") return;
  throw new TypeError(
    `attach: expected a server of http2.createServer or http2.createSecureServer, got ${shown(server)}`,
  );
}

/** @throws {TypeError} unless it is the client side of a connection */
export function checkClientSession(session: unknown): void {
  if (typeof Reflect.get(Object(session), "request") === "function") return;
  throw new TypeError(`session: expected a session of http2.connect, got ${shown(session)}`);
}

/**
 * Speaks over a session that a user opened, connected or not. Streams that the user opens on it too are not counted against
 * the server's limit. It is closed by `drain` and `destroy` only.
 */
export function wrapSession(
  session: HandedOverClientSession,
  options: SessionOptions,
  listener: ClientSessionListener,
): ClientSession {
  const peer = { remoteAddress: "upstream", localAddress: "" };
  const wrapped = new NodeClientSession(
    session,
    undefined,
    peer,
    resolveSessionOptions(options),
    listener,
  );
  wrapped.adopt();
  return wrapped;
}
