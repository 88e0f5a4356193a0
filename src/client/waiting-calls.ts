// The waiting calls of one connection: they wait for an address that can be reached, for room on
// one, or until their source holds less of it than others.

import { GrpcError } from "../grpc/error.ts";
import type { Balancing } from "./balancing.ts";
import { FairQueue } from "./fair-queue.ts";
import type { Member } from "./member.ts";
import type { StreamRequest } from "./stream-request.ts";
import { StreamShares } from "./stream-shares.ts";
import { Subchannel } from "./subchannel/subchannel.ts";
import type { SubchannelPool } from "./subchannel-pool.ts";

/**
 * How many calls that wait for another picker may be passed over, at each change, for the calls
 * behind them.
 */
const MAX_PASSED_OVER = 100;

/**
 * How many sources that were above their share are looked at again at each change. One whose own
 * streams end is looked at in any case. The share of another may have grown when a third one left.
 */
const MAX_LOOKED_AT_AGAIN = 16;

/**
 * Keeps calls in turns between their sources, and opens streams for them at the addresses that the
 * balancer picks.
 */
export class WaitingCalls {
  readonly #queue = new FairQueue<StreamRequest>();
  readonly #shares: StreamShares;
  readonly #balancing: Balancing;
  readonly #pool: SubchannelPool;
  /** Whether calls are being served, and whether to look again afterwards. */
  #serving: "no" | "yes" | "again" = "no";

  constructor(balancing: Balancing, pool: SubchannelPool) {
    this.#balancing = balancing;
    this.#pool = pool;
    this.#shares = new StreamShares(pool, (source) => this.#queue.readmit(source));
  }

  get size(): number {
    return this.#queue.size;
  }

  /** Nobody waits, and `request` may begin now: then it is expected to. */
  letsPass(request: StreamRequest): boolean {
    return this.#queue.size === 0 && this.#shares.takes(request);
  }

  /** Whether `request`, which came last, is one too many. */
  isOver(maxWaiting: number, request: StreamRequest): boolean {
    return this.#queue.isOver(maxWaiting, request);
  }

  /** The pool has another capacity. */
  onCapacity(): void {
    this.#shares.onCapacity();
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
    let unpicked: StreamRequest | undefined;
    for (let lookedAtAgain = 0; unpicked === undefined; ) {
      const next = this.#shares.isScarce ? this.#queue.peek() : this.#queue.peekAll();
      if (next === undefined && lookedAtAgain++ === MAX_LOOKED_AT_AGAIN) return;
      const request = next ?? this.#queue.peekAside();
      if (request === undefined) return;
      const answer = this.#offer(request);
      if (answer === "full") return;
      if (answer === "above") this.#queue.setAside(request);
      else if (answer === "unpicked") unpicked = request;
    }
    // If something is ready, the picker may have an address for another call.
    if (!this.#pool.isReady) return;
    for (const request of this.#queue.first(MAX_PASSED_OVER)) {
      if (request !== unpicked && this.#offer(request) === "full") return;
    }
  }

  /**
   * "full": no address has room. "above": the rest is for sources that hold less. "unpicked": the
   * call has to wait for another picker.
   */
  #offer(request: StreamRequest): "served" | "full" | "above" | "unpicked" {
    if (!this.#shares.takes(request)) return "above";
    const picked = this.#balancing.pick(request);
    if (picked === undefined) return "unpicked";
    if (picked instanceof GrpcError) {
      if (this.#queue.remove(request)) request.onOpenFailed(picked);
      return "served";
    }
    const member = this.#memberFor(request, picked);
    if (!member.hasRoom) {
      member.wantRoom();
      return "full";
    }
    if (this.#queue.take(request)) member.subchannel.openStream(request);
    return "served";
  }

  /** The picked address. Another one if the picked one is full, or has refused the call already. */
  #memberFor(request: StreamRequest, picked: Member): Member {
    const { refusedOn } = request;
    const hasRefused = refusedOn !== undefined && Subchannel.of(refusedOn) === picked.subchannel;
    if (picked.hasRoom && !hasRefused) return picked;
    return this.#pool.withRoom(picked) ?? picked;
  }
}
