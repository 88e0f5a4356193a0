// A command's view of its process, so that tests can run commands within their own process.

import type { WorkerLink } from "./worker-link.ts";

export interface Terminal {
  /** Of a process that is a worker of another one; `undefined` when it is none. */
  readonly worker: WorkerLink | undefined;
  /** One line, or several, to standard output. */
  print(text: string): void;
  /** The same to standard error. */
  warn(text: string): void;
  /** Calls `handler` for every SIGINT and SIGTERM until the returned function is called. */
  onSignal(handler: () => void): () => void;
  /** The same for SIGHUP: files are to be read again. */
  onReload(handler: () => void): () => void;
  /** The same for SIGUSR2: workers are to be replaced. */
  onReplace(handler: () => void): () => void;
  /** The command listens on all of its addresses. */
  serving(): void;
  /** The command has ended. */
  end(): void;
}

export function processTerminal(): Terminal {
  for (const stream of [process.stdout, process.stderr]) {
    // A reader that went away (`grpc-relay --help | head -1`) is no failure of the command.
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error;
    });
  }
  return {
    worker: undefined,
    print: (text) => {
      process.stdout.write(`${text}\n`);
    },
    warn: (text) => {
      process.stderr.write(`${text}\n`);
    },
    onSignal: (handler) => onSignals(["SIGINT", "SIGTERM"], handler),
    onReload: (handler) => onSignals(["SIGHUP"], handler),
    onReplace: (handler) => onSignals(["SIGUSR2"], handler),
    serving: () => {},
    end: () => {},
  };
}

function onSignals(signals: readonly NodeJS.Signals[], handler: () => void): () => void {
  for (const signal of signals) process.on(signal, handler);
  return () => {
    for (const signal of signals) process.off(signal, handler);
  };
}
