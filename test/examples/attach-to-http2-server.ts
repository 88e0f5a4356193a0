// A program that has a node:http2 server and a client session already: both are handed over, with
// the settings, sockets and certificates that they were made with.

import { type ClientHttp2Session, createServer, type Http2Server } from "node:http2";
import { ClientConn, Server, StreamParameters, transparentHandler } from "grpc-relay";

export interface Attached {
  readonly http2Server: Http2Server;
  readonly relay: Server;
}

/** @param session made by `http2.connect`, connected or not */
export function createProxy(session: ClientHttp2Session): Attached {
  const http2Server = createServer({ settings: { maxConcurrentStreams: 200 } });
  const conn = ClientConn.fromSession(session);
  const relay = new Server({
    unknownServiceHandler: transparentHandler(() => new StreamParameters({ conn })),
  });
  // Its own handlers answer what is not gRPC. Whoever made the server still listens with it and
  // closes it. `relay.close(graceMs)` only lets calls finish.
  relay.attach(http2Server);
  return { http2Server, relay };
}
