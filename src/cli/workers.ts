// `serve --workers N`: one process that forks, restarts and replaces those that serve. It holds the
// listening sockets, and connections until there is a worker for them.

import cluster from "node:cluster";
import { formatAddress } from "../transport/address.ts";
import { type HeldListener, holdConnections } from "../transport/held-connections.ts";
import type { ListenAddress } from "../transport/listen-address.ts";
import { CommandError, EXIT_FAILURE, EXIT_OK } from "./command-error.ts";
import { Dealer, type Hand } from "./dealer.ts";
import { MAX_MS } from "./flags.ts";
import { listen } from "./listen.ts";
import { RefusalLog } from "./refusal-log.ts";
import type { Terminal } from "./terminal.ts";
import { newTicketSecret, TICKET_SECRET_MS } from "./ticket-keys.ts";
import type { FromWorker, ToWorker } from "./worker-messages.ts";
import { type Exit, type Fork, forkWorker, WorkerProcess } from "./worker-process.ts";

/** A worker that stood this long did work: when it dies another one is started at once. */
const WORKING_MS = 10_000;
/** Waits before another worker takes the place of one that died sooner, in milliseconds. */
const FIRST_RESTART_MS = 250;
const LAST_RESTART_MS = 5_000;
/** What a worker has beyond its grace to end; then it is killed. */
const OVERDUE_MS = 5_000;

interface WorkersOptions {
  readonly count: number;
  readonly addresses: readonly ListenAddress[];
  /** The arguments of each worker: those of this process. */
  readonly args: readonly string[];
  /** How long the calls of a worker that closes may take, in milliseconds. */
  readonly graceMs: number;
  /** @default by node:cluster */
  readonly fork?: Fork;
}

/** One of the numbered places, and who is in it. */
class Seat {
  readonly number: number;
  worker: WorkerProcess;
  startedMs = performance.now();
  /** Of workers here that died one after another before they had worked. */
  deaths = 0;
  /** Another one is being started for it: if this one dies, nobody else is. */
  isReplaced = false;
  /** Starts another one after a wait. */
  restart: NodeJS.Timeout | undefined;

  constructor(worker: WorkerProcess) {
    this.number = worker.number;
    this.worker = worker;
  }
}

/**
 * Serves until a signal comes and every worker has closed. Resolves to the exit code: 0, or that of
 * a worker that could not begin or was cut short.
 * @throws {CommandError} in a process that is a worker of somebody else's cluster, and when an
 *   address cannot be listened on
 */
export function serveWithWorkers(options: WorkersOptions, terminal: Terminal): Promise<number> {
  if (!cluster.isPrimary) {
    throw new CommandError(
      "--workers: expected a process of its own, got a worker of another node:cluster",
    );
  }
  cluster.setupPrimary({ args: [...options.args] });
  return new Workers(options, terminal).serve();
}

