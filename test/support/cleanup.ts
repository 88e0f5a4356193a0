// Closes everything that a test opened when the test is over, however it ended.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { WAIT_LIMIT_MS } from "./patience.ts";

/** Runs `close` when the current test has finished; last opened, first closed. */
export function closeAtEnd(close: () => unknown): void {
  onTestFinished(async () => {
    await close();
  });
}

/** A path for a UNIX socket that is free, and removed at the end of the test. */
export function socketPath(): string {
  const folder = mkdtempSync(join(tmpdir(), "relay-"));
  closeAtEnd(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "s");
}

/** Waits for `promise`; after the limit fails with an error that names the awaited event. */
export async function within<T>(
  what: string,
  promise: Promise<T>,
  limitMs: number = WAIT_LIMIT_MS,
): Promise<T> {
  const failure = new Error(`${what}: nothing after ${limitMs} ms`);
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(failure), limitMs);
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
  }
}
