// A path that takes time: passes on what either end sends, each piece so long after it came.

import { connect, createServer, type Socket } from "node:net";

export interface Delay {
  readonly host: string;
  readonly port: number;
  close(): void;
}

/** Holds what it passes to `to`, and back from there, for `oneWayMs`. Bounds nothing. */
export async function delayed(
  to: { readonly host: string; readonly port: number },
  oneWayMs: number,
): Promise<Delay> {
  const sockets = new Set<Socket>();
  const pass = (from: Socket, into: Socket): void => {
    sockets.add(from);
    from.setNoDelay(true);
    from.on("data", (chunk: Buffer) => setTimeout(() => into.write(chunk), oneWayMs));
    from.on("error", () => into.destroy());
    from.on("close", () => {
      sockets.delete(from);
      setTimeout(() => into.destroy(), oneWayMs);
    });
  };
  const server = createServer((accepted) => {
    const onward = connect(to);
    pass(accepted, onward);
    pass(onward, accepted);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const bound = server.address();
  if (bound === null || typeof bound === "string") throw new Error("not listening");
  return {
    host: "127.0.0.1",
    port: bound.port,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