/** The workers of this process: one for each seat, and one more while that is replaced. */
class Workers {
  readonly #options: WorkersOptions;
  readonly #terminal: Terminal;
  readonly #refusals: RefusalLog;
  readonly #dealer: Dealer;
  readonly #listeners: HeldListener[] = [];
  readonly #seats: Seat[] = [];
  /** All that run, those that close included. */
  readonly #running = new Set<WorkerProcess>();
  /** Of those that serve or have served. */
  readonly #hands = new Map<WorkerProcess, Hand>();
  #ticketSecret = newTicketSecret();
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
    this.#refusals = new RefusalLog(terminal);
    this.#dealer = new Dealer(this.#refusals.onConnectionError);
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
    const renewal = setInterval(() => this.#renewTicketSecret(), TICKET_SECRET_MS);
    try {
      await this.#listen();
      // What is wrong with the command line is said by the first one alone.
      await this.#fill(1);
      if (!this.#closing) {
        for (const { address } of this.#listeners) {
          this.#terminal.print(`listening on ${formatAddress(address)}`);
        }
      }
      const others = Array.from({ length: this.#options.count - 1 }, (_, at) => at + 2);
      await Promise.all(others.map((number) => this.#fill(number)));
      await empty;
    } finally {
      clearInterval(renewal);
      clearTimeout(this.#overdue);
      for (const end of unsubscribe) end();
      this.#stopListening();
      this.#refusals.end();
    }
    return this.#exitCode;
  }

  /** Connections that come before a worker serves wait for it. */
  async #listen(): Promise<void> {
    for (const [number, address] of this.#options.addresses.entries()) {
      const listener = await listen(address, () =>
        holdConnections(
          address,
          (connection) => this.#dealer.deal(number, connection),
          this.#refusals.onConnectionError,
        ),
      );
      this.#listeners.push(listener);
    }
    if (this.#closing) this.#stopListening();
  }

  #stopListening(): void {
    for (const listener of this.#listeners.splice(0)) listener.close();
    this.#dealer.close();
  }

  #renewTicketSecret(): void {
    this.#ticketSecret = newTicketSecret();
    this.#tellAll({ ticketSecret: this.#ticketSecret });
  }

  /** Puts a worker into a new seat. One that cannot begin ends the command. */
  async #fill(number: number): Promise<void> {
    if (this.#closing) return;
    const seat = new Seat(this.#fork(number));
    this.#seats.push(seat);
    seat.isReplaced = true;
    const exit = await seat.worker.begun;
    seat.isReplaced = false;
    if (exit === undefined || this.#closing) return;
    this.#exitCode = exit.code ?? EXIT_FAILURE;
    if (exit.signal !== null) {
      this.#terminal.warn(`worker ${number} died before it served: ${exit.signal}`);
    }
    this.#close();
  }

  #fork(number: number): WorkerProcess {
    const worker = new WorkerProcess(number, this.#options.fork ?? forkWorker, {
      onMessage: (message) => this.#onMessage(worker, message),
      // Not at its exit, which may come before its last messages: a connection that it has taken
      // would be dealt again.
      onDisconnect: () => this.#endHand(worker),
      onExit: (exit) => {
        this.#running.delete(worker);
        this.#onExit(worker, exit);
      },
      warn: (text) => this.#terminal.warn(text),
    });
    this.#running.add(worker);
    return worker;
  }

  #endHand(worker: WorkerProcess): void {
    this.#hands.get(worker)?.end();
    this.#hands.delete(worker);
  }

  #onMessage(worker: WorkerProcess, message: FromWorker): void {
    const hand = this.#hands.get(worker);
    if (message === "serving") {
      this.#terminal.warn(`worker ${worker.number} serves, process ${worker.pid}`);
      if (!this.#closing) this.#hands.set(worker, this.#dealer.add(worker));
    } else if (message === "started") {
      worker.tell({ ticketSecret: this.#ticketSecret });
      // It did not hear that before.
      if (this.#closing) worker.tell("close");
    } else if (message === "probed") hand?.onProbed();
    else hand?.onAnswer(message);
  }

  #onExit(worker: WorkerProcess, { code, signal }: Exit): void {
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
    for (const worker of this.#running) worker.tell(message);
  }

  #close(): void {
    this.#closing = true;
    this.#stopListening();
    for (const seat of this.#seats) clearTimeout(seat.restart);
    this.#tellAll("close");
    if (this.#running.size === 0) this.#onEmpty();
    else this.#overdue ??= setTimeout(() => this.#killAll(), this.#limitMs);
  }

  /** One whose event loop is stuck hears nothing, and would be waited for without end. */
  #killAll(): void {
    for (const worker of this.#running) {
      this.#terminal.warn(`process ${worker.pid} does not end, and is killed`);
      worker.kill();
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
    const exit = await worker.begun;
    seat.isReplaced = false;
    if (this.#closing) return false;
    if (exit !== undefined) {
      const how = exit.signal ?? `exit code ${exit.code}`;
      this.#terminal.warn(`worker ${seat.number} is not replaced: the new one ended (${how})`);
      if (old.hasEnded) this.#restart(seat, "while it was to be replaced");
      return false;
    }
    seat.worker = worker;
    seat.startedMs = performance.now();
    seat.deaths = 0;
    if (!old.hasEnded) await this.#retire(old);
    this.#terminal.warn(`worker ${seat.number} is replaced`);
    return true;
  }

  async #retire(old: WorkerProcess): Promise<void> {
    this.#hands.get(old)?.leave();
    old.tell("close");
    const overdue = setTimeout(() => {
      this.#terminal.warn(`worker ${old.number} does not end, and is killed`);
      old.kill();
    }, this.#limitMs);
    await old.exited;
    clearTimeout(overdue);
  }
}
