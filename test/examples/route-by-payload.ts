// Shards: the first message says whose data is asked for. The director peeks at it, routes by it,
// and sends the backend a first message without the routing field.

import {
  type ClientConn,
  GrpcError,
  Server,
  Status,
  StreamParameters,
  transparentHandler,
} from "grpc-relay";

/** @param shards the connection of each tenant */
export function createProxy(shards: ReadonlyMap<string, ClientConn>): Server {
  const director = transparentHandler(
    async (_ctx, _fullMethodName, peeker) => {
      const { tenant, ...rest } = parse(await peeker.peek());
      const conn = shards.get(String(tenant));
      if (conn === undefined) {
        throw new GrpcError(Status.NOT_FOUND, `no shard has tenant ${JSON.stringify(tenant)}`);
      }
      // `message` takes the place of the first message; all others follow as they come.
      return new StreamParameters({ conn, message: Buffer.from(JSON.stringify(rest)) });
    },
    { maxPeekBytes: 65_536 },
  );
  return new Server({ unknownServiceHandler: director });
}

/** With generated code this would be `Request.decode(payload)`. */
function parse(payload: Buffer): Record<string, unknown> {
  try {
    const message: unknown = JSON.parse(payload.toString());
    if (typeof message === "object" && message !== null) return { ...message };
  } catch {
    // Told below.
  }
  throw new GrpcError(Status.INVALID_ARGUMENT, "expected a JSON object as first message");
}
