// Starts relay-process.mjs or another program that speaks as it does, asks it, and ends it.

import { type ChildProcess, fork } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { TransportCombo } from "../support/combos.ts";

const BUILT = fileURLToPath(new URL("../../dist/index.js", import.meta.url));

export interface RelayStats {
  readonly rssBytes: number;
  /** Since the start, or the last `resetPeak`. */
  readonly peakRssBytes: number;
  readonly heapUsedBytes: number;
  readonly externalBytes: number;
  readonly openCallCount: number;
  readonly sessionCount: number;
  readonly openStreamCount: number;
  readonly waitingCount: number;
  /** Of relay-process.mjs alone. */
  readonly finalizedCount: number;
  /** Files that are open, and timers that are scheduled; of connections-process.mjs alone. */
  readonly fileCount: number;
  readonly timerCount: number;
  /** What keeps the process alive, as Node names it. */
  readonly resources: readonly string[];
  /** Uncaught exceptions, unhandled rejections, warnings: none may be there. */
  readonly problems: readonly string[];
}

/** Where calls of the services `x.Plain`, `x.Mortal` and `x.FanOut` go. */
export interface RelayBackends {
  readonly plain: string;
  readonly mortal?: string;
  readonly other?: string;
  /** Nobody listens there. */
  readonly nobody?: string;
}

export interface RelayAddress {
  readonly host: string;
  readonly port: number;
}

type Command = "stats" | "collect" | "resetPeak" | "dial" | "close";

export class RelayProcess {
  readonly address: RelayAddress;
  readonly #child: ChildProcess;
  readonly #waiting: Map<number, (answer: never) => void>;
  #lastId = 0;

  private constructor(child: ChildProcess, waiting: Map<number, never>, address: RelayAddress) {
    this.#child = child;
    this.#waiting = waiting;
    this.address = address;
  }

  static async start(
    combo: TransportCombo,
    backends: RelayBackends,
    nodeFlags: readonly string[] = [],
    program = "relay-process.mjs",
  ): Promise<RelayProcess> {
    if (!existsSync(BUILT)) throw new Error(`expected ${BUILT}: run "npm run build" first`);
    const path = fileURLToPath(new URL(program, import.meta.url));
    const child = fork(path, [JSON.stringify({ ...combo, backends })], {
      execArgv: [...nodeFlags],
    });
    const waiting = new Map<number, never>();
    const address = await new Promise<RelayAddress>((resolve, reject) => {
      const callbacks = waiting as Map<number, (answer: never) => void>;
      callbacks.set(0, resolve);
      child.on("message", ({ id, answer }: { id: number; answer: never }) => {
        callbacks.get(id)?.(answer);
        callbacks.delete(id);
      });
      child.once("exit", (code) => reject(new Error(`the relay ended with exit code ${code}`)));
    });
    return new RelayProcess(child, waiting, address);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** @param count how many to dial */
  ask(command: Command, count?: number): Promise<RelayStats> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      const onExit = (): void => reject(new Error(`the relay ended before "${command}"`));
      this.#waiting.set(id, (answer) => {
        this.#child.off("exit", onExit);
        resolve(answer);
      });
      this.#child.once("exit", onExit);
      this.#child.send({ id, command, count });
    });
  }

  /**
   * Closes server and connections. @returns the exit code of a process that had nothing left to do
   */
  async close(): Promise<number | null> {
    const exited = new Promise<number | null>((resolve) => this.#child.once("exit", resolve));
    await this.ask("close");
    return exited;
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }
}
