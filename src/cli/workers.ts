// `serve --workers N`: one process that forks, restarts and replaces those that serve. It holds the
// listening sockets and deals connections out in turn (node:cluster).

import cluster, { type Worker } from "node:cluster";
import { CommandError, EXIT_FAILURE, EXIT_OK } from "./command-error.ts";
import { MAX_MS } from "./flags.ts";
import type { Terminal } from "./terminal.ts";
import { isServing, printedLine, type ToWorker, WORKER_ENV } from "./worker-terminal.ts";

/** A worker that stood this long did work: when it dies another one is started at once. */
const WORKING_MS = 10_000;
/** Waits before another worker takes the place of one that died sooner, in milliseconds. */
const FIRST_RESTART_MS = 250;
const LAST_RESTART_MS = 5_000;
/** What a worker has beyond its grace to end; then it is killed. */
const OVERDUE_MS = 5_000;

interface WorkersOptions {
  readonly count: number;
  /** The arguments of each worker: those of this process. */
  readonly args: readonly string[];
  /** How long the calls of a worker that closes may take, in milliseconds. */
  readonly graceMs: number;
}

/** How a worker ended. */
interface Exit {
  readonly code: number | null;
  readonly signal: string | null;
}

/** One of the numbered places, and who is in it. */
class Seat {
  readonly number: number;
  worker: Worker;
  startedMs = performance.now();
  /** Of workers here that died one after another before they had worked. */
  deaths = 0;
  /** Another one is being started for it: if this one dies, nobody else is. */
  isReplaced = false;
  /** Starts another one after a wait. */
  restart: NodeJS.Timeout | undefined;

  constructor(number: number, worker: Worker) {
    this.number = number;
    this.worker = worker;
  }
}

/**
 * Serves until a signal comes and every worker has closed. Resolves to the exit code: 0, or that of
 * a worker that could not begin or was cut short.
 * @throws {CommandError} in a process that is a worker of somebody else's cluster
 */
export function serveWithWorkers(options: WorkersOptions, terminal: Terminal): Promise<number> {
  if (!cluster.isPrimary) {
    throw new CommandError(
      "--workers: expected a process of its own, got a worker of another node:cluster",
    );
  }
  return new Workers(options, terminal).serve();
}

/** The workers of this process: one for each seat, and one more while that is replaced. */
class Workers {
  readonly #options: WorkersOptions;
  readonly #terminal: Terminal;
  readonly #seats: Seat[] = [];
  /** All that run, those that close included. */
  readonly #running = new Set<Worker>();
  /** Lines of workers that were printed: each address is said once. */
  readonly #printed = new Set<string>();
  #closing = false;
  #exitCode = EXIT_OK;
  /** Set while workers are being replaced, and whether that was asked for once more. */
  #replacing: { again: boolean } | undefined;
  #onEmpty: () => void = () => {};
  /** Runs while the workers close. */
  #overdue: NodeJS.Timeout | undefined;

  constructor(options: WorkersOptions, terminal: Terminal) {
    this.#options = options;
    this.#terminal = terminal;
    cluster.setupPrimary({ args: [...options.args] });
    // Connections are dealt out in turn, also where the system's default is another.
    cluster.schedulingPolicy = cluster.SCHED_RR;
  }

