// A proxy that can be told to do one thing wrong. Each of these faults was seen in real proxies,
// and the checks must catch it.

import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  createServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";

export type Fault =
  | "none"
  | "drops trailers"
  | "buffers the response"
  | "buffers the request"
  | "ignores cancel"
  | "drops metadata"
  | "answers failures with OK"
  | "cuts messages"
  | "never pushes back";

export interface BrokenProxy {
  readonly port: number;
  close(): Promise<void>;
}

export function startBrokenProxy(backendPort: number, fault: Fault): Promise<BrokenProxy> {
  const upstreamSession = connect(`http://127.0.0.1:${backendPort}`);
  upstreamSession.on("error", () => {});
  const downstreamSessions = new Set<ServerHttp2Session>();
  const server = createServer();
  server.on("session", (session) => {
    downstreamSessions.add(session);
    session.on("close", () => downstreamSessions.delete(session));
  });
  server.on("stream", (downstream, headers) => carry(downstream, headers, upstreamSession, fault));
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      if (address === null || typeof address === "string") throw new Error("no port");
      resolve({
        port: address.port,
        close: () =>
          new Promise((closed) => {
            for (const session of downstreamSessions) session.destroy();
            upstreamSession.destroy();
            server.close(() => closed());
          }),
      });
    });
  });
}

function carry(
  downstream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  session: ClientHttp2Session,
  fault: Fault,
): void {
  const forwarded: IncomingHttpHeaders = { ...headers };
  if (fault === "drops metadata") {
    for (const name of Object.keys(forwarded)) if (name.startsWith("x-")) delete forwarded[name];
  }
  const upstream = session.request(forwarded);
  carryRequest(downstream, upstream, fault);
  carryResponse(downstream, upstream, fault);
  downstream.on("error", () => {});
  upstream.on("error", () => {});
  if (fault !== "ignores cancel") {
    downstream.on("aborted", () => upstream.close(8));
  } else {
    // Reads on, so that the backend works to the end for nobody.
    downstream.on("aborted", () => upstream.resume());
  }
}

function carryRequest(
  downstream: ServerHttp2Stream,
  upstream: ClientHttp2Stream,
  fault: Fault,
): void {
  if (fault !== "buffers the request") {
    downstream.on("data", (chunk: Buffer) => {
      upstream.write(fault === "cuts messages" ? chunk.subarray(0, 8_000) : chunk);
    });
    downstream.on("end", () => upstream.end());
    return;
  }
  const chunks: Buffer[] = [];
  downstream.on("data", (chunk: Buffer) => chunks.push(chunk));
  downstream.on("end", () => upstream.end(Buffer.concat(chunks)));
}

function carryResponse(
  downstream: ServerHttp2Stream,
  upstream: ClientHttp2Stream,
  fault: Fault,
): void {
  const buffers = fault === "buffers the response";
  const chunks: Buffer[] = [];
  let trailers: IncomingHttpHeaders = {};
  const alive = (): boolean => !downstream.destroyed;
  upstream.on("response", (response, flags) => {
    const trailersOnly = (flags & 1) !== 0;
    const changed = { ...response };
    if (fault === "answers failures with OK" && trailersOnly) changed["grpc-status"] = "0";
    if (fault === "drops metadata") delete changed["x-bench-echo-initial"];
    const waitForTrailers = !trailersOnly && fault !== "drops trailers";
    if (alive()) downstream.respond(changed, { endStream: trailersOnly, waitForTrailers });
  });
  upstream.on("data", (chunk: Buffer) => {
    if (buffers) chunks.push(chunk);
    else if (alive() && !downstream.write(chunk) && fault !== "never pushes back") upstream.pause();
  });
  downstream.on("drain", () => upstream.resume());
  downstream.on("wantTrailers", () => {
    if (alive()) downstream.sendTrailers(trailers);
  });
  upstream.on("trailers", (received) => {
    trailers = received;
  });
  upstream.on("end", () => {
    if (alive() && downstream.headersSent) downstream.end(Buffer.concat(chunks));
  });
}
