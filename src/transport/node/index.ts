// The `node` transport: HTTP/2 by node:http2. No other folder imports node:http2; its types are
// exported under our names.

import type { ClientHttp2Session } from "node:http2";
import { shown } from "../../check/check.ts";
import { resolveSessionOptions } from "../defaults.ts";
import { type KeepaliveOptions, resolveKeepalive } from "../keepalive.ts";
import {
  type ClientSession,
  type ClientSessionListener,
  type SessionOptions,
  Transport,
} from "../transport.ts";
import { connect, NodeClientSession } from "./client-session.ts";
import { listen } from "./listen.ts";

/** A session of `http2.connect`. */
export type HandedOverClientSession = ClientHttp2Session;

export {
  attachServer,
  type Claim,
  checkServer,
  type HandedOverRequestHeaders,
  type HandedOverServer,
} from "./attach.ts";

/** HTTP/2 by node:http2. */
class NodeTransport extends Transport {
  readonly name = "node";
  readonly connect = connect;
  readonly listen = listen;
}

const transport = new NodeTransport();

/** HTTP/2 by node:http2. Its limits are listed in README.md beside this file. */
export function nodeTransport(): Transport {
  return transport;
}

/** @throws {TypeError} unless `session` is the client side of a connection */
export function checkClientSession(session: unknown): void {
  if (typeof Reflect.get(Object(session), "request") === "function") return;
  throw new TypeError(`session: expected a session of http2.connect, got ${shown(session)}`);
}

interface HandedOverSessionOptions extends SessionOptions {
  /** @default none: the owner of the session decides about its PINGs */
  readonly keepalive?: KeepaliveOptions;
}

/**
 * Speaks over a session that a user opened, connected or not. Streams that the user also opens on
 * it are not counted against the server's limit. Only `drain` and `destroy` close it.
 */
export function wrapSession(
  session: HandedOverClientSession,
  options: HandedOverSessionOptions,
  listener: ClientSessionListener,
): ClientSession {
  const { keepalive } = options;
  const peer = { remoteAddress: "upstream", localAddress: "" };
  const wrapped = new NodeClientSession(
    session,
    undefined,
    peer,
    resolveSessionOptions(options),
    listener,
  );
  wrapped.adopt(keepalive === undefined ? undefined : resolveKeepalive(keepalive));
  return wrapped;
}
