// A gateway: some methods are answered here, one is read here before it is passed on, and all others are just passed on.

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

/** What local handlers read and write; with generated code, protobuf. Proxied calls never see it: they stay bytes. */
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
    /** Read here, then passed on with what was found out. Other methods of shop.Orders are just passed on. */
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
