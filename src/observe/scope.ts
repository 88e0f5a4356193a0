// Async contexts, so that user code that is called back finds its `AsyncLocalStorage`. Sockets,
// timers and writes run in the context of whoever caused them. So user code is called in a scope
// that was kept for it. A leaf.

import { AsyncResource } from "node:async_hooks";

/** The async context of one moment, in which user code is run later. */
export type Scope = AsyncResource;

// Nobody waits for the end of a scope, so it need not be tracked.
const OPTIONS = { requireManualDestroy: true };

/**
 * The current context. It costs as much as a small object and a call, and is made only for callers
 * with callbacks.
 */
export function currentScope(): Scope {
  return new AsyncResource("GrpcRelayScope", OPTIONS);
}
