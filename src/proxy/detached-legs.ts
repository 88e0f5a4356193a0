// The detached destinations of a call that is over, until the last of them has ended: each within its own time, all of them when
// the server is closed.

import type { GrpcError } from "../grpc/error.ts";
import { detachedEnd } from "../observe/channels.ts";
import type { CallOwner, Leftover, ServerCall } from "../server/server-call.ts";
import type { UpstreamLeg } from "./upstream-leg.ts";

export class DetachedLegs implements Leftover {
  readonly #owner: CallOwner;
  readonly #legs: readonly UpstreamLeg[];
  #left: number;

  /** @param legs at least one; none has ended */
  constructor(owner: CallOwner, legs: readonly UpstreamLeg[]) {
    this.#owner = owner;
    this.#legs = legs;
    this.#left = legs.length;
    owner.leftovers.add(this);
    for (const leg of legs) leg.detach();
  }

  /** One of them has ended. */
  onLegEnd(): void {
    this.#left--;
    if (this.#left === 0) this.#owner.leftovers.delete(this);
  }

  onServerClosed(reason: GrpcError): void {
    for (const leg of this.#legs) leg.cancel(reason);
  }
}

/** Nobody may be left to be told but who listens to all calls. */
export function publishDetachedEnd(leg: UpstreamLeg, method: string, call: ServerCall): void {
  if (!detachedEnd.hasSubscribers) return;
  if (call.scope === undefined) publish(leg, method, call);
  else call.scope.runInAsyncScope(publish, undefined, leg, method, call);
}

function publish(leg: UpstreamLeg, method: string, call: ServerCall): void {
  const { index, status, details, error, requestBytes, responseBytes } = leg;
  detachedEnd.publish({
    method,
    target: leg.conn.target,
    index,
    status,
    details,
    error,
    durationMs: call.clock.nowMs() - call.startedMs,
    requestBytes,
    responseBytes,
  });
}
