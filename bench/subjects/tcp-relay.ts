// Subject: copies bytes between sockets without looking at them. Any proxy in Node costs at least
// that much.

import { connect, createServer, type Socket } from "node:net";
import { announce, childArguments, followParent, requiredArgument } from "../process/child.ts";

const backendPort = Number(requiredArgument(childArguments(), "backend-port"));

const server = createServer({ noDelay: true }, (downstream) => {
  const upstream = connect({ host: "127.0.0.1", port: backendPort, noDelay: true });
  copy(downstream, upstream);
  copy(upstream, downstream);
});

function copy(from: Socket, to: Socket): void {
  from.pipe(to);
  from.on("error", () => to.destroy());
  from.on("close", () => to.destroy());
}

server.listen(0, "127.0.0.1", 4_096, () => {
  const address = server.address();
  if (address !== null && typeof address === "object") announce({ port: address.port });
});
followParent();
