// Subject: the proxy that a Node programmer writes with the core API of node:http2. It has one
// upstream session and pipes both ways. The `node` transport is compared with it.

import { connect, createServer } from "node:http2";
import { announce, childArguments, followParent, requiredArgument } from "../process/child.ts";

const LIMITS = { settings: { initialWindowSize: 1_048_576, maxConcurrentStreams: 1_000 } };
const CONNECTION_WINDOW_BYTES = 16_777_216;

const backendPort = requiredArgument(childArguments(), "backend-port");
const client = connect(`http://127.0.0.1:${backendPort}`, LIMITS);
client.on("connect", () => client.setLocalWindowSize(CONNECTION_WINDOW_BYTES));

const server = createServer(LIMITS);
server.on("session", (session) => session.setLocalWindowSize(CONNECTION_WINDOW_BYTES));
server.on("stream", (downstream, headers) => {
  const upstream = client.request(headers);
  upstream.on("response", (response, flags) => {
    const endStream = (flags & 1) !== 0;
    downstream.respond(response, { endStream, waitForTrailers: !endStream });
    if (!endStream) upstream.pipe(downstream);
  });
  upstream.on("trailers", (trailers) => {
    downstream.on("wantTrailers", () => downstream.sendTrailers(trailers));
  });
  downstream.pipe(upstream);
  downstream.on("error", () => upstream.close(8));
  upstream.on("error", () => downstream.close(2));
  downstream.on("aborted", () => upstream.close(8));
});

server.listen(0, "127.0.0.1", 4_096, () => {
  const address = server.address();
  if (address !== null && typeof address === "object") announce({ port: address.port });
});
followParent();