  async serve(): Promise<number> {
    const empty = new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
    });
    const unsubscribe = [
      this.#terminal.onSignal(() => this.#close()),
      this.#terminal.onReload(() => this.#tellAll("reload")),
      this.#terminal.onReplace(() => void this.#replaceAll()),
    ];
    // What is wrong with the command line or an address is said by the first one alone.
    await this.#fill(1);
    const others = Array.from({ length: this.#options.count - 1 }, (_, at) => at + 2);
    await Promise.all(others.map((number) => this.#fill(number)));
    await empty;
    clearTimeout(this.#overdue);
    for (const end of unsubscribe) end();
    return this.#exitCode;
  }

  /** Puts a worker into a new seat. One that cannot begin ends the command. */
  async #fill(number: number): Promise<void> {
    if (this.#closing) return;
    const seat = new Seat(number, this.#fork(number));
    this.#seats.push(seat);
    seat.isReplaced = true;
    const exit = await this.#begun(seat.worker);
    seat.isReplaced = false;
    if (exit === undefined || this.#closing) return;
    this.#exitCode = exit.code ?? EXIT_FAILURE;
    if (exit.signal !== null) {
      this.#terminal.warn(`worker ${number} died before it served: ${exit.signal}`);
    }
    this.#close();
  }

  #fork(number: number): Worker {
    const worker = cluster.fork({ [WORKER_ENV]: String(number) });
    this.#running.add(worker);
    worker.on("message", (message: unknown) => {
      if (isServing(message)) {
        this.#terminal.warn(`worker ${number} serves, process ${worker.process.pid}`);
      }
      const line = printedLine(message);
      if (line === undefined || this.#printed.has(line)) return;
      this.#printed.add(line);
      this.#terminal.print(line);
    });
    // Of a process that cannot be started, which has no other end, or of a message to a dying one.
    worker.on("error", (error) => {
      this.#terminal.warn(`worker ${number}: ${error.message}`);
      if (worker.process.pid === undefined) worker.emit("exit", EXIT_FAILURE, null);
    });
    worker.once("exit", (code: number | null, signal: string | null) => {
      this.#running.delete(worker);
      this.#onExit(worker, { code, signal });
    });
    return worker;
  }

  /** Resolves when it serves, to nothing, or when it has ended without. */
  #begun(worker: Worker): Promise<Exit | undefined> {
    return new Promise((resolve) => {
      worker.on("message", (message: unknown) => {
        if (isServing(message)) resolve(undefined);
      });
      worker.once("exit", (code: number | null, signal: string | null) => {
        resolve({ code, signal });
      });
    });
  }

  #onExit(worker: Worker, { code, signal }: Exit): void {
    if (this.#closing) {
      if (code !== EXIT_OK) this.#exitCode ||= code ?? EXIT_FAILURE;
      if (this.#running.size === 0) this.#onEmpty();
      return;
    }
    const seat = this.#seats.find((candidate) => candidate.worker === worker);
    if (seat === undefined || seat.isReplaced) return;
    this.#restart(seat, signal ?? `exit code ${code}`);
  }

  #restart(seat: Seat, why: string): void {
    const worked = performance.now() - seat.startedMs >= WORKING_MS;
    const waitMs = worked ? 0 : Math.min(FIRST_RESTART_MS * 2 ** seat.deaths, LAST_RESTART_MS);
    seat.deaths = worked ? 0 : seat.deaths + 1;
    this.#terminal.warn(`worker ${seat.number} died: ${why}; another one starts in ${waitMs} ms`);
    seat.restart = setTimeout(() => {
      seat.startedMs = performance.now();
      seat.worker = this.#fork(seat.number);
    }, waitMs);
  }

  #tellAll(message: ToWorker): void {
    for (const worker of this.#running) tell(worker, message);
  }

  #close(): void {
    this.#closing = true;
    for (const seat of this.#seats) clearTimeout(seat.restart);
    this.#tellAll("close");
    if (this.#running.size === 0) this.#onEmpty();
    else this.#overdue ??= setTimeout(() => this.#killAll(), this.#limitMs);
  }

  /** One whose event loop is stuck hears nothing, and would be waited for without end. */
  #killAll(): void {
    for (const worker of this.#running) {
      this.#terminal.warn(`process ${worker.process.pid} does not end, and is killed`);
      worker.process.kill("SIGKILL");
    }
  }

  /** How long a worker that was told to close may take. A timer takes no more than `MAX_MS`. */
  get #limitMs(): number {
    return Math.min(this.#options.graceMs + OVERDUE_MS, MAX_MS);
  }

  async #replaceAll(): Promise<void> {
    if (this.#replacing !== undefined) {
      this.#replacing.again = true;
      return;
    }
    const replacing = { again: true };
    this.#replacing = replacing;
    while (replacing.again && !this.#closing) {
      replacing.again = false;
      this.#terminal.warn("replacing the workers");
      for (const seat of this.#seats) {
        if (this.#closing || !(await this.#replace(seat))) break;
      }
    }
    this.#replacing = undefined;
  }

  /**
   * The new one serves before the old one is told to close, and the old one has ended before the
   * next seat has its turn.
   * @returns whether the new one serves
   */
  async #replace(seat: Seat): Promise<boolean> {
    const old = seat.worker;
    // One that died and waits for its successor gets it now, and no second one.
    clearTimeout(seat.restart);
    const worker = this.#fork(seat.number);
    seat.isReplaced = true;
    const exit = await this.#begun(worker);
    seat.isReplaced = false;
    if (this.#closing) return false;
    if (exit !== undefined) {
      const how = exit.signal ?? `exit code ${exit.code}`;
      this.#terminal.warn(`worker ${seat.number} is not replaced: the new one ended (${how})`);
      if (hasEnded(old)) this.#restart(seat, "while it was to be replaced");
      return false;
    }
    seat.worker = worker;
    seat.startedMs = performance.now();
    seat.deaths = 0;
    if (!hasEnded(old)) await this.#retire(old, seat.number);
    this.#terminal.warn(`worker ${seat.number} is replaced`);
    return true;
  }

  async #retire(old: Worker, number: number): Promise<void> {
    const exited = new Promise<void>((resolve) => {
      old.once("exit", () => resolve());
    });
    tell(old, "close");
    const overdue = setTimeout(() => {
      this.#terminal.warn(`worker ${number} does not end, and is killed`);
      old.process.kill("SIGKILL");
    }, this.#limitMs);
    await exited;
    clearTimeout(overdue);
  }
}

/** Also of a process that could not be started. */
function hasEnded(worker: Worker): boolean {
  return worker.isDead() || worker.process.pid === undefined;
}

/** A worker that is just dying hears nothing. */
function tell(worker: Worker, message: ToWorker): void {
  if (worker.isConnected()) worker.send(message, () => {});
}
