// Subject: a generic proxy made of @grpc/grpc-js alone, as people write it: every method registered
// as a stream of Buffers, one client call per server call.

import {
  Client,
  type ClientDuplexStream,
  credentials,
  type Metadata,
  type MethodDefinition,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type StatusObject,
  status,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { METHODS, type MethodName, methodPath } from "../backends/service.ts";
import { announce, childArguments, followParent, requiredArgument } from "../process/child.ts";

const LIMITS = {
  "grpc.max_receive_message_length": -1,
  "grpc.max_send_message_length": -1,
  "grpc.max_concurrent_streams": 1_000,
  "grpc-node.flow_control_window": 1_048_576,
};

const backendPort = requiredArgument(childArguments(), "backend-port");
const client = new Client(`127.0.0.1:${backendPort}`, credentials.createInsecure(), LIMITS);

const same = (bytes: Buffer): Buffer => bytes;

function definition(method: MethodName): MethodDefinition<Buffer, Buffer> {
  return {
    path: methodPath(method),
    requestStream: true,
    responseStream: true,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
}

function proxy(method: MethodName) {
  const path = methodPath(method);
  return (downstream: ServerDuplexStream<Buffer, Buffer>): void => {
    const upstream: ClientDuplexStream<Buffer, Buffer> = client.makeBidiStreamRequest(
      path,
      same,
      same,
      downstream.metadata,
    );
    downstream.on("cancelled", () => upstream.cancel());
    downstream.on("data", (message: Buffer) => {
      if (!upstream.write(message)) downstream.pause();
    });
    upstream.on("drain", () => downstream.resume());
    downstream.on("end", () => upstream.end());
    upstream.on("metadata", (headers: Metadata) => downstream.sendMetadata(headers));
    upstream.on("data", (message: Buffer) => {
      if (!downstream.write(message)) upstream.pause();
    });
    downstream.on("drain", () => upstream.resume());
    upstream.on("error", () => {}); // Told by "status", too.
    upstream.on("status", (end: StatusObject) => {
      const finish = (): void => {
        if (end.code === status.OK) downstream.end(end.metadata);
        else downstream.emit("error", end);
      };
      // grpc-js tells the status while messages may still wait in the stream's buffer.
      if (upstream.readableEnded) finish();
      else upstream.on("end", finish);
    });
  };
}

const server = new Server(LIMITS);
const definitions: Record<string, MethodDefinition<Buffer, Buffer>> = {};
const implementation: UntypedServiceImplementation = {};
for (const method of METHODS) {
  definitions[method] = definition(method);
  implementation[method] = proxy(method);
}
server.addService(definitions, implementation);
server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error;
  announce({ port });
});
followParent();
