// A backend of `serve`: kept connected, and talked about when it comes or goes.

import { type ClientConn, type DialOptions, dial } from "../index.ts";
import { ChangeLog } from "./change-log.ts";
import type { Terminal } from "./terminal.ts";

/** Shorter than gRPC's for clients: a proxy should find its backend soon after it has come back. */
const BACKOFF = { initialMs: 250, maxMs: 5_000 };
/**
 * After this a lost connection is opened again, also when no call wants it: its state is known
 * then.
 */
const RECONNECT_MS = 250;

export type UpstreamRole = "backend" | "route" | "secondary";

/** What becomes of calls while it cannot be reached. */
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
  target: string,
  options: DialOptions,
  terminal: Terminal,
): ClientConn {
  const log = new ChangeLog(`${role} ${target}`, MEANWHILE[role], (line) => terminal.warn(line));
  let reconnect: NodeJS.Timeout | undefined;
  const conn = dial(target, { backoff: BACKOFF, ...options });
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
