// Remembers addresses that have left the list: one that comes back soon is not tried before its
// backoff is over, and gets as few PINGs as before.

import type { Clock } from "../time/clock.ts";
import type { AddressPast } from "./subchannel/connect-history.ts";

/** How many addresses are remembered; the one that left first is forgotten first. */
const MAX_ADDRESSES = 1_000;

/** How long an address is remembered: the longest wait of gRPC's backoff, several times. */
const KEPT_MS = 600_000;

interface Departed {
  readonly past: AddressPast;
  readonly leftMs: number;
}

/** The addresses of one connection that are not listed any more, the longest gone first. */
export class PastAddresses {
  readonly #clock: Clock;
  readonly #all = new Map<string, Departed>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** `address` leaves the list. */
  keep(address: string, past: AddressPast): void {
    const leftMs = this.#clock.nowMs();
    past.history.earlyEnds.settle();
    // The order of the map is that in which they left.
    this.#all.delete(address);
    this.#all.set(address, { past, leftMs });
    for (const [oldest, departed] of this.#all) {
      if (this.#all.size <= MAX_ADDRESSES && !isOver(departed, leftMs)) break;
      this.#all.delete(oldest);
    }
  }

  /** `address` comes to the list. @returns `undefined` when nothing is known of it */
  take(address: string): AddressPast | undefined {
    const departed = this.#all.get(address);
    if (departed === undefined) return undefined;
    this.#all.delete(address);
    return isOver(departed, this.#clock.nowMs()) ? undefined : departed.past;
  }
}

function isOver({ leftMs }: Departed, nowMs: number): boolean {
  return nowMs - leftMs >= KEPT_MS;
}
