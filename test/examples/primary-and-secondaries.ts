// Replicated writes in the manner of Praefect: a mutation goes to the primary and to every replica,
// each with a message and metadata of its own. Afterwards the finalizer compares how they ended.
// Replicas that do not agree with the primary are outdated. A write without a majority fails.

import { randomUUID } from "node:crypto";
import {
  type ClientConn,
  type Destination,
  type DestinationResult,
  GrpcError,
  incomingToOutgoing,
  Server,
  Status,
  StreamParameters,
  transparentHandler,
} from "grpc-relay";

export interface Node {
  readonly storage: string;
  readonly conn: ClientConn;
}

/** @param outdated told the storages that need to be brought up to date after a write */
export function createProxy(
  primary: Node,
  replicas: readonly Node[],
  outdated: (storages: readonly string[]) => void,
): Server {
  const director = transparentHandler(async (ctx, _fullMethodName, peeker) => {
    const request: unknown = JSON.parse((await peeker.peek()).toString());
    const transaction = randomUUID();

    const destination = ({ storage, conn }: Node): Destination => {
      const outgoing = incomingToOutgoing(ctx);
      outgoing.metadata.set("transaction", transaction);
      outgoing.metadata.set("node", storage);
      // Each node is asked for its own storage.
      const message = Buffer.from(JSON.stringify({ ...Object(request), storage }));
      return { conn, ctx: outgoing, message };
    };

    return new StreamParameters(
      destination(primary),
      // The client is not told of a replica that fails or cannot be reached. The finalizer is.
      replicas.map((node) => ({ ...destination(node), need: "optional", onError: () => {} })),
      ({ primary: decided, secondaries }) => {
        const behind = replicas.filter((_, index) => !agrees(decided, secondaries[index]));
        if (behind.length > 0) outdated(behind.map(({ storage }) => storage));
        const votes = 1 + replicas.length - behind.length;
        if (decided.status === Status.OK && votes * 2 <= 1 + replicas.length) {
          throw new GrpcError(Status.ABORTED, `${votes} of ${1 + replicas.length} nodes agreed`);
        }
      },
    );
  });
  return new Server({ unknownServiceHandler: director });
}

/** Committed means: the same status for the same reason as the primary. */
function agrees(primary: DestinationResult, replica: DestinationResult | undefined): boolean {
  return replica?.status === primary.status && replica.details === primary.details;
}
