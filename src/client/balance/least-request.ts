// The balancer "leastRequest" (gRFC A48): all addresses are connected. Two are drawn, and the less
// busy one gets the call.

import { connectAll, NOTHING_READY } from "./all-connected.ts";
import type { Balancer, BalancerHost, Picker, SubchannelView } from "./balancer.ts";

/**
 * Draws two ready addresses and compares their calls under way, by weight. A slow address collects
 * calls and is passed over. No counter has to be kept in step.
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

  /** Two different addresses, if there are two. */
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
