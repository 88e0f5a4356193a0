// The terminal of a worker of `serve --workers`: the process that forked it.

import cluster from "node:cluster";
import type { Terminal } from "./terminal.ts";

/** Names the variable that tells a worker its number. */
export const WORKER_ENV = "GRPC_RELAY_WORKER";

/** Messages to a worker, with the meaning of SIGTERM and SIGHUP. */
export type ToWorker = "close" | "reload";

const SERVING = { serving: true } as const;

export function isServing(message: unknown): boolean {
  return typeof message === "object" && message !== null && "serving" in message;
}

/** The line that a worker prints by `message`; `undefined` for any other message. */
export function printedLine(message: unknown): string | undefined {
  if (typeof message !== "object" || message === null || !("print" in message)) return undefined;
  return String(message.print);
}

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
  const close = (): void => {
    for (const handler of [...closing]) handler();
  };
  process.on("message", (message: unknown) => {
    if (message === ("close" satisfies ToWorker)) close();
    else if (message === ("reload" satisfies ToWorker)) {
      for (const handler of [...reloading]) handler();
    }
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR2"] as const) {
    process.on(signal, () => {});
  }
  // Without this the process would exit at once, and its calls with it.
  if (cluster.worker !== undefined) cluster.worker.exitedAfterDisconnect = true;
  process.once("disconnect", close);
  return {
    worker: number,
    print: (text) => {
      send({ print: text });
    },
    warn: (text) => own.warn(text.startsWith("grpc-relay: ") ? text : prefixed(number, text)),
    onSignal: (handler) => subscribe(closing, handler),
    onReload: (handler) => subscribe(reloading, handler),
    onReplace: () => () => {},
    serving: () => send(SERVING),
    end: () => {
      if (process.connected) process.disconnect();
    },
  };
}

function send(message: object): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
}

function subscribe(handlers: Set<() => void>, handler: () => void): () => void {
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
