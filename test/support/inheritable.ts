// Listening sockets that a process is started with, as by systemd.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, renameSync } from "node:fs";
import { createServer, type Server, Socket } from "node:net";
import { type Child, childOf } from "../cli/process.ts";
import { closeAtEnd } from "./cleanup.ts";

/** A listening socket; this process closes its own handle once another one has it. */
export class Inheritable {
  /** `127.0.0.1:PORT` or `unix:PATH`. */
  readonly address: string;
  readonly #server: Server;
  readonly #path: string | undefined;

  private constructor(server: Server, path: string | undefined) {
    const bound = server.address();
    this.#server = server;
    this.#path = path;
    this.address =
      typeof bound === "object" && bound !== null ? `127.0.0.1:${bound.port}` : `unix:${path}`;
    closeAtEnd(() => server.close());
  }

  /** @param path of a UNIX socket; left out for a TCP port */
  static async listen(path?: string): Promise<Inheritable> {
    const server = createServer();
    server.listen(path === undefined ? { host: "127.0.0.1", port: 0 } : { path });
    await once(server, "listening");
    return new Inheritable(server, path);
  }

  get fd(): number {
    return descriptorOf(this.#server);
  }

  /** Node removes the file of a UNIX socket when it closes it. */
  release(): void {
    const path = this.#path;
    if (path !== undefined) renameSync(path, `${path}.away`);
    this.#server.close();
    if (path !== undefined) renameSync(`${path}.away`, path);
  }

  get hasFile(): boolean {
    return this.#path !== undefined && existsSync(this.#path);
  }
}

/** Node does not document it. */
function descriptorOf(socket: object): number {
  return Number(Reflect.get(Object(Reflect.get(socket, "_handle")), "fd"));
}

/**
 * Starts Node with `sockets` at the descriptors from 3 on, named in LISTEN_FDNAMES. LISTEN_PID is
 * that process, as systemd sets it.
 * @param args of Node
 */
export function startWith(
  sockets: Readonly<Record<string, Inheritable | Socket>>,
  ...args: readonly string[]
): Child {
  const given = Object.values(sockets);
  const descriptors = given.map((socket) =>
    socket instanceof Socket ? descriptorOf(socket) : socket.fd,
  );
  const child = spawn("sh", ["-c", 'LISTEN_PID=$$ exec "$@"', "sh", process.execPath, ...args], {
    stdio: ["ignore", "pipe", "pipe", ...descriptors],
    env: {
      ...process.env,
      LISTEN_FDS: String(descriptors.length),
      LISTEN_FDNAMES: Object.keys(sockets).join(":"),
    },
  });
  for (const socket of given) if (socket instanceof Inheritable) socket.release();
  return childOf(child as Parameters<typeof childOf>[0]);
}
