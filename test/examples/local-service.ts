// A gateway: one method is answered here, one is read here before it is passed on, and all others
// are just passed on.

import {
  type ClientConn,
  type Codec,
  codecWithParent,
  GrpcError,
  handleStream,
  registerStreamHandlers,
  Server,
  type ServerStream,
  Status,
  type StreamInterceptor,
  StreamParameters,
  transparentHandler,
} from "grpc-relay";

/**
 * The codec of local handlers; with generated code it would be protobuf. Calls that are passed on
 * do not use it: their messages stay bytes.
 */
const json: Codec = {
  name: "json",
  marshal: (message) => Buffer.from(JSON.stringify(message)),
  unmarshal: (data) => JSON.parse(data.toString()),
};

/** @param token what callers have to show */
export function createGateway(backend: ClientConn, token: string): Server {
  // Runs before every handler, and before every director.
  const authorise: StreamInterceptor = (stream, _info, handler) => {
    if (stream.context.metadata.first("authorization") !== `Bearer ${token}`) {
      throw new GrpcError(Status.UNAUTHENTICATED, "expected a valid token");
    }
    return handler(stream);
  };
  const server = new Server({
    codec: codecWithParent(json),
    interceptors: [authorise],
    unknownServiceHandler: transparentHandler(() => new StreamParameters({ conn: backend })),
  });

  registerStreamHandlers(server, "gateway.Info", {
    /** Answered here. */
    State: async (stream) => {
      await stream.recvMessage();
      await stream.sendMessage({ backend: backend.state, calls: server.openCallCount });
    },
  });

  registerStreamHandlers(server, "shop.Orders", {
    /** Read and checked here, then passed on. Other methods of shop.Orders are just passed on. */
    Create: async (stream: ServerStream<{ amount: number }>) => {
      const order = await stream.recvMessage();
      if (order === undefined || !(order.amount > 0)) {
        throw new GrpcError(Status.INVALID_ARGUMENT, "expected an amount above 0");
      }
      const message = Buffer.from(JSON.stringify({ ...order, checkedBy: "gateway" }));
      await handleStream(stream, stream.method, new StreamParameters({ conn: backend, message }));
    },
  });
  return server;
}
