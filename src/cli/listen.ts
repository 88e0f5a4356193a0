// Listens as users expect: an error says why listening failed, and the socket file of a dead
// process is no obstacle.

import { lstat, unlink } from "node:fs/promises";
import { dial } from "../index.ts";
import {
  formatListenAddress,
  isInherited,
  type ListenAddress,
} from "../transport/listen-address.ts";
import { CommandError, messageOf, systemCode } from "./command-error.ts";

/** Asking a socket whether somebody listens on it takes no longer than this. */
const PROBE_TIMEOUT_MS = 1_000;

/**
 * @param open listens on `address`
 * @throws {CommandError} saying why listening failed
 */
export async function listen<Listener>(
  address: ListenAddress,
  open: () => Promise<Listener>,
): Promise<Listener> {
  try {
    return await open();
  } catch (error) {
    if (systemCode(error) !== "EADDRINUSE" || !("path" in address)) throw refused(address, error);
    if (!(await isStaleSocket(address.path))) throw refused(address, error);
  }
  try {
    await unlink(address.path);
    return await open();
  } catch (error) {
    throw refused(address, error);
  }
}

function refused(address: ListenAddress, error: unknown): CommandError {
  // It says what was expected and what came.
  if (isInherited(address)) return new CommandError(messageOf(error), { cause: error });
  return new CommandError(
    `expected an address to listen on, got ${formatListenAddress(address)}: ${reason(address, error)}`,
    { cause: error },
  );
}

function reason(address: ListenAddress, error: unknown): string {
  switch (systemCode(error)) {
    case "EADDRINUSE":
      return "it is in use (EADDRINUSE)";
    case "EACCES":
      // Node says the same for a folder that does not exist.
      return "path" in address
        ? "its folder does not exist or may not be written to (EACCES)"
        : "permission denied (EACCES)";
    case "EADDRNOTAVAIL":
      return "this machine does not have it (EADDRNOTAVAIL)";
    case "ENOTFOUND":
      return "its host is not known (ENOTFOUND)";
    default:
      return messageOf(error);
  }
}

/** The file is a socket that nobody listens on: its owner ended without removing it. */
async function isStaleSocket(path: string): Promise<boolean> {
  const isSocket = await lstat(path).then(
    (file) => file.isSocket(),
    () => false,
  );
  return isSocket && (await refusesConnections(path));
}

function refusesConnections(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const conn = dial(`unix:${path}`, { connectTimeoutMs: PROBE_TIMEOUT_MS });
    conn.onState((state, error) => {
      if (state === "connecting" || state === "shutdown") return;
      const stale = state === "transientFailure" && systemCode(error?.cause) === "ECONNREFUSED";
      void conn.close().then(() => resolve(stale));
    });
    conn.connect();
  });
}
