// One worker process of `serve --workers`, from its fork to its exit. node:cluster starts it, with
// a port of its own for a debugger; connections it gets from the dealer alone.

import cluster from "node:cluster";
import type { HeldConnection } from "../transport/held-connections.ts";
import { EXIT_FAILURE } from "./command-error.ts";
import type { Receiver } from "./dealer.ts";
import { type FromWorker, readFromWorker, type ToWorker } from "./worker-messages.ts";
import { WORKER_ENV } from "./worker-terminal.ts";

/**
 * How long a worker may take from its start until it serves, in milliseconds. It reads its code and
 * its certificates in that time.
 */
const START_LIMIT_MS = 30_000;

/** How a worker ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: string | null;
}

/** `Worker` of node:cluster, as far as it is used. */
interface ForkedWorker {
  readonly process: {
    readonly pid?: number | undefined;
    kill(signal: NodeJS.Signals): unknown;
    once(event: "close", listener: () => void): unknown;
  };
  on(event: string, listener: (...args: never[]) => void): unknown;
  emit(event: "exit", code: number, signal: null): unknown;
  send(
    message: ToWorker,
    handle: HeldConnection | undefined,
    options: { keepOpen?: boolean },
    callback: () => void,
  ): unknown;
  isConnected(): boolean;
  isDead(): boolean;
}

/** Starts a process that is the worker of this number. */
export type Fork = (number: number) => ForkedWorker;

interface WorkerEvents {
  onMessage(message: FromWorker): void;
  /** The process said or did something that an operator should know. */
  warn(text: string): void;
  /** All of its messages have come. Maybe told twice, and after the exit. */
  onDisconnect(): void;
  onExit(exit: Exit): void;
}

export const forkWorker: Fork = (number) => cluster.fork({ [WORKER_ENV]: String(number) });

export class WorkerProcess implements Receiver {
  readonly number: number;
  /** Resolves when it serves, to nothing, or when it has ended without. */
  readonly begun: Promise<Exit | undefined>;
  readonly exited: Promise<Exit>;
  readonly #worker: ForkedWorker;

  constructor(number: number, fork: Fork, events: WorkerEvents) {
    const worker = fork(number);
    this.number = number;
    this.#worker = worker;
    const overdue = setTimeout(() => {
      events.warn(`worker ${number} does not serve after ${START_LIMIT_MS} ms, and is killed`);
      this.kill();
    }, START_LIMIT_MS);
    this.exited = new Promise((resolve) => {
      worker.on("exit", (code: number | null, signal: string | null) => {
        clearTimeout(overdue);
        events.onExit({ code, signal });
        resolve({ code, signal });
      });
    });
    const serving = new Promise<undefined>((resolve) => {
      worker.on("message", (given: unknown) => {
        const message = readFromWorker(given);
        if (message === undefined) return;
        events.onMessage(message);
        if (message !== "serving") return;
        clearTimeout(overdue);
        resolve(undefined);
      });
    });
    this.begun = Promise.race([serving, this.exited]);
    worker.on("disconnect", () => events.onDisconnect());
    // The process has ended, and its channel: Node does not tell "disconnect" of a worker that was
    // killed before it had read all that was sent to it.
    worker.process.once("close", () => events.onDisconnect());
    // Of a process that cannot be started, which has no other end, or of a message to a dying one.
    worker.on("error", (error: Error) => {
      events.warn(`worker ${number}: ${error.message}`);
      if (this.pid === undefined) worker.emit("exit", EXIT_FAILURE, null);
    });
  }

  get pid(): number | undefined {
    return this.#worker.process.pid;
  }

  /** Also of a process that could not be started. */
  get hasEnded(): boolean {
    return this.#worker.isDead() || this.pid === undefined;
  }

  /** A worker that is just dying hears nothing. */
  tell(message: ToWorker): void {
    if (this.#worker.isConnected()) this.#worker.send(message, undefined, {}, () => {});
  }

  give(listener: number, connection: HeldConnection): void {
    const options = { keepOpen: true };
    this.#worker.send({ dealt: listener }, connection, options, () => {});
  }

  probe(): void {
    this.tell("probe");
  }

  kill(): void {
    this.#worker.process.kill("SIGKILL");
  }
}
