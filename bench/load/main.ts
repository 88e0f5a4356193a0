// The load generator as a process: commands and answers are JSON lines.

import { announce, followParent } from "../process/child.ts";
import { fastTransport } from "../transport.ts";
import { type LoadPlan, runLoad } from "./generator.ts";
import { holdIdle, type IdleLoad, type IdlePlan } from "./idle.ts";
import type { LoadResult } from "./workload.ts";

export type LoadCommand =
  | { readonly command: "run"; readonly plan: LoadPlan }
  | { readonly command: "hold"; readonly plan: IdlePlan }
  | { readonly command: "release" };

export type LoadAnswer =
  | { readonly event: "measuring" | "measured" | "held" | "released" }
  | { readonly event: "result"; readonly result: LoadResult }
  | { readonly event: "failed"; readonly message: string };

const transport = fastTransport();
const held: IdleLoad[] = [];

function answer(message: LoadAnswer): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

async function obey(command: LoadCommand): Promise<void> {
  switch (command.command) {
    case "run": {
      const result = await runLoad(transport, command.plan, {
        onMeasuring: () => answer({ event: "measuring" }),
        onMeasured: () => answer({ event: "measured" }),
      });
      answer({ event: "result", result });
      return;
    }
    case "hold":
      held.push(await holdIdle(transport, command.plan));
      answer({ event: "held" });
      return;
    case "release":
      for (const load of held.splice(0)) load.close();
      answer({ event: "released" });
  }
}

followParent((command) => {
  obey(command as LoadCommand).catch((error: unknown) => {
    answer({ event: "failed", message: error instanceof Error ? error.message : String(error) });
  });
});
announce({ port: 0 });
