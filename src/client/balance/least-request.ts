// The balancer "leastRequest" (gRFC A48): all addresses are connected, and the less busy of two
// that are drawn gets the call.

import { connectAll, NOTHING_READY } from "./all-connected.ts";
import type { Balancer, BalancerHost, Picker, SubchannelView } from "./balancer.ts";

/**
 * Draws two of those that are ready and compares calls under way, by weight. One that is slow
 * collects calls and is passed over; no counter has to be kept in step.
 */
export class LeastRequest implements Balancer {
  readonly #host: BalancerHost;

  constructor(host: BalancerHost) {
    this.#host = host;
  }

  update(subchannels: readonly SubchannelView[]): Picker {
    const ready = connectAll(subchannels);
    return ready.length === 0 ? NOTHING_READY : { pick: () => this.#lessBusy(ready) };
  }

  /** Two different ones, if there are two. */
  #lessBusy(ready: readonly SubchannelView[]): SubchannelView {
    const { length } = ready;
    const at = Math.floor(this.#host.random() * length);
    const step = 1 + Math.floor(this.#host.random() * (length - 1));
    // Both are there: the list is not empty.
    const one = ready[at] as SubchannelView;
    const other = ready[(at + step) % length] as SubchannelView;
    const isBusier = (one.inFlight + 1) * other.weight > (other.inFlight + 1) * one.weight;
    return isBusier ? other : one;
  }
}
