// A backend of `serve`: kept connected, and talked about when it comes or goes.

import { type ClientConn, type DialOptions, dial } from "../index.ts";
import { ChangeLog } from "./change-log.ts";
import type { Terminal } from "./terminal.ts";

/** Shorter than gRPC's for clients: a proxy should find its backend soon after it has come back. */
const BACKOFF = { initialMs: 250, maxMs: 5_000 };
/** A connection that was lost is opened again after this, whether a call wants it or not, so that its state is known. */
const RECONNECT_MS = 250;

/**
 * A connection that is kept up from its first `connect` on.
 * @param role for messages: `backend`, `secondary`
 * @throws {TypeError | RangeError} as `dial`
 */
export function dialUpstream(
  role: string,
  target: string,
  options: DialOptions,
  terminal: Terminal,
): ClientConn {
  const log = new ChangeLog(`${role} ${target}`, (line) => terminal.warn(line));
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
