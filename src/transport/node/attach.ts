// Servers that users made and share with us. Requests that match are ours alone; we do not touch
// the others.

import type {
  Http2SecureServer,
  Http2Server,
  IncomingHttpHeaders,
  ServerHttp2Session,
  ServerHttp2Stream,
  Settings,
} from "node:http2";
import type { Socket } from "node:net";
import { shown } from "../../check/check.ts";
import { ErrorCode } from "../../wire/error-code.ts";
import { type ResolvedSessionOptions, resolveSessionOptions } from "../defaults.ts";
import type { ListenerEvents, SessionOptions } from "../transport.ts";
import { ServerSessions } from "./server-sessions.ts";
import { nodeSettings } from "./session-options.ts";
import { onError, resetBare } from "./stream.ts";

/** A server of `http2.createServer` or `http2.createSecureServer`. */
export type HandedOverServer = Http2Server | Http2SecureServer;

/** The header fields of a request, as node:http2 gives them. */
export type HandedOverRequestHeaders = IncomingHttpHeaders;

export interface Claim {
  /** A request with these header fields is for us. */
  readonly matches: (headers: HandedOverRequestHeaders) => boolean;
  /** Requests that do not match are refused by us if nobody else could answer them. */
  readonly refusesOthers: boolean;
}

/** @throws {TypeError} unless it can be attached to: `http.createServer` speaks no HTTP/2 */
export function checkServer(server: unknown): void {
  // Only servers of node:http2 have this method; their classes are not exported.
  if (typeof Reflect.get(Object(server), "updateSettings") === "function") return;
  throw new TypeError(
    `attach: expected a server of http2.createServer or http2.createSecureServer, got ${shown(server)}`,
  );
}

/**
 * Takes the requests that `claim` matches from a user's server, from now on, also on connections
 * that stand already. A session is taken with its first such request; a session without any is left
 * as it is. The server keeps its own settings where `options` has none, and its own listening
 * socket.
 *
 * The event `stream` is withheld where it is emitted. Otherwise every listener would get it, in the
 * order in which the listeners were added; node:http2's own listener for `request` is among them.
 * @returns a function that detaches: sessions taken so far end as they would, but no new stream is
 *   taken
 */
export function attachServer(
  server: HandedOverServer,
  options: SessionOptions,
  claim: Claim,
  events: ListenerEvents,
): () => void {
  const resolved = resolveSessionOptions(options);
  const sessions = new ServerSessions(resolved, events, undefined, undefined);
  const settings = settingsGiven(resolved, options);
  let detached = false;

  const onConnection = (socket: Socket): void => {
    // Asked now, the socket remembers the address when its client resets the connection.
    void socket.remoteAddress;
    sessions.accepted(socket);
  };
  // Runs after the listener of node:http2: a connection without a session speaks HTTP/1.
  const onConnected = (): void => sessions.accepted(undefined);
  const onSession = (node: ServerHttp2Session): void => {
    sessions.begun(node);
    if (Object.keys(settings).length > 0) node.settings(settings);
  };

  /** @returns whether nobody else may get the event */
  const onStream = (
    stream: ServerHttp2Stream,
    headers: HandedOverRequestHeaders,
    flags: number,
    rawHeaders: string[],
  ): boolean => {
    const isAlone = server.listenerCount("stream") === 0;
    if (!claim.matches(headers) && !(isAlone && claim.refusesOthers)) {
      if (stream.session !== undefined) sessions.share(stream.session as ServerHttp2Session);
      return false;
    }
    if (detached) {
      // A request without an answer would hang. Refused, the client finds another server.
      if (isAlone) {
        stream.on("error", onError);
        setImmediate(resetBare, stream, ErrorCode.REFUSED_STREAM);
      }
      return isAlone;
    }
    sessions.recvStream(stream, headers, flags, rawHeaders);
    return true;
  };

  const connectionEvent = "setSecureContext" in server ? "secureConnection" : "connection";
  server.prependListener(connectionEvent, onConnection);
  server.on(connectionEvent, onConnected);
  server.on("session", onSession);
  const { emit } = server;
  const emitUnlessOurs = function (this: unknown, ...event: unknown[]): boolean {
    if (event[0] === "stream" && onStream(...(event.slice(1) as Parameters<typeof onStream>))) {
      return true;
    }
    return Reflect.apply(emit, this, event);
  };
  Reflect.set(server, "emit", emitUnlessOurs);
  return () => {
    detached = true;
    server.removeListener(connectionEvent, onConnection);
    server.removeListener(connectionEvent, onConnected);
    server.removeListener("session", onSession);
  };
}

/** Only the settings that were asked for: the user's server has its own. */
function settingsGiven(options: ResolvedSessionOptions, given: SessionOptions): Settings {
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
