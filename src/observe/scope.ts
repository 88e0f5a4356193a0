// Async contexts: what `AsyncLocalStorage` gives user code that is called back. Sockets, timers and
// writes belong to whoever happened to cause them, so whoever is to be told something is told in a
// scope that was kept for it. A leaf.

import { AsyncResource } from "node:async_hooks";

/** The async context of one moment, to run user code in later. */
export type Scope = AsyncResource;

// Nobody waits for its end, so it need not be watched for.
const OPTIONS = { requireManualDestroy: true };

/**
 * The context of whoever is running. Costs as much as a small object and a call; made only for who
 * has callbacks.
 */
export function currentScope(): Scope {
  return new AsyncResource("GrpcRelayScope", OPTIONS);
}
