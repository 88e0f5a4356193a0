// The terminal of a worker of `serve --workers`: the process that forked it.

import cluster from "node:cluster";
import { DealtConnections } from "../transport/dealt-connections.ts";
import type { Terminal } from "./terminal.ts";
import { type FromWorker, readToWorker } from "./worker-messages.ts";

/** Names the variable that tells a worker its number. */
export const WORKER_ENV = "GRPC_RELAY_WORKER";

/** The number of this worker; `undefined` in a process that is none of ours. */
export function workerNumber(): string | undefined {
  return cluster.isWorker ? process.env[WORKER_ENV] : undefined;
}

/**
 * Signals reach a whole group of processes (Ctrl-C, a service manager): a worker leaves them to the
 * process that forked it. When that one is gone it closes as after a signal.
 */
export function workerTerminal(number: string, own: Terminal): Terminal {
  const closing = new Set<() => void>();
  const reloading = new Set<() => void>();
  const renewing = new Set<(secret: string) => void>();
  let ticketSecret: string | undefined;
  let isClosing = false;
  const close = (): void => {
    isClosing = true;
    for (const handler of [...closing]) handler();
  };
  const dealings = new Dealings();
  process.on("message", (given: unknown, connection: unknown) => {
    const message = readToWorker(given);
    if (message === undefined) return;
    if (message === "close") close();
    else if (message === "probe") send("probed");
    else if (message === "reload") {
      for (const handler of [...reloading]) handler();
    } else if ("dealt" in message) dealings.onDealt(message.dealt, connection);
    else {
      ticketSecret = message.ticketSecret;
      for (const handler of [...renewing]) handler(ticketSecret);
    }
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR2"] as const) {
    process.on(signal, () => {});
  }
  // Without this the process would exit at once, and its calls with it.
  if (cluster.worker !== undefined) cluster.worker.exitedAfterDisconnect = true;
  process.once("disconnect", close);
  send("started");
  return {
    worker: {
      source: (address) => dealings.connections.source(address),
      onTicketSecret: (handler) => {
        if (ticketSecret !== undefined) handler(ticketSecret);
        return subscribe(renewing, handler);
      },
    },
    print: own.print,
    warn: (text) => own.warn(text.startsWith("grpc-relay: ") ? text : prefixed(number, text)),
    onSignal: (handler) => {
      // Told before the command listens for it.
      if (isClosing) handler();
      return subscribe(closing, handler);
    },
    onReload: (handler) => subscribe(reloading, handler),
    onReplace: () => () => {},
    serving: () => send("serving"),
    end: () => {
      if (process.connected) process.disconnect();
    },
  };
}

/** Takes connections, and tells how many have closed: once for all that close in one turn. */
class Dealings {
  readonly connections: DealtConnections = new DealtConnections(() => this.#onClosed());
  #closedCount = 0;
  #isDue = false;

  onDealt(address: number, connection: unknown): void {
    // Said before anything is read of it: otherwise it could be dealt to another one after that.
    this.#tell(this.connections.isTaken(address));
    this.connections.take(address, connection);
  }

  #onClosed(): void {
    this.#closedCount++;
    if (this.#isDue) return;
    this.#isDue = true;
    setImmediate(() => {
      this.#isDue = false;
      if (this.#closedCount > 0) this.#tell();
    });
  }

  #tell(taken?: boolean): void {
    const closed = this.#closedCount;
    this.#closedCount = 0;
    send(taken === undefined ? { closed } : { closed, taken });
  }
}

function send(message: FromWorker): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
}

function subscribe<Handler>(handlers: Set<Handler>, handler: Handler): () => void {
  handlers.add(handler);
  return () => {
    handlers.delete(handler);
  };
}

function prefixed(number: string, text: string): string {
  return text
    .split("\n")
    .map((line) => `worker ${number}: ${line}`)
    .join("\n");
}
