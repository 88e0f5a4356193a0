// What a command sees of the process that runs it, so that tests can run commands within their own.

export interface Terminal {
  /** One line, or several, to standard output. */
  print(text: string): void;
  /** The same to standard error. */
  warn(text: string): void;
  /** Calls `handler` for every SIGINT and SIGTERM until the returned function is called. */
  onSignal(handler: () => void): () => void;
}

export function processTerminal(): Terminal {
  for (const stream of [process.stdout, process.stderr]) {
    // A reader that went away (`grpc-relay --help | head -1`) is no failure of the command.
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error;
    });
  }
  return {
    print: (text) => {
      process.stdout.write(`${text}\n`);
    },
    warn: (text) => {
      process.stderr.write(`${text}\n`);
    },
    onSignal: (handler) => {
      process.on("SIGINT", handler).on("SIGTERM", handler);
      return () => {
        process.off("SIGINT", handler).off("SIGTERM", handler);
      };
    },
  };
}
