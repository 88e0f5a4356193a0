// Calls of one connection that wait: for an address that can be reached, or for room on one.

import { GrpcError } from "../grpc/error.ts";
import type { Balancing } from "./balancing.ts";
import type { StreamRequest } from "./stream-request.ts";
import { Subchannel } from "./subchannel/subchannel.ts";
import type { Member, SubchannelPool } from "./subchannel-pool.ts";
import { WaitingQueue } from "./waiting-queue.ts";

/**
 * How many calls that have to wait for another picker are passed over for those behind them, each
 * time that something changes.
 */
const MAX_PASSED_OVER = 100;

/** Keeps calls in order of arrival, and opens streams for them where the balancer says. */
export class WaitingCalls {
  readonly #queue = new WaitingQueue<StreamRequest>();
  readonly #balancing: Balancing;
  readonly #pool: SubchannelPool;
  /** Whether they are being served, and whether to look again. */
  #serving: "no" | "yes" | "again" = "no";

  constructor(balancing: Balancing, pool: SubchannelPool) {
    this.#balancing = balancing;
    this.#pool = pool;
  }

  get size(): number {
    return this.#queue.size;
  }

  push(request: StreamRequest): void {
    this.#queue.push(request);
  }

  /** Takes `request` out; `false` when it does not wait here. */
  remove(request: StreamRequest): boolean {
    return this.#queue.remove(request);
  }

  /** @param sparesPatient those that wait for ready go on waiting */
  fail(sparesPatient: boolean, error: GrpcError): void {
    for (const request of this.#queue.toArray()) {
      if (sparesPatient && request.waitForReady) continue;
      // One that is told may take others with it.
      if (this.#queue.remove(request)) request.onOpenFailed(error);
    }
  }

  /** Opens streams for calls that wait, as long as there is one and room for it. */
  serve(): void {
    if (this.#serving !== "no") {
      this.#serving = "again";
      return;
    }
    try {
      do {
        this.#serving = "yes";
        this.#serveInOrder();
      } while (this.#isAskedAgain());
    } finally {
      this.#serving = "no";
    }
  }

  #isAskedAgain(): boolean {
    return this.#serving === "again";
  }

  #serveInOrder(): void {
    for (;;) {
      const request = this.#queue.peek();
      if (request === undefined) return;
      const answer = this.#offer(request);
      if (answer === "full") return;
      if (answer === "unpicked") break;
    }
    // Where something is ready, the picker may have an address for another one.
    if (!this.#pool.isReady) return;
    for (const request of this.#queue.toArray().slice(1, MAX_PASSED_OVER)) {
      if (this.#offer(request) === "full") return;
    }
  }

  /** "full": nothing has room. "unpicked": it has to wait for another picker. */
  #offer(request: StreamRequest): "served" | "full" | "unpicked" {
    const picked = this.#balancing.pick(request);
    if (picked === undefined) return "unpicked";
    if (picked instanceof GrpcError) {
      if (this.#queue.remove(request)) request.onOpenFailed(picked);
      return "served";
    }
    const { subchannel } = this.#memberFor(request, picked);
    if (!subchannel.hasRoom) {
      subchannel.wantRoom();
      return "full";
    }
    if (this.#queue.remove(request)) subchannel.openStream(request);
    return "served";
  }

  /** The one that was picked, or another one where it has refused the call already, or is full. */
  #memberFor(request: StreamRequest, picked: Member): Member {
    const { refusedOn } = request;
    const hasRefused = refusedOn !== undefined && Subchannel.of(refusedOn) === picked.subchannel;
    if (picked.subchannel.hasRoom && !hasRefused) return picked;
    return this.#pool.withRoom(picked) ?? picked;
  }
}
