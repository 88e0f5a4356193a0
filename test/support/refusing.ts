// Addresses that refuse connections for as long as a test lasts. The port of a listener that was
// closed is no such address: tests run beside one another, and the next `listen` of another process
// may get that port.

import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { closeAtEnd } from "./cleanup.ts";

export interface RefusingPort {
  readonly host: string;
  readonly port: number;
  /** From then on the system may give the port to somebody. */
  release(): void;
}

/**
 * A port of 127.0.0.1 that nobody listens on. A connected socket has it as its own port, so that
 * the system gives it to nobody else.
 */
export async function holdRefusingPort(): Promise<RefusingPort> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port: serverPort } = server.address() as AddressInfo;
  const accepted = once(server, "connection");
  const holder = connect({ host: "127.0.0.1", port: serverPort, localAddress: "127.0.0.1" });
  const [[peer]] = await Promise.all([accepted, once(holder, "connect")]);
  function release(): void {
    holder.destroy();
    peer.destroy();
    server.close();
  }
  return { host: "127.0.0.1", port: holder.localPort as number, release };
}

/** Such an address until the end of the test. */
export async function refusingAddress(): Promise<{ readonly host: string; readonly port: number }> {
  const { host, port, release } = await holdRefusingPort();
  closeAtEnd(release);
  return { host, port };
}
