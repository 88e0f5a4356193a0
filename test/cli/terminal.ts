// A terminal that tests look at, and how they run a command in it.

import { expect } from "vitest";
import { run } from "../../src/cli/run.ts";
import type { Terminal } from "../../src/cli/terminal.ts";
import { closeAtEnd, within } from "../support/cleanup.ts";

export class FakeTerminal implements Terminal {
  readonly worker = undefined;
  readonly out: string[] = [];
  readonly err: string[] = [];
  readonly #handlers = new Set<() => void>();
  readonly #reloading = new Set<() => void>();
  readonly #waiting = new Set<() => void>();

  print(text: string): void {
    this.out.push(...text.split("\n"));
    this.#changed();
  }

  warn(text: string): void {
    this.err.push(...text.split("\n"));
    this.#changed();
  }

  onSignal(handler: () => void): () => void {
    this.#handlers.add(handler);
    return () => this.#handlers.delete(handler);
  }

  onReload(handler: () => void): () => void {
    this.#reloading.add(handler);
    return () => this.#reloading.delete(handler);
  }

  onReplace(): () => void {
    return () => {};
  }

  serving(): void {}

  end(): void {}

  /** As SIGHUP. */
  reload(): void {
    for (const handler of [...this.#reloading]) handler();
  }

  get signalHandlerCount(): number {
    return this.#handlers.size + this.#reloading.size;
  }

  signal(): void {
    for (const handler of [...this.#handlers]) handler();
  }

  /** The first line, printed or still to come, that matches; its first group, or all of it. */
  line(pattern: RegExp): Promise<string> {
    return this.#lineOf(() => [...this.out, ...this.err], pattern);
  }

  /** The same of what is said on standard error behind its first `count` lines. */
  lineAfter(count: number, pattern: RegExp): Promise<string> {
    return this.#lineOf(() => this.err.slice(count), pattern);
  }

  #lineOf(lines: () => readonly string[], pattern: RegExp): Promise<string> {
    const found = new Promise<string>((resolve) => {
      const look = (): void => {
        for (const line of lines()) {
          const match = pattern.exec(line);
          if (match === null) continue;
          this.#waiting.delete(look);
          resolve(match[1] ?? match[0]);
          return;
        }
      };
      this.#waiting.add(look);
      look();
    });
    return within(`a line like ${pattern}`, found);
  }

  #changed(): void {
    for (const look of [...this.#waiting]) look();
  }
}

export interface Running {
  readonly terminal: FakeTerminal;
  readonly exitCode: Promise<number>;
}

/** Starts a command that serves; it is stopped at the end of the test at the latest. */
export function start(...args: string[]): Running {
  const terminal = new FakeTerminal();
  const exitCode = run(args, terminal);
  closeAtEnd(async () => {
    terminal.signal();
    await exitCode;
    expect(terminal.signalHandlerCount).toBe(0);
  });
  return { terminal, exitCode };
}

/** Runs a command that ends by itself. */
export async function runToEnd(
  ...args: string[]
): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  const terminal = new FakeTerminal();
  const code = await within(`the end of ${args.join(" ")}`, run(args, terminal));
  return { code, out: terminal.out.join("\n"), err: terminal.err.join("\n") };
}
