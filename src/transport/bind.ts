// Makes a server of node:net listen: on an address, or on a socket that the process holds already.

import type { Server } from "node:net";
import { cannotListen } from "./inherited.ts";
import type { OpenDescriptor, SocketAddress } from "./transport.ts";

/**
 * Connections of an inherited socket that may wait to be accepted. The system takes its own bound
 * for it. The default of Node would lower what whoever made the socket has asked for.
 */
const MOST_WAITING = 0x7fffffff;

/**
 * @param address a descriptor is closed with the server, and also when listening fails
 * @param onError told of errors from then on
 * @returns the address, with the port that the system chose
 */
export function bind(
  server: Server,
  address: SocketAddress | OpenDescriptor,
  onError: (error: Error) => void,
): Promise<SocketAddress> {
  const isOpen = "fd" in address;
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => reject(isOpen ? cannotListen(address, error) : error);
    server.once("error", fail);
    server.once("listening", () => {
      server.off("error", fail);
      server.on("error", onError);
      resolve(boundAddress(server, address));
    });
    if (isOpen) server.listen({ fd: address.fd }, MOST_WAITING);
    else server.listen(address);
  });
}

function boundAddress(server: Server, asked: SocketAddress | OpenDescriptor): SocketAddress {
  const bound = server.address();
  if (bound !== null && typeof bound !== "string") return { host: bound.address, port: bound.port };
  return "fd" in asked ? { path: asked.path ?? "" } : asked;
}
