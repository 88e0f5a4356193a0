// The command as a process of its own, from the build that `npm test` makes first.

import { type ChildProcess, type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { closeAtEnd, within } from "../support/cleanup.ts";
import { PROCESS_LIMIT_MS } from "../support/patience.ts";

export interface Child {
  readonly process: ChildProcess;
  output: string;
  readonly exit: Promise<number | null>;
  /** Waits until the output matches; its first group, or all of it. */
  printed(pattern: RegExp): Promise<string>;
}

export function grpcRelay(...args: string[]): Child {
  return grpcRelayBy(process.execPath, ...args);
}

/** @param node the program that runs the command and its workers */
export function grpcRelayBy(node: string, ...args: string[]): Child {
  return childOf(spawn(node, ["dist/cli.js", ...args], { stdio: ["ignore", "pipe", "pipe"] }));
}

/** @param process_ with pipes for its output */
export function childOf(process_: ChildProcessByStdio<null, Readable, Readable>): Child {
  closeAtEnd(() => process_.kill("SIGKILL"));
  const child: Child = {
    process: process_,
    output: "",
    exit: once(process_, "close").then(([code]: (number | null)[]) => code ?? null),
    printed: (pattern) =>
      within(
        `output like ${pattern}`,
        new Promise((resolve) => {
          const look = (): void => {
            const match = pattern.exec(child.output);
            if (match !== null) resolve(match[1] ?? match[0]);
          };
          process_.stdout.on("data", look);
          process_.stderr.on("data", look);
          look();
        }),
        PROCESS_LIMIT_MS,
      ),
  };
  for (const stream of [process_.stdout, process_.stderr]) {
    stream.prependListener("data", (chunk: Buffer) => {
      child.output += chunk.toString();
    });
  }
  return child;
}
