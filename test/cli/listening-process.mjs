// A server of the built package on sockets that its process was started with. Its first argument
// says in JSON how to listen: { address, transport, tls } each. It prints a line of JSON for each,
// and one more when all are closed: whether their descriptors are. Closes on SIGTERM.

import { fstatSync } from "node:fs";
import { Server } from "../../dist/index.js";

const listeners = [];
const server = new Server({
  unknownServiceHandler: (stream) =>
    stream.sendMessage(Buffer.from(stream.context.peer.localAddress)),
});
function isOpen(fd) {
  try {
    fstatSync(fd);
    return true;
  } catch {
    return false;
  }
}

process.on("SIGTERM", async () => {
  for (const listener of listeners) await listener.close();
  // Node closes them when their turn ends.
  await new Promise((resolve) => setImmediate(resolve));
  const open = listeners.map((_, at) => isOpen(3 + at));
  console.log(`open: ${JSON.stringify(open)}`);
  await server.close();
});

for (const { address, ...settings } of JSON.parse(process.argv[2])) {
  try {
    const listener = await server.listen(address, settings);
    listeners.push(listener);
    console.log(JSON.stringify(listener.address));
  } catch (error) {
    console.log(JSON.stringify(error.message));
  }
}
