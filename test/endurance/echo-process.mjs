// A backend in a process of its own, so that it can be killed and frozen. It is bare node:http2,
// which shares nothing with the relay.
// `/x.Y/Echo` answers each piece of the request with itself. The first argument is the port, the
// second MAX_CONCURRENT_STREAMS.

import { createServer } from "node:http2";

const [port, maxConcurrentStreams] = process.argv.slice(2).map(Number);
const settings = maxConcurrentStreams === undefined ? {} : { maxConcurrentStreams };
const server = createServer({ settings });
server.on("stream", (stream) => {
  stream.on("error", () => {});
  stream.respond({ "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  stream.on("data", (chunk) => stream.write(chunk));
  stream.on("end", () => stream.end());
});
server.listen(port, "127.0.0.1", () => process.send(server.address().port));
// An orphan has nobody to answer.
process.on("disconnect", () => process.exit());
