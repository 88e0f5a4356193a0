// The harness's end of the load generator process.

import { type Launched, type LaunchOptions, launchNode } from "../process/launch.ts";
import type { LoadObserver, LoadPlan } from "./generator.ts";
import type { IdlePlan } from "./idle.ts";
import type { LoadAnswer, LoadCommand } from "./main.ts";
import type { LoadResult } from "./workload.ts";

const NOBODY: LoadObserver = { onMeasuring: () => {}, onMeasured: () => {} };

export class Generator {
  readonly #process: Launched;

  private constructor(process: Launched) {
    this.#process = process;
  }

  static async start(options: LaunchOptions): Promise<Generator> {
    const { process } = await launchNode("load/main", [], options);
    return new Generator(process);
  }

  /** @throws when the connections cannot be opened; calls that fail are in the result */
  async run(plan: LoadPlan, observer: LoadObserver = NOBODY): Promise<LoadResult> {
    const answer = await this.#ask({ command: "run", plan }, observer);
    if (answer.event !== "result") throw new Error(`expected a result, got ${answer.event}`);
    return answer.result;
  }

  /** @throws when they cannot all be held */
  async hold(plan: IdlePlan): Promise<void> {
    await this.#ask({ command: "hold", plan }, NOBODY);
  }

  async release(): Promise<void> {
    await this.#ask({ command: "release" }, NOBODY);
  }

  stop(): Promise<void> {
    return this.#process.stop();
  }

  /** One command at a time; resolves with the answer that ends it. */
  #ask(command: LoadCommand, observer: LoadObserver): Promise<LoadAnswer> {
    return new Promise((resolve, reject) => {
      void this.#process.ended.then(() =>
        reject(new Error(this.#process.death ?? "the load generator was stopped")),
      );
      this.#process.onLine = (line) => {
        const answer = JSON.parse(line) as LoadAnswer; // Our own child wrote it (load/main.ts).
        if (answer.event === "measuring") observer.onMeasuring();
        else if (answer.event === "measured") observer.onMeasured();
        else if (answer.event === "failed") reject(new Error(answer.message));
        else resolve(answer);
      };
      this.#process.send(command);
    });
  }
}
