// A backend of `serve`: kept connected, and talked about when it comes or goes.

import { type ClientConn, type DialOptions, dial } from "../index.ts";
import { messageOf } from "./command-error.ts";
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
  let reachable: boolean | undefined;
  let reconnect: NodeJS.Timeout | undefined;
  const conn = dial(target, {
    backoff: BACKOFF,
    ...options,
    onStateChange: (state, error) => {
      if (state === "ready" && reachable !== true) {
        reachable = true;
        terminal.warn(`${role} ${target} connected`);
      } else if (state === "transientFailure" && reachable !== false) {
        reachable = false;
        terminal.warn(
          `${role} ${target} unreachable, calls get UNAVAILABLE: ${messageOf(error?.cause ?? error)}`,
        );
      } else if (state === "idle") {
        // One at a time, however often it becomes idle meanwhile.
        if (reconnect !== undefined) return;
        reconnect = setTimeout(() => {
          reconnect = undefined;
          conn.connect();
        }, RECONNECT_MS).unref();
      }
    },
  });
  return conn;
}
