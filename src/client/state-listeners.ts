// Tells all listeners of each change of a connection, in the same order.

import { tell } from "../check/check.ts";
import type { GrpcError } from "../grpc/error.ts";
import { type ConnState, type ConnStateEvent, connState } from "../observe/channels.ts";
import { currentScope, type Scope } from "../observe/scope.ts";

type StateListener = (state: ConnState, error: GrpcError | undefined, reason: string) => void;

interface Change extends ConnStateEvent {
  readonly error: GrpcError | undefined;
}

/**
 * The listeners of one connection. They are called in the async context in which this object was
 * made.
 */
export class StateListeners {
  readonly #scope: Scope = currentScope();
  readonly #all = new Set<{ readonly listener: StateListener }>();
  /**
   * Changes that some listeners have not been told of. A listener that is told of one may cause the
   * next.
   */
  readonly #untold: Change[] = [];

  /** @returns a function that removes the listener */
  add(listener: StateListener): () => void {
    const entry = { listener };
    this.#all.add(entry);
    return () => {
      this.#all.delete(entry);
    };
  }

  tell(change: Change): void {
    if (this.#all.size === 0 && !connState.hasSubscribers) return;
    this.#untold.push(change);
    if (this.#untold.length > 1) return;
    // Changes that are added meanwhile are told, too.
    for (const next of this.#untold) this.#scope.runInAsyncScope(this.#tellAll, this, next);
    this.#untold.length = 0;
  }

  #tellAll(change: Change): void {
    connState.publish(change);
    const { state, error, reason } = change;
    for (const entry of [...this.#all]) {
      if (!this.#all.has(entry)) continue;
      tell("a listener of onState", () => entry.listener(state, error, reason));
    }
  }
}
