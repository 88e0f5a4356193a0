// The end of a command that serves: the first signal lets calls finish, the second ends them.

import type { ClientConn, Server } from "../index.ts";
import { EXIT_FAILURE, EXIT_OK } from "./command-error.ts";
import type { Terminal } from "./terminal.ts";

export interface Closable {
  /** In closing order: servers that make calls before servers that answer them. */
  readonly servers: readonly Server[];
  readonly conns: readonly ClientConn[];
}

/**
 * Ctrl-C under `npm start` arrives twice, once from the terminal and once passed on by npm: signals
 * this close together are one.
 */
const SAME_SIGNAL_MS = 300;

/**
 * Waits for signals from its construction on. So a signal that comes while a command is still
 * starting neither ends the process nor is lost.
 */
export class SignalWatch {
  readonly #terminal: Terminal;
  readonly #unsubscribe: () => void;
  readonly #first: Promise<void>;
  #firstMs: number | undefined;
  #onSecond: (() => void) | undefined;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
    let first = (): void => {};
    this.#first = new Promise((resolve) => {
      first = resolve;
    });
    this.#unsubscribe = terminal.onSignal(() => {
      if (this.#firstMs === undefined) {
        this.#firstMs = performance.now();
        first();
      } else if (performance.now() - this.#firstMs > SAME_SIGNAL_MS) {
        this.#onSecond?.();
      }
    });
  }

  /**
   * Serves until a signal comes, then closes. Resolves to the exit code: 0, unless a second signal
   * cut the end short.
   */
  async serve(closable: Closable, graceMs: number): Promise<number> {
    await this.#first;
    this.#terminal.warn(closingText(closable, graceMs));
    let exitCode = EXIT_OK;
    this.#onSecond = () => {
      exitCode = EXIT_FAILURE;
      void closeAll(closable, 0);
    };
    await closeAll(closable, graceMs);
    this.end();
    return exitCode;
  }

  /** From now on a signal has its usual effect on the process. */
  end(): void {
    this.#unsubscribe();
  }
}

function closingText({ servers }: Closable, graceMs: number): string {
  const callCount = servers.reduce((sum, server) => sum + server.openCallCount, 0);
  if (callCount === 0) return "closing";
  const calls = callCount === 1 ? "1 call" : `${callCount} calls`;
  return `closing: ${calls} under way, at most ${graceMs} ms; signal again to close at once`;
}

export async function closeAll({ servers, conns }: Closable, graceMs: number): Promise<void> {
  if (graceMs === 0) {
    await Promise.all([...servers, ...conns].map((part) => part.close()));
    return;
  }
  for (const server of servers) await server.close(graceMs);
  await Promise.all(conns.map((conn) => conn.close()));
}
