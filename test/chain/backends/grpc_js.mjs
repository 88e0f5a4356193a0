// A backend on grpc-js: echoes, and ends on SIGTERM after the calls that are under way.
import * as grpc from "@grpc/grpc-js";

const [port, graceMs] = process.argv.slice(2).map(Number);
const identity = (bytes) => bytes;
const method = (path, stream) => ({
  path,
  requestStream: stream,
  responseStream: stream,
  requestSerialize: identity,
  requestDeserialize: identity,
  responseSerialize: identity,
  responseDeserialize: identity,
});
const server = new grpc.Server();
server.addService(
  { Unary: method("/t.Echo/Unary", false), Stream: method("/t.Echo/Stream", true) },
  {
    Unary: (call, callback) => callback(null, call.request),
    Stream: (call) => {
      call.on("data", (message) => call.write(message));
      call.on("end", () => call.end());
      call.on("error", () => {});
    },
  },
);
server.bindAsync(`127.0.0.1:${port}`, grpc.ServerCredentials.createInsecure(), (error) => {
  if (error) throw error;
  console.log("ready");
});
process.on("SIGTERM", () => {
  server.tryShutdown(() => process.exit(0));
  setTimeout(() => server.forceShutdown(), graceMs).unref();
});
