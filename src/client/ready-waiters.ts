// Waits for a connection without a call.

import { shown } from "../check/check.ts";
import { optionTable } from "../check/options.ts";
import type { GrpcError } from "../grpc/error.ts";

/** Options of `ClientConn.ready`. */
export interface ReadyOptions {
  /** Aborting it ends the wait; the promise is rejected with its reason. */
  readonly signal?: AbortSignal;
}

const READY_OPTIONS = optionTable<ReadyOptions>("options of ready", {
  signal: (name, value) => {
    if (value instanceof AbortSignal) return;
    throw new TypeError(`${name}: expected an AbortSignal, got ${shown(value)}`);
  },
});

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

/** The waiters of one connection. */
export class ReadyWaiters {
  readonly #all = new Set<Waiter>();
  readonly #onGone: () => void;

  /** @param onGone a waiter has stopped waiting */
  constructor(onGone: () => void) {
    this.#onGone = onGone;
  }

  get size(): number {
    return this.#all.size;
  }

  /** @throws {TypeError} saying what was expected and what came */
  add(options: ReadyOptions): Promise<void> {
    READY_OPTIONS.check(options);
    const { signal } = options;
    return new Promise<void>((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const onAbort = (): void => waiter.reject(signal?.reason);
      const leave = (): void => {
        this.#all.delete(waiter);
        signal?.removeEventListener("abort", onAbort);
        this.#onGone();
      };
      const waiter: Waiter = {
        resolve: () => {
          leave();
          resolve();
        },
        reject: (reason) => {
          leave();
          reject(reason);
        },
      };
      signal?.addEventListener("abort", onAbort);
      this.#all.add(waiter);
    });
  }

  resolve(): void {
    for (const waiter of [...this.#all]) waiter.resolve();
  }

  reject(error: GrpcError): void {
    for (const waiter of [...this.#all]) waiter.reject(error);
  }
}
