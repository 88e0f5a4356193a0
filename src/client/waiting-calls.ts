// The waiting calls of one connection: they wait for an address that can be reached, or for room on
// one.

import { GrpcError } from "../grpc/error.ts";
import type { Balancing } from "./balancing.ts";
import type { StreamRequest } from "./stream-request.ts";
import { Subchannel } from "./subchannel/subchannel.ts";
import type { Member, SubchannelPool } from "./subchannel-pool.ts";
import { WaitingQueue } from "./waiting-queue.ts";

/**
 * How many calls that wait for another picker may be passed over, at each change, for the calls
 * behind them.
 */
const MAX_PASSED_OVER = 100;

/**
 * Keeps calls in order of arrival, and opens streams for them at the addresses that the balancer
 * picks.
 */
export class WaitingCalls {
  readonly #queue = new WaitingQueue<StreamRequest>();
  readonly #balancing: Balancing;
  readonly #pool: SubchannelPool;
  /** Whether calls are being served, and whether to look again afterwards. */
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

  /** @param sparesPatient calls with `waitForReady` go on waiting */
  fail(sparesPatient: boolean, error: GrpcError): void {
    for (const request of this.#queue.toArray()) {
      if (sparesPatient && request.waitForReady) continue;
      // A call that is told may remove others.
      if (this.#queue.remove(request)) request.onOpenFailed(error);
    }
  }

  /** Opens streams for waiting calls, as long as there are calls and room. */
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
    // If something is ready, the picker may have an address for another call.
    if (!this.#pool.isReady) return;
    for (const request of this.#queue.toArray().slice(1, MAX_PASSED_OVER)) {
      if (this.#offer(request) === "full") return;
    }
  }

  /** "full": no address has room. "unpicked": the call has to wait for another picker. */
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

  /** The picked address. Another one if the picked one is full, or has refused the call already. */
  #memberFor(request: StreamRequest, picked: Member): Member {
    const { refusedOn } = request;
    const hasRefused = refusedOn !== undefined && Subchannel.of(refusedOn) === picked.subchannel;
    if (picked.subchannel.hasRoom && !hasRefused) return picked;
    return this.#pool.withRoom(picked) ?? picked;
  }
}
