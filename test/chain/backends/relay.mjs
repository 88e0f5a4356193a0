// A backend on our own server: echoes, and ends on SIGTERM after the calls that are under way.
import { Server } from "../../../dist/index.js";

const [port, graceMs] = process.argv.slice(2).map(Number);
const server = new Server({
  unknownServiceHandler: async (stream) => {
    for await (const message of stream) await stream.sendMessage(message);
  },
});
await server.listen(`127.0.0.1:${port}`);
console.log("ready");
process.on("SIGTERM", async () => {
  await server.close(graceMs);
  process.exit(0);
});
