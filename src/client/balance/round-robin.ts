// The balancer "roundRobin": all addresses are connected, and calls take turns between those that
// are ready.

import { connectAll, NOTHING_READY } from "./all-connected.ts";
import type { Balancer, BalancerHost, Picker, SubchannelView } from "./balancer.ts";

/** One address of those that are ready. */
interface Turn {
  readonly subchannel: SubchannelView;
  readonly weight: number;
  /** Its savings; the one with most is next. */
  credit: number;
}

/** Takes turns, by weight where weights differ. */
export class RoundRobin implements Balancer {
  readonly #host: BalancerHost;
  /** The turn after the last one. It begins anywhere, for many relays may begin at once. */
  #next: number | undefined;
  #turns: readonly Turn[] = [];

  constructor(host: BalancerHost) {
    this.#host = host;
  }

  update(subchannels: readonly SubchannelView[]): Picker {
    const ready = connectAll(subchannels);
    const [first] = ready;
    if (first === undefined) return NOTHING_READY;
    if (ready.every(({ weight }) => weight === first.weight)) {
      return { pick: () => this.#inTurn(ready) };
    }
    const before = new Map(this.#turns.map((turn) => [turn.subchannel, turn.credit]));
    const turns = ready.map((subchannel) => ({
      subchannel,
      weight: subchannel.weight,
      credit: before.get(subchannel) ?? 0,
    }));
    this.#turns = turns;
    return { pick: () => smoothNext(turns) };
  }

  #inTurn(ready: readonly SubchannelView[]): SubchannelView | undefined {
    this.#next ??= Math.floor(this.#host.random() * ready.length);
    const at = this.#next % ready.length;
    this.#next = at + 1;
    return ready[at];
  }
}

/**
 * Smooth weighted round robin: each round everybody saves its weight, and the richest pays for the
 * turn with the weight of all. Weights 5, 1, 1 give a a b a c a a, not five in a row.
 */
function smoothNext(turns: readonly Turn[]): SubchannelView {
  // Weights that differ are of two at least.
  let richest = turns[0] as Turn;
  let total = 0;
  for (const turn of turns) {
    turn.credit += turn.weight;
    total += turn.weight;
    if (turn.credit > richest.credit) richest = turn;
  }
  richest.credit -= total;
  return richest.subchannel;
}
