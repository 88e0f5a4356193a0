// Virtual hosts: the `:authority` that a client asks for decides which backend gets the call.

import { dial, GrpcError, Server, Status, StreamParameters, transparentHandler } from "grpc-relay";

/** @param hosts the target of each host name: `{ "blue.example": "10.0.0.7:50051" }` */
export function createProxy(hosts: Readonly<Record<string, string>>): Server {
  // One connection per backend, made once: directors choose connections, they do not dial.
  const conns = new Map(Object.entries(hosts).map(([host, target]) => [host, dial(target)]));

  return new Server({
    unknownServiceHandler: transparentHandler((ctx) => {
      const [host = ""] = ctx.authority.split(":");
      const conn = conns.get(host);
      if (conn === undefined) {
        throw new GrpcError(Status.UNAVAILABLE, `no backend for ${ctx.authority}`);
      }
      // Without this option the backend would see its own address as `:authority`.
      return new StreamParameters({ conn }, [], undefined, { authority: ctx.authority });
    }),
  });
}
