// Starts, watches and ends the processes of a measurement: our own Node children and programs such
// as nghttpx.

import { type ChildProcess, spawn } from "node:child_process";
import { connect, createServer } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Announcement } from "./child.ts";

/** `.ts` when the harness runs from its sources (Node >= 22.18), `.js` from `.build/`. */
const EXTENSION = import.meta.url.endsWith(".ts") ? ".ts" : ".js";
const START_LIMIT_MS = 30_000;
const STOP_LIMIT_MS = 2_000;
const STDERR_KEPT_BYTES = 4_096;

const running = new Set<ChildProcess>();
process.on("exit", () => {
  // Not SIGKILL: a master process must still be able to end its workers.
  for (const child of running) child.kill("SIGTERM");
});

export class LaunchError extends Error {
  override readonly name = "LaunchError";
}

export interface LaunchOptions {
  /** CPU list for taskset. Without one the process is not pinned. */
  readonly cpus?: string | undefined;
  readonly nodeArguments?: readonly string[];
}

/** One child process; its standard error is kept for the message when it dies. */
export class Launched {
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #name: string;
  readonly #ended: Promise<void>;
  #stderr = "";
  #exit: string | undefined;
  #stopping = false;
  onLine: ((line: string) => void) | undefined;

  constructor(name: string, command: string, args: readonly string[], options: LaunchOptions) {
    const pinned = options.cpus !== undefined;
    // taskset replaces itself by the program, so the child's id is the id of the program.
    this.#child = spawn(
      pinned ? "taskset" : command,
      pinned ? ["-c", options.cpus, command, ...args] : args,
      { stdio: ["pipe", "pipe", "pipe"] },
    );
    this.#name = name;
    this.pid = this.#child.pid ?? 0;
    running.add(this.#child);
    this.#child.stdin?.on("error", () => {});
    this.#child.stderr?.on("data", (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString("utf8")).slice(-STDERR_KEPT_BYTES);
    });
    createInterface({ input: this.#child.stdout! }).on("line", (line) => this.onLine?.(line));
    this.#ended = new Promise((resolve) => {
      const end = (how: string): void => {
        this.#exit ??= how;
        running.delete(this.#child);
        resolve();
      };
      this.#child.on("error", (error) => end(error.message));
      this.#child.on("close", (code, signal) => end(signal ?? `exit code ${code}`));
    });
  }

  /** Why it ended on its own, with its last words; `undefined` while it runs. */
  get death(): string | undefined {
    if (this.#exit === undefined || this.#stopping) return undefined;
    const lines = this.#stderr.trim().split("\n");
    // Node prints the error amid its stack. Other programs print it last.
    const words = lines.find((line) => /^\S*Error\b/.test(line)) ?? lines.at(-1) ?? "";
    return `${this.#name} ended (${this.#exit})${words === "" ? "" : `: ${words.trim()}`}`;
  }

  get ended(): Promise<void> {
    return this.#ended;
  }

  send(command: unknown): void {
    this.#child.stdin?.write(`${JSON.stringify(command)}\n`);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    if (this.#exit === undefined) this.#child.kill("SIGTERM");
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), STOP_LIMIT_MS);
    await this.#ended;
    clearTimeout(timer);
  }
}

/** Starts `bench/<module>` with Node and waits for its announcement. */
export async function launchNode(
  module: string,
  args: readonly string[],
  options: LaunchOptions = {},
): Promise<{ process: Launched; where: Announcement }> {
  const script = fileURLToPath(new URL(`../${module}${EXTENSION}`, import.meta.url));
  return await launchScript(module, script, args, options);
}

/** Starts a script anywhere with Node and waits for its announcement. `name` is for messages. */
export async function launchScript(
  name: string,
  script: string,
  args: readonly string[],
  options: LaunchOptions = {},
): Promise<{ process: Launched; where: Announcement }> {
  const launched = new Launched(
    name,
    process.execPath,
    [...(options.nodeArguments ?? []), script, ...args],
    options,
  );
  try {
    const where = await within(
      START_LIMIT_MS,
      `${name} did not say where it listens`,
      new Promise<Announcement>((resolve, reject) => {
        launched.onLine = (line) => resolve(parseAnnouncement(line));
        void launched.ended.then(() => reject(new LaunchError(launched.death ?? `${name} ended`)));
      }),
    );
    launched.onLine = undefined;
    return { process: launched, where };
  } catch (error) {
    await launched.stop();
    throw error;
  }
}

function parseAnnouncement(line: string): Announcement {
  const parsed: unknown = JSON.parse(line);
  if (typeof parsed !== "object" || parsed === null || !("port" in parsed)) {
    throw new LaunchError(`expected an announcement, got ${line}`);
  }
  return parsed as Announcement; // Our own child wrote it (child.ts).
}

/**
 * Starts a program that was told to listen at `where`, a port or the path of a UNIX socket, and
 * waits until it accepts connections.
 */
export async function launchProgram(
  command: string,
  args: readonly string[],
  where: number | string,
  options: LaunchOptions = {},
): Promise<Launched> {
  const launched = new Launched(command, command, args, options);
  const deadline = performance.now() + START_LIMIT_MS;
  while (!(await accepts(where))) {
    if (launched.death !== undefined || performance.now() > deadline) {
      const why = launched.death ?? `${command} does not listen at ${where}`;
      await launched.stop();
      throw new LaunchError(why);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return launched;
}

function accepts(where: number | string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(
      typeof where === "number" ? { host: "127.0.0.1", port: where } : { path: where },
    );
    socket.on("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}

/** A port that was free a moment ago, for programs that cannot choose one and tell. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => {
        if (address !== null && typeof address === "object") resolve(address.port);
        else reject(new LaunchError("no free port"));
      });
    });
  });
}

export async function within<T>(limitMs: number, failure: string, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  try {
    return await Promise.race([
      work,
      new Promise<never>((_, reject) => {
        timer = setTimeout(
          () => reject(new LaunchError(`${failure} within ${limitMs} ms`)),
          limitMs,
        );
      }),
    ]);
  } finally {
    clearTimeout(timer);
  }
}
