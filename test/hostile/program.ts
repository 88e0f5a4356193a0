// A program of this folder in a process of its own, which is asked for things by messages.

import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";

export class Program<First> {
  /** What the program said when it was ready. */
  readonly ready: First;
  readonly #child: ChildProcess;
  readonly #waiting: Map<number, (answer: never) => void>;
  #lastId = 0;

  private constructor(
    child: ChildProcess,
    waiting: Map<number, (answer: never) => void>,
    ready: First,
  ) {
    this.#child = child;
    this.#waiting = waiting;
    this.ready = ready;
  }

  /** @param argument goes to the program as JSON */
  static async start<First>(name: string, argument: object = {}): Promise<Program<First>> {
    const path = fileURLToPath(new URL(name, import.meta.url));
    const child = fork(path, [JSON.stringify(argument)], { execArgv: [] });
    const waiting = new Map<number, (answer: never) => void>();
    const ready = await new Promise<First>((resolve, reject) => {
      waiting.set(0, resolve);
      child.on("message", ({ id, answer }: { id: number; answer: never }) => {
        waiting.get(id)?.(answer);
        waiting.delete(id);
      });
      child.once("exit", (code) => reject(new Error(`${name} ended with exit code ${code}`)));
    });
    return new Program(child, waiting, ready);
  }

  ask<Answer>(command: string, argument?: object): Promise<Answer> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      const onExit = (): void => reject(new Error(`the process ended before "${command}"`));
      this.#waiting.set(id, (answer) => {
        this.#child.off("exit", onExit);
        resolve(answer);
      });
      this.#child.once("exit", onExit);
      this.#child.send({ id, command, argument });
    });
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }
}
