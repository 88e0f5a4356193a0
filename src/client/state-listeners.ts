// Who is told of each change of a connection, all of them in the same order.

import { tell } from "../check/check.ts";
import type { GrpcError } from "../grpc/error.ts";
import { type ConnState, type ConnStateEvent, connState } from "../observe/channels.ts";
import { currentScope, type Scope } from "../observe/scope.ts";

type StateListener = (state: ConnState, error: GrpcError | undefined, reason: string) => void;

interface Change extends ConnStateEvent {
  readonly error: GrpcError | undefined;
}

/** Those of one connection. Told in the async context in which this was made. */
export class StateListeners {
  readonly #scope: Scope = currentScope();
  readonly #all = new Set<{ readonly listener: StateListener }>();
  /** Changes that not everybody has been told of. Whoever is told of one may cause the next. */
  readonly #untold: Change[] = [];

  /** @returns a function that takes it out again */
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
    // Goes on with those that are added meanwhile.
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
