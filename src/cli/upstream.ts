// A backend of `serve`: the connection is kept up, and its changes are logged.

import { type ClientConn, type DialOptions, dial } from "../index.ts";
import { ChangeLog } from "./change-log.ts";
import type { Terminal } from "./terminal.ts";

/** Shorter than gRPC's for clients: a proxy should find its backend soon after it has come back. */
const BACKOFF = { initialMs: 250, maxMs: 5_000 };
/**
 * After this time a lost connection is opened again, even if no call wants it, so that its state is
 * known.
 */
const RECONNECT_MS = 250;

export type UpstreamRole = "backend" | "route" | "secondary";

/** The fate of calls while the backend cannot be reached. */
const MEANWHILE: Readonly<Record<UpstreamRole, string>> = {
  backend: "calls get UNAVAILABLE",
  route: "calls get UNAVAILABLE",
  secondary: "calls go on without it",
};

/**
 * A connection that is kept up from its first `connect` on.
 * @param role for messages
 * @throws {TypeError | RangeError} as `dial`
 */
export function dialUpstream(
  role: UpstreamRole,
  targets: readonly string[],
  options: DialOptions,
  terminal: Terminal,
): ClientConn {
  const [target = ""] = targets;
  const log = new ChangeLog(`${role} ${targets.join(", ")}`, MEANWHILE[role], (line) =>
    terminal.warn(line),
  );
  let reconnect: NodeJS.Timeout | undefined;
  const conn = dial(targets.length === 1 ? target : targets, { backoff: BACKOFF, ...options });
  conn.onState((state, error, reason) => {
    log.changed(state, error !== undefined, reason);
    // One at a time, however often it becomes idle meanwhile.
    if (state !== "idle" || reconnect !== undefined) return;
    reconnect = setTimeout(() => {
      reconnect = undefined;
      conn.connect();
    }, RECONNECT_MS).unref();
  });
  return conn;
}
