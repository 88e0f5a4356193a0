// A listening socket whose connections other processes serve: nothing of them is read here.

import { createServer, type Socket } from "node:net";
import { bind } from "./bind.ts";
import { findInherited } from "./inherited.ts";
import { isInherited, type ListenAddress } from "./listen-address.ts";
import type { SocketAddress } from "./transport.ts";

/** A connection that waits to be handed over. */
export type HeldConnection = Socket;

export interface HeldListener {
  /** The address, with the port that the system chose. */
  readonly address: SocketAddress;
  /** Stops accepting; connections stay. */
  close(): void;
}

/**
 * @param onError told of errors of the listening socket
 * @throws the system's error when it cannot listen
 */
export async function holdConnections(
  address: ListenAddress,
  onConnection: (connection: HeldConnection) => void,
  onError: (error: Error) => void,
): Promise<HeldListener> {
  const server = createServer({ pauseOnConnect: true }, onConnection);
  const where = isInherited(address) ? await findInherited(address) : address;
  return {
    address: await bind(server, where, onError),
    close: () => {
      server.close();
    },
  };
}
